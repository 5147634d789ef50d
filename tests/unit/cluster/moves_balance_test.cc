// Goal: full targets give to empty ones, a few members at a time, until they are about even, and
// then it is quiet. Method: usage that is said to the planner; and clusters whose members have
// sizes that it does not know, moved until it has nothing to say.

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "common/base/random.h"
#include "tests/sim/seeds.h"
#include "tests/unit/cluster/moves_fixture.h"

namespace cairn {
namespace {

using testing::AllOf;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

using MovesBalance = MovesTest;

TEST_F(MovesBalance, UpToATenthNothingMoves) {
  AddNodes(2);
  MakeGroups("replica:1");
  SetUsage(1, 500);
  SetUsage(2, 400);
  EXPECT_FALSE(Plan());
  SetUsage(2, 380);
  EXPECT_TRUE(Plan());
  EXPECT_THAT(Moves(), ElementsAre(AllOf(HasSubstr("1 -> 2"), HasSubstr("balances"))));
}

TEST_F(MovesBalance, AFewMembersMoveFromTheFullestToTheEmptiestAndNoMoreUntilTheyHave) {
  AddNodes(3);
  MakeGroups("replica:1");
  SetUsage(1, 900);
  SetUsage(2, 600);
  SetUsage(3, 100);
  EXPECT_TRUE(Plan());
  EXPECT_THAT(Moves(), SizeIs(4));
  EXPECT_THAT(Moves(), Each(AllOf(HasSubstr(": 1 -> 3"), HasSubstr("balances"))));
  SetUsage(1, 950);
  EXPECT_FALSE(Plan());
  Switch();
  EXPECT_FALSE(Plan());
  EXPECT_THAT(Moves(), Each(HasSubstr("settles")));
  Finish();
  EXPECT_TRUE(Plan());
  EXPECT_THAT(Moves(), SizeIs(4));
}

TEST_F(MovesBalance, MovesStopWhereOneMoreWouldNotClearlyNarrowTheGap) {
  AddNodes(2);
  MakeGroups("replica:1");
  // Of 37 each: the gap is 300, then 225, then 150, then 75.
  SetUsage(1, 600);
  SetUsage(2, 300);
  EXPECT_TRUE(Plan());
  EXPECT_THAT(Moves(), SizeIs(3));
  // One has all there is: to move it would only turn the gap round.
  map_.clear_groups();
  AddGroup("", {1});
  EXPECT_FALSE(Plan());
}

TEST_F(MovesBalance, NothingIsEvenedOutWhileOthersHaveToMove) {
  AddNodes(4);
  MakeGroups("replica:2");
  SetUsage(1, 900);
  SetUsage(2, 100);
  SetUsage(3, 100);
  Node(4).set_draining(true);
  EXPECT_TRUE(Plan());
  EXPECT_THAT(Moves(), Each(AllOf(HasSubstr(": 4 -> "), Not(HasSubstr("balances")))));
  Switch();
  EXPECT_FALSE(Plan());
  Finish();
  EXPECT_TRUE(Plan());
  EXPECT_THAT(Moves(), Each(HasSubstr("balances")));
  // A member that cannot leave is not at its place either.
  for (wire::PlacementGroup& group : *map_.mutable_groups()) group.clear_moves();
  AddGroup("", {4});
  Node(4).set_state(wire::NODE_OUT);
  EXPECT_FALSE(Plan());
  EXPECT_EQ(CountStuck(map_, facts_), 1u);
}

TEST_F(MovesBalance, FragmentsStayApart) {
  AddNodes(3);
  for (int i = 0; i < 10; ++i) AddGroup("replica:2", {1, 3});
  for (int i = 0; i < 10; ++i) AddGroup("replica:2", {2, 1});
  SetUsage(1, 900);
  SetUsage(2, 300);
  SetUsage(3, 100);
  EXPECT_TRUE(Plan());
  EXPECT_THAT(Moves(), SizeIs(4));
  EXPECT_THAT(Moves(), Each(HasSubstr("[1]: 1 -> 3 balances"))) << "those with target 2";
}

TEST_F(MovesBalance, OnlyTargetsThatSaidHowFullTheyAreTakePart) {
  AddNodes(4);
  MakeGroups("replica:1");
  SetUsage(1, 900);
  SetUsage(2, 700);
  SetUsage(3, 100, 0);
  EXPECT_TRUE(Plan());
  EXPECT_THAT(Moves(), Each(HasSubstr(": 1 -> 2")));
  map_.Clear();
  AddNodes(3);
  MakeGroups("replica:1");
  // Silent for a moment: nothing is begun with it.
  Node(2).set_state(wire::NODE_SUSPECT);
  facts_.usage.clear();
  SetUsage(1, 900);
  SetUsage(2, 100);
  EXPECT_FALSE(Plan());
}

TEST_F(MovesBalance, AMoveStaysWhateverTheUsageIsMeanwhile) {
  AddNodes(2);
  AddGroup("", {2});
  for (int i = 0; i < 9; ++i) AddGroup("", {1});
  SetUsage(1, 450);
  SetUsage(2, 290);
  EXPECT_TRUE(Plan());
  EXPECT_THAT(Moves(), ElementsAre(HasSubstr(": 1 -> 2 balances")));
  SetUsage(2, 900);
  EXPECT_FALSE(Plan());
  facts_.usage.clear();
  EXPECT_FALSE(Plan());
  Node(1).set_draining(true);
  EXPECT_TRUE(Plan());
  EXPECT_THAT(Moves(), SizeIs(9));
  EXPECT_THAT(Moves(), Each(Not(HasSubstr("balances")))) << "it has another reason now";
  Node(1).set_draining(false);
  EXPECT_TRUE(Plan());
  EXPECT_THAT(Moves(), IsEmpty());
}

TEST_F(MovesBalance, AMoveGoesWithItsTarget) {
  AddNodes(2);
  MakeGroups("replica:1");
  SetUsage(1, 900);
  SetUsage(2, 100);
  EXPECT_TRUE(Plan());
  EXPECT_THAT(Moves(), Not(IsEmpty()));
  Node(2).set_state(wire::NODE_DOWN);
  EXPECT_TRUE(Plan());
  EXPECT_THAT(Moves(), IsEmpty());
}

// A cluster whose members differ in size by up to three times, which the planner is not told.
class MovesBalanceRandom : public MovesTest {
 protected:
  void Build(Random& random) {
    const auto nodes = static_cast<uint32_t>(3 + random.Below(6));
    AddNodes(nodes, static_cast<uint32_t>(1 + random.Below(2)));
    MakeGroups("replica:1");
    if (random.Below(2) == 0) MakeGroups("replica:2");
    if (random.Below(2) == 0) MakeGroups("ec:2+1");
    const bool is_mixed = random.Below(2) == 0;
    std::map<uint32_t, int> load = Load();
    for (const wire::TargetInfo& target : map_.targets()) {
      capacity_[target.id()] = 1'000'000 << (is_mixed ? random.Below(3) : 0);
      average_[target.id()] = capacity_[target.id()] * random.Below(95) / 100 /
                              static_cast<uint64_t>(load[target.id()]);
    }
    for (const wire::PlacementGroup& group : map_.groups()) {
      for (int i = 0; i < group.targets_size(); ++i)
        bytes_[{group.id(), i}] = average_[group.targets(i)] * (50 + random.Below(101)) / 100;
    }
  }
  void Measure() {
    for (const auto& [target, capacity] : capacity_) SetUsage(target, 0, capacity);
    for (const wire::PlacementGroup& group : map_.groups()) {
      for (int i = 0; i < group.targets_size(); ++i)
        facts_.usage[group.targets(i)].used_bytes += bytes_[{group.id(), i}];
    }
  }
  double Share(uint32_t target) const {
    const MoveFacts::Usage& usage = facts_.usage.at(target);
    return static_cast<double>(usage.used_bytes) / static_cast<double>(usage.capacity_bytes);
  }
  // Ids of the emptiest and the fullest.
  std::pair<uint32_t, uint32_t> Extremes() const {
    const auto emptier = [this](const auto& a, const auto& b) {
      return Share(a.first) < Share(b.first);
    };
    const auto [least, most] =
        std::minmax_element(facts_.usage.begin(), facts_.usage.end(), emptier);
    return {least->first, most->first};
  }
  double Gap() const { return Share(Extremes().second) - Share(Extremes().first); }
  // Whether it gave anything to move.
  bool Round() {
    Measure();
    if (!Plan()) return false;
    EXPECT_LE(Moves().size(), 4u);
    for (const wire::PlacementGroup& group : map_.groups()) {
      for (const wire::GroupMove& move : group.moves()) {
        EXPECT_TRUE(move.balance());
        EXPECT_GT(Share(move.from()) - Share(move.to()), 0.1);
      }
    }
    Switch();
    Finish();
    return true;
  }
  // What is left between the two, when none of the fullest one's members can be moved for good.
  double GapAllowed() const {
    const auto [emptiest, fullest] = Extremes();
    const double member =
        static_cast<double>(facts_.usage.at(fullest).used_bytes) / Load().at(fullest);
    const auto part = [&](uint32_t target) {
      return member / static_cast<double>(facts_.usage.at(target).capacity_bytes);
    };
    return std::max(0.1, 1.5 * (part(fullest) + part(emptiest)));
  }
  // One copy may be anywhere.
  bool HasSingleCopies(uint32_t target) const {
    return std::any_of(map_.groups().begin(), map_.groups().end(), [target](const auto& group) {
      return group.targets_size() == 1 && group.targets(0) == target;
    });
  }

  std::map<uint32_t, uint64_t> capacity_;
  std::map<uint32_t, uint64_t> average_;                // of the members of a target
  std::map<std::pair<uint32_t, int>, uint64_t> bytes_;  // by group and index
};

TEST_F(MovesBalanceRandom, ItEndsAndTargetsAreEvenThen) {
  for (uint64_t seed = 1; seed <= SeedsHere(40) && !HasFailure(); ++seed) {
    SCOPED_TRACE(StrCat("seed ", seed));
    SeededRandom random(seed);
    map_.Clear();
    facts_ = MoveFacts();
    capacity_.clear();
    bytes_.clear();
    Build(random);
    Measure();
    const double gap = Gap();
    int rounds = 0;
    while (rounds < 500 && Round()) ++rounds;
    EXPECT_LT(rounds, 500) << "it goes on for ever";
    EXPECT_LE(Gap(), gap + 1e-9);
    if (HasSingleCopies(Extremes().second)) {
      EXPECT_LE(Gap(), GapAllowed() + 1e-9);
    }
  }
}

}  // namespace
}  // namespace cairn
