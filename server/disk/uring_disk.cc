#include "server/disk/uring_disk.h"

#include <liburing.h>

#include <cerrno>
#include <coroutine>
#include <utility>

#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "server/disk/disk_error.h"
#include "server/disk/transfer.h"

namespace cairn {

// One entry of the ring, in the frame of the coroutine that waits for it: a suspended task is never
// destroyed, so it stays in place until the kernel is done.
class UringDisk::Operation final : public RingOperation {
 public:
  explicit Operation(UringDisk& disk) : disk_(disk), entry_(disk.reactor_.GetSqe(this)) {
    ++disk_.under_way_;
  }
  io_uring_sqe* entry() const { return entry_; }

  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> waiter) { waiter_ = waiter; }
  int32_t await_resume() const { return result_; }

  void OnCompletion(int32_t result) override {
    result_ = result;
    --disk_.under_way_;
    disk_.reactor_.Post(waiter_);
  }

 private:
  UringDisk& disk_;
  io_uring_sqe* const entry_;
  std::coroutine_handle<> waiter_;
  int32_t result_ = 0;
};

UringDisk::UringDisk(Reactor& reactor, Device device, FlushMode flush_mode)
    : reactor_(reactor), device_(std::move(device)), flush_mode_(flush_mode) {
  CAIRN_CHECK(reactor.ring() != nullptr);
}

UringDisk::~UringDisk() { CAIRN_CHECK(under_way_ == 0); }

Task<absl::Status> UringDisk::Write(uint64_t offset_bytes, ConstBytes data) {
  Transfer transfer(Transfer::Kind::kWrite, device_.path(), offset_bytes, data.size(),
                    size_bytes());
  while (!transfer.done()) {
    Operation operation(*this);
    io_uring_prep_write(operation.entry(), device_.fd(), data.data() + transfer.piece_start(),
                        transfer.piece_length(), transfer.piece_offset());
    const int32_t result = co_await operation;
    absl::Status advanced = transfer.Advance(result);
    if (!advanced.ok()) co_return advanced;
  }
  co_return absl::OkStatus();
}

Task<absl::Status> UringDisk::Read(uint64_t offset_bytes, MutableBytes data) {
  Transfer transfer(Transfer::Kind::kRead, device_.path(), offset_bytes, data.size(), size_bytes());
  while (!transfer.done()) {
    Operation operation(*this);
    io_uring_prep_read(operation.entry(), device_.fd(), data.data() + transfer.piece_start(),
                       transfer.piece_length(), transfer.piece_offset());
    const int32_t result = co_await operation;
    absl::Status advanced = transfer.Advance(result);
    if (!advanced.ok()) co_return advanced;
  }
  co_return absl::OkStatus();
}

Task<absl::Status> UringDisk::Flush() {
  if (flush_mode_ == FlushMode::kUnsafeNone) co_return absl::OkStatus();
  int32_t result = -EINTR;
  // The kernel refuses an interrupted fsync before it starts, so asking again is not the retry that
  // lies.
  while (result == -EINTR || result == -EAGAIN) {
    Operation operation(*this);
    io_uring_prep_fsync(operation.entry(), device_.fd(), IORING_FSYNC_DATASYNC);
    result = co_await operation;
  }
  if (result < 0) co_return DiskError(-result, StrCat("fdatasync of ", device_.path()));
  co_return absl::OkStatus();
}

}  // namespace cairn
