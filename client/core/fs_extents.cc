#include "client/core/fs_extents.h"

#include <algorithm>
#include <utility>

#include "client/core/paging.h"
#include "common/base/check.h"

namespace cairn::client_internal {
namespace {

uint64_t EndOf(const wire::ExtentRun& extent) {
  return extent.offset_bytes() + extent.length_bytes();
}

}  // namespace

wire::ExtentRun InlineExtent(const DirtyPiece& piece) {
  CAIRN_CHECK(piece.length_bytes <= kInlineBytesMax);
  wire::ExtentRun extent;
  extent.set_offset_bytes(piece.offset_bytes);
  extent.set_length_bytes(piece.length_bytes);
  std::string& data = *extent.mutable_data();
  data.reserve(piece.length_bytes);
  for (const DirtyPiece::Slice& slice : piece.slices)
    data.append(reinterpret_cast<const char*>(slice.bytes().data()), slice.length_bytes);
  return extent;
}

wire::ExtentRun HoleExtent(ByteRange range) {
  wire::ExtentRun extent;
  extent.set_offset_bytes(range.begin);
  extent.set_length_bytes(range.end - range.begin);
  return extent;
}

std::vector<std::vector<wire::ExtentRun>> PageExtents(std::vector<wire::ExtentRun> extents) {
  std::sort(extents.begin(), extents.end(),
            [](const auto& a, const auto& b) { return a.offset_bytes() < b.offset_bytes(); });
  std::vector<std::vector<wire::ExtentRun>> pages;
  size_t page_bytes = 0;
  for (wire::ExtentRun& extent : extents) {
    // Tag and length of the field take at most 4 bytes.
    const size_t bytes = extent.ByteSizeLong() + 4;
    if (pages.empty() || page_bytes + bytes > kPageBytes) {
      pages.emplace_back();
      page_bytes = 0;
    }
    page_bytes += bytes;
    pages.back().push_back(std::move(extent));
  }
  return pages;
}

wire::ExtentRun PartOf(const wire::ExtentRun& extent, ByteRange range) {
  const uint64_t begin = std::max(range.begin, extent.offset_bytes());
  const uint64_t end = std::min(range.end, EndOf(extent));
  CAIRN_CHECK(begin < end);
  if (begin == extent.offset_bytes() && end == EndOf(extent)) return extent;
  wire::ExtentRun part = extent;
  const uint64_t skipped = begin - extent.offset_bytes();
  part.set_offset_bytes(begin);
  part.set_length_bytes(end - begin);
  if (!extent.data().empty()) {
    part.set_data(extent.data().substr(skipped, end - begin));
  } else if (!IsHole(extent)) {
    if (extent.run_bytes() == 0) part.set_run_bytes(extent.length_bytes());
    part.set_skip_bytes(extent.skip_bytes() + skipped);
  }
  return part;
}

void Overwrite(std::vector<wire::ExtentRun>& extents, const std::vector<wire::ExtentRun>& fresh) {
  std::vector<wire::ExtentRun> merged;
  merged.reserve(extents.size() + fresh.size() + 1);
  const uint64_t old_end = extents.empty() ? 0 : EndOf(extents.back());
  auto old = extents.begin();
  // What the old ones have of [from, to).
  const auto keep = [&](uint64_t from, uint64_t to) {
    while (old != extents.end() && EndOf(*old) <= from) ++old;
    for (auto at = old; at != extents.end() && at->offset_bytes() < to; ++at) {
      if (std::max(from, at->offset_bytes()) < std::min(to, EndOf(*at)))
        merged.push_back(PartOf(*at, {from, to}));
    }
  };
  uint64_t at = 0;
  for (const wire::ExtentRun& each : fresh) {
    keep(at, each.offset_bytes());
    const uint64_t covered = std::max(at, old_end);
    if (covered < each.offset_bytes()) merged.push_back(HoleExtent({covered, each.offset_bytes()}));
    merged.push_back(each);
    at = EndOf(each);
  }
  keep(at, UINT64_MAX);
  extents = std::move(merged);
}

bool IsHole(const wire::ExtentRun& extent) {
  return extent.stripe_count() == 0 && extent.data().empty() && !extent.has_cold();
}

std::optional<uint64_t> SeekInExtents(const std::vector<wire::ExtentRun>& extents,
                                      uint64_t size_bytes, uint64_t from, bool to_hole) {
  if (from >= size_bytes) return std::nullopt;
  for (const wire::ExtentRun& extent : extents) {
    if (EndOf(extent) <= from || IsHole(extent) != to_hole) continue;
    return std::max(from, extent.offset_bytes());
  }
  if (to_hole) return size_bytes;
  return std::nullopt;
}

bool IsWorthCompacting(uint64_t size_bytes, uint64_t inline_bytes, uint64_t extents) {
  if (inline_bytes > 256 * kKiB && extents >= 16) return true;
  return extents > 64 && size_bytes / extents < 256 * kKiB;
}

std::vector<ByteRange> PlanCompaction(const std::vector<wire::ExtentRun>& extents,
                                      uint64_t stripe_bytes, size_t ranges_max) {
  // Fewer are as good as one.
  constexpr size_t kPiecesMin = 4;
  std::vector<ByteRange> plan;
  ByteRange run;
  size_t pieces = 0;
  const auto finish = [&] {
    if (pieces >= kPiecesMin && plan.size() < ranges_max) plan.push_back(run);
    pieces = 0;
  };
  for (const wire::ExtentRun& extent : extents) {
    if (IsHole(extent) || extent.has_cold()) {
      finish();
      continue;
    }
    // A long extent is cut at stripes' ends, lest one that spans them is written again for its
    // neighbours.
    for (uint64_t at = extent.offset_bytes(); at < EndOf(extent);) {
      const uint64_t stripe_end = (at / stripe_bytes + 1) * stripe_bytes;
      const uint64_t end = std::min(EndOf(extent), stripe_end);
      if (pieces > 0 && (run.end != at || run.begin / stripe_bytes != at / stripe_bytes)) finish();
      if (pieces == 0) run.begin = at;
      run.end = end;
      ++pieces;
      at = end;
      // Whole stripes in the middle of a long extent stay.
      if (EndOf(extent) - at >= 2 * stripe_bytes) {
        finish();
        at = EndOf(extent) / stripe_bytes * stripe_bytes;
      }
    }
  }
  finish();
  return plan;
}

}  // namespace cairn::client_internal
