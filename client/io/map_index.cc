#include "client/io/map_index.h"

#include <utility>

#include "client/io/group_redundancy.h"
#include "common/base/strings.h"

namespace cairn {
namespace {

template <class Entries, class Index>
void Fill(const Entries& entries, Index* index) {
  index->reserve(static_cast<size_t>(entries.size()));
  for (const auto& entry : entries) index->emplace(entry.id(), &entry);
}

}  // namespace

MapIndex::MapIndex(wire::ClusterMap map) : map_(std::move(map)) {
  Fill(map_.groups(), &groups_);
  Fill(map_.targets(), &targets_);
  Fill(map_.nodes(), &nodes_);
}

absl::StatusOr<const wire::TargetInfo*> MapIndex::MemberOf(PgId group, uint32_t index) const {
  const wire::PlacementGroup* const found = FindGroup(group);
  if (found == nullptr || index >= static_cast<uint32_t>(found->targets_size())) {
    return absl::FailedPreconditionError(
        StrCat("the cluster map has no placement group ", group.value(), " with fragment ", index));
  }
  const TargetId id(found->targets(static_cast<int>(index)));
  const wire::TargetInfo* const target = FindTarget(id);
  if (target == nullptr) {
    return absl::FailedPreconditionError(StrCat("the cluster map has no target ", id.value()));
  }
  return target;
}

const wire::TargetInfo* MapIndex::FormerOf(PgId group, uint32_t index) const {
  const wire::PlacementGroup* const found = FindGroup(group);
  if (found == nullptr) return nullptr;
  const wire::TargetInfo* former = nullptr;
  for (const wire::GroupMove& move : found->moves()) {
    if (move.index() != index) continue;
    std::vector<uint32_t> holders(move.former().begin(), move.former().end());
    if (move.settling()) holders.push_back(move.from());
    for (auto holder = holders.rbegin(); holder != holders.rend(); ++holder) {
      const wire::TargetInfo* target = FindTarget(TargetId(*holder));
      if (target == nullptr) continue;
      if (!IsAway(*target)) return target;
      if (former == nullptr) former = target;
    }
  }
  return former;
}

bool MapIndex::IsAway(const wire::TargetInfo& target) const {
  const wire::NodeInfo* node = FindNode(NodeId(target.node()));
  return node == nullptr || node->state() == wire::NODE_DOWN || node->state() == wire::NODE_OUT ||
         target.state() == wire::TARGET_FAILED;
}

absl::StatusOr<Redundancy> MapIndex::RedundancyOf(PgId group) const {
  const wire::PlacementGroup* const found = FindGroup(group);
  if (found == nullptr) {
    return absl::FailedPreconditionError(
        StrCat("the cluster map has no placement group ", group.value()));
  }
  return cairn::RedundancyOf(*found);
}

}  // namespace cairn
