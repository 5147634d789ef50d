#include "client/core/fs_file.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "client/core/fs_extents.h"
#include "client/core/fs_mount.h"
#include "common/base/posix_error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/telemetry/log.h"

namespace cairn::client_internal {

void FsFile::Detach(const Handle& handle) {
  std::erase_if(handles_, [&](const auto& each) { return each.get() == &handle; });
}

absl::Status FsFile::TakeUntold(Handle& handle) {
  return std::exchange(handle.untold, absl::OkStatus());
}

absl::Status FsFile::CheckUsable() const {
  if (context_.stop.stop_requested()) return PosixError(EIO, "the file system is closed");
  if (!context_.mount->HasLost(content_.inode())) return absl::OkStatus();
  return PosixError(
      EIO, StrCat("a lock of ", content_.Describe(), " was lost; unlock or close it first"));
}

absl::Status FsFile::CheckWritable(Handle& handle) {
  RETURN_IF_ERROR(CheckUsable());
  RETURN_IF_ERROR(TakeUntold(handle));
  if (!content_.attributes().fixed()) return absl::OkStatus();
  return PosixError(EROFS, "a committed checkpoint is fixed");
}

// ---- reading ----

std::vector<WantedRange> FsFile::FillGaps(const std::vector<ByteRange>& gaps, uint64_t offset,
                                          MutableBytes destination) {
  std::vector<WantedRange> wanted;
  const uint64_t size = content_.size_bytes();
  for (const ByteRange& gap : gaps) {
    MutableBytes to = destination.subspan(gap.begin - offset, gap.end - gap.begin);
    const uint64_t there = std::min(gap.end, std::max(gap.begin, size)) - gap.begin;
    std::memset(to.data() + there, 0, to.size() - there);
    to = to.first(there);
    const uint64_t done = content_.readahead().CopyTo(gap.begin, to);
    if (done < to.size()) wanted.push_back({gap.begin + done, to.subspan(done)});
  }
  return wanted;
}

Task<absl::StatusOr<std::optional<size_t>>> FsFile::ReadOnce(uint64_t offset,
                                                             MutableBytes destination) {
  CO_RETURN_IF_ERROR(co_await writer_.CommitAppends());
  const uint64_t size = writer_.size_bytes();
  if (offset >= size) co_return size_t{0};
  MutableBytes to = destination.first(std::min<uint64_t>(destination.size(), size - offset));
  CO_RETURN_IF_ERROR(co_await content_.Prepare(offset, to.size()));
  // From here to where reading begins nothing is awaited, so that what is committed meanwhile is
  // in one of the two.
  if (!content_.has_extents() || writer_.size_bytes() < offset + to.size()) co_return std::nullopt;
  const std::vector<ByteRange> gaps = writer_.written().CopyTo(offset, to);
  std::vector<WantedRange> wanted = FillGaps(gaps, offset, to);
  for (const WantedRange& range : wanted) {
    if (!content_.readahead().IsLoading(range.offset_bytes)) continue;
    co_await content_.readahead().WaitFor(range.offset_bytes);
    co_return std::nullopt;
  }
  if (!wanted.empty()) CO_RETURN_IF_ERROR(co_await content_.Read(std::move(wanted)));
  co_return to.size();
}

void FsFile::ReadAheadOf(Handle& handle, uint64_t offset, uint64_t length) {
  const uint64_t ahead = handle.pattern.Note(offset, length, context_.options.readahead_bytes);
  if (ahead == 0) return;
  const uint64_t next = handle.pattern.next();
  content_.readahead().DropBehind(next);
  // From the offset on, so that those who want other parts of the same stripe find it on its way.
  content_.readahead().Want(offset, next + ahead, content_.size_bytes());
}

Task<absl::StatusOr<size_t>> FsFile::ReadInto(uint64_t offset, MutableBytes destination) {
  for (int tries = 0;;) {
    absl::StatusOr<std::optional<size_t>> read = co_await ReadOnce(offset, destination);
    if (!read.ok()) {
      const bool changed = co_await content_.HasChanged(read.status(), tries++);
      if (!changed) co_return read.status();
      continue;
    }
    if (!read->has_value()) continue;
    context_.stats.bytes_read += **read;
    co_return **read;
  }
}

Task<absl::StatusOr<size_t>> FsFile::Read(std::shared_ptr<Handle> handle, uint64_t offset,
                                          MutableBytes destination) {
  CO_RETURN_IF_ERROR(CheckUsable());
  ReadAheadOf(*handle, offset, destination.size());
  co_return co_await ReadInto(offset, destination);
}

Task<absl::StatusOr<FileView>> FsFile::ReadView(std::shared_ptr<Handle> handle, uint64_t offset,
                                                MutableBytes scratch) {
  CO_RETURN_IF_ERROR(CheckUsable());
  ReadAheadOf(*handle, offset, scratch.size());
  ReadAhead& readahead = content_.readahead();
  while (!writer_.HasUncommitted() && readahead.IsLoading(offset))
    co_await readahead.WaitFor(offset);
  // What was written here lies over what was read ahead.
  if (!writer_.HasUncommitted() && offset < content_.size_bytes()) {
    const uint64_t length = std::min<uint64_t>(scratch.size(), content_.size_bytes() - offset);
    if (std::optional<FileView> view = readahead.ViewOf(offset, length); view.has_value()) {
      context_.stats.bytes_read += length;
      co_return *std::move(view);
    }
  }
  const absl::StatusOr<size_t> read = co_await ReadInto(offset, scratch);
  if (!read.ok()) co_return read.status();
  co_return FileView{scratch.first(*read), nullptr};
}

Task<absl::StatusOr<uint64_t>> FsFile::Seek(OpenFile::SeekTo what, uint64_t offset) {
  CO_RETURN_IF_ERROR(co_await writer_.Commit());
  do {
    CO_RETURN_IF_ERROR(co_await content_.LoadExtents());
  } while (!content_.has_extents());
  const std::optional<uint64_t> found = SeekInExtents(content_.extents(), content_.size_bytes(),
                                                      offset, what == OpenFile::SeekTo::kHole);
  if (!found.has_value()) co_return PosixError(ENXIO, "nothing of the kind before the end");
  co_return *found;
}

// ---- writing ----

Task<absl::Status> FsFile::Write(std::shared_ptr<Handle> handle, uint64_t offset,
                                 ConstBytes bytes) {
  CO_RETURN_IF_ERROR(CheckWritable(*handle));
  context_.NoteChangeOf(inode());
  co_return co_await writer_.Write(offset, bytes);
}

Task<absl::Status> FsFile::WriteOwned(std::shared_ptr<Handle> handle, uint64_t offset,
                                      std::unique_ptr<std::byte[]> memory, uint64_t length) {
  CO_RETURN_IF_ERROR(CheckWritable(*handle));
  context_.NoteChangeOf(inode());
  co_return co_await writer_.WriteOwned(offset, std::move(memory), length);
}

Task<absl::StatusOr<uint64_t>> FsFile::Append(std::shared_ptr<Handle> handle, ConstBytes bytes) {
  CO_RETURN_IF_ERROR(CheckWritable(*handle));
  context_.NoteChangeOf(inode());
  co_return co_await writer_.Append(bytes);
}

Task<absl::Status> FsFile::Flush(std::shared_ptr<Handle> handle) {
  absl::Status committed = co_await writer_.Commit();
  if (!committed.ok()) {
    // Told now.
    handle->untold = absl::OkStatus();
    co_return committed;
  }
  CO_RETURN_IF_ERROR(CheckUsable());
  co_return TakeUntold(*handle);
}

Task<absl::Status> FsFile::CommitInBackground() {
  absl::Status committed = co_await writer_.Commit();
  if (committed.ok() || absl::IsCancelled(committed)) co_return committed;
  CAIRN_LOG_WARN("what was written to {} cannot be committed, and is tried again: {}",
                 content_.Describe(), committed);
  for (const std::shared_ptr<Handle>& handle : handles_)
    if (handle->untold.ok()) handle->untold = committed;
  co_return committed;
}

Task<absl::Status> FsFile::PutHole(ByteRange range, bool keep_size) {
  CO_RETURN_IF_ERROR(co_await writer_.Commit());
  CO_RETURN_IF_ERROR(co_await writer_.Hold());
  wire::WriteExtentsRequest request;
  *request.mutable_node() = context_.names.Refer(inode());
  const std::vector<wire::ExtentRun> holes = {HoleExtent(range)};
  *request.add_extents() = holes[0];
  request.set_keep_size(keep_size);
  request.set_kill_privileges(true);
  request.set_buffered(true);
  absl::StatusOr<wire::WriteExtentsReply> reply =
      co_await context_.Ask<wire::WriteExtentsReply>(wire::WRITE_EXTENTS, request);
  if (CarriedPosixError(reply.status()) == EREMOTE) {
    absl::Status fetched = co_await content_.FetchFromTier();
    if (fetched.ok())
      reply = co_await context_.Ask<wire::WriteExtentsReply>(wire::WRITE_EXTENTS, request);
  }
  if (reply.ok()) {
    content_.LearnOwnChange(reply->attributes(), reply->previous_version(), nullptr);
    writer_.Drop(range);
  }
  writer_.Release();
  co_return reply.status();
}

Task<absl::Status> FsFile::Allocate(OpenFile::Allocation what, uint64_t offset, uint64_t length) {
  using Allocation = OpenFile::Allocation;
  if (length == 0) co_return PosixError(EINVAL, "an empty range");
  if (offset > INT64_MAX || length > INT64_MAX - offset)
    co_return PosixError(EFBIG, "a file ends before 2^63 bytes");
  if (content_.attributes().fixed()) co_return PosixError(EROFS, "a committed checkpoint is fixed");
  if (what == Allocation::kAllocateKeepSize) co_return absl::OkStatus();
  ByteRange range{offset, offset + length};
  CO_RETURN_IF_ERROR(co_await writer_.Commit());
  CO_RETURN_IF_ERROR(co_await content_.Refresh());
  const uint64_t size = writer_.size_bytes();
  if (what == Allocation::kAllocate) {
    range.begin = std::max(range.begin, size);
    if (range.begin >= range.end) co_return absl::OkStatus();
    co_return co_await PutHole({size, range.end}, false);
  }
  const bool keeps_size = what != Allocation::kZeroRange;
  if (keeps_size) range.end = std::min(range.end, size);
  if (range.begin >= range.end) co_return absl::OkStatus();
  co_return co_await PutHole(range, keeps_size);
}

// ---- attributes ----

Task<absl::StatusOr<wire::Attributes>> FsFile::AskForAttributes(
    wire::SetAttributesRequest request) {
  absl::StatusOr<wire::SetAttributesReply> reply =
      co_await context_.Ask<wire::SetAttributesReply>(wire::SET_ATTRIBUTES, request);
  if (CarriedPosixError(reply.status()) == EREMOTE) {
    CO_RETURN_IF_ERROR(co_await content_.FetchFromTier());
    reply = co_await context_.Ask<wire::SetAttributesReply>(wire::SET_ATTRIBUTES, request);
  }
  if (!reply.ok()) co_return reply.status();
  if (request.has_size_bytes()) {
    content_.LearnOwnChange(reply->attributes(), reply->previous_version(), nullptr);
  } else {
    content_.Learn(reply->attributes());
  }
  co_return reply->attributes();
}

Task<absl::StatusOr<wire::Attributes>> FsFile::SetAttributes(wire::SetAttributesRequest request) {
  if (!request.has_size_bytes() || request.has_modified_at_ns() || request.has_mode()) {
    // A commit later on would undo what is set now.
    CO_RETURN_IF_ERROR(co_await writer_.Commit());
  }
  if (!request.has_size_bytes()) co_return co_await AskForAttributes(std::move(request));
  CO_RETURN_IF_ERROR(co_await writer_.CommitAppends());
  CO_RETURN_IF_ERROR(co_await writer_.Hold());
  const uint64_t size = request.size_bytes();
  absl::StatusOr<wire::Attributes> attributes = co_await AskForAttributes(std::move(request));
  if (attributes.ok()) writer_.Drop({size, UINT64_MAX});
  writer_.Release();
  co_return attributes;
}

Task<wire::Attributes> FsFile::Complete(wire::Attributes attributes, uint64_t asked_at) {
  content_.Learn(attributes, asked_at);
  // What cannot be committed now counts as if it lay at the end; its error is told with it.
  (void)co_await writer_.CommitAppends();
  // What is known may be newer than what was answered.
  if (attributes.version() < content_.attributes().version()) attributes = content_.attributes();
  if (!writer_.HasUncommitted()) co_return attributes;
  attributes.set_size_bytes(std::max(attributes.size_bytes(), writer_.size_bytes()) +
                            writer_.appends_waiting_bytes());
  if (writer_.modified() != absl::InfinitePast()) {
    const int64_t modified = absl::ToUnixNanos(writer_.modified());
    attributes.set_modified_at_ns(std::max<int64_t>(attributes.modified_at_ns(), modified));
    attributes.set_changed_at_ns(std::max<int64_t>(attributes.changed_at_ns(), modified));
  }
  co_return attributes;
}

}  // namespace cairn::client_internal
