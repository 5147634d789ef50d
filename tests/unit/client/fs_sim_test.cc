// Goal: files behave as POSIX has it, within a mount at once and between mounts from close to open;
// nothing that was flushed is lost, and nothing is dropped silently. Method: real mounts of a real
// node in the simulation, by hand and with random operations against naive files. A failing seed is
// printed, and replayed with CAIRN_SEED=<seed>.

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <set>

#include "common/base/posix_error.h"
#include "tests/sim/seeds.h"
#include "tests/unit/client/fs_world.h"

namespace cairn {
namespace {

SimNode::Options Roomy() {
  SimNode::Options options;
  options.target_bytes = 64 * kMiB;
  return options;
}

class FsSim : public testing::Test {
 protected:
  ClientWorld world_{1, Roomy()};
};

TEST_F(FsSim, WhatIsWrittenReadsBackAtOnceAndAfterItIsCommittedAndElsewhere) {
  SimMount here(world_, "here"), there(world_, "there");
  for (const size_t size : {size_t{0}, size_t{1}, 20 * kKiB, 100 * kKiB, 3 * kMiB + 77}) {
    const std::string name = "file-" + std::to_string(size);
    const Content content = RandomContent(world_.random, size);
    SimMount::File file = here.Create(name);
    EXPECT_EQ(here.Write(file, 0, content), absl::OkStatus());
    EXPECT_EQ(*here.ReadAll(file), content);
    EXPECT_EQ(here.Stat(file)->size_bytes(), size);
    EXPECT_EQ(here.Flush(file), absl::OkStatus());
    EXPECT_EQ(*here.ReadAll(file), content);
    here.Close(std::move(file));
    SimMount::File other = there.Open(name, OpenMode::kRead);
    EXPECT_EQ(*there.ReadAll(other), content);
    EXPECT_EQ(there.Stat(other)->size_bytes(), size);
    there.Close(std::move(other));
  }
  EXPECT_GT(here.core().stats().stripes_written, 24u);
  EXPECT_GT(here.core().stats().inline_extents_written, 1u);
  EXPECT_EQ(here.core().stats().dirty_bytes, 0u);
}

TEST_F(FsSim, HolesReadAsZerosAndAreFound) {
  SimMount mount(world_, "mount");
  SimMount::File file = mount.Create("sparse");
  EXPECT_EQ(mount.Write(file, kMiB, Bytes("data")), absl::OkStatus());
  EXPECT_EQ(*mount.Read(file, kMiB - 2, 10), Bytes(std::string_view("\0\0data", 6)));
  EXPECT_EQ(mount.Run(file.file->Seek(OpenFile::SeekTo::kData, 0)).value_or(0), kMiB);
  EXPECT_EQ(mount.Run(file.file->Seek(OpenFile::SeekTo::kHole, kMiB)).value_or(0), kMiB + 4);
  EXPECT_EQ(ToErrno(mount.Run(file.file->Seek(OpenFile::SeekTo::kData, kMiB + 4)).status()), ENXIO);
  const Content noise = RandomContent(world_.random, 512 * kKiB);
  EXPECT_EQ(mount.Write(file, 0, noise), absl::OkStatus());
  EXPECT_EQ(mount.Run(file.file->Allocate(OpenFile::Allocation::kPunchHole, 1000, 300'000)),
            absl::OkStatus());
  Content expected = noise;
  std::fill(expected.begin() + 1000, expected.begin() + 301'000, std::byte{0});
  EXPECT_EQ(*mount.Read(file, 0, expected.size()), expected);
  EXPECT_EQ(mount.Run(file.file->Seek(OpenFile::SeekTo::kHole, 0)).value_or(0), 1000u);
  EXPECT_EQ(mount.Run(file.file->Allocate(OpenFile::Allocation::kAllocate, 0, 2 * kMiB)),
            absl::OkStatus());
  EXPECT_EQ(mount.Stat(file)->size_bytes(), 2 * kMiB);
  mount.Close(std::move(file));
}

TEST_F(FsSim, ATruncatedFileForgetsWhatWasBehindAlsoWhatWasNotCommitted) {
  SimMount mount(world_, "mount");
  SimMount::File file = mount.Create("file");
  EXPECT_EQ(mount.Write(file, 0, Content(300'000, std::byte{1})), absl::OkStatus());
  EXPECT_EQ(mount.Truncate(file, 1000), absl::OkStatus());
  EXPECT_EQ(mount.Truncate(file, 2000), absl::OkStatus());
  Content expected(2000, std::byte{1});
  std::fill(expected.begin() + 1000, expected.end(), std::byte{0});
  EXPECT_EQ(*mount.ReadAll(file), expected);
  EXPECT_EQ(mount.Flush(file), absl::OkStatus());
  EXPECT_EQ(*mount.ReadAll(file), expected);
  mount.Close(std::move(file));
}

TEST_F(FsSim, RecordsThatTwoMountsAppendAreAllThereAndWhole) {
  SimMount here(world_, "here"), there(world_, "there");
  SimMount::File a = here.Create("log");
  SimMount::File b = there.Open("log");
  std::set<std::string> written;
  for (int i = 0; i < 200; ++i) {
    SimMount& mount = i % 2 == 0 ? here : there;
    const SimMount::File& file = i % 2 == 0 ? a : b;
    const std::string record =
        std::to_string(i) + std::string(world_.random.Below(900), '.') + "\n";
    EXPECT_TRUE(mount.Append(file, Bytes(record)).ok());
    written.insert(record);
    const bool flushes = world_.random.Below(10) == 0;
    EXPECT_EQ(flushes ? mount.Flush(file) : absl::OkStatus(), absl::OkStatus());
  }
  EXPECT_EQ(here.Flush(a), absl::OkStatus());
  EXPECT_EQ(there.Flush(b), absl::OkStatus());
  SimMount::File reader = here.Open("log", OpenMode::kRead);
  const Content content = *here.ReadAll(reader);
  std::string_view rest(reinterpret_cast<const char*>(content.data()), content.size());
  while (!rest.empty()) {
    const size_t end = rest.find('\n') + 1;
    EXPECT_EQ(written.erase(std::string(rest.substr(0, end))), 1u);
    rest = rest.substr(end);
  }
  EXPECT_TRUE(written.empty());
  here.Close(std::move(reader));
  here.Close(std::move(a));
  there.Close(std::move(b));
}

TEST_F(FsSim, WhatIsAppendedInBulkIsInOrder) {
  SimMount mount(world_, "mount");
  SimMount::File file = mount.Create("log");
  Content all;
  for (int i = 0; i < 40; ++i) {
    const Content part = RandomContent(world_.random, 1 + world_.random.Below(300'000));
    const auto at = mount.Append(file, part);
    ASSERT_TRUE(at.ok()) << at.status();
    EXPECT_EQ(*at, all.size());
    all.insert(all.end(), part.begin(), part.end());
  }
  EXPECT_EQ(*mount.ReadAll(file), all);
  mount.Close(std::move(file));
}

TEST_F(FsSim, AnOpenSeesWhatOthersHaveClosedAndKnowsWhetherAnythingHasChanged) {
  SimMount here(world_, "here"), there(world_, "there");
  SimMount::File file = here.Create("file");
  EXPECT_EQ(here.Write(file, 0, Content(200'000, std::byte{1})), absl::OkStatus());
  here.Close(std::move(file));
  file = here.Open("file");
  EXPECT_TRUE(file.handle->is_unchanged) << "only this mount has changed it";
  EXPECT_EQ(here.ReadAll(file)->at(5), std::byte{1});
  here.Close(std::move(file));

  SimMount::File other = there.Open("file");
  EXPECT_FALSE(other.handle->is_unchanged);
  EXPECT_EQ(there.Write(other, 5, Bytes("x")), absl::OkStatus());
  there.Close(std::move(other));
  file = here.Open("file");
  EXPECT_FALSE(file.handle->is_unchanged);
  EXPECT_EQ(here.ReadAll(file)->at(5), std::byte{'x'});
  here.Close(std::move(file));
  file = here.Open("file");
  EXPECT_TRUE(file.handle->is_unchanged);
  here.Close(std::move(file));
}

TEST_F(FsSim, AFileThatOthersChangeWhileItIsReadIsReadAnew) {
  SimMount here(world_, "here"), there(world_, "there");
  SimMount::File file = here.Create("file");
  EXPECT_EQ(here.Write(file, 0, Content(900'000, std::byte{1})), absl::OkStatus());
  EXPECT_EQ(here.Flush(file), absl::OkStatus());
  EXPECT_EQ(here.Read(file, 0, 10)->at(0), std::byte{1});
  SimMount::File other = there.Open("file");
  EXPECT_EQ(there.Write(other, 0, Content(900'000, std::byte{2})), absl::OkStatus());
  EXPECT_EQ(there.Flush(other), absl::OkStatus());
  world_.executor.RunFor(absl::Minutes(2));  // the old stripes are freed
  EXPECT_EQ(*here.ReadAll(file), Content(900'000, std::byte{2}));
  here.Close(std::move(file));
  there.Close(std::move(other));
}

TEST_F(FsSim, WhoGetsALockSeesWhatWasWrittenUnderIt) {
  SimMount here(world_, "here"), there(world_, "there");
  SimMount::File a = here.Create("file");
  SimMount::File b = there.Open("file");
  EXPECT_EQ(there.ReadAll(b)->size(), 0u);
  EXPECT_TRUE(*here.Lock(a, 7, wire::FILE_LOCK_EXCLUSIVE));
  EXPECT_FALSE(*there.Lock(b, 7, wire::FILE_LOCK_SHARED));
  EXPECT_EQ(here.Write(a, 0, Bytes("under the lock")), absl::OkStatus());
  EXPECT_TRUE(*here.Lock(a, 7, wire::FILE_LOCK_UNLOCK));
  EXPECT_TRUE(*there.Lock(b, 7, wire::FILE_LOCK_SHARED));
  EXPECT_EQ(*there.ReadAll(b), Bytes("under the lock"));
  here.Close(std::move(a));
  there.Close(std::move(b));
}

TEST_F(FsSim, OldBytesAreCommittedInTheBackgroundAndLeasesEndWhenNobodyWrites) {
  SimMount here(world_, "here"), there(world_, "there");
  SimMount::File file = here.Create("file");
  const Content content = RandomContent(world_.random, 200'000);
  EXPECT_EQ(here.Write(file, 0, content), absl::OkStatus());
  world_.executor.RunFor(absl::Seconds(7));
  EXPECT_EQ(here.core().leases().held(), 1u);
  SimMount::File other = there.Open("file");
  EXPECT_EQ(*there.ReadAll(other), content);
  world_.executor.RunFor(absl::Seconds(12));
  EXPECT_EQ(here.core().leases().held(), 0u);
  here.Close(std::move(file));
  there.Close(std::move(other));
}

TEST_F(FsSim, MoreThanMayBeInMemoryIsWrittenAllTheSame) {
  FileSystemOptions options;
  options.dirty_bytes_max = kMiB;
  SimMount mount(world_, "mount", options);
  SimMount::File a = mount.Create("a"), b = mount.Create("b");
  const Content content = RandomContent(world_.random, 5 * kMiB);
  for (size_t at = 0; at < content.size(); at += 100'000) {
    const ConstBytes part =
        ConstBytes(content).subspan(at, std::min<size_t>(100'000, content.size() - at));
    ASSERT_EQ(mount.Write(a, at, part), absl::OkStatus());
    // Of this one no stripe is ever full.
    ASSERT_EQ(mount.Write(b, 3 * at, part.first(std::min<size_t>(part.size(), 50'000))),
              absl::OkStatus());
    EXPECT_LE(mount.core().stats().dirty_bytes, 3 * kMiB);
  }
  EXPECT_EQ(*mount.ReadAll(a), content);
  EXPECT_EQ(mount.Flush(a), absl::OkStatus());
  EXPECT_EQ(*mount.ReadAll(a), content);
  mount.Close(std::move(a));
  mount.Close(std::move(b));
}

TEST_F(FsSim, ALeaseThatEndsUnderAWriterCostsNothingButTime) {
  SimMount mount(world_, "mount");
  SimMount::File file = mount.Create("file");
  const Content content = RandomContent(world_.random, 700'000);
  EXPECT_EQ(mount.Write(file, 0, content), absl::OkStatus());
  world_.executor.RunFor(absl::Seconds(1));  // whole stripes are on their way
  ASSERT_EQ(mount.core().leases().held(), 1u);
  // As the service does to a mount that it has not heard of for long.
  for (uint64_t lease = 1; lease < 50; ++lease) {
    wire::EndWritesRequest request;
    request.set_lease(lease);
    (void)mount.Run(
        world_.session->Meta<wire::EndWritesReply>(wire::END_WRITES, request, world_.Soon()));
  }
  EXPECT_EQ(mount.Flush(file), absl::OkStatus());
  EXPECT_EQ(*mount.ReadAll(file), content);
  EXPECT_GT(mount.core().stats().failed_commits, 0u);
  mount.Close(std::move(file));
}

TEST_F(FsSim, AFileWithoutANameLivesUntilItIsClosedAlsoAcrossARestartOfTheService) {
  SimMount mount(world_, "mount");
  SimMount::File file = mount.Create("file");
  const Content content = RandomContent(world_.random, 300'000);
  EXPECT_EQ(mount.Write(file, 0, content), absl::OkStatus());
  EXPECT_EQ(mount.Flush(file), absl::OkStatus());
  EXPECT_EQ(mount.Unlink("file"), absl::OkStatus());
  EXPECT_EQ(ToErrno(mount.Lookup("file").status()), ENOENT);
  EXPECT_EQ(mount.Run(mount.core().SyncNamespace()), absl::OkStatus());
  EXPECT_EQ(world_.executor.Run(world_.node.Restart(5, 1)), absl::OkStatus());
  world_.executor.RunFor(absl::Minutes(2));
  EXPECT_EQ(*mount.ReadAll(file), content);
  EXPECT_EQ(mount.Write(file, 10, Bytes("more")), absl::OkStatus());
  EXPECT_EQ(mount.Flush(file), absl::OkStatus());
  EXPECT_EQ(mount.Read(file, 10, 4).value(), Bytes("more"));
  mount.Close(std::move(file));
}

TEST_F(FsSim, WhatTheServiceHasLostWithItsPowerIsNotRememberedHere) {
  SimMount mount(world_, "mount");
  SimMount::File file = mount.Create("file");
  const Content old(300'000, std::byte{1}), fresh(500'000, std::byte{2});
  EXPECT_EQ(mount.Write(file, 0, old), absl::OkStatus());
  EXPECT_EQ(mount.Flush(file), absl::OkStatus());
  EXPECT_EQ(mount.Run(mount.core().SyncNamespace()), absl::OkStatus());
  EXPECT_EQ(mount.Write(file, 0, fresh), absl::OkStatus());
  EXPECT_EQ(mount.Flush(file), absl::OkStatus());
  EXPECT_EQ(world_.executor.Run(world_.node.Restart(5, 1)), absl::OkStatus());
  world_.executor.RunFor(absl::Minutes(2));
  const uint64_t size = mount.Stat(file)->size_bytes();
  EXPECT_TRUE(size == old.size() || size == fresh.size()) << size;
  EXPECT_TRUE(*mount.ReadAll(file) == (size == old.size() ? old : fresh));
  EXPECT_EQ(mount.Write(file, 5, Bytes("more")), absl::OkStatus());
  EXPECT_EQ(mount.Flush(file), absl::OkStatus());
  EXPECT_EQ(mount.Read(file, 5, 4).value(), Bytes("more"));
  mount.Close(std::move(file));
}

// What a mount is told of, by name.
class Told {
 public:
  explicit Told(SimMount& mount) : mount_(mount) {
    mount.OnChange([this](std::vector<FileSystem::Change> changes) {
      for (const FileSystem::Change& change : changes) names_.insert(change.name);
    });
  }
  ~Told() { mount_.OnChange(nullptr); }
  Told(const Told&) = delete;
  Told& operator=(const Told&) = delete;
  std::set<std::string> Take() { return std::exchange(names_, {}); }

 private:
  SimMount& mount_;
  std::set<std::string> names_;
};

TEST_F(FsSim, WhatIsHeldOfADirectoryIsToldWhenAnotherChangesIt) {
  SimMount here(world_, "here"), there(world_, "there");
  Told told(here);
  const auto rest = [&] { world_.executor.RunFor(absl::Seconds(3)); };
  SimMount::File file = there.Create("file");
  EXPECT_EQ(there.Write(file, 0, Bytes("1")), absl::OkStatus());
  EXPECT_EQ(there.Flush(file), absl::OkStatus());
  SimMount::Core::Holding holding;
  ASSERT_TRUE(here.Lookup("file", &holding).ok());
  EXPECT_FALSE(holding.name || holding.attributes) << "another is changing what is there";
  rest();
  ASSERT_TRUE(here.Lookup("file", &holding).ok());
  EXPECT_TRUE(holding.name && holding.attributes);
  EXPECT_EQ(told.Take(), std::set<std::string>());

  EXPECT_EQ(there.Write(file, 0, Bytes("longer")), absl::OkStatus());
  EXPECT_EQ(there.Flush(file), absl::OkStatus());
  world_.executor.RunFor(absl::Milliseconds(50));
  EXPECT_EQ(told.Take(), (std::set<std::string>{"", "file"}));
  there.Close(std::move(file));
  EXPECT_EQ(there.Unlink("file"), absl::OkStatus());
  world_.executor.RunFor(absl::Milliseconds(50));
  EXPECT_EQ(told.Take(), std::set<std::string>()) << "nothing was held any more";

  // What it changes itself it knows.
  rest();
  file = here.Create("mine");
  EXPECT_EQ(here.Write(file, 0, Bytes("1")), absl::OkStatus());
  EXPECT_EQ(here.Flush(file), absl::OkStatus());
  ASSERT_TRUE(here.Lookup("mine", &holding).ok());
  EXPECT_TRUE(holding.name && holding.attributes);
  EXPECT_EQ(here.Write(file, 5, Bytes("1")), absl::OkStatus());
  ASSERT_TRUE(here.Lookup("mine", &holding).ok());
  EXPECT_TRUE(holding.name);
  EXPECT_FALSE(holding.attributes) << "its commit is to come";
  here.Close(std::move(file));
  EXPECT_EQ(told.Take(), std::set<std::string>());
}

TEST_F(FsSim, WithoutTheServiceNothingIsHeld) {
  SimMount here(world_, "here");
  Told told(here);
  here.Make("file");
  world_.executor.RunFor(absl::Seconds(3));
  SimMount::Core::Holding holding;
  ASSERT_TRUE(here.Lookup("file", &holding).ok());
  EXPECT_TRUE(holding.name);
  EXPECT_EQ(world_.executor.Run(world_.node.Restart(5, 1)), absl::OkStatus());
  world_.executor.RunFor(absl::Seconds(10));
  EXPECT_EQ(told.Take(), (std::set<std::string>{"", "file"}));
  ASSERT_TRUE(here.Lookup("file", &holding).ok());
  EXPECT_TRUE(holding.name) << "the service is back";
  // Nobody listens any more.
  here.OnChange(nullptr);
  ASSERT_TRUE(here.Lookup("file", &holding).ok());
  EXPECT_EQ(world_.executor.Run(world_.node.Restart(5, 1)), absl::OkStatus());
  world_.executor.RunFor(absl::Seconds(10));
  EXPECT_EQ(told.Take(), std::set<std::string>());
}

TEST_F(FsSim, ADirectoryThatAnotherHasMovedIsKnownByItsNewNameAlone) {
  SimMount here(world_, "here"), there(world_, "there");
  std::vector<FileSystem::Change> told;
  here.OnChange([&told](std::vector<FileSystem::Change> changes) {
    for (FileSystem::Change& change : changes)
      if (change.gone) told.push_back(std::move(change));
  });
  const uint64_t directory = here.Make("old", wire::ENTRY_DIRECTORY);
  wire::RenameNodeRequest rename;
  rename.set_from_parent(there.core().root());
  rename.set_from_name("old");
  rename.set_to_parent(there.core().root());
  rename.set_to_name("new");
  EXPECT_EQ(there.Run(there.core().Rename(rename)), absl::OkStatus());
  EXPECT_EQ(here.Lookup("new")->inode(), directory);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].name, "old");
  EXPECT_EQ(told[0].directory, here.core().root());
  EXPECT_EQ(here.Lookup("new")->inode(), directory);
  EXPECT_EQ(told.size(), 1u) << "it was told";
  here.OnChange(nullptr);
}

TEST_F(FsSim, ListedNamesAreHeldToo) {
  SimMount here(world_, "here"), there(world_, "there");
  Told told(here);
  here.Make("a"), here.Make("b");
  here.Make("dir", wire::ENTRY_DIRECTORY);
  world_.executor.RunFor(absl::Seconds(3));
  std::vector<SimMount::Core::Holding> holding;
  const auto listed = here.Run(here.core().ReadDirectory(here.core().root(), "", &holding));
  ASSERT_TRUE(listed.ok() && listed->entries_size() == 3);
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(holding[i].name);
    const bool is_directory = listed->entries(i).type() == wire::ENTRY_DIRECTORY;
    EXPECT_EQ(holding[i].attributes, !is_directory) << "what is in that is not held";
    here.core().Remember(listed->entries(i).inode(), here.core().root(), listed->entries(i).name());
  }
  EXPECT_EQ(there.Unlink("a"), absl::OkStatus());
  world_.executor.RunFor(absl::Milliseconds(50));
  EXPECT_EQ(told.Take(), (std::set<std::string>{"", "a", "b", "dir"}));
}

TEST_F(FsSim, LocksAreSaidAgainToAServiceThatHasRestarted) {
  SimMount here(world_, "here"), there(world_, "there");
  SimMount::File a = here.Create("file");
  SimMount::File b = there.Open("file");
  EXPECT_TRUE(*here.Lock(a, 7, wire::FILE_LOCK_EXCLUSIVE));
  EXPECT_EQ(here.Run(here.core().SyncNamespace()), absl::OkStatus());
  EXPECT_EQ(world_.executor.Run(world_.node.Restart(5, 1)), absl::OkStatus());
  EXPECT_FALSE(*there.Lock(b, 8, wire::FILE_LOCK_EXCLUSIVE)) << "nobody knows yet";
  world_.executor.RunFor(absl::Minutes(2));
  EXPECT_FALSE(*there.Lock(b, 8, wire::FILE_LOCK_EXCLUSIVE));
  EXPECT_EQ(here.Write(a, 0, Bytes("x")), absl::OkStatus());
  EXPECT_TRUE(*here.Lock(a, 7, wire::FILE_LOCK_UNLOCK));
  EXPECT_TRUE(*there.Lock(b, 8, wire::FILE_LOCK_EXCLUSIVE));
  here.Close(std::move(a));
  there.Close(std::move(b));
}

TEST_F(FsSim, TheServiceHearsWhatAMountDoesAlsoAfterARestart) {
  uint64_t calls = 5;
  FileSystemOptions options;
  options.count_operations = [&calls] {
    return std::vector<OperationCount>{{"read", calls, 1, absl::Microseconds(calls)}};
  };
  SimMount mount(world_, "mount", std::move(options));
  SimMount::File file = mount.Create("file");
  EXPECT_EQ(mount.Write(file, 0, RandomContent(world_.random, 100 * kKiB)), absl::OkStatus());
  calls = 25;
  world_.executor.RunFor(MountTable::kTtl / 4 + absl::Seconds(1));
  std::vector<wire::MountLoad> loads = world_.node.meta().BusiestMounts(32);
  ASSERT_EQ(loads.size(), 1u);
  EXPECT_EQ(loads[0].name(), "mount");
  EXPECT_EQ(loads[0].client(), "mount");
  EXPECT_EQ(loads[0].path(), "default");
  EXPECT_EQ(loads[0].open_files(), 1u);
  EXPECT_NEAR(static_cast<double>(loads[0].interval_ms()), 7500, 100);
  EXPECT_EQ(loads[0].counts().written_bytes(), 100 * kKiB);
  ASSERT_EQ(loads[0].counts().operations_size(), 1);
  EXPECT_EQ(loads[0].counts().operations(0).calls(), 20u);
  EXPECT_EQ(loads[0].counts().operations(0).errors(), 0u);
  EXPECT_EQ(loads[0].counts().operations(0).time_ns(), 20'000u);

  world_.executor.Run(world_.node.Bury());
  EXPECT_EQ(world_.executor.Run(world_.node.Start()), absl::OkStatus());
  world_.executor.RunFor(MountTable::kTtl / 3);
  calls = 40;
  world_.executor.RunFor(MountTable::kTtl / 3);
  loads = world_.node.meta().BusiestMounts(32);
  ASSERT_EQ(loads.size(), 1u);
  EXPECT_EQ(loads[0].open_files(), 1u);
  ASSERT_EQ(loads[0].counts().operations_size(), 1);
  EXPECT_EQ(loads[0].counts().operations(0).calls(), 15u);
  mount.Close(std::move(file));
}

TEST_F(FsSim, SmallPiecesAreGatheredWhenTheFileIsClosed) {
  SimMount mount(world_, "mount");
  SimMount::File file = mount.Create("file");
  Content content;
  for (int i = 0; i < 40; ++i) {
    const Content part = RandomContent(world_.random, 20'000);
    EXPECT_EQ(mount.Write(file, content.size(), part), absl::OkStatus());
    EXPECT_EQ(mount.Flush(file), absl::OkStatus());
    content.insert(content.end(), part.begin(), part.end());
  }
  EXPECT_EQ(mount.Stat(file)->inline_bytes(), content.size());
  const int64_t modified = mount.Stat(file)->modified_at_ns();
  mount.Close(std::move(file));
  world_.executor.RunFor(absl::Seconds(5));
  EXPECT_EQ(mount.core().stats().compactions, 1u);
  EXPECT_EQ(mount.core().stats().open_files, 0u);
  file = mount.Open("file", OpenMode::kRead);
  const auto attributes = mount.Stat(file);
  EXPECT_LT(attributes->inline_bytes(), 40'000u);
  EXPECT_LT(attributes->extents(), 12u);
  EXPECT_EQ(attributes->modified_at_ns(), modified);
  EXPECT_EQ(*mount.ReadAll(file), content);
  mount.Close(std::move(file));
}

TEST_F(FsSim, WhoReadsInOrderFindsBytesThatCameBefore) {
  SimMount mount(world_, "mount");
  SimMount::File file = mount.Create("file");
  const Content content = RandomContent(world_.random, 6 * kMiB);
  EXPECT_EQ(mount.Write(file, 0, content), absl::OkStatus());
  EXPECT_EQ(mount.Flush(file), absl::OkStatus());
  Content read;
  while (read.size() < content.size()) {
    const auto part = mount.Read(file, read.size(), 64 * kKiB);
    ASSERT_TRUE(part.ok()) << part.status();
    read.insert(read.end(), part->begin(), part->end());
  }
  EXPECT_EQ(read, content);
  EXPECT_GT(mount.core().stats().readahead_hit_bytes, 4 * kMiB);
  // What was read ahead is not what was written over it.
  EXPECT_EQ(mount.Write(file, 5 * kMiB, Content(kMiB, std::byte{9})), absl::OkStatus());
  EXPECT_EQ(mount.Flush(file), absl::OkStatus());
  EXPECT_EQ(mount.Read(file, 6 * kMiB - 5, 5).value(), Content(5, std::byte{9}));
  mount.Close(std::move(file));
}

TEST_F(FsSim, BytesWaitWhileTheServiceIsGoneAndAreCommittedWhenItIsBack) {
  SimMount mount(world_, "mount");
  SimMount::File file = mount.Create("file");
  const Content content = RandomContent(world_.random, 400'000);
  EXPECT_EQ(mount.Run(mount.core().SyncNamespace()), absl::OkStatus());
  world_.node.Kill(3);
  world_.executor.Run(world_.node.Bury());
  EXPECT_EQ(mount.Write(file, 0, content), absl::OkStatus()) << "memory takes it";
  world_.executor.RunFor(absl::Minutes(3));
  EXPECT_FALSE(mount.Write(file, 0, content).ok()) << "of the background's error, once";
  EXPECT_EQ(mount.Write(file, 0, content), absl::OkStatus());
  EXPECT_EQ(world_.executor.Run(world_.node.Start()), absl::OkStatus());
  EXPECT_EQ(mount.Flush(file), absl::OkStatus());
  SimMount there(world_, "there");
  SimMount::File other = there.Open("file");
  EXPECT_EQ(*there.ReadAll(other), content);
  mount.Close(std::move(file));
  there.Close(std::move(other));
}

// ---- random operations ----

class RandomFile {
 public:
  RandomFile(ClientWorld& world, SimMount& mount, const std::string& name)
      : world_(world), mount_(mount), name_(name), file_(mount.Create(name)) {}

  void Step() {
    Random& random = world_.random;
    switch (random.Below(12)) {
      case 0:
      case 1:
      case 2:
        return Write(random.Below(kFileMax), 1 + random.Below(Few() ? 400'000 : 5'000));
      case 3:
        return Write(naive_.size() < kFileMax ? naive_.size() : 0, 1 + random.Below(150'000));
      case 4:
        return Append(1 + random.Below(Few() ? 300'000 : 3'000));
      case 5:
        return Truncate(random.Below(3) == 0 ? 0 : random.Below(kFileMax));
      case 6:
        return Punch(random.Below(kFileMax), 1 + random.Below(300'000));
      case 7:
        ASSERT_EQ(mount_.Flush(file_), absl::OkStatus());
        return;
      case 8:
        mount_.Close(std::move(file_));
        if (random.Below(2) == 0) world_.executor.RunFor(absl::Seconds(3));
        file_ = mount_.Open(name_);
        return;
      case 9:
        world_.executor.RunFor(absl::Milliseconds(static_cast<int64_t>(random.Below(8000))));
        return;
      default:
        return Check(random.Below(kFileMax), 1 + random.Below(500'000));
    }
  }
  void Check(uint64_t offset, size_t length) {
    const auto read = mount_.Read(file_, offset, length);
    ASSERT_TRUE(read.ok()) << read.status();
    const size_t begin = std::min<size_t>(offset, naive_.size());
    const size_t end = std::min<size_t>(offset + length, naive_.size());
    ASSERT_EQ(read->size(), end - begin) << offset;
    const auto expected = naive_.begin() + static_cast<std::ptrdiff_t>(begin);
    const auto wrong = std::mismatch(read->begin(), read->end(), expected).first;
    ASSERT_EQ(wrong, read->end()) << "at byte "
                                  << offset + static_cast<size_t>(wrong - read->begin());
    ASSERT_EQ(mount_.Stat(file_)->size_bytes(), naive_.size());
  }
  void Finish(SimMount& elsewhere) {
    Check(0, 2 * kFileMax);
    mount_.Close(std::move(file_));
    SimMount::File other = elsewhere.Open(name_, OpenMode::kRead);
    ASSERT_TRUE(*elsewhere.ReadAll(other) == naive_);
    elsewhere.Close(std::move(other));
  }

 private:
  static constexpr uint64_t kFileMax = 900'000;

  bool Few() { return world_.random.Below(4) == 0; }
  void Write(uint64_t offset, size_t length) {
    const Content bytes = RandomContent(world_.random, length);
    ASSERT_EQ(mount_.Write(file_, offset, bytes), absl::OkStatus());
    if (naive_.size() < offset + length) naive_.resize(offset + length);
    std::copy(bytes.begin(), bytes.end(), naive_.begin() + static_cast<std::ptrdiff_t>(offset));
  }
  void Append(size_t length) {
    if (naive_.size() > 2 * kFileMax) return;
    const Content bytes = RandomContent(world_.random, length);
    const auto at = mount_.Append(file_, bytes);
    ASSERT_TRUE(at.ok()) << at.status();
    ASSERT_EQ(*at, naive_.size());
    naive_.insert(naive_.end(), bytes.begin(), bytes.end());
  }
  void Truncate(uint64_t size) {
    ASSERT_EQ(mount_.Truncate(file_, size), absl::OkStatus());
    naive_.resize(size);
  }
  void Punch(uint64_t offset, uint64_t length) {
    const bool grows = world_.random.Below(2) == 0;
    ASSERT_EQ(mount_.Run(file_.file->Allocate(
                  grows ? OpenFile::Allocation::kZeroRange : OpenFile::Allocation::kPunchHole,
                  offset, length)),
              absl::OkStatus());
    if (grows && naive_.size() < offset + length) naive_.resize(offset + length);
    for (uint64_t i = offset; i < std::min<uint64_t>(offset + length, naive_.size()); ++i)
      naive_[i] = std::byte{0};
  }

  ClientWorld& world_;
  SimMount& mount_;
  const std::string name_;
  SimMount::File file_;
  Content naive_;
};

void CheckRandomFiles(uint64_t seed) {
  ClientWorld world(seed, Roomy());
  FileSystemOptions options;
  options.dirty_bytes_max = kMiB + world.random.Below(8 * kMiB);
  options.dirty_age_max = absl::Milliseconds(500 + static_cast<int64_t>(world.random.Below(6000)));
  SimMount mount(world, "mount", options), elsewhere(world, "elsewhere");
  RandomFile a(world, mount, "a"), b(world, mount, "b");
  for (int i = 0; i < 60; ++i) {
    (world.random.Below(2) == 0 ? a : b).Step();
    if (testing::Test::HasFatalFailure()) return;
  }
  a.Finish(elsewhere);
  b.Finish(elsewhere);
}

TEST(FsSimRandom, FilesBehaveAsNaiveOnes) {
  const char* replay = std::getenv("CAIRN_SEED");
  const uint64_t first =
      replay != nullptr ? std::strtoull(replay, nullptr, 10) : SystemRandom().Next() % 1'000'000;
  const uint64_t rounds = replay != nullptr ? 1 : SeedsHere(40);
  for (uint64_t seed = first; seed < first + rounds; ++seed) {
    SCOPED_TRACE(testing::Message() << "CAIRN_SEED=" << seed);
    CheckRandomFiles(seed);
    if (testing::Test::HasFailure()) return;
  }
}

// ---- several at once ----

// Writes to a part of the file that is its own, and reads it back, while others do so with theirs.
Task<void> UseOwnPart(ClientWorld* world, SimMount::File file, uint64_t begin, uint64_t length,
                      int steps, int* running) {
  Content naive(length, std::byte{0});
  for (int i = 0; i < steps; ++i) {
    const uint64_t at = world->random.Below(length);
    const uint64_t most = world->random.Below(3) == 0 ? length : 6'000;
    const uint64_t bytes = std::min(length - at, 1 + world->random.Below(most));
    const auto in_part = naive.begin() + static_cast<std::ptrdiff_t>(at);
    switch (world->random.Below(6)) {
      case 0:
      case 1:
      case 2: {
        const Content fresh = RandomContent(world->random, bytes);
        EXPECT_EQ(co_await file.file->Write(file.handle, begin + at, fresh), absl::OkStatus());
        std::copy(fresh.begin(), fresh.end(), in_part);
        break;
      }
      case 3:
        EXPECT_EQ(co_await file.file->Flush(file.handle), absl::OkStatus());
        break;
      case 4:
        co_await Pass(absl::Milliseconds(static_cast<int64_t>(world->random.Below(3000))));
        break;
      default: {
        Content read(bytes, std::byte{0});
        const auto size = co_await file.file->Read(file.handle, begin + at, read);
        EXPECT_TRUE(size.ok()) << size.status();
        // What is behind the end is zeros here as there.
        EXPECT_TRUE(std::equal(read.begin(), read.end(), in_part)) << "at byte " << begin + at;
      }
    }
    if (testing::Test::HasFailure()) break;
  }
  --*running;
}

// The service's process ends and comes back now and then; nothing is lost with it.
Task<void> RestartNowAndThen(ClientWorld* world, const int* running, bool* done) {
  while (*running > 0) {
    co_await Pass(absl::Milliseconds(1000 + static_cast<int64_t>(world->random.Below(9000))));
    if (*running == 0) break;
    co_await world->node.Bury();
    co_await Pass(absl::Milliseconds(static_cast<int64_t>(world->random.Below(3000))));
    absl::Status started = co_await world->node.Start();
    EXPECT_TRUE(started.ok()) << started;
  }
  *done = true;
}

void CheckSeveralAtOnce(uint64_t seed) {
  ClientWorld world(seed, Roomy());
  FileSystemOptions options;
  options.dirty_bytes_max = kMiB + world.random.Below(4 * kMiB);
  options.dirty_age_max = absl::Milliseconds(300 + static_cast<int64_t>(world.random.Below(3000)));
  SimMount mount(world, "mount", options);
  SimMount::File file = mount.Create("file");
  constexpr int kParts = 4;
  constexpr uint64_t kPart = 300'000;
  int running = kParts;
  bool done = false;
  for (int i = 0; i < kParts; ++i)
    world.executor.Spawn(
        UseOwnPart(&world, file, static_cast<uint64_t>(i) * kPart, kPart, 40, &running));
  world.executor.Spawn(RestartNowAndThen(&world, &running, &done));
  world.executor.RunUntil(&done);
  mount.Close(std::move(file));
}

TEST(FsSimRandom, SeveralWhoShareAFileDoNotHarmEachOtherAcrossRestarts) {
  const char* replay = std::getenv("CAIRN_SEED");
  const uint64_t first =
      replay != nullptr ? std::strtoull(replay, nullptr, 10) : SystemRandom().Next() % 1'000'000;
  const uint64_t rounds = replay != nullptr ? 1 : SeedsHere(40);
  for (uint64_t seed = first; seed < first + rounds; ++seed) {
    SCOPED_TRACE(testing::Message() << "CAIRN_SEED=" << seed);
    CheckSeveralAtOnce(seed);
    if (testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace cairn
