// What the model is told of the machines: rates, latencies, counts. The defaults are a machine
// class of 2025 (README.md says where each comes from); all are options of scale_bench.
#pragma once

#include <cstdint>

#include "server/main/sizes.h"

namespace cairn::scale {

inline constexpr double kGbps = 1e9 / 8;  // bytes a second

// Rates are bytes a second, times seconds.
struct Hardware {
  // Servers.
  uint32_t nodes = 8;
  uint32_t disks_per_node = 8;  // each a target
  uint32_t reactors_per_node = 8;
  double disk_write = 6e9;
  double disk_read = 6.5e9;
  double disk_write_latency = 20e-6;
  double disk_read_latency = 90e-6;
  double disk_flush = 200e-6;
  double node_nic = 2 * 400 * kGbps;
  double reactor_bytes = 15e9;  // checksums, one core
  double reactor_call = 5e-6;   // a call's handling, one core
  double index_sync = 200e-6;   // an index batch
  double index_record = 1e-6;   // and for each fragment in it
  uint64_t slab_memory = kDefaultSlabMemory;

  // Hosts of the ranks.
  uint32_t ranks_per_host = 8;
  double host_nic = 8 * 400 * kGbps;
  double rank_encode = 5e9;   // checksums and parity of content, the SDK's one thread
  double rank_copies = 15e9;  // checksums alone: copies, and what a restore verifies
  double rank_call = 3e-6;    // a call's handling, the same thread

  // Two levels: leaves, and a spine that is never full itself.
  uint32_t nodes_per_leaf = 16;
  uint32_t hosts_per_leaf = 16;
  double oversubscription = 1;  // of a leaf's links to the spine
  double latency = 10e-6;       // one way

  // The node with the metadata. Measured by bench/micro/meta_bench and rpc_bench.
  double meta_call = 10e-6;   // a call's handling, the first reactor
  double meta_begin = 20e-6;  // a rank's begin in a group, one thread
  double meta_done = 33e-6;   // a rank that is done, likewise
  double meta_sync = 200e-6;  // a group's synced write
  double meta_query = 20e-6;  // kMetaReaders threads

  // Everything on one machine, as in the check against real runs: one disk under all targets, and
  // `cores` that clients, kernel and servers share.
  bool one_machine = false;
  double cores = 2;
  double loopback = 0;  // all cores moving bytes and nothing else

  uint32_t targets() const { return nodes * disks_per_node; }
};

}  // namespace cairn::scale
