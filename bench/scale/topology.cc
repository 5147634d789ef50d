#include "bench/scale/topology.h"

#include <algorithm>

#include "common/base/units.h"

namespace cairn::scale {

const char* NameOf(ResourceKind kind) {
  static constexpr const char* kNames[] = {"rank thread", "host NIC", "host leaf", "node leaf",
                                           "node NIC",    "reactor",  "disk"};
  return kNames[static_cast<size_t>(kind)];
}

Topology::Topology(const Hardware& hardware, uint32_t ranks, Direction direction)
    : hardware_(hardware), direction_(direction) {
  const bool save = direction == Direction::kSave;
  const double disk = save ? hardware.disk_write : hardware.disk_read;
  if (hardware.one_machine) {
    // All work is the cores', whoever does it. The disk's rate is that of one under all targets.
    Add(ResourceKind::kRankCpu, 1, hardware.cores * hardware.rank_copies);
    first_.fill(0);
    Add(ResourceKind::kDisk, 1, disk);
    return;
  }
  const uint32_t hosts = DivideUp(ranks, hardware.ranks_per_host);
  Add(ResourceKind::kRankCpu, ranks, save ? hardware.rank_encode : hardware.rank_copies);
  Add(ResourceKind::kHostNic, hosts, hardware.host_nic);
  AddLeaves(ResourceKind::kHostLeaf, hosts, hardware.hosts_per_leaf, hardware.host_nic);
  AddLeaves(ResourceKind::kNodeLeaf, hardware.nodes, hardware.nodes_per_leaf, hardware.node_nic);
  Add(ResourceKind::kNodeNic, hardware.nodes, hardware.node_nic);
  Add(ResourceKind::kReactor, cores(), hardware.reactor_bytes);
  Add(ResourceKind::kDisk, hardware.targets(), disk);
}

uint32_t Topology::Add(ResourceKind kind, uint32_t count, double rate) {
  const auto first = static_cast<uint32_t>(resources_.size());
  first_[static_cast<size_t>(kind)] = first;
  for (uint32_t i = 0; i < count; ++i) resources_.push_back({kind, 1 / rate});
  return first;
}

// A leaf's links to the spine carry what its members' NICs do, divided by the oversubscription.
void Topology::AddLeaves(ResourceKind kind, uint32_t members, uint32_t per_leaf,
                         double member_rate) {
  first_[static_cast<size_t>(kind)] = static_cast<uint32_t>(resources_.size());
  for (uint32_t done = 0; done < members; done += per_leaf) {
    const uint32_t in_leaf = std::min(per_leaf, members - done);
    resources_.push_back({kind, hardware_.oversubscription / (in_leaf * member_rate)});
  }
}

uint32_t Topology::Of(ResourceKind kind, uint32_t index) const {
  return first_[static_cast<size_t>(kind)] + index;
}

uint32_t Topology::RankCpu(uint32_t rank) const {
  return hardware_.one_machine ? 0 : Of(ResourceKind::kRankCpu, rank);
}

// The first node has the metadata.
uint32_t Topology::CoreOf(uint32_t target) const {
  const uint32_t node = NodeOf(target);
  const uint32_t number = target % hardware_.disks_per_node;
  return node * hardware_.reactors_per_node +
         ReactorOf(number, hardware_.reactors_per_node, node == 0);
}

uint32_t Topology::Reactor(uint32_t core) const {
  return hardware_.one_machine ? 0 : Of(ResourceKind::kReactor, core);
}

Topology::Path Topology::PathOf(uint32_t rank, uint32_t target) const {
  const bool save = direction_ == Direction::kSave;
  const uint32_t node = NodeOf(target);
  const uint32_t host = rank / hardware_.ranks_per_host;
  const auto stage = [this](uint32_t resource, double fixed, double delay) {
    return Stage{resource, resources_[resource].seconds_per_byte, fixed, delay};
  };
  const double disk_latency = save ? hardware_.disk_write_latency : hardware_.disk_read_latency;
  if (hardware_.one_machine) {
    Path path = OnOneMachine();
    if (!save) std::reverse(path.begin(), path.end());
    return path;
  }
  // Of a restore the latency belongs behind the last link, of a save, too: behind the node's.
  Path path = {stage(Of(ResourceKind::kHostNic, host), 0, save ? 0 : hardware_.latency),
               stage(Of(ResourceKind::kHostLeaf, host / hardware_.hosts_per_leaf), 0, 0),
               stage(Of(ResourceKind::kNodeLeaf, node / hardware_.nodes_per_leaf), 0, 0),
               stage(Of(ResourceKind::kNodeNic, node), 0, save ? hardware_.latency : 0),
               stage(Reactor(CoreOf(target)), hardware_.reactor_call, 0),
               stage(Of(ResourceKind::kDisk, target), 0, disk_latency)};
  if (!save) std::reverse(path.begin(), path.end());
  return path;
}

// The bytes' way through the kernel and the server's checksums take the cores; the stages between
// take no time.
Topology::Path Topology::OnOneMachine() const {
  const bool save = direction_ == Direction::kSave;
  Path path{};
  path[0] = {0, 1 / hardware_.loopback, 0, hardware_.latency};
  path[4] = {0, 1 / (hardware_.cores * hardware_.reactor_bytes),
             hardware_.reactor_call / hardware_.cores, 0};
  path[5] = {1, resources_[1].seconds_per_byte, 0,
             save ? hardware_.disk_write_latency : hardware_.disk_read_latency};
  return path;
}

double Topology::CapacityOf(ResourceKind kind) const {
  double sum = 0;
  for (const Resource& resource : resources_)
    if (resource.kind == kind) sum += 1 / resource.seconds_per_byte;
  return sum;
}

}  // namespace cairn::scale
