// The bookkeeping of one transfer that the kernel may do in several pieces: what is left after a
// short one, and which results are errors. Pure, so that both engines handle short I/O alike and a
// test can try every case.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace cairn {

class Transfer {
 public:
  enum class Kind { kRead, kWrite };
  // REQUIRES: offset and length are multiples of the block, and inside the device.
  Transfer(Kind kind, const std::string& path, uint64_t offset_bytes, uint64_t length_bytes,
           uint64_t device_bytes);

  bool done() const { return done_bytes_ == length_bytes_; }
  // Where the next piece starts and how long it may be; both in bytes.
  uint64_t piece_offset() const { return offset_bytes_ + done_bytes_; }
  uint64_t piece_start() const { return done_bytes_; }
  uint32_t piece_length() const;

  // Takes the result of a piece as a system call of io_uring gives it: bytes moved or -errno. OK:
  // go on unless done(). An error is final.
  absl::Status Advance(int64_t result);

 private:
  const Kind kind_;
  const std::string& path_;
  const uint64_t offset_bytes_;
  const uint64_t length_bytes_;
  uint64_t done_bytes_ = 0;
  int fruitless_ = 0;
};

}  // namespace cairn
