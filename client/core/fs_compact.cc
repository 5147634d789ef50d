// A file that was written in many small pieces is read back and written as stripes, by who wrote
// it, when nobody has it open any more or it rests.
#include <algorithm>
#include <utility>

#include "client/core/fs_extents.h"
#include "client/core/fs_file.h"
#include "common/base/status_macros.h"
#include "common/telemetry/log.h"

namespace cairn::client_internal {
namespace {

// Read and written at once: what a compaction takes of memory.
constexpr size_t kRangesAtOnce = 4;
// A file with more is compacted in several goes, so that others have their turn.
constexpr size_t kRangesMax = 256;

}  // namespace

bool FsFile::WantsCompaction() const {
  const wire::Attributes& attributes = content_.attributes();
  return !writer_.HasUncommitted() && !attributes.fixed() && attributes.links() > 0 &&
         attributes.version() != looked_at_ &&
         IsWorthCompacting(attributes.size_bytes(), attributes.inline_bytes(),
                           attributes.extents());
}

Task<void> FsFile::Compact() {
  absl::Status loaded = co_await content_.LoadExtents();
  if (!loaded.ok() || !content_.has_extents()) co_return;
  std::vector<ByteRange> plan =
      PlanCompaction(content_.extents(), context_.stripe_bytes, kRangesMax);
  looked_at_ = content_.attributes().version();
  absl::Status gathered;
  for (size_t at = 0; at < plan.size() && gathered.ok(); at += kRangesAtOnce) {
    const size_t end = std::min(plan.size(), at + kRangesAtOnce);
    // Somebody writes again: later.
    if (writer_.HasUncommitted() || context_.stop.stop_requested()) co_return;
    gathered = co_await Gather({plan.begin() + static_cast<std::ptrdiff_t>(at),
                                plan.begin() + static_cast<std::ptrdiff_t>(end)});
  }
  if (gathered.ok()) {
    looked_at_ = plan.size() == kRangesMax ? 0 : content_.attributes().version();
    if (!plan.empty()) ++context_.stats.compactions;
  } else if (!absl::IsAborted(gathered) && !absl::IsCancelled(gathered)) {
    // Of a file that has been removed meanwhile the content goes first.
    absl::Status there = co_await content_.Refresh();
    if (!there.ok() || content_.attributes().links() == 0) co_return;
    CAIRN_LOG_INFO("the pieces of {} cannot be gathered: {}", content_.Describe(), gathered);
  }
}

Task<absl::Status> FsFile::Gather(std::vector<ByteRange> ranges) {
  const uint64_t bucket = context_.names.BucketOf(inode()).value_or(inode());
  absl::StatusOr<WriteLeases::Use> lease = co_await context_.leases->Take(bucket, inode());
  if (!lease.ok()) co_return lease.status();
  // Until nothing is on its way any more.
  std::vector<std::unique_ptr<std::byte[]>> memory;
  WritePath path(context_.session, lease->ids(), context_.timeout);
  absl::Status gathered = co_await GatherInto(path, lease->id(), std::move(ranges), memory);
  if (!gathered.ok()) co_await path.Abandon();
  co_return gathered;
}

Task<absl::Status> FsFile::GatherInto(WritePath& path, LeaseId lease, std::vector<ByteRange> ranges,
                                      std::vector<std::unique_ptr<std::byte[]>>& memory) {
  const uint64_t version = content_.attributes().version();
  std::vector<FilePiece> pieces;
  for (const ByteRange& range : ranges) {
    const uint64_t length = range.end - range.begin;
    memory.emplace_back(new std::byte[length]);
    const MutableBytes bytes(memory.back().get(), length);
    CO_RETURN_IF_ERROR(co_await content_.ReadStable(range.begin, bytes));
    std::vector<ConstBytes> piece = {bytes};
    CO_RETURN_IF_ERROR(co_await path.Write(std::move(piece)));
    CO_RETURN_IF_ERROR(co_await path.EndStripe());
    pieces.push_back({range.begin, length});
  }
  CO_RETURN_IF_ERROR(co_await path.Flush());
  wire::WriteExtentsRequest request;
  *request.mutable_node() = context_.names.Refer(inode());
  request.set_lease(lease.value());
  for (wire::ExtentRun& run : ToExtentRuns(pieces, path.sealed(), path.stripe_bytes()))
    *request.add_extents() = std::move(run);
  request.set_rewrites_version(version);
  request.set_keep_size(true);
  request.set_buffered(true);
  const absl::StatusOr<wire::WriteExtentsReply> reply =
      co_await context_.Ask<wire::WriteExtentsReply>(wire::WRITE_EXTENTS, std::move(request));
  if (!reply.ok()) co_return reply.status();
  content_.LearnOwnChange(reply->attributes(), version, nullptr);
  co_return absl::OkStatus();
}

}  // namespace cairn::client_internal
