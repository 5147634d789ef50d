// The status of a node in the command's own JSON: snake_case names, numbers as numbers, nothing
// left out.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "client/cli/context.h"
#include "client/cli/table.h"

namespace cairn::cli {

// From the protobuf JSON of cairn.wire.StatusReply, whatever the spelling of its names.
absl::StatusOr<Json> NormalizeStatus(std::string_view status_json, std::string_view endpoint);

// For people. REQUIRES: `status` is from NormalizeStatus.
std::string RenderStatus(const Json& status, TextStyle style);

}  // namespace cairn::cli
