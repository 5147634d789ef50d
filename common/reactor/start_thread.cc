#include "common/reactor/start_thread.h"

#include <pthread.h>
#include <signal.h>

#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"

namespace cairn {

absl::StatusOr<std::thread> StartThread(absl::AnyInvocable<void()> body) {
  sigset_t held_back;
  sigfillset(&held_back);
  // A blocked fault ends the process without its handler, and with that without a stack trace.
  for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT}) {
    sigdelset(&held_back, fault);
  }
  // A thread begins with its creator's mask: changed afterwards, there would be a gap.
  sigset_t before;
  pthread_sigmask(SIG_BLOCK, &held_back, &before);
  absl::StatusOr<std::thread> started;
  try {
    started = std::thread(std::move(body));
  } catch (const std::system_error& error) {
    started = absl::ResourceExhaustedError(
        absl::StrCat("no thread can be started (", error.what(),
                     "): raise the limit on processes or on the memory of this one"));
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return started;
}

}  // namespace cairn
