// The disk on plain system calls in threads: for kernels and containers that refuse io_uring.
#pragma once

#include <cstdint>

#include "common/task/blocking.h"
#include "server/disk/device.h"
#include "server/disk/disk.h"
#include "server/disk/uring_disk.h"

namespace cairn {

// Lives on one executor. As many operations run at once as `runner` has threads; the others wait
// there, bounded by the callers' slabs.
class ThreadPoolDisk final : public Disk {
 public:
  ThreadPoolDisk(BlockingRunner& runner, Device device, FlushMode flush_mode);
  ~ThreadPoolDisk() override;
  ThreadPoolDisk(const ThreadPoolDisk&) = delete;
  ThreadPoolDisk& operator=(const ThreadPoolDisk&) = delete;

  uint64_t size_bytes() const override { return device_.size_bytes(); }
  uint64_t block_bytes() const override { return kDiskBlockBytes; }
  Task<absl::Status> Write(uint64_t offset_bytes, ConstBytes data) override;
  Task<absl::Status> Read(uint64_t offset_bytes, MutableBytes data) override;
  Task<absl::Status> Flush() override;

 private:
  BlockingRunner& runner_;
  Device device_;
  const FlushMode flush_mode_;
  int64_t under_way_ = 0;
};

}  // namespace cairn
