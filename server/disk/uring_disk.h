// The disk on io_uring: direct I/O through the reactor's own ring. Beside it: thread_pool_disk.h
// where the kernel refuses io_uring. Neither RWF_DSYNC (a flush per write instead of one per seal)
// nor registered buffers (slabs are on huge pages, which the kernel pins in no time) are used:
// README.md has the figures.
#pragma once

#include <cstdint>

#include "common/reactor/reactor.h"
#include "server/disk/device.h"
#include "server/disk/disk.h"

namespace cairn {

// What Flush() does.
enum class FlushMode {
  kDurable,
  kUnsafeNone,  // nothing: for tests that must see data lost
};

// Lives on the reactor that it is given, which has a ring. The number of operations under way is
// bounded by the callers' slabs. The destructor asserts that none is.
class UringDisk final : public Disk {
 public:
  UringDisk(Reactor& reactor, Device device, FlushMode flush_mode);
  ~UringDisk() override;
  UringDisk(const UringDisk&) = delete;
  UringDisk& operator=(const UringDisk&) = delete;

  uint64_t size_bytes() const override { return device_.size_bytes(); }
  uint64_t block_bytes() const override { return kDiskBlockBytes; }
  Task<absl::Status> Write(uint64_t offset_bytes, ConstBytes data) override;
  Task<absl::Status> Read(uint64_t offset_bytes, MutableBytes data) override;
  Task<absl::Status> Flush() override;

 private:
  class Operation;

  Reactor& reactor_;
  Device device_;
  const FlushMode flush_mode_;
  int64_t under_way_ = 0;
};

}  // namespace cairn
