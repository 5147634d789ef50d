// The command `cairn`. Wires the process's streams and signals to the command line; the commands
// themselves are in one file a group (README.md).
#include <signal.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <string>
#include <vector>

#include "client/cli/arguments.h"
#include "client/cli/console.h"
#include "client/cli/context.h"
#include "client/cli/interrupts.h"
#include "client/fuse/mount.h"
#include "client/fuse/notifier_process.h"
#include "common/base/clock.h"

int main(int argc, char** argv) {
  using namespace cairn::cli;
#ifdef CAIRN_HAS_FUSE
  if (argc == 2 && std::strcmp(argv[1], cairn::kNotifierCommand) == 0)
    return cairn::RunNotifierProcess();
#endif
  // A closed pipe is seen as EPIPE by the one who writes to it, sockets of the SDK included.
  signal(SIGPIPE, SIG_IGN);
  Console console = Console::OfProcess();
  Interrupts interrupts;
  SignalWatcher watcher(&interrupts);
  cairn::SystemClock clock;
  int code = kExitError;
  try {
    Context context(&console, &interrupts, &clock);
#ifdef CAIRN_HAS_FUSE
    context.mounter = {cairn::RunMount, cairn::Unmount};
#endif
    code = RunCommandLine(std::vector<std::string>(argv + 1, argv + argc), context);
  } catch (const std::exception& error) {
    // Only memory can run out here: the SDK does not throw.
    std::fprintf(stderr, "cairn: failed: %s; free memory and try again\n", error.what());
    return kExitError;
  }
  // What a signal ends in order has ended as it should.
  if (interrupts.signal() != 0 && !interrupts.ends_in_order()) return 128 + interrupts.signal();
  if (console.write_errno() == EPIPE) return kExitClosedPipe;
  if (console.write_errno() != 0) {
    errno = console.write_errno();
    std::perror("cairn: cannot write the output");
    return kExitError;
  }
  return code;
}
