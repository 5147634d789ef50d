// Goal: whatever the bounds of pages are, every stripe that something refers to is on exactly one,
// with its group and its length; and what waits to be freed is told for just the page. Method: runs
// written straight into a transaction, and for what a removal does the real engine.
#include "server/meta/stripe_walk.h"

#include <algorithm>
#include <map>
#include <random>
#include <utility>

#include "server/meta/extents.h"
#include "server/meta/pending_free.h"
#include "tests/sim/seeds.h"
#include "tests/unit/meta/meta_fixture.h"

namespace cairn {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr uint64_t kStripeBytes = kTestStripeBytes;

std::vector<StripeSpan> PartsOf(const StripePage& page) {
  std::vector<StripeSpan> parts;
  for (const StripeRunPart& run : page.parts) parts.push_back(run.part);
  return parts;
}

class StripeWalkTest : public ::testing::Test {
 protected:
  void AddRun(StripeSpan run, uint64_t length_bytes, const std::vector<uint32_t>& groups = {0}) {
    disk::StripeRunRecord record;
    record.set_stripe_count(static_cast<uint32_t>(run.count));
    record.set_stripe_bytes(kTestStripeBytes);
    record.set_length_bytes(length_bytes);
    record.mutable_groups()->Assign(groups.begin(), groups.end());
    record.set_references(1);
    Store(txn_, kFamilyStripeRun, StripeRunKey(run.first), record);
    ASSERT_THAT(txn_.Raise(Counter::kNextStripe, run.end()), IsOk());
  }
  // Of whole stripes.
  void AddRun(StripeSpan run) { AddRun(run, run.count * kStripeBytes); }
  void Queue(StripeSpan range) { ASSERT_THAT(QueueRange(txn_, range), IsOk()); }

  StripePage Walk(uint64_t from, uint64_t stripes_max = 1000) const {
    return Checked(WalkStripes(txn_, from, stripes_max, false));
  }
  StripePage WalkWithPending(uint64_t from, uint64_t stripes_max = 1000) const {
    return Checked(WalkStripes(txn_, from, stripes_max, true));
  }
  static StripePage Checked(const absl::StatusOr<StripePage>& page) {
    EXPECT_THAT(page, IsOk());
    return page.value_or(StripePage{});
  }

  SimKv kv_{kMetaFamilyCount};
  Transaction txn_{kv_};
};

TEST_F(StripeWalkTest, EmptyStoreIsOnePageWithNothingOnIt) {
  const StripePage page = WalkWithPending(0);
  EXPECT_THAT(page.parts, IsEmpty());
  EXPECT_THAT(page.pending, IsEmpty());
  EXPECT_TRUE(page.last);
  EXPECT_EQ(page.end, page.next_unused);
  EXPECT_EQ(page.next_unused, 1u) << "ids begin at 1";
}

TEST_F(StripeWalkTest, FromBeyondAllIdsIsALastPageThatEndsThere) {
  AddRun({10, 5});
  const StripePage page = WalkWithPending(500);
  EXPECT_THAT(page.parts, IsEmpty());
  EXPECT_TRUE(page.last);
  EXPECT_EQ(page.end, 500u);
  EXPECT_EQ(page.next_unused, 15u);
}

TEST_F(StripeWalkTest, PagesCutARunInItsMiddle) {
  AddRun({10, 10});
  StripePage page = Walk(0, 4);
  EXPECT_THAT(PartsOf(page), ElementsAre(StripeSpan{10, 4}));
  EXPECT_EQ(page.end, 14u);
  EXPECT_FALSE(page.last);
  EXPECT_EQ(page.parts[0].run_first, 10u);
  EXPECT_EQ(page.parts[0].run_count, 10u);
  page = Walk(page.end, 4);
  EXPECT_THAT(PartsOf(page), ElementsAre(StripeSpan{14, 4}));
  EXPECT_EQ(page.parts[0].run_first, 10u);
  EXPECT_FALSE(page.last);
  page = Walk(page.end, 4);
  EXPECT_THAT(PartsOf(page), ElementsAre(StripeSpan{18, 2}));
  EXPECT_TRUE(page.last);
  EXPECT_EQ(page.end, 20u);
}

TEST_F(StripeWalkTest, FromInsideARunBeginsThere) {
  for (const uint64_t first : {10, 15, 30}) AddRun({first, 5});
  EXPECT_THAT(PartsOf(Walk(17)), ElementsAre(StripeSpan{17, 3}, StripeSpan{30, 5}));
  EXPECT_THAT(PartsOf(Walk(19)), ElementsAre(StripeSpan{19, 1}, StripeSpan{30, 5}));
  // The run before ends just there, and another begins or none does.
  EXPECT_THAT(PartsOf(Walk(15)), ElementsAre(StripeSpan{15, 5}, StripeSpan{30, 5}));
  EXPECT_THAT(PartsOf(Walk(20)), ElementsAre(StripeSpan{30, 5}));
  EXPECT_THAT(PartsOf(Walk(34)), ElementsAre(StripeSpan{34, 1}));
  EXPECT_THAT(PartsOf(Walk(35)), IsEmpty());
}

TEST_F(StripeWalkTest, PageThatIsFullWhereARunEndsReachesToTheNext) {
  AddRun({10, 5});
  AddRun({100, 5});
  StripePage page = Walk(10, 5);
  EXPECT_THAT(PartsOf(page), ElementsAre(StripeSpan{10, 5}));
  EXPECT_EQ(page.end, 100u) << "nothing is left before it";
  EXPECT_FALSE(page.last);
  page = Walk(page.end, 5);
  EXPECT_THAT(PartsOf(page), ElementsAre(StripeSpan{100, 5}));
  EXPECT_TRUE(page.last) << "and no empty page more";
}

// Small files, each a record to parse: stripes are no bound for the work of a page.
TEST_F(StripeWalkTest, RunsOfOneStripeAreBoundedByTheirNumber) {
  constexpr uint64_t kRuns = 20'000;
  for (uint64_t i = 0; i < kRuns; ++i) AddRun({1 + 3 * i, 1}, 100);
  std::vector<uint64_t> seen;
  uint64_t from = 0;
  int pages = 0;
  for (bool last = false; !last; ++pages) {
    const StripePage page = Walk(from, UINT64_MAX);
    ASSERT_LE(page.parts.size(), 16'384u);
    ASSERT_GT(page.end, from);
    for (const StripeRunPart& run : page.parts) {
      EXPECT_EQ(run.part.count, 1u);
      EXPECT_LT(run.part.first, page.end);
      seen.push_back(run.part.first);
    }
    from = page.end;
    last = page.last;
  }
  EXPECT_EQ(pages, 2);
  ASSERT_EQ(seen.size(), kRuns);
  for (uint64_t i = 0; i < kRuns; ++i) ASSERT_EQ(seen[i], 1 + 3 * i);
}

TEST_F(StripeWalkTest, LastStripeOfARunHasTheRest) {
  AddRun({10, 3}, 2 * kStripeBytes + 5);
  AddRun({20, 1}, 7);
  AddRun({30, 2});
  const StripePage page = Walk(0);
  ASSERT_EQ(page.parts.size(), 3u);
  EXPECT_EQ(page.parts[0].LengthOf(10), kStripeBytes);
  EXPECT_EQ(page.parts[0].LengthOf(11), kStripeBytes);
  EXPECT_EQ(page.parts[0].LengthOf(12), 5u);
  EXPECT_EQ(page.parts[1].LengthOf(20), 7u);
  EXPECT_EQ(page.parts[2].LengthOf(31), kStripeBytes) << "no rest: it is whole";
  // By the run, not by what of it is on the page.
  EXPECT_EQ(Walk(12).parts[0].LengthOf(12), 5u);
  EXPECT_EQ(Walk(0, 2).parts[0].LengthOf(11), kStripeBytes);
}

TEST_F(StripeWalkTest, GroupsTakeTurnsFromTheStartOfTheRun) {
  AddRun({10, 5}, 5 * kStripeBytes, {7, 8, 9});
  for (const uint64_t from : {0, 11, 12, 14}) {
    const StripePage page = Walk(from);
    ASSERT_EQ(page.parts.size(), 1u);
    const StripeRunPart& run = page.parts[0];
    EXPECT_EQ(run.GroupOf(10), 7u);
    EXPECT_EQ(run.GroupOf(12), 9u);
    EXPECT_EQ(run.GroupOf(13), 7u);
    EXPECT_EQ(run.GroupOf(14), 8u);
  }
}

TEST_F(StripeWalkTest, IdsFarApartCostNoPages) {
  constexpr uint64_t kFar = uint64_t{1} << 40;
  AddRun({5, 1});
  AddRun({kFar, 2});
  StripePage page = Walk(0, 1);
  EXPECT_THAT(PartsOf(page), ElementsAre(StripeSpan{5, 1}));
  EXPECT_EQ(page.end, kFar);
  EXPECT_EQ(page.next_unused, kFar + 2);
  page = Walk(page.end, 2);
  EXPECT_THAT(PartsOf(page), ElementsAre(StripeSpan{kFar, 2}));
  EXPECT_TRUE(page.last);
  EXPECT_THAT(PartsOf(Walk(kFar / 2)), ElementsAre(StripeSpan{kFar, 2}));
}

TEST_F(StripeWalkTest, FromDeepInsideALongRunFindsIt) {
  const StripeSpan run{1000, 10 * kMaxGrant};
  AddRun(run);
  const uint64_t from = run.first + 9 * kMaxGrant;
  const StripePage page = Walk(from, 10);
  EXPECT_THAT(PartsOf(page), ElementsAre(StripeSpan{from, 10}));
  EXPECT_EQ(page.parts[0].run_first, run.first);
}

TEST_F(StripeWalkTest, PendingIsClippedToThePageAndMerged) {
  AddRun({20, 50});
  Queue({40, 10});
  Queue({15, 5});
  Queue({5, 10});
  Queue({60, 5});
  const StripePage page = WalkWithPending(10, 25);
  ASSERT_EQ(page.end, 45u);
  EXPECT_THAT(page.pending, ElementsAre(StripeSpan{10, 10}, StripeSpan{40, 5}));
  EXPECT_THAT(WalkWithPending(45, 5).pending, ElementsAre(StripeSpan{45, 5}));
  EXPECT_THAT(WalkWithPending(50, 5).pending, IsEmpty());
  EXPECT_THAT(Walk(10, 25).pending, IsEmpty()) << "not asked for";
}

// What a lease has left behind lies behind all runs, perhaps.
TEST_F(StripeWalkTest, PendingOfTheLastPageReachesToTheLastIdGivenOut) {
  AddRun({10, 5});
  ASSERT_THAT(txn_.Raise(Counter::kNextStripe, 100), IsOk());
  Queue({12, 88});
  const StripePage page = WalkWithPending(0, 5);
  EXPECT_TRUE(page.last);
  EXPECT_EQ(page.end, 100u);
  EXPECT_THAT(page.pending, ElementsAre(StripeSpan{12, 88}));
}

TEST_F(StripeWalkTest, PendingEntryOverManyPagesIsOnEach) {
  for (uint64_t first = 10; first < 50; first += 10) AddRun({first, 5});
  Queue({1, 99});
  EXPECT_THAT(WalkWithPending(0, 5).pending, ElementsAre(StripeSpan{1, 19}));
  EXPECT_THAT(WalkWithPending(20, 5).pending, ElementsAre(StripeSpan{20, 10}));
}

TEST_F(StripeWalkTest, DamagedRecordIsDataLoss) {
  AddRun({10, 5}, 5 * kStripeBytes, {});
  EXPECT_THAT(WalkStripes(txn_, 0, 10, false), Fails(absl::StatusCode::kDataLoss, "stripe_run"));
  EXPECT_THAT(WalkStripes(txn_, 12, 10, false), Fails(absl::StatusCode::kDataLoss, "stripe_run"));
  txn_.Put(kFamilyStripeRun, StripeRunKey(10), "\xff");
  EXPECT_THAT(WalkStripes(txn_, 0, 10, false), Fails(absl::StatusCode::kDataLoss, "stripe_run"));
}

using Told = std::map<uint64_t, std::pair<uint32_t, uint64_t>>;  // group and length

class RandomStripeWalk : public StripeWalkTest {
 protected:
  // Runs with gaps and without, behind all others.
  Told AddSome(std::mt19937_64& random) {
    Told added;
    for (int i = 0; i < 100; ++i) {
      const uint64_t gap = random() % 2 == 0 ? 0 : random() % 10;
      const StripeSpan run{next_ + gap, 1 + random() % 30};
      const uint64_t length = (run.count - 1) * kStripeBytes + 1 + random() % kStripeBytes;
      std::vector<uint32_t> groups(1 + random() % 4);
      for (uint32_t& group : groups) group = static_cast<uint32_t>(random() % 100);
      AddRun(run, length, groups);
      for (uint64_t at = 0; at < run.count; ++at) {
        const uint64_t rest = length - at * kStripeBytes;
        added[run.first + at] = {groups[at % groups.size()], std::min(rest, kStripeBytes)};
      }
      next_ = run.end();
    }
    return added;
  }
  static void Collect(const StripePage& page, Told* told) {
    for (const StripeRunPart& run : page.parts) {
      for (uint64_t stripe = run.part.first; stripe < run.part.end(); ++stripe) {
        const std::pair here(run.GroupOf(stripe), run.LengthOf(stripe));
        EXPECT_TRUE(told->emplace(stripe, here).second) << stripe << " is told twice";
      }
    }
  }
  uint64_t next_ = 1;
};

TEST_F(RandomStripeWalk, TellsEveryStripeOnce) {
  for (uint64_t seed = 0; seed < SeedsHere(50); ++seed) {
    SCOPED_TRACE(StrCat("seed ", seed));
    std::mt19937_64 random(seed);
    uint64_t from = next_;
    const Told expected = AddSome(random);
    Told told;
    for (bool last = false; !last;) {
      const StripePage page = Walk(from, 1 + random() % 50);
      ASSERT_GT(page.end, from);
      Collect(page, &told);
      from = page.end;
      last = page.last;
    }
    EXPECT_EQ(from, next_);
    ASSERT_EQ(told, expected);
  }
}

class StripeWalkEngineTest : public MetaTest {
 protected:
  StripePage Walk() {
    const auto page = executor_.Run(engine_->Stripes(0, 1000, true));
    EXPECT_THAT(page, IsOk());
    return page.value_or(StripePage{});
  }
  static bool IsPending(const StripePage& page, uint64_t stripe) {
    return std::any_of(page.pending.begin(), page.pending.end(), [stripe](const StripeSpan& span) {
      return span.first <= stripe && stripe < span.end();
    });
  }
};

TEST_F(StripeWalkEngineTest, WhatLosesItsLastReferenceIsPendingFromThenOn) {
  const auto begun = BeginFile("default/file");
  ASSERT_THAT(begun, IsOk());
  const uint64_t stripe = begun->stripes().first();
  ASSERT_THAT(Walk().parts, IsEmpty());
  ASSERT_THAT(CommitFile("default/file", begun->lease(), {RunOf(0, 100, stripe)}), IsOk());
  StripePage page = Walk();
  ASSERT_THAT(PartsOf(page), ElementsAre(StripeSpan{stripe, 1}));
  EXPECT_EQ(page.parts[0].LengthOf(stripe), 100u);
  EXPECT_TRUE(IsPending(page, stripe + 1)) << "granted, and not used";
  ASSERT_THAT(Remove("default/file"), IsOk());
  Settle();
  page = Walk();
  EXPECT_THAT(page.parts, IsEmpty());
  EXPECT_TRUE(IsPending(page, stripe));
  ReclaimAll();
  EXPECT_THAT(Walk().pending, IsEmpty());
}

}  // namespace
}  // namespace cairn
