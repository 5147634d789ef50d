// Pure: cuts a gather list into stripes, and describes finished stripes as extent runs.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "common/base/ids.h"
#include "common/base/units.h"
#include "proto/wire/meta.pb.h"

namespace cairn {

// Pieces of one stripe's content. One RMA read each, so their number bounds the work of one call; a
// stripe that reaches it ends short.
inline constexpr size_t kStripeSegmentsMax = 256;

// A piece of the caller's memory: `registration` names the memory region it lies in.
struct Segment {
  size_t registration = 0;
  uint64_t offset_bytes = 0;  // in the registered memory
  ConstBytes bytes;
};

// Collects pieces and hands out a stripe's worth at a time.
class StripeCutter {
 public:
  explicit StripeCutter(uint64_t stripe_bytes) : stripe_bytes_(stripe_bytes) {}

  // Takes from the front of `piece` what still fits the stripe being filled; returns the bytes
  // taken.
  uint64_t Add(size_t registration, uint64_t offset_bytes, ConstBytes piece);
  bool full() const {
    return filled_bytes_ == stripe_bytes_ || segments_.size() == kStripeSegmentsMax;
  }
  bool empty() const { return segments_.empty(); }
  // The stripe so far; the next one is empty.
  std::vector<Segment> Take();

 private:
  uint64_t stripe_bytes_;
  uint64_t filled_bytes_ = 0;
  std::vector<Segment> segments_;
};

// Where one stripe of a file went.
struct PlacedStripe {
  StripeId id;
  PgId group;
  uint64_t length_bytes = 0;
};

// A short list of runs that describes `stripes`, laid end to end from `offset_bytes`. Runs are
// found where ids are consecutive and groups repeat, which is how the writer assigns them; which
// groups it rotated over may have changed on the way.
std::vector<wire::ExtentRun> ToExtentRuns(const std::vector<PlacedStripe>& stripes,
                                          uint64_t stripe_bytes, uint64_t offset_bytes);

// A part of a file that went through a write path.
struct FilePiece {
  uint64_t offset_bytes = 0;
  uint64_t length_bytes = 0;
};

// The extents of `pieces`, of which `stripes` are the content, piece after piece as they were
// written; each piece began a stripe of its own (WritePath::EndStripe). In the order of the file,
// and pieces that are neighbours there share a run where their stripes allow it. REQUIRES: pieces
// do not overlap.
std::vector<wire::ExtentRun> ToExtentRuns(std::span<const FilePiece> pieces,
                                          std::span<const PlacedStripe> stripes,
                                          uint64_t stripe_bytes);

}  // namespace cairn
