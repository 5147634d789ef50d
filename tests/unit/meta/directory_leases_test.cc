// Goal: whoever has a lease of a directory hears of every change that another makes in it, once;
// nobody is told of their own; and what keeps changing is not told again and again. Method: by
// hand, and every kind of command against leases of all directories that it concerns.
#include "server/meta/directory_leases.h"

#include <optional>
#include <set>

#include "tests/unit/meta/fs_fixture.h"

namespace cairn {
namespace {

constexpr uint64_t kHere = 1001, kThere = 1002;

class DirectoryLeasesTest : public FsTest {
 protected:
  DirectoryLeases& leases() { return engine_->directory_leases(); }
  absl::StatusOr<wire::WatchDirectoriesReply> Watch(uint64_t client, bool anew = false,
                                                    absl::Duration wait = absl::ZeroDuration()) {
    wire::WatchDirectoriesRequest request;
    request.set_anew(anew);
    request.set_wait_ms(static_cast<uint32_t>(absl::ToInt64Milliseconds(wait)));
    return executor_.Run(leases().Watch(client, request));
  }
  // They ask for news from now on.
  void Listen(std::vector<uint64_t> clients) {
    for (const uint64_t client : clients) EXPECT_TRUE(Watch(client, true).ok());
  }
  std::set<uint64_t> News(uint64_t client) {
    const auto reply = Watch(client);
    EXPECT_TRUE(reply.ok()) << reply.status();
    return {reply->changed().begin(), reply->changed().end()};
  }
  bool Grant(uint64_t client, uint64_t directory) {
    return leases().Grant(client, InodeId(directory));
  }
  void Break(uint64_t directory, uint64_t client) {
    OnExecutor([&] { leases().Break(InodeId(directory), client); });
  }
  static Task<bool> Join(Scope& scope) {
    co_await scope.Join();
    co_return true;
  }
  template <class Work>
  void OnExecutor(Work work) {
    executor_.Run([](Work& work) -> Task<bool> {
      work();
      co_return true;
    }(work));
  }
  void Rest() { executor_.RunFor(DirectoryLeases::kRest); }
  // Its requests come from here, with an id.
  template <class Request>
  auto DoFrom(uint64_t client, Request request) {
    return Do(std::move(request), MutationId{client, ++sequence_});
  }

  uint64_t sequence_ = 0;
};

TEST_F(DirectoryLeasesTest, OnlyWhoAsksForNewsHasLeases) {
  EXPECT_FALSE(Grant(kHere, 5));
  EXPECT_TRUE(Watch(kHere)->anew()) << "not known yet";
  EXPECT_TRUE(Grant(kHere, 5));
  EXPECT_FALSE(Watch(kHere)->anew());
  EXPECT_TRUE(Watch(kHere, true)->anew());
  EXPECT_EQ(leases().leases(), 0u) << "it has begun anew";
  EXPECT_TRUE(Grant(kHere, 5));
  executor_.RunFor(DirectoryLeases::kTtl * 2);
  EXPECT_TRUE(Watch(kThere)->anew());
  EXPECT_EQ(leases().clients(), 1u) << "one was silent";
  EXPECT_EQ(leases().leases(), 0u);
}

TEST_F(DirectoryLeasesTest, ChangesAreToldToTheOthersOnce) {
  Listen({kHere, kThere});
  EXPECT_TRUE(Grant(kHere, 5) && Grant(kThere, 5) && Grant(kThere, 6));
  Break(5, kHere);
  EXPECT_EQ(News(kHere), std::set<uint64_t>());
  EXPECT_EQ(News(kThere), std::set<uint64_t>{5});
  Break(5, kHere);
  EXPECT_EQ(News(kThere), std::set<uint64_t>());
  EXPECT_EQ(leases().leases(), 2u) << "one of 5, one of 6";
}

TEST_F(DirectoryLeasesTest, WhatOthersChangeHasToRestBeforeItIsLeased) {
  Listen({kHere, kThere});
  Break(5, kHere);
  EXPECT_FALSE(Grant(kThere, 5));
  EXPECT_TRUE(Grant(kHere, 5)) << "it knows what it does itself";
  Break(5, kThere);
  EXPECT_FALSE(Grant(kHere, 5));
  EXPECT_FALSE(Grant(kThere, 5)) << "another has changed it just before";
  executor_.RunFor(DirectoryLeases::kRest / 2);
  Break(5, kThere);
  executor_.RunFor(DirectoryLeases::kRest / 2);
  EXPECT_TRUE(Grant(kThere, 5));
  EXPECT_FALSE(Grant(kHere, 5));
  Rest();
  EXPECT_TRUE(Grant(kHere, 5));
}

TEST_F(DirectoryLeasesTest, NewsComesWhileItIsWaitedForOrAfterAWhileThereIsNone) {
  Listen({kHere});
  EXPECT_TRUE(Grant(kHere, 5));
  std::optional<absl::StatusOr<wire::WatchDirectoriesReply>> reply;
  auto wait = [](DirectoryLeases& leases, auto& reply) -> Task<void> {
    wire::WatchDirectoriesRequest request;
    request.set_wait_ms(10'000);
    reply = co_await leases.Watch(kHere, request);
  };
  Scope scope;
  const auto ask = [&] { scope.Spawn(wait(leases(), reply)); };
  OnExecutor(ask);
  executor_.RunFor(absl::Seconds(1));
  EXPECT_FALSE(reply.has_value());
  Break(5, kThere);
  executor_.RunFor(absl::ZeroDuration());
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ((*reply)->changed_size(), 1);
  const MonoTime before = executor_.clock().Now();
  EXPECT_EQ(Watch(kHere, false, absl::Seconds(3))->changed_size(), 0);
  EXPECT_EQ(executor_.clock().Now() - before, absl::Seconds(3));
  // Who asks again, or goes, has the first come back.
  for (const bool bye : {false, true}) {
    reply.reset();
    OnExecutor(ask);
    executor_.RunFor(absl::ZeroDuration());
    wire::WatchDirectoriesRequest request;
    request.set_bye(bye);
    EXPECT_TRUE(executor_.Run(leases().Watch(kHere, request)).ok());
    executor_.RunFor(absl::ZeroDuration());
    EXPECT_TRUE(reply.has_value() && reply->ok());
  }
  EXPECT_EQ(leases().clients(), 0u);
  executor_.Run(Join(scope));
}

TEST_F(DirectoryLeasesTest, AllNewsComesInSeveralAnswers) {
  Listen({kHere});
  const uint64_t count = DirectoryLeases::kNewsMax + 10;
  for (uint64_t i = 0; i < count; ++i) EXPECT_TRUE(Grant(kHere, 1000 + i));
  for (uint64_t i = 0; i < count; ++i) Break(1000 + i, 0);
  EXPECT_EQ(News(kHere).size(), DirectoryLeases::kNewsMax);
  EXPECT_EQ(News(kHere).size(), 10u);
}

TEST_F(DirectoryLeasesTest, OneClientHasSoManyAndNoMore) {
  Listen({kHere, kThere});
  for (uint64_t i = 0; i < DirectoryLeases::kDirectoriesOfClientMax; ++i)
    ASSERT_TRUE(Grant(kHere, 1000 + i));
  EXPECT_FALSE(Grant(kHere, 5));
  EXPECT_TRUE(Grant(kHere, 1000)) << "it has that";
  EXPECT_TRUE(Grant(kThere, 5));
}

// Each command, of another client, and which directories it is a change in.
TEST_F(DirectoryLeasesTest, EveryKindOfChangeIsTold) {
  const uint64_t a = MakeDir(bucket_, "a"), b = MakeDir(bucket_, "b");
  const uint64_t file = Make(a, "file")->inode();
  const uint64_t below = MakeDir(a, "below");
  Listen({kHere});
  const auto told = [&](auto request, std::set<uint64_t> expected) {
    Rest();
    const std::set<uint64_t> all = {bucket_, a, b, below};
    for (const uint64_t directory : all) EXPECT_TRUE(Grant(kHere, directory));
    const auto done = DoFrom(kThere, request);
    EXPECT_TRUE(done.ok()) << done.status();
    EXPECT_EQ(News(kHere), expected) << request.ShortDebugString();
    // One's own are not told.
    for (const uint64_t directory : expected) Break(directory, 0);
    News(kHere);
  };
  wire::MakeNodeRequest make;
  make.set_parent(a);
  make.set_name("new");
  make.set_type(wire::ENTRY_FILE);
  told(make, {a});
  make.set_name("dir");
  make.set_type(wire::ENTRY_DIRECTORY);
  told(make, {a});
  wire::SetAttributesRequest chmod;
  chmod.mutable_node()->set_inode(file);
  chmod.set_mode(0600);
  told(chmod, {a});
  chmod.mutable_node()->set_inode(below);
  told(chmod, {below});
  wire::SetXattrRequest xattr;
  xattr.mutable_node()->set_inode(file);
  xattr.set_name("user.x");
  xattr.set_value("1");
  told(xattr, {a});
  wire::WriteExtentsRequest write;
  write.mutable_node()->set_inode(file);
  *write.add_extents() = Inline(0, "bytes");
  told(write, {a});
  wire::LinkNodeRequest link;
  link.mutable_node()->set_inode(file);
  link.set_parent(b);
  link.set_name("link");
  told(link, {a, b});
  wire::UnlinkNodeRequest unlink;
  unlink.set_parent(b);
  unlink.set_name("link");
  told(unlink, {a, b});
  wire::RenameNodeRequest rename;
  rename.set_from_parent(a);
  rename.set_from_name("file");
  rename.set_to_parent(b);
  rename.set_to_name("moved");
  told(rename, {a, b});
  unlink.set_name("moved");
  told(unlink, {b});
  unlink.set_parent(a);
  unlink.set_name("below");
  unlink.set_directory(true);
  told(unlink, {a, below});
  wire::MakeDirectoryRequest by_path;
  by_path.set_path("default/b/by-path");
  told(by_path, {b});
}

TEST_F(DirectoryLeasesTest, OnesOwnChangesAreNotTold) {
  const uint64_t a = MakeDir(bucket_, "a");
  Listen({kHere});
  Rest();
  EXPECT_TRUE(Grant(kHere, a));
  wire::MakeNodeRequest make;
  make.set_parent(a);
  make.set_name("new");
  make.set_type(wire::ENTRY_FILE);
  ASSERT_TRUE(DoFrom(kHere, make).ok());
  EXPECT_EQ(News(kHere), std::set<uint64_t>());
  // What has failed has changed nothing.
  EXPECT_FALSE(DoFrom(kThere, make).ok());
  EXPECT_EQ(News(kHere), std::set<uint64_t>());
}

TEST_F(DirectoryLeasesTest, ACommittedCheckpointIsAChangeWhereItLies) {
  const uint64_t run = MakeDir(bucket_, "run");
  Listen({kHere});
  Rest();
  EXPECT_TRUE(Grant(kHere, run));
  const auto begun = Do(BeginRequest("default/run/step-1"));
  ASSERT_TRUE(begun.ok()) << begun.status();
  ASSERT_TRUE(Do(DoneRequest("default/run/step-1", begun->attempt(), 0)).ok());
  ASSERT_TRUE(Do(CommitRequest("default/run/step-1", begun->attempt())).ok());
  EXPECT_TRUE(News(kHere).contains(run));
  EXPECT_EQ(Lookup(run, "latest")->symlink_target(), "step-1");
}

}  // namespace
}  // namespace cairn
