// The streams of the command and what is at their other ends. Made by main from the process's own
// descriptors, by tests from files.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "client/cli/table.h"

namespace cairn::cli {

enum class StreamKind { kTerminal, kOther };

// Writes to descriptors, unbuffered: output and errors appear in the order in which they were
// written. Frames are the exception. Not thread-safe but for WriteError.
class Console {
 public:
  // The process's stdin, stdout and stderr, without colors.
  static Console OfProcess();
  // Takes the descriptors as they are; they stay the caller's. No stdin: nobody can be asked.
  Console(int out_fd, StreamKind out, int err_fd, StreamKind err, TextStyle style, int in_fd = -1,
          StreamKind in = StreamKind::kOther);

  void Write(std::string_view text);
  void WriteError(std::string_view text);
  // Whether some Write() failed, with its errno; 0: all is written. A closed pipe is EPIPE.
  int write_errno() const { return write_errno_; }

  bool out_is_terminal() const { return out_ == StreamKind::kTerminal; }
  bool err_is_terminal() const { return err_ == StreamKind::kTerminal; }
  // Someone sees a question on stderr and can answer it on stdin.
  bool can_ask() const { return in_ == StreamKind::kTerminal && err_is_terminal(); }
  int out_fd() const { return out_fd_; }
  int in_fd() const { return in_fd_; }
  // A terminal that obeys nothing but line feeds, whatever it is: no colors, no bars, no redrawing.
  void SetDumb() { dumb_ = true; }
  // What has been shown can be drawn anew: on stdout, on stderr.
  bool can_redraw() const { return out_is_terminal() && !dumb_; }
  bool can_redraw_error() const { return err_is_terminal() && !dumb_; }
  // For tables on stdout.
  TextStyle style() const { return style_; }
  void SetStyle(TextStyle style) { style_ = style; }
  // Columns of the terminal at stderr; 80 when there is none.
  int error_width() const;

  // From here on what is written to stdout is kept until the frame is shown: nobody sees a screen
  // that is half drawn. kBoth keeps what is written to stderr, too: it is shown on the same screen.
  enum class FrameOf { kOutput, kBoth };
  void BeginFrame(FrameOf streams);
  // kRedraw: in the place of what the screen shows, cut to its height.
  enum class FrameEnd { kRedraw, kAppend };
  void EndFrame(FrameEnd end);

 private:
  int out_fd_;
  int err_fd_;
  StreamKind out_;
  StreamKind err_;
  TextStyle style_;
  int in_fd_;
  StreamKind in_;
  int write_errno_ = 0;
  bool dumb_ = false;
  std::optional<std::string> frame_;
  FrameOf frame_of_ = FrameOf::kOutput;
};

// Writes all of `data`, going on after short writes and signals. 0 or the errno.
int WriteFully(int fd, const void* data, size_t length);

}  // namespace cairn::cli
