// See console.h.
#include "client/cli/console.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <utility>

namespace cairn::cli {
namespace {

// To the top left corner, and all below it cleared.
constexpr char kClearScreen[] = "\033[H\033[J";

// The last of so many lines says how many more there are.
std::string FirstLines(const std::string& text, size_t lines) {
  const auto all = static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
  if (all <= lines) return text;
  size_t end = 0;
  for (size_t line = 1; line < lines; ++line) end = text.find('\n', end) + 1;
  return text.substr(0, end) + "(" + std::to_string(all - lines + 1) + " more lines)\n";
}

}  // namespace

Console Console::OfProcess() {
  auto kind = [](int fd) { return isatty(fd) == 1 ? StreamKind::kTerminal : StreamKind::kOther; };
  return Console(STDOUT_FILENO, kind(STDOUT_FILENO), STDERR_FILENO, kind(STDERR_FILENO),
                 TextStyle::kPlain, STDIN_FILENO, kind(STDIN_FILENO));
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
  if (frame_.has_value()) {
    frame_->append(text);
    return;
  }
  if (write_errno_ == 0) write_errno_ = WriteFully(out_fd_, text.data(), text.size());
}

void Console::WriteError(std::string_view text) {
  if (frame_.has_value() && frame_of_ == FrameOf::kBoth) {
    frame_->append(text);
    return;
  }
  // Nobody is left to tell when stderr fails.
  static_cast<void>(WriteFully(err_fd_, text.data(), text.size()));
}

int Console::error_width() const {
  winsize size{};
  if (ioctl(err_fd_, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

void Console::BeginFrame(FrameOf streams) {
  frame_.emplace();
  frame_of_ = streams;
}

void Console::EndFrame(FrameEnd end) {
  const std::string text = *std::exchange(frame_, std::nullopt);
  if (end == FrameEnd::kAppend) {
    Write(text);
    return;
  }
  winsize size{};
  const bool known = ioctl(out_fd_, TIOCGWINSZ, &size) == 0 && size.ws_row > 1;
  // The last line is the cursor's: a line feed there would scroll the first one away.
  const size_t lines = known ? size_t{size.ws_row} - 1 : std::numeric_limits<size_t>::max();
  Write(kClearScreen + FirstLines(text, lines));
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
