// What every command gets: the global options, the console and, once asked for, the connected
// client. Lists in JSON: json_list.h.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cairn/client.h"
#include "client/cli/console.h"
#include "client/cli/failure.h"
#include "client/cli/interrupts.h"
#include "client/cli/progress.h"
#include "client/cli/settings.h"
#include "client/fuse/mount.h"
#include "common/base/clock.h"
#include "nlohmann/json.hpp"

namespace cairn::cli {

using Json = nlohmann::ordered_json;

// Used by the main thread; a command's workers use the client, the interrupts and their Progress
// only.
class Context {
 public:
  // All outlive it.
  Context(Console* console, Interrupts* interrupts, const Clock* clock);

  // For the settings; the process's, unless a test puts another here.
  Environment environment = ProcessEnvironment();
  // These are set before the command runs: as they were typed, without the program's name, and what
  // comes of them.
  std::vector<std::string> arguments;
  GlobalOptions options;
  Settings settings;
  // Empty where there is no FUSE. Set by main.
  Mounter mounter;
  // How a command waits between two looks: Interrupts::Wait(). Tests put their own here.
  std::function<absl::Status(absl::Duration)> wait;

  // Connects at the first call. On error the failure is already reported, and the result is the
  // exit code to return in `*exit_code`, the client null.
  Client* Connect(int* exit_code);
  ClientOptions MakeClientOptions() const;

  // JSON is wanted, in one of its two forms.
  bool json() const { return options.output != OutputFormat::kTable; }
  // Elements of lists are printed as they come, each in a line.
  bool streams_json() const { return options.output == OutputFormat::kNdjson && !watching_; }
  Console& console() { return *console_; }
  Interrupts& interrupts() { return *interrupts_; }
  const Clock& clock() const { return *clock_; }
  TextStyle style() const { return console_->style(); }

  void Print(std::string_view text) { console_->Write(text); }
  // One document with a line feed: indented, or, as ndjson and while watching, in one line.
  void PrintJson(const Json& document);

  // Reports and returns the exit code: one line on stderr, and with --output json {"error": ...} on
  // stdout.
  int Fail(const Failure& failure);
  // Whether Fail() has been called.
  bool failed() const { return failed_; }
  // The same is going to be looked at again and again: each look is one JSON document in one line.
  void BeginWatching() { watching_ = true; }
  // The line on stderr only, for one of several; a running bar is kept out of its way.
  void Complain(const Failure& failure, Progress* progress = nullptr);

 private:
  Console* console_;
  Interrupts* interrupts_;
  const Clock* clock_;
  std::unique_ptr<Client> client_;
  bool failed_ = false;
  bool watching_ = false;
};

// A command chosen by the arguments, ready to run. Returns the exit code.
using Command = std::function<int(Context&)>;

}  // namespace cairn::cli
