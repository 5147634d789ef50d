// Goal: the metadata knows of each run where its bytes lie in cold tiers, and of each object
// whether anything still needs it; a crash at any step leaves no object that nobody knows. Method:
// the real engine on a simulated store, restarted; and random histories against a model.
#include "server/meta/cold.h"

#include <map>
#include <set>

#include "common/base/random.h"
#include "tests/sim/seeds.h"
#include "tests/unit/meta/cold_fixture.h"

namespace cairn {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

using ColdTest = ColdMetaTest;

TEST_F(ColdTest, ARunIsCopiedInPiecesAndThenWhole) {
  const uint64_t run = Put("default/a", 1000);
  EXPECT_FALSE(Run(run).has_value());
  const auto planned = Plan(2);
  ASSERT_THAT(planned, IsOk());
  const uint64_t one = planned->first(), two = one + 1;
  EXPECT_THAT(Planned(), ElementsAre(one, two));
  EXPECT_EQ(LiveBytes(two, {{run, 600, 400}}), 400u);
  EXPECT_FALSE(IsWhole(*Run(run), 1000));
  EXPECT_EQ(LiveBytes(one, {{run, 0, 600}}), 600u);
  Restart();
  ASSERT_TRUE(Run(run).has_value());
  EXPECT_TRUE(IsWhole(*Run(run), 1000));
  EXPECT_FALSE(IsWhole(*Run(run), 1001));
  ASSERT_THAT(Run(run)->parts(), SizeIs(2));
  EXPECT_EQ(Run(run)->parts(0).object(), one);
  EXPECT_EQ(Run(run)->parts(1).object_offset_bytes(), 64u);
  EXPECT_THAT(Planned(), IsEmpty());
  EXPECT_THAT(Garbage(), IsEmpty());
  EXPECT_EQ(Usage().objects(), 2u);
  EXPECT_EQ(Usage().live_bytes(), 1000u);
  EXPECT_EQ(Usage().size_bytes(), 1000u + 2 * 164);
}

TEST_F(ColdTest, AnObjectIsGarbageOnceNothingOfItIsReferredTo) {
  const uint64_t a = Put("default/a", 100), b = Put("default/b", 200);
  const uint64_t object = PlanOne();
  EXPECT_EQ(LiveBytes(object, {{a, 0, 100}, {b, 0, 200}}), 300u);
  RemoveNow("default/a");
  EXPECT_FALSE(Run(a).has_value());
  EXPECT_THAT(Garbage(), IsEmpty());
  EXPECT_EQ(Usage().live_bytes(), 200u);
  EXPECT_THAT(Forget({object}), Fails(kPrecondition, "in use"));
  RemoveNow("default/b");
  EXPECT_THAT(Garbage(), ElementsAre(object));
  EXPECT_EQ(Usage().live_bytes(), 0u);
  Restart();
  EXPECT_THAT(Forget({object}), IsOk());
  EXPECT_THAT(Forget({object}), IsOk()) << "it is gone already";
  EXPECT_THAT(Garbage(), IsEmpty());
  EXPECT_EQ(Usage().objects(), 0u);
  EXPECT_TRUE(kv_.family(kFamilyCold).empty());
}

TEST_F(ColdTest, WhatIsRemovedWhileItIsCopiedDoesNotCount) {
  const uint64_t a = Put("default/a", 100);
  const uint64_t object = PlanOne();
  RemoveNow("default/a");
  EXPECT_EQ(LiveBytes(object, {{a, 0, 100}}), 0u);
  EXPECT_THAT(Garbage(), ElementsAre(object));
  EXPECT_EQ(Usage().objects(), 1u) << "until it is deleted";
}

TEST_F(ColdTest, WhatLiesElsewhereAlreadyDoesNotCount) {
  const uint64_t a = Put("default/a", 100);
  const auto planned = Plan(2);
  ASSERT_THAT(planned, IsOk());
  EXPECT_EQ(LiveBytes(planned->first(), {{a, 0, 60}}), 60u);
  EXPECT_EQ(LiveBytes(planned->first() + 1, {{a, 50, 50}, {a, 60, 40}}), 40u);
  ASSERT_THAT(Run(a)->parts(), SizeIs(2));
  EXPECT_TRUE(IsWhole(*Run(a), 100));
}

TEST_F(ColdTest, NotingIsDoneOnce) {
  const uint64_t a = Put("default/a", 100);
  const uint64_t object = PlanOne();
  EXPECT_EQ(LiveBytes(object, {{a, 0, 100}}), 100u);
  EXPECT_EQ(LiveBytes(object, {{a, 0, 100}}), 100u);
  EXPECT_EQ(Usage().live_bytes(), 100u);
  EXPECT_THAT(Note(object + 1, {{a, 0, 100}}), Fails(kNotFound, "not planned"));
}

TEST_F(ColdTest, WhatIsPlannedAndNeverNotedIsFoundAndDeleted) {
  const uint64_t a = Put("default/a", 100);
  const uint64_t object = PlanOne();
  Restart();
  EXPECT_THAT(Planned(), ElementsAre(object));
  EXPECT_THAT(Forget({object}), Fails(kPrecondition, "planned"));
  EXPECT_THAT(Abandon(object), IsOk());
  EXPECT_THAT(Planned(), IsEmpty());
  EXPECT_THAT(Garbage(), ElementsAre(object));
  // Whoever comes late with it is told.
  EXPECT_THAT(Note(object, {{a, 0, 100}}), Fails(kNotFound, "not planned"));
  EXPECT_FALSE(Run(a).has_value());
  EXPECT_THAT(Abandon(object), IsOk());
  EXPECT_THAT(Forget({object}), IsOk());
  EXPECT_TRUE(kv_.family(kFamilyCold).empty());
}

TEST_F(ColdTest, WhatMakesNoSenseIsRefusedWhole) {
  const uint64_t a = Put("default/a", 100);
  const uint64_t object = PlanOne();
  EXPECT_THAT(Note(object, {{a, 0, 60}, {a, 60, 41}}), Fails(kInvalid, "of a run of 100"));
  EXPECT_THAT(Note(object, {{a, UINT64_MAX, 2}}), Fails(kInvalid, "of a run"));
  EXPECT_THAT(Note(object, {{a, 0, 0}}), Fails(kInvalid, "empty"));
  disk::NoteColdObject outside;
  outside.set_object(object);
  outside.set_size_bytes(50);
  outside.add_pieces()->set_first_stripe(a);
  outside.mutable_pieces(0)->set_length_bytes(51);
  EXPECT_THAT(Do(outside), Fails(kInvalid, "not in an object of 50"));
  EXPECT_FALSE(Run(a).has_value());
  EXPECT_THAT(Planned(), ElementsAre(object));
  EXPECT_THAT(Plan(0), Fails(kInvalid, "0 at once"));
  EXPECT_THAT(Plan(kColdObjectsPlannedMax + 1), Fails(kInvalid, "at once"));
  EXPECT_THAT(Plan(1, "nowhere"), Fails(kNotFound, "\"nowhere\""));
}

TEST_F(ColdTest, ATierThatHoldsSomethingStays) {
  disk::RemoveTier remove;
  remove.set_name("archive");
  const uint64_t object = PlanOne();
  EXPECT_THAT(Do(remove), Fails(kPrecondition, "holds 1 objects"));
  EXPECT_THAT(Abandon(object), IsOk());
  EXPECT_THAT(Do(remove), Fails(kPrecondition, "holds 1 objects")) << "it may be there still";
  EXPECT_THAT(Forget({object}), IsOk());
  EXPECT_THAT(Do(remove), IsOk());
}

TEST_F(ColdTest, QueuesAreReadInPages) {
  ASSERT_THAT(Plan(5), IsOk());
  const std::vector<uint64_t> all = Planned();
  ASSERT_THAT(all, SizeIs(5));
  EXPECT_THAT(Queue(ColdQueue::kPlanned, all[1], 2), ElementsAre(all[1], all[2]));
  EXPECT_THAT(Queue(ColdQueue::kPlanned, all[4] + 1, 2), IsEmpty());
}

// Whatever happens, what the metadata says of objects is what its runs refer to.
class ColdHistory : public ColdTest {
 protected:
  void Step(Random& random) {
    switch (random.Below(6)) {
      case 0:
      case 1: {
        const std::string path = StrCat("default/f", next_++);
        files_[path] = {Put(path, kLength), {}};
        break;
      }
      case 2: {
        if (files_.empty()) return;
        const auto file = std::next(files_.begin(), static_cast<long>(random.Below(files_.size())));
        RemoveNow(file->first);
        files_.erase(file);
        break;
      }
      case 3:
        objects_.insert(PlanOne());
        break;
      case 4:
        NoteSome(random);
        break;
      default:
        if (random.Below(3) == 0) Restart();
        for (uint64_t object : Garbage()) {
          if (random.Below(2) == 0) continue;
          EXPECT_THAT(Forget({object}), IsOk());
          objects_.erase(object);
        }
    }
  }
  // Halves of files, those that are there or are not any more.
  void NoteSome(Random& random) {
    const std::vector<uint64_t> planned = Planned();
    if (planned.empty()) return;
    const uint64_t object = planned[random.Below(planned.size())];
    if (random.Below(5) == 0) {
      EXPECT_THAT(Abandon(object), IsOk());
      return;
    }
    std::vector<Piece> pieces;
    for (auto& [path, file] : files_) {
      if (random.Below(2) == 0) continue;
      const uint64_t half = random.Below(2);
      pieces.push_back({file.first, half * kLength / 2, kLength / 2});
      file.second.try_emplace(half, object);
    }
    if (random.Below(3) == 0) pieces.push_back({1'000'000'000, 0, 10});
    EXPECT_THAT(Note(object, std::move(pieces)), IsOk());
  }
  void Check() {
    std::map<uint64_t, uint64_t> live;
    for (const auto& [path, file] : files_) {
      const auto run = Run(file.first);
      EXPECT_EQ(run.has_value(), !file.second.empty()) << path;
      if (run.has_value()) {
        EXPECT_EQ(IsWhole(*run, kLength), file.second.size() == 2) << path;
      }
      for (const auto& [half, object] : file.second) live[object] += kLength / 2;
    }
    uint64_t sum = 0;
    for (const auto& [object, bytes] : live) sum += bytes;
    EXPECT_EQ(Usage().live_bytes(), sum);
    EXPECT_EQ(Usage().objects(), objects_.size());
    const std::vector<uint64_t> planned = Planned(), garbage = Garbage();
    for (uint64_t object : objects_) {
      const bool is_live = live.contains(object);
      const bool waits = std::count(planned.begin(), planned.end(), object) > 0;
      const bool is_garbage = std::count(garbage.begin(), garbage.end(), object) > 0;
      EXPECT_EQ(is_live + waits + is_garbage, 1) << object;
    }
  }

  static constexpr uint64_t kLength = 1000;
  std::map<std::string, std::pair<uint64_t, std::map<uint64_t, uint64_t>>> files_;
  std::set<uint64_t> objects_;
  int next_ = 0;
};

TEST_F(ColdHistory, ObjectsAreWhatRunsReferTo) {
  for (uint64_t seed = 1; seed <= SeedsHere(20) && !HasFailure(); ++seed) {
    SCOPED_TRACE(StrCat("seed ", seed));
    SeededRandom random(seed);
    for (int step = 0; step < 60 && !HasFailure(); ++step) {
      Step(random);
      Check();
    }
  }
}

}  // namespace
}  // namespace cairn
