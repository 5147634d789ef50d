// What client.h asks for and answers of buckets.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace cairn {

// How the files of a bucket survive, and how much they may be.
struct BucketOptions {
  // "replica:N": N copies, or "ec:K+M": K data and M parity fragments, any K of which are enough.
  std::string redundancy = "replica:1";
  // What no two fragments of a stripe share. Nodes, unless all devices are on one.
  enum class Spread { kNodes, kTargets } spread = Spread::kNodes;
  // What the files and checkpoints in it may have in all, in logical bytes (without copies and
  // parity); 0: no limit. What would exceed it is refused with RESOURCE_EXHAUSTED: at its commit,
  // and at its begin when there is no room for a byte.
  std::optional<uint64_t> quota_bytes;
};

struct BucketInfo {
  std::string name;
  std::string redundancy;
  uint64_t quota_bytes = 0;  // 0: none
  // What can be seen in it.
  uint64_t size_bytes = 0;
  uint64_t files = 0;  // shards of committed checkpoints included
  uint64_t checkpoints = 0;
  double overhead = 1;  // what a new file takes on targets for a byte of content
};

}  // namespace cairn
