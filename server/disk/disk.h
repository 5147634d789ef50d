// The disk seam: one device opened for direct I/O. The real ones are UringDisk and, where the
// kernel refuses io_uring, ThreadPoolDisk; the simulated one loses, tears and reorders what was not
// flushed.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "common/base/units.h"
#include "common/task/task.h"

namespace cairn {

// Lives on one executor; not thread-safe. Buffers belong to the disk until the call returns, and it
// returns only when the kernel is done with them.
class Disk {
 public:
  virtual ~Disk() = default;

  virtual uint64_t size_bytes() const = 0;
  // Offsets, lengths and buffer addresses are multiples of this (a power of two, at most 4 KiB).
  virtual uint64_t block_bytes() const = 0;

  // Writes all of `data`. On OK the bytes have reached the device but are not durable until a later
  // Flush() returns OK. Errors: DATA_LOSS (media), RESOURCE_EXHAUSTED (no space),
  // FAILED_PRECONDITION (the device is gone or takes no writes).
  virtual Task<absl::Status> Write(uint64_t offset_bytes, ConstBytes data) = 0;
  // Fills all of `data`. Errors: DATA_LOSS (media or a short read), FAILED_PRECONDITION (the device
  // is gone).
  virtual Task<absl::Status> Read(uint64_t offset_bytes, MutableBytes data) = 0;
  // Makes durable every write that returned before this call. An error means that unknown writes
  // are lost and that a second try would lie: the owner must stop using the disk.
  virtual Task<absl::Status> Flush() = 0;
};

}  // namespace cairn
