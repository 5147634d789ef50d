#include "server/disk/thread_pool_disk.h"

#include <unistd.h>

#include <cerrno>
#include <utility>

#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "server/disk/disk_error.h"
#include "server/disk/transfer.h"

namespace cairn {
namespace {

// As the ring reports it.
int64_t Result(ssize_t returned) { return returned < 0 ? -errno : returned; }

absl::Status WriteAll(const Device& device, uint64_t offset_bytes, ConstBytes data) {
  Transfer transfer(Transfer::Kind::kWrite, device.path(), offset_bytes, data.size(),
                    device.size_bytes());
  while (!transfer.done()) {
    RETURN_IF_ERROR(transfer.Advance(
        Result(pwrite(device.fd(), data.data() + transfer.piece_start(), transfer.piece_length(),
                      static_cast<off_t>(transfer.piece_offset())))));
  }
  return absl::OkStatus();
}

absl::Status ReadAll(const Device& device, uint64_t offset_bytes, MutableBytes data) {
  Transfer transfer(Transfer::Kind::kRead, device.path(), offset_bytes, data.size(),
                    device.size_bytes());
  while (!transfer.done()) {
    RETURN_IF_ERROR(transfer.Advance(
        Result(pread(device.fd(), data.data() + transfer.piece_start(), transfer.piece_length(),
                     static_cast<off_t>(transfer.piece_offset())))));
  }
  return absl::OkStatus();
}

absl::Status FlushAll(const Device& device) {
  if (fdatasync(device.fd()) == 0) return absl::OkStatus();
  return DiskError(errno, StrCat("fdatasync of ", device.path()));
}

}  // namespace

ThreadPoolDisk::ThreadPoolDisk(BlockingRunner& runner, Device device, FlushMode flush_mode)
    : runner_(runner), device_(std::move(device)), flush_mode_(flush_mode) {}

ThreadPoolDisk::~ThreadPoolDisk() { CAIRN_CHECK(under_way_ == 0); }

Task<absl::Status> ThreadPoolDisk::Write(uint64_t offset_bytes, ConstBytes data) {
  absl::Status result;
  ++under_way_;
  co_await runner_.Run([&] { result = WriteAll(device_, offset_bytes, data); });
  --under_way_;
  co_return result;
}

Task<absl::Status> ThreadPoolDisk::Read(uint64_t offset_bytes, MutableBytes data) {
  absl::Status result;
  ++under_way_;
  co_await runner_.Run([&] { result = ReadAll(device_, offset_bytes, data); });
  --under_way_;
  co_return result;
}

Task<absl::Status> ThreadPoolDisk::Flush() {
  if (flush_mode_ == FlushMode::kUnsafeNone) co_return absl::OkStatus();
  absl::Status result;
  ++under_way_;
  co_await runner_.Run([&] { result = FlushAll(device_); });
  --under_way_;
  co_return result;
}

}  // namespace cairn
