// A whole node in the simulation: the real RpcServers, services, targets, metadata and reclaim loop
// on SimNet, SimDisk and SimKv, wired as server/main does it. It dies as a machine does, by a power
// cut, and comes back on what its disks kept.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/rpc/session_table.h"
#include "proto/wire/cluster.pb.h"
#include "server/chunk/target.h"
#include "server/main/sizes.h"
#include "server/meta/meta_engine.h"
#include "server/service/node_service.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_executor.h"
#include "tests/sim/sim_kv.h"
#include "tests/sim/sim_net.h"

namespace cairn {

// Lives on the executor; not thread-safe.
class SimNode {
 public:
  struct Options {
    std::string process = "node";
    std::string endpoint = "node:7440";
    uint32_t cores = 1;
    uint32_t targets = 1;  // target i, with id i + 1, is core i % cores' own
    uint64_t target_bytes = 8 * kMiB;
    uint64_t stripe_bytes = 128 * kKiB;  // of a slab, too
    size_t slabs = 8;                    // a core
    uint32_t credits_max = 4;
    size_t pending_fragments_max = 256 * 1024;  // a target
    MetaOptions meta;
    // The endpoint of a node of the cluster to join; "": founds one, with the metadata.
    std::string join;
    std::string secret = "a secret of the simulation";
    // What its wall clock is ahead of the simulation's, as `cairn doctor` is told.
    absl::Duration clock_ahead;
  };
  SimNode(SimExecutor& executor, SimFabric& fabric, Options options);
  // REQUIRES: it is not running, and buried if it was killed.
  ~SimNode();
  SimNode(const SimNode&) = delete;
  SimNode& operator=(const SimNode&) = delete;

  // Starts on what the disks hold and listens. After an error, and after a Kill() meanwhile:
  // Bury().
  Task<absl::Status> Start();
  // A clean end. After Kill(), the end of what the executor still runs of the dead process, which
  // reaches nothing any more; then the power is back.
  Task<void> Bury();
  // The power goes: the process is gone at once, and of what was not durable a part survives that
  // `seed` chooses.
  void Kill(uint64_t seed);
  // Kill(), Bury() and Start() with other cores.
  Task<absl::Status> Restart(uint64_t seed, uint32_t cores);

  const Options& options() const { return options_; }
  SimDisk& disk(size_t target) { return *disks_[target]; }
  SimKv& index(size_t target) { return *indexes_[target]; }
  // Of those that are open. REQUIRES: started.
  Target& target(size_t target);
  MetaEngine& meta();
  // Of the cluster; 0 before it has joined.
  uint32_t node_id() const { return node_id_; }
  const wire::ClusterMap& map() const;  // REQUIRES: it has the metadata and is started
  // Handlers that run, over all cores.
  size_t calls_running() const;

 private:
  struct Core;
  struct Life;

  absl::Time WallNow() const { return executor_.clock().WallNow() + options_.clock_ahead; }
  bool founder() const { return options_.join.empty(); }
  Task<absl::Status> Boot(Life& life);
  Task<absl::Status> OpenPeers(Life& life);
  NodeService::Work RepairWork(Life& life);
  wire::JoinRequest OwnJoinRequest() const;
  Task<absl::Status> Join(Life& life);
  Task<absl::Status> OpenTarget(Life& life, uint32_t number);
  // As server/main/node_targets.cc, with a device of the usual size.
  Task<absl::StatusOr<wire::AddTargetReply>> AddTarget(Life* life);
  Task<absl::StatusOr<wire::AddTargetReply>> AddTargetTo(Life* life, wire::NodeInfo node,
                                                         wire::AddTargetRequest request,
                                                         Deadline deadline);
  Task<void> OnRemovedTargets(Life* life, std::vector<uint32_t> ids);
  void ServeMetadata(Life& life);
  void StartMembership(Life& life);
  wire::HeartbeatRequest Heartbeat(const Life& life) const;
  Task<absl::Status> OpenTargets(Life& life);
  Task<absl::Status> OpenMetadata(Life& life);
  absl::Status Serve(Life& life);

  uint32_t CoreOf(uint32_t target_number) const {
    return ReactorOf(target_number, options_.cores, options_.join.empty());
  }

  SimExecutor& executor_;
  SimFabric& fabric_;
  Options options_;
  SimBlockingRunner runner_;
  std::vector<std::unique_ptr<SimDisk>> disks_;
  std::vector<std::unique_ptr<SimKv>> indexes_;
  SimKv meta_store_;
  // What a data directory keeps of who the node is.
  uint64_t identity_ = 0;
  uint32_t node_id_ = 0;
  std::vector<uint32_t> target_ids_;  // 0: it has left
  std::unique_ptr<Life> life_;
};

}  // namespace cairn
