// Pure: which fragments hold the ranges wanted, and which piece of which destination each byte goes
// to.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "common/base/ids.h"
#include "common/base/units.h"
#include "common/placement/redundancy.h"
#include "proto/wire/meta.pb.h"

namespace cairn {

// Destinations of one READ_FRAGMENT: one RMA write each, so their number bounds the work of one
// call.
inline constexpr size_t kReadPiecesMax = 256;

// A range of a file and where its bytes go.
struct WantedRange {
  uint64_t offset_bytes = 0;
  MutableBytes destination;
};

struct ReadPiece {
  size_t range = 0;  // index of the wanted range it belongs to
  uint64_t range_offset_bytes = 0;
  MutableBytes bytes;
};

// One call: consecutive bytes of one fragment, scattered over pieces.
struct FragmentRead {
  StripeId stripe;
  PgId group;
  Redundancy redundancy;
  uint64_t stripe_length_bytes = 0;
  uint32_t index = 0;         // the data fragment that holds them; of replicas any
  uint64_t offset_bytes = 0;  // in the fragment
  uint64_t length_bytes = 0;
  std::vector<ReadPiece> pieces;
};

// One READ_COLD: consecutive bytes of one run in a cold object, scattered over pieces.
struct ColdRead {
  wire::ColdPlace place;
  uint64_t length_bytes = 0;
  std::vector<ReadPiece> pieces;
};
// What a node reads from a store at once, at most (server/tiering/cold_reader.h).
inline constexpr uint64_t kColdReadBytesMax = 8 * kMiB;

// What the cluster map says of a group.
using RedundancyOfGroup = absl::FunctionRef<absl::StatusOr<Redundancy>(PgId)>;

// `extents` cover [0, size_bytes) in order. OUT_OF_RANGE when a range ends past the file; DATA_LOSS
// when bytes are in no extent; an error of `redundancy_of`. What lies in a cold tier alone is added
// to `cold`. What takes no call is in its destination on return: the bytes that an extent carries,
// and the zeros of one that is a hole.
absl::StatusOr<std::vector<FragmentRead>> PlanReads(std::span<const wire::ExtentRun> extents,
                                                    uint64_t size_bytes,
                                                    std::span<const WantedRange> ranges,
                                                    RedundancyOfGroup redundancy_of,
                                                    std::vector<ColdRead>* cold);

}  // namespace cairn
