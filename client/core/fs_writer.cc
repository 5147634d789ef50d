// Taking bytes, and when they go. How they go: fs_commit.cc.
#include "client/core/fs_writer.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "common/base/check.h"
#include "common/base/posix_error.h"
#include "common/base/status_macros.h"
#include "common/telemetry/log.h"

namespace cairn::client_internal {
namespace {

// Copied at once: the executor has others to serve.
constexpr uint64_t kCopyBytes = 1 * kMiB;
// Appended bytes on their way at once, unless who appends waits for them.
constexpr uint64_t kAppendBytes = 16 * kMiB;
constexpr uint64_t kOffsetMax = INT64_MAX;

}  // namespace

FsWriter::FsWriter(FsContext& context, FsContent& content, ReadAheadSource& owner)
    : context_(context),
      content_(content),
      owner_(owner),
      dirty_(std::make_shared<MemoryMeter>()),
      written_(context.stripe_bytes, dirty_),
      appended_(context.stripe_bytes, dirty_) {
  dirty_->whole = context.dirty;
}

FsWriter::~FsWriter() { CAIRN_CHECK(under_way_.empty() && open_ == nullptr); }

uint64_t FsWriter::size_bytes() const {
  return std::max(content_.size_bytes(), written_.end_bytes());
}

void FsWriter::NoteWritten(DirtyRanges::Carrier written_over, uint64_t bytes) {
  if (open_ != nullptr && written_over == open_->number) open_->is_written_over = true;
  context_.stats.bytes_written += bytes;
  if (dirty_since_ == MonoTime::Never()) dirty_since_ = context_.clock().Now();
  modified_ = context_.clock().WallNow();
}

Task<absl::Status> FsWriter::WaitForRoom() {
  const Deadline deadline = context_.Soon();
  while (context_.IsFull()) {
    if (context_.stop.stop_requested()) co_return PosixError(EIO, "the file system is closed");
    if (deadline.HasPassed(context_.clock())) {
      if (!last_failure_.ok()) co_return last_failure_;
      co_return PosixError(EIO, "what was written before cannot be handed over");
    }
    context_.relieve();
    co_await context_.room;
  }
  co_return absl::OkStatus();
}

Task<absl::Status> FsWriter::Write(uint64_t offset, ConstBytes bytes) {
  if (offset > kOffsetMax || bytes.size() > kOffsetMax - offset)
    co_return PosixError(EFBIG, "a file ends before 2^63 bytes");
  CO_RETURN_IF_ERROR(co_await CommitAppends());
  while (!bytes.empty()) {
    CO_RETURN_IF_ERROR(co_await WaitForRoom());
    const ConstBytes some = bytes.first(std::min<uint64_t>(bytes.size(), kCopyBytes));
    const DirtyRanges::Carrier written_over = written_.Write(offset, some);
    NoteWritten(written_over, some.size());
    if (written_.HasFullStripe()) Kick();
    offset += some.size();
    bytes = bytes.subspan(some.size());
  }
  co_return absl::OkStatus();
}

Task<absl::Status> FsWriter::WriteOwned(uint64_t offset, std::unique_ptr<std::byte[]> memory,
                                        uint64_t length) {
  if (offset > kOffsetMax || length > kOffsetMax - offset)
    co_return PosixError(EFBIG, "a file ends before 2^63 bytes");
  CO_RETURN_IF_ERROR(co_await CommitAppends());
  CO_RETURN_IF_ERROR(co_await WaitForRoom());
  NoteWritten(written_.WriteOwned(offset, std::move(memory), length), length);
  if (written_.HasFullStripe()) Kick();
  co_return absl::OkStatus();
}

Task<absl::StatusOr<uint64_t>> FsWriter::Append(ConstBytes bytes) {
  if (!written_.empty()) CO_RETURN_IF_ERROR(co_await Commit());
  CO_RETURN_IF_ERROR(co_await WaitForRoom());
  const uint64_t at = size_bytes() + appends_waiting_bytes();
  if (bytes.size() > kOffsetMax - at) co_return PosixError(EFBIG, "a file ends before 2^63 bytes");
  // In one step, so that no record is cut in two.
  appended_.Write(append_end_, bytes);
  append_end_ += bytes.size();
  NoteWritten(0, bytes.size());
  if (appended_.unsent_bytes() >= kAppendBytes) Kick();
  co_return at;
}

Task<absl::Status> FsWriter::CommitAppends() {
  if (!HasAppends()) co_return absl::OkStatus();
  co_return co_await Commit();
}

void FsWriter::Kick() {
  if (pumping_ || context_.clock().Now() < retry_at_) return;
  pumping_ = true;
  context_.scope.Spawn(Pump(this, owner_.Keep()));
}

Task<void> FsWriter::Pump(FsWriter* self, std::shared_ptr<void> /*keep*/) {
  while (self->written_.HasFullStripe() || self->appended_.unsent_bytes() >= kAppendBytes) {
    absl::Status held = co_await self->launching_.Acquire(1, Deadline::Infinite());
    if (!held.ok()) break;
    absl::Status launched;
    if (self->appended_.unsent_bytes() >= kAppendBytes) {
      launched = co_await self->LaunchAppends();
    } else if (self->written_.HasFullStripe()) {
      std::optional<DirtyPiece> piece = self->written_.TakeFullStripe(self->OpenBatch().number);
      launched = co_await self->Launch(self->open_, *std::move(piece));
      if (!launched.ok() || self->IsFull(*self->open_)) self->CloseOpen();
    }
    self->launching_.Release(1);
    // The next commit tries again, and tells.
    if (!launched.ok()) break;
  }
  self->pumping_ = false;
}

Task<absl::Status> FsWriter::Hold() {
  CO_RETURN_IF_ERROR(co_await launching_.Acquire(1, Deadline::Infinite()));
  CloseOpen();
  while (!under_way_.empty()) {
    const std::shared_ptr<Batch> batch = under_way_.front();
    co_await batch->ended;
  }
  co_return absl::OkStatus();
}

Task<void> FsWriter::GiveUp() {
  absl::Status held = co_await Hold();
  if (!held.ok()) co_return;
  if (!IsClean()) {
    CAIRN_LOG_ERROR("{} has lost {} bytes that were written to it: {}", content_.Describe(),
                    written_.unsent_bytes() + appended_.unsent_bytes(), last_failure_);
  }
  written_.Drop({0, UINT64_MAX});
  appended_.Drop({0, UINT64_MAX});
  append_done_ = append_end_ = 0;
  dirty_since_ = MonoTime::Never();
  Release();
  context_.NoteRoom();
}

}  // namespace cairn::client_internal
