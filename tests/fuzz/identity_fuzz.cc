// Any bytes as cairn.id: an identity that encodes to something equal again, or a clear error.

#include <cstdint>
#include <string_view>

#include "common/base/check.h"
#include "server/main/data_directory.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto identity = cairn::DecodeIdentity(bytes);
  if (identity.ok()) {
    const auto again = cairn::DecodeIdentity(cairn::EncodeIdentity(*identity));
    CAIRN_CHECK(again.ok() && again->cluster_id() == identity->cluster_id());
  }
  return 0;
}
