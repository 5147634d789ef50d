// Goal: a node tries a tier on threads of its own and tells each step, however it goes; and a
// tier's spec is one spec however it was written. Method: real directories, a real reactor and
// pool.
#include "server/tier/tier_worker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>

#include "common/reactor/blocking_pool.h"
#include "server/tier/open_cold_store.h"
#include "server/tier/tier_spec.h"
#include "tests/sim/run_on.h"

namespace cairn {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

wire::TierSpec Spec(const std::string& location) {
  wire::TierSpec spec;
  spec.set_name("archive");
  spec.set_location(location);
  return spec;
}

class TierWorkerTest : public ::testing::Test {
 protected:
  TierWorkerTest() {
    directory_ = ::testing::TempDir() + "tier_worker_" +
                 ::testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directories(directory_);
    auto reactor = Reactor::Create({Reactor::Backend::kPoll});
    reactor_ = *std::move(reactor);
  }
  ~TierWorkerTest() override { std::filesystem::remove_all(directory_); }

  wire::ProbeTierReply Probe(bool prepare, absl::Duration patience = absl::Minutes(1)) {
    wire::ProbeTierRequest request;
    *request.mutable_spec() = Spec(directory_);
    request.set_prepare(prepare);
    auto reply =
        RunOn(*reactor_, worker_.Probe(std::move(request), Deadline::After(clock_, patience)));
    EXPECT_TRUE(reply.ok()) << reply.status();
    return reply.ok() ? *std::move(reply) : wire::ProbeTierReply();
  }
  // The first step that failed; an empty one where none did.
  static wire::ProbeTierReply::Step Failure(const wire::ProbeTierReply& reply) {
    for (const auto& step : reply.steps())
      if (step.code() != 0) return step;
    return {};
  }

  std::string directory_;
  SystemClock clock_;
  SystemRandom random_;
  std::unique_ptr<Reactor> reactor_;
  BlockingPool pool_{1};
  ColdStores stores_{
      [this](const ColdStoreSpec& spec) { return OpenColdStore(spec, clock_, random_); }};
  TierWorker worker_{pool_, stores_, clock_, random_};
};

TEST_F(TierWorkerTest, AnEmptyDirectoryIsMadeAStoreWhenThatIsAskedFor) {
  const auto refused = Failure(Probe(/*prepare=*/false));
  EXPECT_EQ(refused.name(), "open");
  EXPECT_THAT(refused.hint(), HasSubstr("same directory"));
  const wire::ProbeTierReply prepared = Probe(/*prepare=*/true);
  EXPECT_THAT(Failure(prepared).name(), IsEmpty());
  EXPECT_EQ(prepared.steps_size(), 1) << "nothing is tried";
  const wire::ProbeTierReply again = Probe(/*prepare=*/false);
  EXPECT_THAT(Failure(again).name(), IsEmpty());
  EXPECT_GT(again.steps_size(), 5);
  EXPECT_THAT(again.steps(again.steps_size() - 1).error(), IsEmpty());
}

TEST_F(TierWorkerTest, ADirectoryThatHoldsSomethingElseIsRefused) {
  std::ofstream(directory_ + "/notes.txt") << "mine";
  EXPECT_EQ(Failure(Probe(/*prepare=*/true)).code(),
            static_cast<uint32_t>(absl::StatusCode::kFailedPrecondition));
}

TEST_F(TierWorkerTest, WithoutTimeItSaysSo) {
  Probe(/*prepare=*/true);
  const auto failed = Failure(Probe(/*prepare=*/false, absl::Seconds(1)));
  EXPECT_EQ(failed.code(), static_cast<uint32_t>(absl::StatusCode::kDeadlineExceeded));
}

TEST_F(TierWorkerTest, OneThatStopsTriesNothing) {
  Probe(/*prepare=*/true);
  worker_.RequestStop();
  const auto failed = Failure(Probe(/*prepare=*/false));
  EXPECT_EQ(failed.code(), static_cast<uint32_t>(absl::StatusCode::kCancelled));
}

TEST_F(TierWorkerTest, ASpecThatMakesNoSenseIsRefused) {
  wire::ProbeTierRequest request;
  *request.mutable_spec() = Spec("ftp://somewhere");
  const auto reply = RunOn(*reactor_, worker_.Probe(std::move(request), Deadline::Infinite()));
  EXPECT_TRUE(absl::IsInvalidArgument(reply.status())) << reply.status();
}

TEST(TierSpec, IsCompletedTheSameHoweverItWasWritten) {
  wire::TierSpec terse = Spec("s3://bucket/prefix/");
  terse.add_options()->set_name("endpoint");
  terse.mutable_options(0)->set_value("http://Host:9000/");
  wire::TierSpec full = Spec("s3://bucket/prefix");
  for (const auto& [name, value] :
       {std::pair("region", "us-east-1"), std::pair("endpoint", "http://host:9000"),
        std::pair("credentials", "env"), std::pair("path-style", "yes")}) {
    full.add_options()->set_name(name);
    full.mutable_options()->rbegin()->set_value(value);
  }
  const auto completed = CompleteTierSpec(terse);
  ASSERT_TRUE(completed.ok()) << completed.status();
  EXPECT_EQ(completed->name(), "archive");
  EXPECT_EQ(completed->location(), "s3://bucket/prefix");
  EXPECT_EQ(completed->DebugString(), CompleteTierSpec(full)->DebugString());
  EXPECT_EQ(completed->DebugString(), CompleteTierSpec(*completed)->DebugString());
  EXPECT_EQ(CompleteTierSpec(Spec("/mnt/x/"))->location(),
            CompleteTierSpec(Spec("dir:///mnt/x"))->location());
  full.add_options()->set_name("color");
  EXPECT_TRUE(absl::IsInvalidArgument(CompleteTierSpec(full).status()));
}

}  // namespace
}  // namespace cairn
