// Goal: what one target cannot free holds up nothing else, and is freed when the target can again.
// Method: the real metadata, and targets that are a function which refuses some stripes.

#include "server/repair/reclaim_loop.h"

#include "tests/unit/meta/meta_fixture.h"

namespace cairn {
namespace {

class ReclaimLoopTest : public MetaTest {
 protected:
  ReclaimLoop::Targets Targets() {
    ReclaimLoop::Targets targets;
    targets.free = [this](std::vector<StripeSpan> spans) { return Free(std::move(spans)); };
    targets.pending_leases = [] { return NoLeases(); };
    targets.drop_lease = [](LeaseId) { return Nothing(); };
    return targets;
  }
  static Task<std::vector<LeaseId>> NoLeases() { co_return std::vector<LeaseId>(); }
  static Task<absl::Status> Nothing() { co_return absl::OkStatus(); }
  Task<absl::Status> Free(std::vector<StripeSpan> spans) {
    ++calls_;
    for (const StripeSpan& span : spans) {
      if (span.first < refused_below_) co_return absl::FailedPreconditionError("planted");
    }
    freed_.insert(freed_.end(), spans.begin(), spans.end());
    co_return absl::OkStatus();
  }
  bool Freed(uint64_t stripe) const {
    return std::any_of(freed_.begin(), freed_.end(), [stripe](const StripeSpan& span) {
      return span.first <= stripe && stripe < span.end();
    });
  }
  // Two ranges of ids: the first full of holes, in more spans than a round takes.
  void QueueTwoRanges(uint64_t* second) {
    const auto holes = BeginFile("default/holes");
    std::vector<wire::ExtentRun> runs;
    for (uint64_t i = 0; i < 3000; ++i) {
      runs.push_back(RunOf(i * 10, 10, holes->stripes().first() + 1 + i * 2));
    }
    ASSERT_THAT(CommitFile("default/holes", holes->lease(), runs), IsOk());
    const auto other = BeginFile("default/other");
    *second = other->stripes().first();
    ASSERT_THAT(CommitFile("default/other", other->lease(), {}), IsOk());
    refused_below_ = holes->stripes().first() + 3;
  }
  static Task<void> StartLoop(ReclaimLoop* loop) {
    loop->Start();
    co_return;
  }
  void Pass(absl::Duration duration) { executor_.RunFor(duration); }

  uint64_t refused_below_ = 0;
  int calls_ = 0;
  std::vector<StripeSpan> freed_;
};

TEST_F(ReclaimLoopTest, TargetThatRefusesHoldsUpNothingBehind) {
  uint64_t second = 0;
  QueueTwoRanges(&second);
  ReclaimLoop loop(*engine_, Targets());
  executor_.Run(StartLoop(&loop));
  Pass(options_.reclaim_grace * 2 + absl::Minutes(1));
  EXPECT_TRUE(Freed(second));
  EXPECT_GT(Counters().next_pending_sequence, 0u);
  EXPECT_FALSE(kv_.family(kFamilyPendingFree).empty()) << "refused, and reported done";
  // Passed by again and again, but less and less often.
  const int before = calls_;
  Pass(absl::Hours(1));
  EXPECT_LE(calls_ - before, 7 * 5);
  refused_below_ = 0;
  Pass(absl::Minutes(11));
  EXPECT_TRUE(kv_.family(kFamilyPendingFree).empty());
  executor_.Run(loop.Stop());
}

}  // namespace
}  // namespace cairn
