// See console.h.
#include "client/cli/console.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace cairn::cli {

Console Console::OfProcess() {
  auto kind = [](int fd) { return isatty(fd) == 1 ? StreamKind::kTerminal : StreamKind::kOther; };
  const char* no_color = std::getenv("NO_COLOR");
  const char* term = std::getenv("TERM");
  const bool plain = (no_color != nullptr && *no_color != '\0') || term == nullptr ||
                     std::strcmp(term, "dumb") == 0;
  const StreamKind out = kind(STDOUT_FILENO);
  const bool color = !plain && out == StreamKind::kTerminal;
  return Console(STDOUT_FILENO, out, STDERR_FILENO, kind(STDERR_FILENO),
                 color ? TextStyle::kColor : TextStyle::kPlain, STDIN_FILENO, kind(STDIN_FILENO));
}

Console::Console(int out_fd, StreamKind out, int err_fd, StreamKind err, TextStyle style, int in_fd,
                 StreamKind in)
    : out_fd_(out_fd),
      err_fd_(err_fd),
      out_(out),
      err_(err),
      style_(style),
      in_fd_(in_fd),
      in_(in) {}

void Console::Write(std::string_view text) {
  if (write_errno_ == 0) write_errno_ = WriteFully(out_fd_, text.data(), text.size());
}

void Console::WriteError(std::string_view text) {
  // Nobody is left to tell when stderr fails.
  static_cast<void>(WriteFully(err_fd_, text.data(), text.size()));
}

int Console::error_width() const {
  winsize size{};
  if (ioctl(err_fd_, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

int WriteFully(int fd, const void* data, size_t length) {
  const char* at = static_cast<const char*>(data);
  while (length > 0) {
    const ssize_t n = write(fd, at, length);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    at += n;
    length -= static_cast<size_t>(n);
  }
  return 0;
}

}  // namespace cairn::cli
