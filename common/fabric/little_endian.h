// Little-endian integers in byte buffers, for the fixed headers of hellos and RPC frames.
#pragma once

#include <cstddef>
#include <cstdint>

namespace cairn {

// Byte by byte: compilers make one move of it, and no alignment is needed.
template <class Integer>
Integer LoadLittleEndian(const void* from) {
  const auto* bytes = static_cast<const unsigned char*>(from);
  Integer value = 0;
  for (size_t i = 0; i < sizeof(Integer); ++i) {
    value = static_cast<Integer>(value | static_cast<Integer>(bytes[i]) << (8 * i));
  }
  return value;
}

template <class Integer>
void StoreLittleEndian(void* to, Integer value) {
  auto* bytes = static_cast<unsigned char*>(to);
  for (size_t i = 0; i < sizeof(Integer); ++i) {
    bytes[i] = static_cast<unsigned char>(value >> (8 * i));
  }
}

}  // namespace cairn
