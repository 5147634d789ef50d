// Any bytes as a configuration file: a message or a clear error, never a crash.

#include <cstdint>
#include <string_view>

#include "common/base/check.h"
#include "server/main/config_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  cairn::config::Server config;
  const absl::Status status = cairn::ParseConfig(text, "fuzz.toml", &config);
  CAIRN_CHECK(status.ok() || !status.message().empty());
  (void)cairn::ParseSize(text);
  return 0;
}
