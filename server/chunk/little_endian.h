// Integers as the persistent formats of proto/disk/FORMAT.md hold them: little-endian, unaligned.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace cairn {

// Every machine that Cairn is built for stores integers that way already.
static_assert(std::endian::native == std::endian::little);

template <class Int>
void AppendInt(std::string& out, Int value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

// REQUIRES: data holds sizeof(Int) bytes at `offset`.
template <class Int>
Int ReadInt(std::string_view data, size_t offset) {
  Int value;
  std::memcpy(&value, data.data() + offset, sizeof(value));
  return value;
}

}  // namespace cairn
