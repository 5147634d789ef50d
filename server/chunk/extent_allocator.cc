#include "server/chunk/extent_allocator.h"

#include <iterator>

#include "common/base/check.h"

namespace cairn {
namespace {

bool IsInUnits(Extent extent) {
  return extent.offset_bytes % kUnitBytes == 0 && extent.length_bytes % kUnitBytes == 0 &&
         extent.length_bytes > 0;
}

}  // namespace

ExtentAllocator::ExtentAllocator(Extent area) : area_(area) {
  CAIRN_CHECK(IsInUnits(area));
  Add(area);
}

void ExtentAllocator::Add(Extent extent) {
  by_offset_.emplace(extent.offset_bytes, extent.length_bytes);
  by_length_.emplace(extent.length_bytes, extent.offset_bytes);
  free_bytes_ += extent.length_bytes;
}

void ExtentAllocator::Remove(Extent extent) {
  CAIRN_CHECK(by_offset_.erase(extent.offset_bytes) == 1);
  CAIRN_CHECK(by_length_.erase({extent.length_bytes, extent.offset_bytes}) == 1);
  free_bytes_ -= extent.length_bytes;
}

std::optional<Extent> ExtentAllocator::Allocate(uint64_t length_bytes) {
  CAIRN_CHECK(length_bytes > 0 && length_bytes % kUnitBytes == 0);
  const auto found = by_length_.lower_bound({length_bytes, 0});
  if (found == by_length_.end()) return std::nullopt;
  const Extent from{found->second, found->first};
  Remove(from);
  const Extent taken{from.offset_bytes, length_bytes};
  if (taken.end() < from.end()) Add({taken.end(), from.end() - taken.end()});
  return taken;
}

bool ExtentAllocator::Reserve(Extent extent) {
  if (!IsInUnits(extent) || extent.end() < extent.offset_bytes) return false;
  auto after = by_offset_.upper_bound(extent.offset_bytes);
  if (after == by_offset_.begin()) return false;
  const auto before = std::prev(after);
  const Extent from{before->first, before->second};
  if (extent.end() > from.end()) return false;
  Remove(from);
  if (from.offset_bytes < extent.offset_bytes) {
    Add({from.offset_bytes, extent.offset_bytes - from.offset_bytes});
  }
  if (extent.end() < from.end()) Add({extent.end(), from.end() - extent.end()});
  return true;
}

void ExtentAllocator::Free(Extent extent) {
  CAIRN_CHECK(IsInUnits(extent));
  CAIRN_CHECK(extent.offset_bytes >= area_.offset_bytes && extent.end() <= area_.end());
  const auto after = by_offset_.lower_bound(extent.offset_bytes);
  CAIRN_CHECK(after == by_offset_.end() || after->first >= extent.end());
  Extent merged = extent;
  if (after != by_offset_.end() && after->first == extent.end()) {
    const Extent right{after->first, after->second};
    merged.length_bytes += right.length_bytes;
    Remove(right);
  }
  const auto next = by_offset_.lower_bound(extent.offset_bytes);
  if (next != by_offset_.begin()) {
    const Extent left{std::prev(next)->first, std::prev(next)->second};
    CAIRN_CHECK(left.end() <= extent.offset_bytes);
    if (left.end() == extent.offset_bytes) {
      merged.offset_bytes = left.offset_bytes;
      merged.length_bytes += left.length_bytes;
      Remove(left);
    }
  }
  Add(merged);
}

}  // namespace cairn
