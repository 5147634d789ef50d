#include "client/io/read_plan.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace cairn {
namespace {

// The run that holds byte `offset`, or null.
const wire::ExtentRun* FindRun(std::span<const wire::ExtentRun> extents, uint64_t offset) {
  auto after =
      std::upper_bound(extents.begin(), extents.end(), offset,
                       [](uint64_t value, const auto& run) { return value < run.offset_bytes(); });
  if (after == extents.begin()) return nullptr;
  const wire::ExtentRun& run = *--after;
  return offset - run.offset_bytes() < run.length_bytes() ? &run : nullptr;
}

// Whether a piece at `offset` of the stripe's fragment `index` goes on where `read` ends.
bool Continues(const FragmentRead& read, StripeId stripe, uint32_t index, uint64_t offset) {
  return read.stripe == stripe && read.index == index &&
         read.offset_bytes + read.length_bytes == offset && read.pieces.size() < kReadPiecesMax;
}

// The last of `reads` goes on at `place`.
bool Continues(const std::vector<ColdRead>& reads, const wire::ColdPlace& place) {
  if (reads.empty()) return false;
  const ColdRead& last = reads.back();
  return last.place.object() == place.object() && last.place.tier() == place.tier() &&
         last.place.cluster_id() == place.cluster_id() &&
         last.place.offset_bytes() + last.length_bytes == place.offset_bytes() &&
         last.length_bytes < kColdReadBytesMax && last.pieces.size() < kReadPiecesMax;
}

// Bytes of a cold extent from `in_extent` on, as far as one call reads them. Returns how many. A
// call stays within an extent: what comes next in the object is another piece of it, with checksums
// of its own.
uint64_t AppendCold(const wire::ExtentRun& extent, uint64_t in_extent, ReadPiece piece,
                    std::vector<ColdRead>& reads) {
  wire::ColdPlace place = extent.cold();
  place.set_offset_bytes(place.offset_bytes() + extent.skip_bytes() + in_extent);
  if (in_extent == 0 || !Continues(reads, place)) reads.push_back({std::move(place), 0, {}});
  ColdRead& read = reads.back();
  const uint64_t length = std::min<uint64_t>({extent.length_bytes() - in_extent, piece.bytes.size(),
                                              kColdReadBytesMax - read.length_bytes});
  piece.bytes = piece.bytes.first(length);
  read.pieces.push_back(piece);
  read.length_bytes += length;
  return length;
}

// Carried bytes, or zeros: what reading takes no call for. Returns how many.
uint64_t FillHere(const wire::ExtentRun& extent, uint64_t in_extent, MutableBytes destination) {
  const uint64_t length = std::min<uint64_t>(extent.length_bytes() - in_extent, destination.size());
  if (extent.data().empty()) {
    std::memset(destination.data(), 0, length);
  } else {
    std::memcpy(destination.data(), extent.data().data() + in_extent, length);
  }
  return length;
}

// Bytes of a run of stripes from `in_extent` on, as far as they lie in one fragment. Returns how
// many.
absl::StatusOr<uint64_t> AppendStripe(const wire::ExtentRun& extent, uint64_t in_extent,
                                      ReadPiece piece, RedundancyOfGroup redundancy_of,
                                      std::vector<FragmentRead>& reads) {
  const uint64_t run_bytes = extent.run_bytes() > 0 ? extent.run_bytes() : extent.length_bytes();
  const uint64_t in_run = extent.skip_bytes() + in_extent;
  const uint64_t stripe_index = in_run / extent.stripe_bytes();
  const uint64_t in_stripe = in_run % extent.stripe_bytes();
  const uint64_t stripe_length =
      std::min<uint64_t>(extent.stripe_bytes(), run_bytes - stripe_index * extent.stripe_bytes());
  const StripeId stripe(extent.first_stripe() + stripe_index);
  const auto groups = static_cast<uint64_t>(extent.groups_size());
  const PgId group(extent.groups(static_cast<int>(stripe_index % groups)));
  Redundancy redundancy;
  if (!reads.empty() && reads.back().group == group) {
    redundancy = reads.back().redundancy;
  } else {
    ASSIGN_OR_RETURN(redundancy, redundancy_of(group));
  }
  const uint64_t span = redundancy.FragmentSpan(stripe_length);
  const auto fragment = static_cast<uint32_t>(in_stripe / span);
  const uint64_t in_fragment = in_stripe % span;
  const uint64_t length =
      std::min<uint64_t>({stripe_length - in_stripe, span - in_fragment,
                          extent.length_bytes() - in_extent, piece.bytes.size()});
  if (reads.empty() || !Continues(reads.back(), stripe, fragment, in_fragment)) {
    reads.push_back({stripe, group, redundancy, stripe_length, fragment, in_fragment, 0, {}});
  }
  piece.bytes = piece.bytes.first(length);
  reads.back().pieces.push_back(piece);
  reads.back().length_bytes += length;
  return length;
}

// Of the extent alone: that it is one of the four kinds, and whole.
bool IsSound(const wire::ExtentRun& extent) {
  if (extent.has_cold()) return true;
  if (!extent.data().empty()) return extent.data().size() == extent.length_bytes();
  if (extent.stripe_count() == 0) return extent.groups_size() == 0;
  const uint64_t run_bytes = extent.run_bytes() > 0 ? extent.run_bytes() : extent.length_bytes();
  return extent.stripe_bytes() > 0 && extent.groups_size() > 0 &&
         extent.skip_bytes() <= run_bytes &&
         extent.length_bytes() <= run_bytes - extent.skip_bytes();
}

absl::Status AppendRange(std::span<const wire::ExtentRun> extents, const WantedRange& range,
                         size_t index, RedundancyOfGroup redundancy_of,
                         std::vector<FragmentRead>& reads, std::vector<ColdRead>& cold) {
  uint64_t done = 0;
  while (done < range.destination.size()) {
    const uint64_t position = range.offset_bytes + done;
    const wire::ExtentRun* extent = FindRun(extents, position);
    if (extent == nullptr || !IsSound(*extent)) {
      return absl::DataLossError(StrCat("the file's extents have a hole at byte ", position));
    }
    const uint64_t in_extent = position - extent->offset_bytes();
    const ReadPiece piece{index, done, range.destination.subspan(done)};
    if (extent->has_cold()) {
      done += AppendCold(*extent, in_extent, piece, cold);
    } else if (extent->stripe_count() == 0) {
      done += FillHere(*extent, in_extent, piece.bytes);
    } else {
      ASSIGN_OR_RETURN(const uint64_t length,
                       AppendStripe(*extent, in_extent, piece, redundancy_of, reads));
      done += length;
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<FragmentRead>> PlanReads(std::span<const wire::ExtentRun> extents,
                                                    uint64_t size_bytes,
                                                    std::span<const WantedRange> ranges,
                                                    RedundancyOfGroup redundancy_of,
                                                    std::vector<ColdRead>* cold) {
  std::vector<size_t> order(ranges.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return ranges[a].offset_bytes < ranges[b].offset_bytes; });
  std::vector<FragmentRead> reads;
  for (size_t index : order) {
    const WantedRange& range = ranges[index];
    if (range.offset_bytes > size_bytes ||
        range.destination.size() > size_bytes - range.offset_bytes) {
      return absl::OutOfRangeError(
          StrCat("bytes [", range.offset_bytes, ", +", range.destination.size(),
                 ") are past the end of a file of ", size_bytes, " bytes"));
    }
    RETURN_IF_ERROR(AppendRange(extents, range, index, redundancy_of, reads, *cold));
  }
  return reads;
}

}  // namespace cairn
