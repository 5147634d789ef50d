// The resources between a rank's memory and a disk, and the path of a call over them.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "bench/scale/hardware.h"

namespace cairn::scale {

enum class Direction { kSave, kRestore };

enum class ResourceKind { kRankCpu, kHostNic, kHostLeaf, kNodeLeaf, kNodeNic, kReactor, kDisk };
inline constexpr size_t kResourceKinds = 7;
const char* NameOf(ResourceKind kind);

// First come, first served.
struct Resource {
  ResourceKind kind;
  double seconds_per_byte = 0;
  double free_at = 0;
  double busy = 0;  // seconds so far
  uint64_t bytes = 0;

  // Takes `seconds` of it for what comes at `now`; returns when that is done.
  double Take(double now, double seconds, uint64_t length_bytes) {
    const double done = (free_at > now ? free_at : now) + seconds;
    free_at = done;
    busy += seconds;
    bytes += length_bytes;
    return done;
  }
};

// One resource of a path. Its time is `fixed + bytes * seconds_per_byte`; `delay` passes after it
// and keeps nobody else.
struct Stage {
  uint32_t resource = 0;
  double seconds_per_byte = 0;
  double fixed = 0;
  double delay = 0;
};

class Topology {
 public:
  static constexpr size_t kStages = 6;
  using Path = std::array<Stage, kStages>;

  Topology(const Hardware& hardware, uint32_t ranks, Direction direction);

  // Of bytes between a rank and a target (from 0, those of a node side by side), in the order in
  // which they pass: a save's begins at the rank, a restore's at the disk.
  Path PathOf(uint32_t rank, uint32_t target) const;
  // The thread that does the rank's checksums and parity.
  uint32_t RankCpu(uint32_t rank) const;
  uint32_t MetaCore() const { return Reactor(0); }
  uint32_t NodeOf(uint32_t target) const { return target / hardware_.disks_per_node; }
  // The reactor that has the target, over all nodes.
  uint32_t CoreOf(uint32_t target) const;
  uint32_t cores() const { return hardware_.nodes * hardware_.reactors_per_node; }

  std::vector<Resource>& resources() { return resources_; }
  const std::vector<Resource>& resources() const { return resources_; }
  // Of all resources of a kind together, bytes a second.
  double CapacityOf(ResourceKind kind) const;

 private:
  uint32_t Add(ResourceKind kind, uint32_t count, double rate);
  void AddLeaves(ResourceKind kind, uint32_t members, uint32_t per_leaf, double member_rate);
  uint32_t Of(ResourceKind kind, uint32_t index) const;
  uint32_t Reactor(uint32_t core) const;
  Path OnOneMachine() const;

  const Hardware hardware_;
  const Direction direction_;
  std::vector<Resource> resources_;
  std::array<uint32_t, kResourceKinds> first_{};
};

}  // namespace cairn::scale
