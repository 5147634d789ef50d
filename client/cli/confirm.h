// --yes and --dry-run: asking before what cannot be taken back, and only saying what would be done.
#pragma once

#include <optional>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "client/cli/context.h"

namespace cairn::cli {

struct Consent {
  bool yes = false;
  bool dry_run = false;
};

// Adds "-n,--dry-run", and "-y,--yes" to a command that asks. `consent` outlives the parsing.
void AddDryRunOption(CLI::App* command, Consent* consent);
void AddYesOption(CLI::App* command, Consent* consent);

// Of a command that takes something away for good: "remove", "node 3".
struct Deed {
  std::string verb;
  std::string subject;
};

// Whether it may go on to ask, or need not: nothing. Else it is refused, as there is nobody to ask;
// that is reported, and the result is the exit code. Comes before the cluster is asked for details.
std::optional<int> RefuseUnasked(Context& context, const Consent& consent, const Deed& deed);

// Asks `question`, unless --yes was given. Nothing: go on. Else it is reported, and the result is
// the exit code. REQUIRES: RefuseUnasked() has let it pass.
std::optional<int> Ask(Context& context, const Consent& consent, const Deed& deed,
                       const std::string& question);

// Asks `question` on the terminal. OK: the answer was yes. CANCELLED: it was not, or a signal came.
// REQUIRES: the console can ask.
absl::Status Confirm(Context& context, const std::string& question);

}  // namespace cairn::cli
