// Positions in a directory as the kernel gives them back: each entry carries that of the next. "."
// and ".." come first, which the SDK does not list. Pure.
#pragma once

#include <sys/types.h>
#include <cstdint>

namespace cairn {

enum class DirectoryPlace { kSelf, kParent, kItem };

inline constexpr uint64_t kDotEntries = 2;

constexpr DirectoryPlace PlaceAt(off_t position) {
  if (position == 0) return DirectoryPlace::kSelf;
  return position == 1 ? DirectoryPlace::kParent : DirectoryPlace::kItem;
}
// Of DirectoryReader::At(). REQUIRES: PlaceAt(position) is kItem.
constexpr uint64_t ItemAt(off_t position) { return static_cast<uint64_t>(position) - kDotEntries; }

}  // namespace cairn
