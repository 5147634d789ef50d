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

struct TopRates {
  std::vector<NodeRate> nodes;      // by id
  std::vector<TargetRate> targets;  // the busiest first
  std::vector<ClientRate> clients;  // the busiest first
  std::vector<TierRate> tiers;      // by name; only those that something moves to or from
  Rate total;
};

// What has restarted or come in between has no rate yet, and counts as still.
TopRates RatesBetween(const std::vector<NodeLoad>& before, const std::vector<NodeLoad>& after);

}  // namespace cairn::cli
