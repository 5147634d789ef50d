#include "bench/scale/placement_plan.h"

#include <sys/mman.h>

#include <algorithm>

#include "absl/container/flat_hash_map.h"
#include "client/io/group_redundancy.h"
#include "client/io/read_plan.h"
#include "client/io/rotation.h"
#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "server/cluster/cluster_map.h"
#include "server/cluster/membership.h"
#include "server/main/sizes.h"
#include "server/meta/extents.h"

namespace cairn::scale {
namespace {

constexpr uint64_t kCapacityBytes = uint64_t{4} << 40;

// What the founding node makes of itself at its first start (Node::StartMetadata).
absl::StatusOr<wire::ClusterMap> Found(uint32_t targets) {
  wire::ClusterMap present;
  present.set_cluster_id("scale");
  present.set_stripe_bytes(kSlabBytes);
  wire::NodeInfo* node = present.add_nodes();
  node->set_id(1);
  node->set_endpoint("node-1:7440");
  for (uint32_t i = 0; i < targets; ++i) {
    wire::TargetInfo* target = present.add_targets();
    target->set_id(i + 1);
    target->set_node(1);
    target->set_number(i);
    target->set_core(i);
    target->set_state(wire::TARGET_UP);
    target->set_capacity_bytes(kCapacityBytes);
    target->set_path(StrCat("/dev/nvme", i, "n1"));
  }
  return MergeClusterMap({}, present, kGroupsPerTarget);
}

// A node joins and is heard (server/service/map_keeper).
absl::Status Join(uint32_t number, uint32_t targets, wire::ClusterMap* map) {
  wire::JoinRequest join;
  join.set_identity(number);
  join.set_name(StrCat("node-", number));
  join.set_target_count(targets);
  ASSIGN_OR_RETURN(const wire::JoinReply joined, AddNode(map, join, 1));
  wire::HeartbeatRequest heartbeat;
  heartbeat.set_node(joined.node());
  heartbeat.set_endpoint(StrCat(join.name(), ":7440"));
  for (uint32_t i = 0; i < targets; ++i) {
    wire::TargetInfo* target = heartbeat.add_targets();
    target->set_id(joined.targets(static_cast<int>(i)));
    target->set_node(joined.node());
    target->set_number(i);
    target->set_core(i);
    target->set_state(wire::TARGET_UP);
    target->set_capacity_bytes(kCapacityBytes);
    target->set_path(StrCat("/dev/nvme", i, "n1"));
  }
  RETURN_IF_ERROR(UpdateNode(map, heartbeat, kGroupsPerTarget));
  SetNodeState(map, joined.node(), wire::NODE_UP, 1);
  return absl::OkStatus();
}

// Addresses to plan with; nobody reads or writes them.
class AddressRange {
 public:
  explicit AddressRange(uint64_t length_bytes)
      : length_(length_bytes),
        memory_(mmap(nullptr, length_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                     -1, 0)) {}
  ~AddressRange() {
    if (memory_ != MAP_FAILED) munmap(memory_, length_);
  }
  AddressRange(const AddressRange&) = delete;
  AddressRange& operator=(const AddressRange&) = delete;
  bool ok() const { return memory_ != MAP_FAILED; }
  MutableBytes bytes() const { return {static_cast<std::byte*>(memory_), length_}; }

 private:
  uint64_t length_;
  void* memory_;
};

}  // namespace

absl::StatusOr<wire::ClusterMap> MakeMap(uint32_t nodes, uint32_t targets_per_node,
                                         const Redundancy& redundancy, uint32_t down) {
  ASSIGN_OR_RETURN(wire::ClusterMap map, Found(targets_per_node));
  for (uint32_t number = 2; number <= nodes; ++number) {
    RETURN_IF_ERROR(Join(number, targets_per_node, &map));
  }
  ASSIGN_OR_RETURN(map, AddGroupsFor(map, redundancy, wire::DOMAIN_NODE, kGroupsPerTarget));
  FailNodes(down, &map);
  return map;
}

void FailNodes(uint32_t down, wire::ClusterMap* map) {
  if (down == 0) return;
  const wire::ClusterMap before = *map;
  for (uint32_t i = 0; i < down; ++i)
    SetNodeState(map, map->nodes(static_cast<int>(i)).id(), wire::NODE_DOWN, 2);
  AddUsableGroups(map, kGroupsPerTarget);
  BumpVersionIfChanged(before, map);
}

absl::StatusOr<PlacementPlan> PlacementPlan::Make(const wire::ClusterMap& map, const Shape& shape,
                                                  uint64_t first_turn) {
  PlacementPlan plan;
  plan.shape_ = shape;
  plan.targets_ = static_cast<uint32_t>(map.targets_size());
  plan.stripe_bytes_ = map.stripe_bytes();
  plan.stripes_per_rank_ = plan.stride_ = DivideUp(shape.rank_bytes, plan.stripe_bytes_);
  // Groups of other redundancies are none of the rotation's, and most of the map.
  const std::string redundancy = FormatRedundancy(shape.redundancy);
  wire::ClusterMap own = map;
  own.clear_groups();
  absl::flat_hash_map<uint32_t, uint32_t> index_of;
  for (const wire::PlacementGroup& group : map.groups()) {
    if (RedundancyTextOf(group) != redundancy) continue;
    *own.add_groups() = group;
    index_of.emplace(group.id(), static_cast<uint32_t>(plan.group_ids_.size()));
    plan.group_ids_.push_back(group.id());
    for (uint32_t target : group.targets()) plan.members_.push_back(target - 1);
  }
  plan.group_of_.reserve(shape.ranks * plan.stripes_per_rank_);
  for (uint32_t rank = 0; rank < shape.ranks; ++rank) {
    // As StripeIds::turn(): ids are granted in the order in which ranks begin.
    const Rotation rotation(own, shape.redundancy, first_turn + rank);
    RETURN_IF_ERROR(rotation.Usable());
    const uint64_t first = 1 + rank * kDefaultGrant;
    for (uint64_t i = 0; i < plan.stripes_per_rank_; ++i)
      plan.group_of_.push_back(index_of.at(rotation.GroupOf(StripeId(first + i)).value()));
  }
  return plan;
}

PlacementPlan PlacementPlan::WithShards(uint64_t rank_bytes) const {
  CAIRN_CHECK(rank_bytes <= shape_.rank_bytes);
  PlacementPlan plan = *this;
  plan.shape_.rank_bytes = rank_bytes;
  plan.stripes_per_rank_ = DivideUp(rank_bytes, stripe_bytes_);
  return plan;
}

std::vector<PlacedStripe> PlacementPlan::StripesOf(uint32_t rank) const {
  std::vector<PlacedStripe> stripes;
  stripes.reserve(stripes_per_rank_);
  uint64_t left = shape_.rank_bytes;
  for (uint64_t i = 0; i < stripes_per_rank_; ++i) {
    const uint64_t length = std::min(left, stripe_bytes_);
    const PgId group(group_ids_[group_of_[rank * stride_ + i]]);
    stripes.push_back({StripeId(1 + rank * kDefaultGrant + i), group, length});
    left -= length;
  }
  return stripes;
}

std::vector<wire::ExtentRun> PlacementPlan::ExtentsOf(uint32_t rank) const {
  return ToExtentRuns(StripesOf(rank), stripe_bytes_, 0);
}

void PlacementPlan::MakeSave(uint32_t rank, std::vector<PlannedCall>* calls,
                             std::vector<uint32_t>* ends) const {
  calls->clear();
  ends->clear();
  const uint32_t width = shape_.redundancy.width();
  uint64_t left = shape_.rank_bytes;
  for (uint64_t i = 0; i < stripes_per_rank_; ++i) {
    const uint64_t length = std::min(left, stripe_bytes_);
    const uint32_t* members = MembersOf(rank, i);
    for (uint32_t index = 0; index < width; ++index) {
      const uint64_t bytes = shape_.redundancy.FragmentLength(length, index);
      if (bytes > 0) calls->push_back({members[index], static_cast<uint32_t>(bytes)});
    }
    ends->push_back(static_cast<uint32_t>(calls->size()));
    left -= length;
  }
}

absl::Status PlacementPlan::MakeRestore(uint32_t rank, const std::vector<bool>& reachable,
                                        std::vector<PlannedCall>* calls,
                                        std::vector<uint32_t>* ends) const {
  calls->clear();
  ends->clear();
  const uint32_t width = shape_.redundancy.width();
  const AddressRange memory(shape_.rank_bytes);
  if (!memory.ok()) return absl::ResourceExhaustedError("no addresses for a rank's shard");
  const WantedRange range{0, memory.bytes()};
  const std::vector<wire::ExtentRun> extents = ExtentsOf(rank);
  const auto redundancy_of = [this](PgId) { return absl::StatusOr<Redundancy>(shape_.redundancy); };
  std::vector<ColdRead> cold;  // nothing here is
  ASSIGN_OR_RETURN(const std::vector<FragmentRead> reads,
                   PlanReads(extents, shape_.rank_bytes, {&range, 1}, redundancy_of, &cold));
  const uint64_t first = 1 + rank * kDefaultGrant;
  for (const FragmentRead& read : reads) {
    const uint64_t stripe = read.stripe.value() - first;
    const uint32_t* members = MembersOf(rank, stripe);
    const auto length = static_cast<uint32_t>(read.length_bytes);
    if (reachable[members[read.index]]) {
      calls->push_back({members[read.index], length});
    } else {
      // As read_path.cc: any k of the others, those with the lowest index first.
      uint32_t wanted = shape_.redundancy.data_fragments;
      for (uint32_t index = 0; index < width && wanted > 0; ++index) {
        if (index == read.index || !reachable[members[index]]) continue;
        calls->push_back({members[index], length});
        --wanted;
      }
      if (wanted > 0) return absl::DataLossError("a stripe has too few fragments left");
    }
    ends->push_back(static_cast<uint32_t>(calls->size()));
  }
  return absl::OkStatus();
}

}  // namespace cairn::scale
