// Goal: the placement table is balanced, keeps failure domains apart and never changes for the same
// input. Method: properties over many shapes, and a golden table.

#include "common/placement/groups.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

namespace cairn {
namespace {

std::vector<PlacementTarget> Targets(uint32_t count, uint32_t per_domain) {
  std::vector<PlacementTarget> targets;
  for (uint32_t i = 0; i < count; ++i) targets.push_back({TargetId(i + 1), i / per_domain});
  return targets;
}

TEST(BuildGroups, EveryTargetIsInAsManyGroupsAsAnyOther) {
  for (uint32_t count : {1u, 2u, 3u, 7u, 16u}) {
    const auto groups = BuildGroups(Targets(count, 1), 48, 1, 0);
    ASSERT_TRUE(groups.ok());
    std::map<TargetId, int> load;
    for (const auto& group : *groups) {
      for (TargetId target : group.targets) ++load[target];
    }
    ASSERT_EQ(load.size(), count);
    int least = 48, most = 0;
    for (const auto& [target, groups_of] : load) {
      least = std::min(least, groups_of);
      most = std::max(most, groups_of);
    }
    EXPECT_LE(most - least, 1) << count << " targets";
  }
}

TEST(BuildGroups, NoDomainTwiceInAGroup) {
  const auto targets = Targets(12, 2);
  const auto groups = BuildGroups(targets, 100, 6, 0);
  ASSERT_TRUE(groups.ok());
  for (const auto& group : *groups) {
    std::set<uint32_t> domains;
    for (TargetId target : group.targets)
      domains.insert(targets[target.value() - 1].failure_domain);
    EXPECT_EQ(domains.size(), 6u);
  }
}

TEST(BuildGroups, TooFewDomainsAreRefusedWithTheirNumber) {
  const auto groups = BuildGroups(Targets(8, 4), 4, 3, 0);
  ASSERT_EQ(groups.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(groups.status().message()), testing::HasSubstr("has 2"));
}

std::map<TargetId, uint32_t> LoadOf(const std::vector<PlacementGroupTargets>& groups) {
  std::map<TargetId, uint32_t> load;
  for (const auto& group : groups)
    for (TargetId target : group.targets) ++load[target];
  return load;
}

TEST(BuildGroups, ThoseInFewerGroupsAreFilledUpFirst) {
  const std::map<TargetId, uint32_t> before = {
      {TargetId(1), 10}, {TargetId(2), 10}, {TargetId(3), 4}, {TargetId(99), 1}};
  const auto groups = BuildGroups(Targets(4, 1), 12, 2, 0, before);
  ASSERT_TRUE(groups.ok()) << groups.status();
  for (const auto& [target, load] : LoadOf(*groups))
    EXPECT_EQ(load + (before.contains(target) ? before.at(target) : 0), 12u) << target;
  for (uint32_t i = 0; i < 4; ++i)
    EXPECT_THAT((*groups)[i].targets, testing::UnorderedElementsAre(TargetId(3), TargetId(4)));
}

TEST(BuildGroups, APartAndTheRestAreTheWhole) {
  const auto targets = Targets(9, 2);
  const auto whole = BuildGroups(targets, 20, 3, 5);
  const auto part = BuildGroups(targets, 13, 3, 5);
  ASSERT_TRUE(whole.ok() && part.ok());
  const auto rest = BuildGroups(targets, 7, 3, 5 + 13, LoadOf(*part));
  ASSERT_TRUE(rest.ok());
  for (size_t i = 0; i < 20; ++i) {
    const PlacementGroupTargets& group = i < 13 ? (*part)[i] : (*rest)[i - 13];
    EXPECT_EQ(group.id, (*whole)[i].id);
    EXPECT_EQ(group.targets, (*whole)[i].targets) << i;
  }
}

// A restore reads data and no parity: who mostly has parity would be idle then, and others late.
TEST(SpreadData, EveryTargetHoldsDataAsOftenAsAnyOther) {
  const auto targets = Targets(64, 8);
  auto groups = BuildGroups(targets, 171, 6, 0);
  ASSERT_TRUE(groups.ok());
  auto spread = *groups;
  SpreadData(4, {}, &spread);
  std::map<TargetId, int> data;
  for (size_t i = 0; i < spread.size(); ++i) {
    EXPECT_EQ(spread[i].id, (*groups)[i].id);
    EXPECT_THAT(spread[i].targets, testing::UnorderedElementsAreArray((*groups)[i].targets));
    for (size_t index = 0; index < 4; ++index) ++data[spread[i].targets[index]];
  }
  ASSERT_EQ(data.size(), targets.size());
  for (const auto& [target, count] : data) EXPECT_NEAR(count, 171 * 4 / 64.0, 1.5) << target;
}

TEST(SpreadData, WhoHeldMoreDataBeforeGetsParity) {
  std::vector<PlacementGroupTargets> groups = {{PgId(1), {TargetId(1), TargetId(2), TargetId(3)}}};
  SpreadData(2, {{TargetId(1), 5}, {TargetId(2), 1}}, &groups);
  EXPECT_THAT(groups[0].targets, testing::ElementsAre(TargetId(3), TargetId(2), TargetId(1)));
}

// Stored tables were made with this hash and order: a change here would move data.
TEST(BuildGroups, GoldenTable) {
  const auto groups = BuildGroups(Targets(5, 1), 6, 2, 10);
  ASSERT_TRUE(groups.ok());
  std::vector<std::vector<uint32_t>> table;
  for (const auto& group : *groups) {
    table.emplace_back();
    table.back().push_back(group.id.value());
    for (TargetId target : group.targets) table.back().push_back(target.value());
  }
  const std::vector<std::vector<uint32_t>> golden = {{10, 5, 4}, {11, 2, 3}, {12, 1, 3},
                                                     {13, 2, 5}, {14, 4, 1}, {15, 4, 2}};
  EXPECT_EQ(table, golden);
}

}  // namespace
}  // namespace cairn
