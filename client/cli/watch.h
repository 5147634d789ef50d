// --watch: the same look again and again, on every command that shows how something is.
#pragma once

#include <functional>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/time/time.h"
#include "client/cli/context.h"

namespace cairn::cli {

// What each look is where it cannot be drawn over the one before.
enum class LookForm {
  kBlock,  // a block of lines: gets the time above it and an empty line below
  kLine,   // one line, which says the time itself
};

struct WatchOptions {
  bool on = false;
  absl::Duration interval = absl::Seconds(2);
  LookForm form = LookForm::kBlock;
  std::string typed;  // for the parser
};

// Adds "-w,--watch[=TIME]". `until`: when it ends by itself, "until nothing is left"; empty: never.
// `options` outlive the parsing.
void AddWatchOption(CLI::App* command, WatchOptions* options, const std::string& until = "");

struct Look {
  int code;           // what the command exits with if it ends now
  bool last = false;  // there is nothing more to see
};

// Without --watch one look. With it, until a look is the last one or fails (Context::Fail), the
// reader of the output goes away, or a signal comes. On a terminal each takes the place of the one
// before; in JSON each is one line. Returns the exit code.
int RunLooks(Context& context, const WatchOptions& options, const std::function<Look()>& look);

}  // namespace cairn::cli
