// Any bytes as a fragment key and its index record: never a crash, and what decodes encodes to the
// same again. The checksum is put right first, or hardly any input would come further.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "common/base/check.h"
#include "common/base/crc32c.h"
#include "server/chunk/index_record.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  constexpr size_t kKeyBytes = 12;
  const auto key = cairn::DecodeFragmentKey(input.substr(0, kKeyBytes));
  if (!key) return 0;
  CAIRN_CHECK(cairn::EncodeFragmentKey(*key) == input.substr(0, kKeyBytes));
  std::string value(input.substr(kKeyBytes));
  (void)cairn::DecodeIndexRecord(*key, value);
  (void)cairn::DecodeIndexIdentity(value);
  if (value.size() < sizeof(uint32_t)) return 0;
  const auto bytes = [](std::string_view text) {
    return std::as_bytes(std::span(text.data(), text.size()));
  };
  const uint32_t crc = cairn::ExtendCrc32c(cairn::Crc32c(bytes(input.substr(0, kKeyBytes))),
                                           bytes(std::string_view(value).substr(sizeof(uint32_t))));
  std::memcpy(value.data(), &crc, sizeof(crc));
  const auto decoded = cairn::DecodeIndexRecord(*key, value);
  if (decoded.ok()) CAIRN_CHECK(cairn::EncodeIndexRecord(*key, *decoded) == value);
  return 0;
}
