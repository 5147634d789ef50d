#include "client/io/read_path.h"

#include <algorithm>
#include <utility>

#include "common/base/crc32c.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/task/scope.h"
#include "proto/wire/chunk.pb.h"
#include "proto/wire/meta.pb.h"

namespace cairn {
namespace {

constexpr absl::Duration kTryTimeout = absl::Seconds(20);
constexpr absl::Duration kRetryPause = absl::Milliseconds(50);
// A transfer can be damaged on the way, a disk block stays damaged: one more try tells them apart.
constexpr int kDamagedReadsMax = 2;

// What the reads of one call share. Lives in ReadRanges' frame.
struct Shared {
  Session& session;
  const std::vector<std::unique_ptr<MemoryRegion>>& regions;
  absl::Duration timeout;
  absl::Status failure;
  Scope scope;
};

// Compares the pieces with `crcs`: one for each part into which the fragment's block boundaries cut
// the range.
absl::Status Verify(const FragmentRead& read, const wire::ReadFragmentReply& reply) {
  uint64_t position = read.offset_bytes;
  const uint64_t end = read.offset_bytes + read.length_bytes;
  size_t piece = 0;
  uint64_t piece_done = 0;
  for (uint32_t expected : reply.piece_crcs()) {
    const uint64_t stop = std::min(end, AlignDown(position, kBlockBytes) + kBlockBytes);
    const uint64_t block = position / kBlockBytes;
    uint32_t crc = 0;
    while (position < stop) {
      const MutableBytes bytes = read.pieces[piece].bytes;
      const uint64_t length = std::min<uint64_t>(stop - position, bytes.size() - piece_done);
      crc = ExtendCrc32c(crc, bytes.subspan(piece_done, length));
      position += length;
      piece_done += length;
      if (piece_done == bytes.size()) {
        ++piece;
        piece_done = 0;
      }
    }
    if (crc != expected) {
      return absl::DataLossError(StrCat("stripe ", read.stripe.value(), ", block ", block,
                                        ": the bytes received do not match their checksum"));
    }
  }
  if (position != end) {
    return absl::DataLossError(
        StrCat("stripe ", read.stripe.value(), ": the reply lacks checksums for the last bytes"));
  }
  return absl::OkStatus();
}

// Moves `deadline` on by the time spent waiting for the node's window: it is for the call.
Task<absl::Status> ReadOnce(Shared& shared, const FragmentRead& read, Deadline& deadline) {
  const Clock& clock = Executor::Current().clock();
  absl::StatusOr<TargetRoute> route = co_await shared.session.Route(
      read.group, 0, Earlier(deadline, Deadline::After(clock, kTryTimeout)));
  if (!route.ok()) co_return route.status();
  const MonoTime queued = clock.Now();
  absl::Status admitted = co_await shared.session.TakeTurn(route->node->window(), shared.timeout);
  if (!admitted.ok()) co_return admitted;
  deadline = Deadline(deadline.at() + (clock.Now() - queued));
  wire::ReadFragmentRequest request;
  request.set_target(route->target.value());
  request.mutable_key()->set_stripe(read.stripe.value());
  request.set_offset_bytes(read.offset_bytes);
  request.set_length_bytes(read.length_bytes);
  CallOptions options{Earlier(deadline, Deadline::After(clock, kTryTimeout)), {}, {}};
  for (const ReadPiece& piece : read.pieces) {
    BulkDescriptor bulk = shared.regions[piece.range]->descriptor();
    bulk.address += piece.range_offset_bytes;
    bulk.length_bytes = piece.bytes.size();
    options.bulks.push_back(bulk);
  }
  absl::StatusOr<wire::ReadFragmentReply> reply =
      co_await route->node->Call<wire::ReadFragmentReply>(route->core, wire::READ_FRAGMENT, request,
                                                          std::move(options));
  route->node->window().Release(1);
  if (!reply.ok()) co_return reply.status();
  shared.session.NoteProgress();
  co_return Verify(read, *reply);
}

Task<absl::Status> ReadWithRetries(Shared& shared, const FragmentRead& read) {
  Deadline deadline = Deadline::After(Executor::Current().clock(), shared.timeout);
  int damaged = 0;
  while (true) {
    absl::Status status = co_await ReadOnce(shared, read, deadline);
    if (status.ok() || !shared.failure.ok()) co_return status;
    const bool node_is_gone = absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) ||
                              absl::IsCancelled(status);
    const bool retry = node_is_gone || (absl::IsDataLoss(status) && ++damaged < kDamagedReadsMax);
    if (!retry || deadline.Remaining(Executor::Current().clock()) <= kRetryPause) co_return status;
    absl::Status paused = co_await shared.session.Pause(kRetryPause);
    if (!paused.ok()) co_return paused;
  }
}

Task<void> ReadInWindow(Shared* shared, const FragmentRead* read) {
  absl::Status status = co_await ReadWithRetries(*shared, *read);
  if (!status.ok() && shared->failure.ok()) shared->failure = status;
  shared->session.window().Release(1);
}

// What it means that a target does not hold a fragment which the file's extents name. As long as
// the file stands nobody frees it.
Task<absl::Status> ExplainMissing(Session& session, OpenedFile file, absl::Status missing,
                                  absl::Duration timeout) {
  wire::GetExtentsRequest request;
  request.set_inode(file.inode);
  request.set_version(file.version);
  request.set_length_bytes(1);
  const Deadline deadline = Deadline::After(Executor::Current().clock(), timeout);
  absl::StatusOr<wire::GetExtentsReply> stands =
      co_await session.Meta<wire::GetExtentsReply>(wire::GET_EXTENTS, request, deadline);
  if (stands.ok()) {
    co_return absl::DataLossError(
        StrCat(ToStd(missing.message()),
               ", although the file refers to it: its bytes are lost. Read another checkpoint, and "
               "have the target's device and index looked at"));
  }
  if (!absl::IsNotFound(stands.status())) co_return stands.status();
  co_return absl::FailedPreconditionError(
      "the file was replaced or removed since it was opened; open it again");
}

Task<absl::Status> ReadPlanned(Session& session, const OpenedFile& file,
                               std::vector<WantedRange> ranges, absl::Duration timeout) {
  std::erase_if(ranges, [](const WantedRange& range) { return range.destination.empty(); });
  absl::StatusOr<std::vector<FragmentRead>> reads =
      PlanReads(file.extents, file.size_bytes, ranges);
  if (!reads.ok()) co_return reads.status();
  std::vector<std::unique_ptr<MemoryRegion>> regions;
  regions.reserve(ranges.size());
  for (const WantedRange& range : ranges) {
    absl::StatusOr<std::unique_ptr<MemoryRegion>> region =
        session.net().Register(range.destination, MemoryAccess::kRemoteWrite);
    if (!region.ok()) co_return region.status();
    regions.push_back(std::move(*region));
  }
  Shared shared{session, regions, timeout, absl::OkStatus(), {}};
  for (const FragmentRead& read : *reads) {
    absl::Status admitted = co_await session.TakeTurn(session.window(), timeout);
    if (!admitted.ok() && shared.failure.ok()) shared.failure = admitted;
    if (!shared.failure.ok()) {
      if (admitted.ok()) session.window().Release(1);
      break;
    }
    shared.scope.Spawn(ReadInWindow(&shared, &read));
  }
  co_await shared.scope.Join();
  co_return shared.failure;
}

}  // namespace

Task<absl::Status> ReadRanges(Session& session, OpenedFile file, std::vector<WantedRange> ranges,
                              absl::Duration timeout) {
  absl::Status read = co_await ReadPlanned(session, file, std::move(ranges), timeout);
  if (absl::IsNotFound(read)) read = co_await ExplainMissing(session, file, read, timeout);
  co_return read;
}

}  // namespace cairn
