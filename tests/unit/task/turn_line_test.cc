// TurnLine: whose turn it is, by hand, and for any sequence against a plain list.
#include "common/task/turn_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <random>
#include <vector>

namespace cairn {
namespace {

using ::testing::ElementsAre;

constexpr int64_t kPatience = 100;

std::vector<int> TakeAll(TurnLine<int>& line, int64_t now_ns) {
  std::vector<int> taken;
  while (!line.empty()) {
    const auto ticket = line.Next(now_ns);
    taken.push_back(line.Of(ticket));
    EXPECT_TRUE(line.Remove(ticket));
    EXPECT_FALSE(line.Remove(ticket));
  }
  return taken;
}

TEST(TurnLine, WithoutPlacesFirstComeFirstServed) {
  TurnLine<int> line(kPatience);
  for (const int i : {3, 1, 2}) line.Push(i, std::nullopt, 0);
  EXPECT_EQ(line.size(), 3u);
  EXPECT_THAT(TakeAll(line, 0), ElementsAre(3, 1, 2));
}

TEST(TurnLine, TheLowestPlaceGoesFirstAndOfTheSameTheOldest) {
  TurnLine<int> line(kPatience);
  line.Push(1, 30, 0);
  line.Push(2, 10, 1);
  line.Push(3, 20, 2);
  line.Push(4, 10, 3);
  EXPECT_THAT(TakeAll(line, 10), ElementsAre(2, 4, 3, 1));
}

TEST(TurnLine, WhoHasNoPlaceKeepsTheTurnThatIsDue) {
  TurnLine<int> line(kPatience);
  line.Push(1, 30, 0);
  line.Push(2, std::nullopt, 1);
  line.Push(3, 10, 2);
  line.Push(4, std::nullopt, 3);
  EXPECT_THAT(TakeAll(line, 10), ElementsAre(3, 1, 2, 4));
}

TEST(TurnLine, NobodyIsOvertakenForLongerThanThePatience) {
  TurnLine<int> line(kPatience);
  line.Push(1, 30, 0);
  line.Push(2, 10, 90);
  EXPECT_EQ(line.Of(line.Next(99)), 2);
  EXPECT_EQ(line.Of(line.Next(100)), 1);
  EXPECT_THAT(TakeAll(line, 100), ElementsAre(1, 2));
  TurnLine<int> none(0);
  none.Push(1, 30, 0);
  none.Push(2, 10, 0);
  EXPECT_THAT(TakeAll(none, 0), ElementsAre(1, 2));
}

TEST(TurnLine, WhoLeavesIsNotServed) {
  TurnLine<int> line(kPatience);
  const auto first = line.Push(1, 10, 0);
  line.Push(2, 20, 0);
  const auto third = line.Push(3, std::nullopt, 0);
  EXPECT_TRUE(line.Remove(first));
  EXPECT_TRUE(line.Remove(third));
  EXPECT_THAT(TakeAll(line, 0), ElementsAre(2));
}

TEST(TurnLine, AgreesWithAPlainListWhateverComesAndGoes) {
  struct Entry {
    uint64_t ticket;
    std::optional<uint64_t> place;
    int64_t since;
  };
  std::mt19937_64 random(7);
  TurnLine<int> line(kPatience);
  std::vector<Entry> plain;
  int64_t now = 0;
  for (int step = 0; step < 20'000; ++step) {
    now += static_cast<int64_t>(random() % 20);
    if (plain.size() < 50 && random() % 2 == 0) {
      std::optional<uint64_t> place;
      if (random() % 4 != 0) place = random() % 10;
      plain.push_back({line.Push(0, place, now), place, now});
      continue;
    }
    if (plain.empty()) continue;
    auto next = plain.begin();
    if (random() % 8 == 0) {
      next += static_cast<ptrdiff_t>(random() % plain.size());
    } else {
      if (next->place.has_value() && now - next->since < kPatience) {
        for (auto it = plain.begin(); it != plain.end(); ++it)
          if (it->place.has_value() && *it->place < *next->place) next = it;
      }
      ASSERT_EQ(line.Next(now), next->ticket) << "step " << step;
    }
    ASSERT_TRUE(line.Remove(next->ticket));
    plain.erase(next);
    ASSERT_EQ(line.size(), plain.size());
  }
}

}  // namespace
}  // namespace cairn
