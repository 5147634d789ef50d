// Integers as every format of Cairn has them, on disk (proto/disk/FORMAT.md) and on the wire
// (proto/wire/WIRE.md): little-endian, unaligned.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace cairn {

// Byte by byte: compilers make one move of it, and no alignment is needed. REQUIRES, here and
// below: `from` or `to` has sizeof(Integer) bytes.
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

template <class Integer>
void AppendLittleEndian(std::string& out, Integer value) {
  char bytes[sizeof(Integer)];
  StoreLittleEndian(bytes, value);
  out.append(bytes, sizeof(bytes));
}

}  // namespace cairn
