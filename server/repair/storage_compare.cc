#include "server/repair/storage_compare.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "server/cluster/group_members.h"

namespace cairn {
namespace {

using Fragment = HeldFragments::Fragment;

// One stripe that is referred to.
class StripeCheck {
 public:
  StripeCheck(const HeldFragments& held, const wire::PlacementGroup& group,
              const Redundancy& redundancy, uint64_t stripe, uint64_t length_bytes)
      : held_(held),
        group_(group),
        redundancy_(redundancy),
        stripe_(stripe),
        length_bytes_(length_bytes) {
    const auto found = held.by_stripe.find(stripe);
    if (found == held.by_stripe.end()) return;
    for (const Fragment& fragment : found->second) fragments_.push_back(&fragment);
  }

  void Run(std::vector<StorageDifference>* differences) {
    uint32_t readable = 0;
    uint32_t unknown = 0;
    for (uint32_t index = 0; index < redundancy_.width(); ++index) {
      switch (CheckMember(index, differences)) {
        case Member::kReadable:
          ++readable;
          break;
        case Member::kUnknown:
          ++unknown;
          break;
        case Member::kBad:
          break;
      }
    }
    // Some are empty, and so always there.
    if (readable + unknown < redundancy_.data_fragments)
      differences->push_back(Difference(wire::STRIPE_LOST, 0, 0));
    CheckOthers(differences);
  }

 private:
  enum class Member { kReadable, kBad, kUnknown };

  StorageDifference Difference(wire::StorageFault fault, uint32_t index, uint32_t target) const {
    return {fault, stripe_, group_.id(), index, target, length_bytes_, {}};
  }
  const Fragment* Find(uint32_t index, uint32_t target) const {
    const auto found =
        std::find_if(fragments_.begin(), fragments_.end(), [&](const Fragment* fragment) {
          return fragment->index == index && fragment->target == target;
        });
    return found == fragments_.end() ? nullptr : *found;
  }
  bool IsGood(const Fragment& fragment) const {
    return !fragment.damaged &&
           fragment.length_bytes == redundancy_.FragmentLength(length_bytes_, fragment.index);
  }

  bool AnyUnreachable(const std::vector<uint32_t>& targets) const {
    return std::any_of(targets.begin(), targets.end(),
                       [this](uint32_t target) { return held_.unreachable.contains(target); });
  }

  Member CheckMember(uint32_t index, std::vector<StorageDifference>* differences) {
    if (redundancy_.FragmentLength(length_bytes_, index) == 0) return Member::kReadable;
    const uint32_t target = group_.targets(static_cast<int>(index));
    if (held_.unreachable.contains(target)) return Member::kUnknown;
    const Fragment* fragment = Find(index, target);
    if (fragment != nullptr && IsGood(*fragment)) return Member::kReadable;
    wire::StorageFault fault = wire::FRAGMENT_MISSING;
    if (fragment != nullptr)
      fault = fragment->damaged ? wire::FRAGMENT_DAMAGED : wire::FRAGMENT_WRONG_LENGTH;
    StorageDifference difference = Difference(fault, index, target);
    // Good or not, until there is another.
    needed_elsewhere_.push_back(index);
    for (const Fragment* other : fragments_) {
      if (other->index == index && other->target != target && IsGood(*other))
        difference.elsewhere.push_back(other->target);
    }
    const bool copied = !difference.elsewhere.empty();
    const wire::GroupMove* move = MapView::FindMove(group_, index);
    const bool settling = move != nullptr && move->settling() && fault == wire::FRAGMENT_MISSING;
    const bool unknown = settling && AnyUnreachable(HoldersBefore(*move));
    if (!settling) differences->push_back(std::move(difference));
    if (copied) return Member::kReadable;
    return unknown ? Member::kUnknown : Member::kBad;
  }

  void CheckOthers(std::vector<StorageDifference>* differences) const {
    for (const Fragment* fragment : fragments_) {
      const bool of_stripe = fragment->index < redundancy_.width();
      if (of_stripe && group_.targets(static_cast<int>(fragment->index)) == fragment->target &&
          redundancy_.FragmentLength(length_bytes_, fragment->index) > 0) {
        continue;
      }
      const bool needed = std::find(needed_elsewhere_.begin(), needed_elsewhere_.end(),
                                    fragment->index) != needed_elsewhere_.end();
      const wire::GroupMove* move = MapView::FindMove(group_, fragment->index);
      const bool moving = move != nullptr && IsNamed(*move, fragment->target);
      if (needed || moving) continue;
      // Its rightful place cannot be asked: perhaps this is all there is.
      if (of_stripe &&
          held_.unreachable.contains(group_.targets(static_cast<int>(fragment->index)))) {
        continue;
      }
      differences->push_back(Difference(wire::FRAGMENT_ORPHAN, fragment->index, fragment->target));
    }
  }

  const HeldFragments& held_;
  const wire::PlacementGroup& group_;
  const Redundancy& redundancy_;
  const uint64_t stripe_;
  const uint64_t length_bytes_;
  std::vector<const Fragment*> fragments_;
  std::vector<uint32_t> needed_elsewhere_;
};

// REQUIRES: `spans` are in order and apart.
bool Contains(const std::vector<StripeSpan>& spans, uint64_t stripe) {
  const auto after =
      std::upper_bound(spans.begin(), spans.end(), stripe,
                       [](uint64_t id, const StripeSpan& span) { return id < span.first; });
  return after != spans.begin() && stripe < std::prev(after)->end();
}

}  // namespace

std::vector<StorageDifference> CompareStorage(const MapView& view, const StripePage& page,
                                              StripeSpan range, const HeldFragments& held,
                                              const std::function<bool(LeaseId)>& lease_is_known) {
  std::vector<StorageDifference> differences;
  absl::flat_hash_map<uint32_t, std::optional<Redundancy>> redundancies;
  absl::flat_hash_set<uint64_t> referred;
  for (const StripeRunPart& run : page.parts) {
    const uint64_t end = std::min(run.part.end(), range.end());
    for (uint64_t stripe = std::max(run.part.first, range.first); stripe < end; ++stripe) {
      referred.insert(stripe);
      const wire::PlacementGroup* group = view.FindGroup(run.GroupOf(stripe));
      auto [redundancy, fresh] = redundancies.try_emplace(run.GroupOf(stripe));
      if (fresh && group != nullptr) redundancy->second = ParsedRedundancy(*group);
      if (!redundancy->second.has_value() ||
          group->targets_size() != static_cast<int>(redundancy->second->width())) {
        differences.push_back(
            {wire::GROUP_UNKNOWN, stripe, run.GroupOf(stripe), 0, 0, run.LengthOf(stripe), {}});
        continue;
      }
      StripeCheck(held, *group, *redundancy->second, stripe, run.LengthOf(stripe))
          .Run(&differences);
    }
  }
  for (const auto& [stripe, fragments] : held.by_stripe) {
    if (stripe < range.first || stripe >= range.end() || referred.contains(stripe)) continue;
    for (const Fragment& fragment : fragments) {
      if (lease_is_known(fragment.lease) || Contains(page.pending, stripe)) continue;
      differences.push_back(
          {wire::FRAGMENT_ORPHAN, stripe, 0, fragment.index, fragment.target, 0, {}});
    }
  }
  std::sort(differences.begin(), differences.end());
  return differences;
}

}  // namespace cairn
