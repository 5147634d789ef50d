// What every command gets: the global options, the console and, once asked for, the connected
// client.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cairn/client.h"
#include "client/cli/console.h"
#include "client/cli/failure.h"
#include "client/cli/interrupts.h"
#include "client/cli/progress.h"
#include "common/base/clock.h"
#include "nlohmann/json.hpp"

namespace cairn::cli {

using Json = nlohmann::ordered_json;

enum class OutputFormat { kTable, kJson };

struct GlobalOptions {
  std::string endpoint;  // empty: the environment's, else the default
  OutputFormat output = OutputFormat::kTable;
  absl::Duration timeout = absl::Seconds(60);
  ProgressMode progress = ProgressMode::kAuto;
};

// Used by the main thread; a command's workers use the client, the interrupts and their Progress
// only.
class Context {
 public:
  // All outlive it.
  Context(Console* console, Interrupts* interrupts, const Clock* clock);

  GlobalOptions options;
  // How a command waits between two looks: Interrupts::Wait(). Tests put their own here.
  std::function<absl::Status(absl::Duration)> wait;

  // Connects at the first call. On error the failure is already reported, and the result is the
  // exit code to return in `*exit_code`, the client null.
  Client* Connect(int* exit_code);
  ClientOptions MakeClientOptions() const;

  bool json() const { return options.output == OutputFormat::kJson; }
  Console& console() { return *console_; }
  Interrupts& interrupts() { return *interrupts_; }
  const Clock& clock() const { return *clock_; }
  TextStyle style() const { return console_->style(); }

  void Print(std::string_view text) { console_->Write(text); }
  // One document, indented, with a line feed.
  void PrintJson(const Json& document);

  // Reports and returns the exit code: one line on stderr, and with --output json {"error": ...} on
  // stdout.
  int Fail(const Failure& failure);
  // The line on stderr only, for one of several; a running bar is kept out of its way.
  void Complain(const Failure& failure, Progress* progress = nullptr);

 private:
  Console* console_;
  Interrupts* interrupts_;
  const Clock* clock_;
  std::unique_ptr<Client> client_;
};

// A command chosen by the arguments, ready to run. Returns the exit code.
using Command = std::function<int(Context&)>;

}  // namespace cairn::cli
