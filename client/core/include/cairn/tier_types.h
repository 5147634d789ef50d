// What admin.h asks for and answers of cold tiers.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cairn/tiering_types.h"

namespace cairn {

// A cold store that the cluster may use: an S3-compatible bucket, "s3://BUCKET[/PREFIX]", or a
// directory that is mounted on every node, "dir:///PATH". No option holds a secret.
struct TierSpec {
  std::string name;  // a to z, 0 to 9 and "-", beginning with a letter; 63 at most
  std::string location;
  // Of S3: "endpoint" (https://HOST[:PORT]), "region", "path-style" (yes, no), "ca-file",
  // "credentials" (env, file:/PATH[#PROFILE], instance, container; on every node), "etag" (md5,
  // opaque).
  std::vector<std::pair<std::string, std::string>> options;
};

struct TierInfo {
  TierSpec spec;  // with the defaults of all that was left out
  int64_t added_at_ns = 0;
  TierControl control = {};
  // What lies in it, as Admin::Tiers() tells.
  uint64_t objects = 0;       // some may be about to come or go
  uint64_t stored_bytes = 0;  // of what has been written
  uint64_t live_bytes = 0;    // of these, what files refer to
};

struct AddTierOptions {
  bool unchecked = false;  // also if nodes cannot use it now
};

struct AddedTier {
  TierInfo tier;
  bool existed = false;
  uint32_t nodes_ok = 0;  // that have tried it
};

// How the nodes get on with a tier.
struct TierCheck {
  struct Step {
    std::string name;        // for people: "put an object"
    absl::Duration slowest;  // of the nodes that could do all steps
    uint32_t slowest_node = 0;
  };
  struct Failure {
    uint32_t node = 0;
    std::string step;     // "": the node could not be asked
    absl::Status status;  // what went wrong
    std::string hint;     // what to do about it
  };
  TierInfo tier;
  uint32_t nodes_asked = 0;
  uint32_t nodes_ok = 0;
  uint32_t nodes_away = 0;  // down: not asked
  std::vector<Step> steps;
  std::vector<Failure> failures;  // the first of each node's, of 32 nodes at most
};

}  // namespace cairn
