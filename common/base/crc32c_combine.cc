#include "common/base/crc32c_combine.h"

#include <algorithm>
#include <array>

#include "common/base/check.h"
#include "common/base/crc32c.h"

namespace cairn {
namespace {

// The reflected Castagnoli polynomial.
constexpr uint32_t kPolynomial = 0x82f63b78;

// Column i is the image of bit i.
using Matrix = std::array<uint32_t, 32>;

uint32_t Times(const Matrix& matrix, uint32_t vector) {
  uint32_t sum = 0;
  for (size_t i = 0; vector != 0; ++i, vector >>= 1) {
    if (vector & 1) sum ^= matrix[i];
  }
  return sum;
}

Matrix Product(const Matrix& a, const Matrix& b) {
  Matrix product{};
  for (size_t i = 0; i < 32; ++i) product[i] = Times(a, b[i]);
  return product;
}

// Appends one zero bit.
Matrix OneBit() {
  Matrix matrix{};
  matrix[0] = kPolynomial;
  for (size_t i = 1; i < 32; ++i) matrix[i] = uint32_t{1} << (i - 1);
  return matrix;
}

// Element i appends 2^i zero bytes.
using Powers = std::array<Matrix, 64>;

Powers ZeroBytePowers() {
  Powers powers;
  Matrix power = OneBit();
  for (int i = 0; i < 3; ++i) power = Product(power, power);  // one byte
  for (Matrix& each : powers) {
    each = power;
    power = Product(power, power);
  }
  return powers;
}

}  // namespace

uint32_t CombineCrc32c(uint32_t crc_a, uint32_t crc_b, uint64_t length_b) {
  static const Powers powers = ZeroBytePowers();
  for (size_t i = 0; length_b != 0; ++i, length_b >>= 1) {
    if (length_b & 1) crc_a = Times(powers[i], crc_a);
  }
  return crc_a ^ crc_b;
}

uint32_t CombineBlockCrcs(std::span<const uint32_t> block_crcs, uint64_t length_bytes) {
  CAIRN_CHECK(block_crcs.size() == DivideUp(length_bytes, kBlockBytes));
  uint32_t crc = 0;
  for (uint32_t block : block_crcs) {
    const uint64_t length = std::min(length_bytes, kBlockBytes);
    length_bytes -= length;
    crc = CombineCrc32c(crc, block, length);
  }
  return crc;
}

}  // namespace cairn
