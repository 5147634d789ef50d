// See confirm.h.
#include "client/cli/confirm.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/status_macros.h"

namespace cairn::cli {
namespace {

// Ctrl-C does not end a read: the signal goes to another thread (interrupts.h). So often is looked
// whether one came.
constexpr int kLookMs = 100;
constexpr size_t kAnswerBytesMax = 1024;

absl::Status WaitForInput(int fd, const Interrupts& interrupts) {
  while (true) {
    RETURN_IF_ERROR(interrupts.Check());
    pollfd input = {fd, POLLIN, 0};
    // What has gone wrong is told by the read.
    if (poll(&input, 1, kLookMs) > 0) return absl::OkStatus();
  }
}

// Up to the line feed or the end of the input.
absl::Status ReadAnswer(int fd, const Interrupts& interrupts, std::string* answer) {
  char next = 0;
  while (answer->size() < kAnswerBytesMax) {
    RETURN_IF_ERROR(WaitForInput(fd, interrupts));
    const ssize_t n = read(fd, &next, 1);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (n <= 0 || next == '\n') return absl::OkStatus();
    answer->push_back(next);
  }
  return absl::OkStatus();
}

}  // namespace

void AddDryRunOption(CLI::App* command, Consent* consent) {
  command->add_flag("-n,--dry-run", consent->dry_run,
                    "Only say what would be done; changes nothing");
}

void AddYesOption(CLI::App* command, Consent* consent) {
  command->add_flag("-y,--yes", consent->yes, "Do not ask; needed where there is no terminal");
}

std::optional<int> RefuseUnasked(Context& context, const Consent& consent, const Deed& deed) {
  if (consent.yes || context.console().can_ask()) return std::nullopt;
  return context.Fail(
      {absl::StrCat("did not ", deed.verb), deed.subject,
       absl::FailedPreconditionError(
           absl::StrCat("it was not confirmed, and there is no terminal to ask on; add --yes to ",
                        deed.verb, " it for good"))});
}

std::optional<int> Ask(Context& context, const Consent& consent, const Deed& deed,
                       const std::string& question) {
  if (consent.yes) return std::nullopt;
  const absl::Status confirmed = Confirm(context, question);
  if (confirmed.ok()) return std::nullopt;
  return context.Fail({absl::StrCat("did not ", deed.verb), deed.subject, confirmed});
}

absl::Status Confirm(Context& context, const std::string& question) {
  CAIRN_CHECK(context.console().can_ask());
  context.console().WriteError(absl::StrCat(question, " [y/N] "));
  std::string answer;
  RETURN_IF_ERROR(ReadAnswer(context.console().in_fd(), context.interrupts(), &answer));
  answer = absl::AsciiStrToLower(absl::StripAsciiWhitespace(answer));
  if (answer == "y" || answer == "yes") return absl::OkStatus();
  return absl::CancelledError("the answer was not yes; nothing has changed");
}

}  // namespace cairn::cli
