// Rates for `cairn top`, made of two samples of all nodes. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cairn/load_types.h"

namespace cairn::cli {

struct Rate {
  double written = 0;  // bytes a second
  double read = 0;
  double total() const { return written + read; }
};

struct NodeRate {
  uint32_t node = 0;
  absl::Status status;
  uint64_t sessions = 0;
  Rate rate;  // of its targets together
};
struct TargetRate {
  uint32_t target = 0;
  uint32_t node = 0;
  Rate rate;
};
struct ClientRate {
  std::string name;
  uint64_t nodes = 0;  // that it moves bytes through
  Rate rate;
};
struct TierRate {
  std::string tier;
  double archived = 0;  // bytes a second
  double recalled = 0;
  double read = 0;
};

struct OperationRate {
  std::string name;
  double calls = 0;        // a second
  double errors = 0;       // a second
  absl::Duration latency;  // of a call, on average
};
struct MountRate {
  std::string name;
  std::string client;
  std::string path;
  uint64_t open_files = 0;
  uint64_t locks = 0;
  absl::Duration interval;  // that the rates are of; zero: none are known
  Rate rate;
  OperationRate all;                      // operations together; without a name
  std::vector<OperationRate> operations;  // the most frequent first
};

struct TopRates {
  std::vector<NodeRate> nodes;      // by id
  std::vector<TargetRate> targets;  // the busiest first
  std::vector<ClientRate> clients;  // the busiest first
  std::vector<TierRate> tiers;      // by name; only those that something moves to or from
  std::vector<MountRate> mounts;    // the busiest first, as nodes tell them
  uint64_t mount_count = 0;         // all there are
  Rate total;
};

// What has restarted or come in between has no rate yet, and counts as still. Those of clients and
// mounts come from `after` alone.
TopRates RatesBetween(const std::vector<NodeLoad>& before, const std::vector<NodeLoad>& after);

}  // namespace cairn::cli
