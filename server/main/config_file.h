// Reads a TOML file into a configuration message. Field names, types and nesting come from the
// message itself, so the .proto is the only list of settings there is.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/config/server.pb.h"

namespace cairn {

// INVALID_ARGUMENT names file, line, field and what was expected. Integers must fit; unknown keys
// are errors.
absl::Status ParseConfig(std::string_view toml, std::string_view file_name,
                         google::protobuf::Message* config);

// As ParseConfig, from a file. NOT_FOUND, or PERMISSION_DENIED, when it cannot be read.
absl::StatusOr<config::Server> ReadServerConfig(const std::string& path);

// "64GiB", "500GB", "4096" → bytes. Units are powers of 1000 (KB MB GB TB) or of 1024 (KiB MiB GiB
// TiB).
absl::StatusOr<uint64_t> ParseSize(std::string_view text);

}  // namespace cairn
