// Any bytes as a superblock: never a crash, and what decodes encodes to the same again.
#include <cstddef>
#include <cstdint>
#include <span>

#include "common/base/check.h"
#include "common/base/units.h"
#include "server/chunk/inspect.h"
#include "server/chunk/superblock.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const cairn::ConstBytes block = std::as_bytes(std::span(data, size));
  cairn::DescribeSuperblock(block);
  const auto decoded = cairn::DecodeSuperblock(block);
  if (!decoded.ok() || !decoded->has_value()) return 0;
  const std::string encoded = cairn::EncodeSuperblock(**decoded);
  const auto again =
      cairn::DecodeSuperblock(std::as_bytes(std::span(encoded.data(), encoded.size())));
  CAIRN_CHECK(again.ok() && *again == *decoded);
  return 0;
}
