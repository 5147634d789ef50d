// The streams of the command and what is at their other ends. Made by main from the process's own
// descriptors, by tests from files.
#pragma once

#include <string_view>

#include "client/cli/table.h"

namespace cairn::cli {

enum class StreamKind { kTerminal, kOther };

// Writes to descriptors, unbuffered: output and errors appear in the order in which they were
// written. Not thread-safe but for WriteError.
class Console {
 public:
  // The process's stdin, stdout and stderr. Style follows NO_COLOR (any value but the empty one
  // means none) and TERM.
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
  // For tables on stdout.
  TextStyle style() const { return style_; }
  // Columns of the terminal at stderr; 80 when there is none.
  int error_width() const;

 private:
  int out_fd_;
  int err_fd_;
  StreamKind out_;
  StreamKind err_;
  TextStyle style_;
  int in_fd_;
  StreamKind in_;
  int write_errno_ = 0;
};

// Writes all of `data`, going on after short writes and signals. 0 or the errno.
int WriteFully(int fd, const void* data, size_t length);

}  // namespace cairn::cli
