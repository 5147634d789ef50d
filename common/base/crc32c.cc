#include "common/base/crc32c.h"

#include <isa-l/crc.h>

#include <algorithm>
#include <utility>

namespace cairn {
namespace {

// ISA-L takes an int length.
constexpr size_t kPieceBytes = size_t{1} << 30;

}  // namespace

uint32_t ExtendCrc32c(uint32_t crc, ConstBytes data) {
  // crc32_iscsi neither inverts its seed nor its result; CRC32C does both.
  uint32_t state = ~crc;
  while (!data.empty()) {
    const size_t length = std::min(data.size(), kPieceBytes);
    auto* bytes = reinterpret_cast<unsigned char*>(const_cast<std::byte*>(data.data()));
    state = crc32_iscsi(bytes, static_cast<int>(length), state);
    data = data.subspan(length);
  }
  return ~state;
}

uint32_t Crc32c(ConstBytes data) { return ExtendCrc32c(0, data); }

void BlockCrcs::Add(ConstBytes piece) {
  while (!piece.empty()) {
    const size_t length = std::min<size_t>(piece.size(), kBlockBytes - filled_bytes_);
    crc_ = ExtendCrc32c(crc_, piece.first(length));
    filled_bytes_ += length;
    piece = piece.subspan(length);
    if (filled_bytes_ == kBlockBytes) {
      crcs_.push_back(crc_);
      crc_ = 0;
      filled_bytes_ = 0;
    }
  }
}

std::vector<uint32_t> BlockCrcs::Finish() {
  if (filled_bytes_ > 0) crcs_.push_back(crc_);
  crc_ = 0;
  filled_bytes_ = 0;
  return std::exchange(crcs_, {});
}

}  // namespace cairn
