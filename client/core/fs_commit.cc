// How written bytes become the service's: pieces → stripes through the write path, or bytes that
// the metadata carries → seals → WRITE_EXTENTS. Batches of one file seal side by side and are told
// one after the other.
#include <algorithm>
#include <cerrno>
#include <utility>

#include "client/core/fs_extents.h"
#include "client/core/fs_writer.h"
#include "client/core/paging.h"
#include "common/base/check.h"
#include "common/base/posix_error.h"
#include "common/base/status_macros.h"
#include "common/telemetry/log.h"

namespace cairn::client_internal {
namespace {

// Large enough that seals and calls to the metadata do not count, small enough that several files
// have some under way.
constexpr uint64_t kBatchBytesMax = 64 * kMiB;
// Far fewer than a lease has left when it is taken.
constexpr size_t kBatchStripesMax = 256;
constexpr uint64_t kBatchCarriedMax = 1 * kMiB;
// A file with more in the metadata gets stripes, however small.
constexpr uint64_t kCarriedOfFileMax = 4 * kMiB;
// A lease that ends under a writer is bad luck; several in a row are not.
constexpr int kLeasesMax = 4;
constexpr absl::Duration kRetryMax = absl::Seconds(30);

}  // namespace

std::shared_ptr<FsWriter::Batch> FsWriter::NewBatch(bool appends) {
  auto batch = std::make_shared<Batch>();
  batch->number = ++batches_;
  batch->appends = appends;
  return batch;
}

FsWriter::Batch& FsWriter::OpenBatch() {
  if (open_ != nullptr && open_->is_written_over) CloseOpen();
  if (open_ == nullptr) open_ = NewBatch(false);
  return *open_;
}

bool FsWriter::IsFull(const Batch& batch) const {
  const uint64_t most = std::min(kBatchBytesMax, context_.options.dirty_bytes_max / 4);
  return batch.bytes >= most || batch.striped.size() >= kBatchStripesMax ||
         batch.carried_bytes >= kBatchCarriedMax;
}

bool FsWriter::IsCarried(const Batch& batch, const DirtyPiece& piece) const {
  // All of a batch of appended bytes goes in one message.
  if (batch.appends) return batch.carries_all;
  return piece.length_bytes <= kInlineBytesMax &&
         content_.attributes().inline_bytes() + batch.carried_bytes + piece.length_bytes <=
             kCarriedOfFileMax;
}

Task<absl::Status> FsWriter::Launch(std::shared_ptr<Batch> batch, DirtyPiece piece) {
  batch->bytes += piece.length_bytes;
  if (IsCarried(*batch, piece)) {
    batch->carried_bytes += piece.length_bytes;
    batch->carried.push_back(std::move(piece));
    co_return absl::OkStatus();
  }
  // Known before anything can fail: what is the batch's is put back with it.
  batch->striped.push_back(piece);
  absl::Status sent = co_await SendPiece(*batch, piece);
  if (!sent.ok() && batch->status.ok()) batch->status = sent;
  co_return sent;
}

Task<absl::Status> FsWriter::SendPiece(Batch& batch, const DirtyPiece& piece) {
  if (!batch.lease.has_value()) {
    const uint64_t inode = content_.inode();
    const uint64_t bucket = context_.names.BucketOf(inode).value_or(inode);
    absl::StatusOr<WriteLeases::Use> lease = co_await context_.leases->Take(bucket, inode);
    if (!lease.ok()) co_return lease.status();
    batch.lease.emplace(*std::move(lease));
    batch.path =
        std::make_unique<WritePath>(context_.session, batch.lease->ids(), context_.timeout);
  }
  std::vector<ConstBytes> bytes;
  for (const DirtyPiece::Slice& slice : piece.slices) bytes.push_back(slice.bytes());
  CO_RETURN_IF_ERROR(co_await batch.path->Write(std::move(bytes)));
  co_return co_await batch.path->EndStripe();
}

void FsWriter::CloseOpen() {
  if (open_ != nullptr) Close(std::exchange(open_, nullptr));
}

void FsWriter::Close(std::shared_ptr<Batch> batch) {
  if (!under_way_.empty()) batch->before = under_way_.back();
  under_way_.push_back(batch);
  context_.scope.Spawn(Finish(this, std::move(batch), owner_.Keep()));
}

Task<void> FsWriter::Finish(FsWriter* self, std::shared_ptr<Batch> batch,
                            std::shared_ptr<void> /*keep*/) {
  if (batch->path != nullptr) {
    absl::Status sealed = co_await batch->path->Flush();
    if (batch->status.ok()) batch->status = sealed;
    // Whatever went wrong: no server reads the memory any more.
    if (!batch->status.ok()) {
      co_await batch->path->Abandon();
      // What was written in vain takes room until the lease ends: now, and not when nobody has
      // written for a while, since whoever finds no room goes on trying.
      if (absl::IsResourceExhausted(batch->status)) batch->lease->Refuse();
    }
  }
  if (batch->before != nullptr) {
    const std::shared_ptr<Batch> before = std::exchange(batch->before, nullptr);
    co_await before->ended;
  }
  if (batch->status.ok()) {
    absl::Status told = co_await self->TellMetadata(*batch);
    batch->status = told;
  }
  self->Settle(*batch);
}

void FsWriter::Settle(Batch& batch) {
  const bool ok = batch.status.ok();
  DirtyRanges& ranges = batch.appends ? appended_ : written_;
  for (const std::vector<DirtyPiece>* pieces : {&batch.striped, &batch.carried}) {
    for (const DirtyPiece& piece : *pieces) {
      const ByteRange range{piece.offset_bytes, piece.offset_bytes + piece.length_bytes};
      if (ok) {
        ranges.Committed(range, batch.number);
      } else {
        ranges.Failed(range, batch.number);
      }
    }
  }
  if (ok) {
    if (batch.appends) append_done_ += batch.bytes;
    if (appended_.empty()) append_done_ = append_end_ = 0;
    context_.stats.stripes_written += batch.striped.size();
    context_.stats.inline_extents_written += batch.carried.size();
    ++context_.stats.commits;
    failures_ = 0;
    retry_at_ = MonoTime();
    last_failure_ = absl::OkStatus();
    if (IsClean()) modified_ = absl::InfinitePast();
  } else {
    if (batch.lease.has_value() && IsLeaseGone(batch.status)) batch.lease->Refuse();
    ++context_.stats.failed_commits;
    last_failure_ = batch.status;
    const absl::Duration pause = absl::Milliseconds(250) * (1 << std::min(failures_++, 8));
    retry_at_ = context_.clock().Now() + std::min(pause, kRetryMax);
    if (dirty_since_ == MonoTime::Never()) dirty_since_ = context_.clock().Now();
  }
  batch.path.reset();
  batch.lease.reset();
  batch.striped.clear();
  batch.carried.clear();
  std::erase_if(under_way_, [&](const auto& each) { return each.get() == &batch; });
  batch.ended.Set();
  context_.NoteRoom();
}

Task<absl::Status> FsWriter::TellMetadata(Batch& batch) {
  std::vector<wire::ExtentRun> extents;
  if (batch.path != nullptr) {
    std::vector<FilePiece> pieces;
    for (const DirtyPiece& piece : batch.striped)
      pieces.push_back({piece.offset_bytes, piece.length_bytes});
    extents = ToExtentRuns(pieces, batch.path->sealed(), batch.path->stripe_bytes());
  }
  for (const DirtyPiece& piece : batch.carried) extents.push_back(InlineExtent(piece));
  if (batch.appends) {
    for (wire::ExtentRun& extent : extents)
      extent.set_offset_bytes(extent.offset_bytes() - append_done_);
  }
  std::vector<std::vector<wire::ExtentRun>> pages = PageExtents(std::move(extents));
  if (batch.appends && pages.size() > 1)
    co_return absl::InternalError("appended bytes do not fit one message");
  for (std::vector<wire::ExtentRun>& page : pages)
    CO_RETURN_IF_ERROR(co_await TellPage(batch, std::move(page)));
  co_return absl::OkStatus();
}

Task<absl::Status> FsWriter::TellPage(Batch& batch, std::vector<wire::ExtentRun> page) {
  wire::WriteExtentsRequest request;
  *request.mutable_node() = context_.names.Refer(content_.inode());
  for (const wire::ExtentRun& extent : page) {
    if (extent.stripe_count() > 0) request.set_lease(batch.lease->id().value());
    *request.add_extents() = extent;
  }
  request.set_append(batch.appends);
  request.set_kill_privileges(true);
  request.set_buffered(true);
  absl::StatusOr<wire::WriteExtentsReply> reply =
      co_await context_.Ask<wire::WriteExtentsReply>(wire::WRITE_EXTENTS, request);
  if (CarriedPosixError(reply.status()) == EREMOTE) {
    // What is cut lies in a cold tier alone.
    CO_RETURN_IF_ERROR(co_await content_.FetchFromTier());
    reply = co_await context_.Ask<wire::WriteExtentsReply>(wire::WRITE_EXTENTS, request);
  }
  if (!reply.ok()) co_return reply.status();
  content_.LearnOwnChange(reply->attributes(), reply->previous_version(),
                          batch.appends ? nullptr : &page);
  co_return absl::OkStatus();
}

// The service has ended it, or has moved on. What is nobody's to mend carries an errno.
bool FsWriter::IsLeaseGone(const absl::Status& status) {
  if (CarriedPosixError(status) != 0) return false;
  return absl::IsAborted(status) || absl::IsFailedPrecondition(status) || absl::IsNotFound(status);
}

Task<absl::Status> FsWriter::LaunchRest() {
  dirty_since_ = MonoTime::Never();
  uint64_t from = 0;
  while (true) {
    std::optional<DirtyPiece> piece = written_.TakeNext(from, OpenBatch().number);
    if (!piece.has_value()) break;
    from = piece->offset_bytes + piece->length_bytes;
    absl::Status launched = co_await Launch(open_, *std::move(piece));
    if (!launched.ok() || IsFull(*open_)) CloseOpen();
    CO_RETURN_IF_ERROR(launched);
  }
  if (open_->bytes == 0) {
    open_.reset();
  } else {
    CloseOpen();
  }
  co_return co_await LaunchAppends();
}

Task<absl::Status> FsWriter::LaunchAppends() {
  // One batch after the other, lest one that fails ends up behind the next.
  while (!under_way_.empty() && HasAppends()) {
    const std::shared_ptr<Batch> batch = under_way_.back();
    co_await batch->ended;
  }
  if (appended_.unsent_bytes() == 0) co_return absl::OkStatus();
  const std::shared_ptr<Batch> batch = NewBatch(true);
  // All that is here now is taken in one step: what comes later is another batch's.
  std::vector<DirtyPiece> pieces;
  for (uint64_t from = 0;;) {
    std::optional<DirtyPiece> piece = appended_.TakeNext(from, batch->number);
    if (!piece.has_value()) break;
    from = piece->offset_bytes + piece->length_bytes;
    pieces.push_back(*std::move(piece));
  }
  const uint64_t bytes = pieces.back().offset_bytes + pieces.back().length_bytes - append_done_;
  batch->carries_all = bytes <= kInlineBytesMax;
  absl::Status all;
  for (DirtyPiece& piece : pieces) {
    // What was not launched is the batch's all the same, and waits for the next with it.
    if (all.ok()) {
      all = co_await Launch(batch, std::move(piece));
    } else {
      batch->striped.push_back(std::move(piece));
    }
  }
  Close(batch);
  co_return all;
}

Task<absl::Status> FsWriter::CommitOnce() {
  CO_RETURN_IF_ERROR(co_await launching_.Acquire(1, Deadline::Infinite()));
  absl::Status all = co_await LaunchRest();
  launching_.Release(1);
  const std::vector<std::shared_ptr<Batch>> batches(under_way_.begin(), under_way_.end());
  for (const std::shared_ptr<Batch>& batch : batches) {
    co_await batch->ended;
    if (all.ok()) all = batch->status;
  }
  co_return all;
}

Task<absl::Status> FsWriter::Commit() {
  absl::Status committed;
  for (int tries = 0; tries < kLeasesMax && HasUncommitted(); ++tries) {
    committed = co_await CommitOnce();
    if (committed.ok() || !IsLeaseGone(committed)) break;
  }
  co_return committed;
}

}  // namespace cairn::client_internal
