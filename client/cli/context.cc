// See context.h.
#include "client/cli/context.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace cairn::cli {
namespace {

// A restarting node is back by then; a wrong address should not cost a person a minute.
constexpr absl::Duration kConnectTimeout = absl::Seconds(5);

}  // namespace

Context::Context(Console* console, Interrupts* interrupts, const Clock* clock)
    : wait([interrupts](absl::Duration duration) { return interrupts->Wait(duration); }),
      console_(console),
      interrupts_(interrupts),
      clock_(clock) {}

ClientOptions Context::MakeClientOptions() const {
  ClientOptions client_options;
  client_options.endpoint = options.endpoint;
  client_options.timeout = options.timeout;
  client_options.connect_timeout = std::min(options.timeout, kConnectTimeout);
  return client_options;
}

Client* Context::Connect(int* exit_code) {
  *exit_code = kExitOk;
  if (client_ != nullptr) return client_.get();
  auto client = Client::Connect(MakeClientOptions());
  if (client.ok()) {
    client_ = *std::move(client);
    return client_.get();
  }
  *exit_code = Fail({"cannot connect to", options.endpoint, client.status()});
  return nullptr;
}

void Context::PrintJson(const Json& document) {
  const bool one_line = watching_ || options.output == OutputFormat::kNdjson;
  // Names need not be UTF-8; JSON has to be.
  const std::string text =
      document.dump(one_line ? -1 : 2, ' ', false, Json::error_handler_t::replace);
  console_->Write(absl::StrCat(text, "\n"));
}

int Context::Fail(const Failure& failure) {
  failed_ = true;
  if (interrupts_->signal() != 0 && !interrupts_->ends_in_order()) {
    console_->WriteError("cairn: interrupted\n");
    return 128 + interrupts_->signal();
  }
  Complain(failure);
  if (json()) PrintJson(Json{{"error", FailureJson(failure)}});
  return ExitCodeOf(failure.why);
}

void Context::Complain(const Failure& failure, Progress* progress) {
  const std::string line = DescribeFailure(failure);
  if (progress != nullptr) {
    progress->Note(line);
  } else {
    console_->WriteError(absl::StrCat(line, "\n"));
  }
}

}  // namespace cairn::cli
