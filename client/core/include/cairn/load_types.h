// What admin.h answers of what moves at this moment.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cairn/operation_count.h"

namespace cairn {

// Since the node's start.
struct TargetLoad {
  uint32_t target = 0;
  uint64_t written_bytes = 0;  // with copies and parity, rebuilt fragments included
  uint64_t read_bytes = 0;
};

// In the last second or two.
struct ClientLoad {
  std::string name;  // "host:pid"
  uint64_t written_bytes_per_second = 0;
  uint64_t read_bytes_per_second = 0;
};

// Since the node's start.
struct TierLoad {
  std::string tier;
  uint64_t archived_bytes = 0;  // put into it
  uint64_t recalled_bytes = 0;  // taken back to targets
  uint64_t read_bytes = 0;      // for readers, without being taken back
};

// A FileSystem: `cairn mount`, or a program's own. What it has done is of the time between its last
// two reports to the service, of which it makes one every few seconds.
struct MountLoad {
  std::string name;         // where it is mounted; "": a program's own that has no name
  std::string client;       // "host:pid"
  std::string path;         // of what it shows; "": all buckets
  uint64_t open_files = 0;  // now
  uint64_t locks = 0;
  absl::Duration interval;  // zero: there were no two reports of late, and the rest is empty
  uint64_t written_bytes = 0;
  uint64_t read_bytes = 0;
  std::vector<OperationCount> operations;  // of those that there were; none are counted but by FUSE
};

// What a node says of one moment. Two of the same life make rates.
struct NodeLoad {
  uint32_t node = 0;
  absl::Status status;    // why it could not be asked; then the rest is empty
  uint64_t life = 0;      // another: it has restarted, and counts anew
  absl::Duration uptime;  // when this was counted
  uint64_t sessions = 0;
  std::vector<TargetLoad> targets;
  std::vector<ClientLoad> clients;  // the 32 busiest
  std::vector<TierLoad> tiers;      // that it has used
  std::vector<MountLoad> mounts;    // of the node with the metadata: the 32 that do most
  uint64_t mount_count = 0;         // all there are
};

}  // namespace cairn
