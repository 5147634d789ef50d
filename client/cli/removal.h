// Taking paths out of the cluster for good: what `rm` and `ckpt rm` have in common. Asks first, or
// only says what would go.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/statusor.h"
#include "cairn/client.h"
#include "client/cli/confirm.h"
#include "client/cli/context.h"

namespace cairn::cli {

struct RemovalArguments {
  std::vector<std::string> paths;  // as typed
  Consent consent;
};

// What goes with a path.
struct Contents {
  uint64_t files = 0;
  uint64_t size_bytes = 0;
  bool complete = true;  // else these are some of very many
};

struct Removal {
  std::string error;  // before the path: "cannot remove"
  // What would go. An error: it would be refused, and why.
  std::function<absl::StatusOr<Contents>(Client&, const std::string& path)> look;
  std::function<absl::Status(Client&, const std::string& path)> remove;
};

// Adds --yes and --dry-run. `arguments` outlive the parsing.
void AddRemovalOptions(CLI::App* command, RemovalArguments* arguments);

// Returns the exit code.
int RunRemoval(Context& context, const RemovalArguments& arguments, const Removal& removal);

// What is at a path and below it; reads so much and no more of what is very large.
absl::StatusOr<Contents> ContentsOf(Client& client, const std::string& path, const Entry& entry);

}  // namespace cairn::cli
