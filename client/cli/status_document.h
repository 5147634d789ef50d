// The status of a node in the command's own JSON: snake_case names, numbers as numbers, nothing
// left out.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/cli/context.h"
#include "client/cli/table.h"

namespace cairn::cli {

// From the protobuf JSON of cairn.wire.StatusReply, whatever the spelling of its names.
absl::StatusOr<Json> NormalizeStatus(std::string_view status_json, std::string_view endpoint);

// Asks the cluster. On error the failure is already reported, and the result is the exit code to
// return in `*exit_code`.
std::optional<Json> GetStatus(Context& context, int* exit_code);

// For people. REQUIRES: `status` is from NormalizeStatus.
std::string RenderStatus(const Json& status, TextStyle style);

// The same of its member "health", which is {"status": "ok", "warning" or "error", "items": [...]}:
// in full, and in a few words.
std::string RenderHealth(const Json& health, absl::Time now, TextStyle style);
std::string HealthLine(const Json& health);

}  // namespace cairn::cli
