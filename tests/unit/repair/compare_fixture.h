// What the tests of CompareStorage() share: a group of ec:4+2 on targets 1 to 6, one of two copies,
// and short ways to say what is referred to, what is held and what is found.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <ostream>
#include <set>
#include <string>
#include <vector>

#include "common/base/units.h"
#include "common/placement/redundancy.h"
#include "server/repair/storage_compare.h"

namespace cairn {

inline void PrintTo(const StorageDifference& difference, std::ostream* out) {
  *out << wire::StorageFault_Name(difference.fault) << " of stripe " << difference.stripe
       << ", group " << difference.group << ", index " << difference.index << ", target "
       << difference.target;
}

using Differences = std::vector<StorageDifference>;

inline constexpr uint32_t kGroup = 5;
inline constexpr uint32_t kPair = 6;
inline constexpr uint64_t kStripe = 100;
inline constexpr uint64_t kWhole = 4 * kMiB;
inline constexpr uint64_t kFragment = kWhole / 4;
inline constexpr StripeSpan kRange = {50, 100};
inline constexpr uint64_t kWriter = 3;

inline StorageDifference Of(wire::StorageFault fault, uint32_t index, uint32_t target,
                            uint64_t stripe = kStripe, uint32_t group = kGroup) {
  return {fault, stripe, group, index, target, 0, {}};
}
inline StorageDifference Missing(uint32_t index) {
  return Of(wire::FRAGMENT_MISSING, index, index + 1);
}
// Of a stripe that something refers to.
inline StorageDifference Orphan(uint32_t index, uint32_t target) {
  return Of(wire::FRAGMENT_ORPHAN, index, target);
}
// Of one that nothing does.
inline StorageDifference Unreferred(uint64_t stripe, uint32_t index, uint32_t target) {
  return Of(wire::FRAGMENT_ORPHAN, index, target, stripe, 0);
}
inline StorageDifference Lost(uint32_t group = kGroup) {
  return Of(wire::STRIPE_LOST, 0, 0, kStripe, group);
}

class StorageCompareTest : public ::testing::Test {
 protected:
  StorageCompareTest() {
    group_ = AddGroup(kGroup, "ec:4+2", {1, 2, 3, 4, 5, 6});
    pair_ = AddGroup(kPair, "replica:2", {1, 2});
  }
  wire::PlacementGroup* AddGroup(uint32_t id, const std::string& redundancy,
                                 const std::vector<uint32_t>& targets) {
    wire::PlacementGroup* group = map_.add_groups();
    group->set_id(id);
    group->set_redundancy(redundancy);
    group->mutable_targets()->Assign(targets.begin(), targets.end());
    return group;
  }
  void Move(uint32_t index, uint32_t from, uint32_t to) {
    wire::GroupMove* move = group_->add_moves();
    move->set_index(index);
    move->set_from(from);
    move->set_to(to);
  }
  // As Move(), when `to` has become the member.
  void Settle(uint32_t index, uint32_t from, uint32_t to) {
    Move(index, from, to);
    group_->mutable_moves()->rbegin()->set_settling(true);
    group_->set_targets(static_cast<int>(index), to);
  }

  // A run of one stripe.
  void Refer(uint64_t stripe, uint64_t length_bytes, uint32_t group) {
    page_.parts.push_back(
        {stripe, 1, static_cast<uint32_t>(kWhole), length_bytes, {group}, {stripe, 1}});
  }
  void Hold(uint32_t index, uint32_t target, uint64_t length_bytes = kFragment,
            uint64_t stripe = kStripe) {
    held_.by_stripe[stripe].push_back({target, index, length_bytes, LeaseId(kWriter), false});
  }
  // Refers to a stripe, and holds all of it in its place.
  void Store(const wire::PlacementGroup& group, uint64_t length_bytes = kWhole,
             uint64_t stripe = kStripe) {
    Refer(stripe, length_bytes, group.id());
    const Redundancy redundancy = *ParseRedundancy(group.redundancy());
    for (uint32_t index = 0; index < redundancy.width(); ++index) {
      const uint64_t length = redundancy.FragmentLength(length_bytes, index);
      if (length > 0) Hold(index, group.targets(static_cast<int>(index)), length, stripe);
    }
  }
  HeldFragments::Fragment& At(uint32_t index, uint32_t target) {
    std::vector<HeldFragments::Fragment>& fragments = held_.by_stripe[kStripe];
    return *std::find_if(fragments.begin(), fragments.end(), [&](const auto& each) {
      return each.index == index && each.target == target;
    });
  }
  // From where it belongs.
  void Lose(std::vector<uint32_t> indexes) {
    for (const uint32_t index : indexes) {
      std::erase_if(held_.by_stripe[kStripe], [index](const auto& each) {
        return each.index == index && each.target == index + 1;
      });
    }
  }
  Differences Compare() const {
    const MapView view(map_);
    return CompareStorage(view, page_, kRange, held_,
                          [this](LeaseId lease) { return known_.contains(lease); });
  }

  wire::ClusterMap map_;
  wire::PlacementGroup* group_ = nullptr;
  wire::PlacementGroup* pair_ = nullptr;
  StripePage page_;
  HeldFragments held_;
  std::set<LeaseId> known_;
};

inline auto Elsewhere(const std::vector<uint32_t>& targets) {
  return ::testing::Field(&StorageDifference::elsewhere, targets);
}

}  // namespace cairn
