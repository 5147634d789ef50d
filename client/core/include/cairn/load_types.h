// What admin.h answers of what moves at this moment.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"

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
};

}  // namespace cairn
