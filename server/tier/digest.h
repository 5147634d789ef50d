// Hashes and encodings that S3 asks for, from OpenSSL: cryptography is not written by hand.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "common/base/units.h"

namespace cairn {

// Raw bytes, 32 and 16 of them.
struct PayloadDigest {
  std::string sha256;
  std::string md5;
};

// Of all `pieces`, one after the other, in one pass over the memory.
PayloadDigest DigestPayload(std::span<const ConstBytes> pieces);

// 32 raw bytes.
std::string Sha256(std::string_view text);
std::string HmacSha256(std::string_view key, std::string_view text);
// 16 raw bytes.
std::string Md5(std::string_view text);

// Lower case, as signatures have it.
std::string Hex(std::string_view bytes);
std::string Base64(std::string_view bytes);

inline ConstBytes BytesOf(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

}  // namespace cairn
