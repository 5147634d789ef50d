#include "client/io/read_path.h"

#include <algorithm>
#include <utility>

#include "client/io/cold_read.h"
#include "client/io/hedged_read.h"
#include "client/io/map_index.h"
#include "client/io/silence.h"
#include "common/base/strings.h"
#include "common/task/scope.h"
#include "proto/wire/meta.pb.h"

namespace cairn {
namespace {

constexpr absl::Duration kRetryPause = absl::Milliseconds(50);
// A transfer can be damaged on the way, a disk block stays damaged: one more try tells them apart.
constexpr int kDamagedReadsMax = 2;

// What the reads of one call share. Lives in ReadRanges' frame.
struct Shared {
  Session& session;
  const Regions& regions;
  absl::Duration timeout;
  absl::Status failure;
  Scope scope;
};

// --- Reading ---

Task<absl::Status> ReadWithRetries(Shared& shared, const FragmentRead& read) {
  Deadline deadline = Deadline::After(Executor::Current().clock(), shared.timeout);
  const Delivery to{shared.session, shared.regions, shared.timeout};
  int damaged = 0;
  while (true) {
    ReadOutcome read_once = co_await ReadHedged(to, read, deadline);
    absl::Status status = std::move(read_once.held);
    if (status.ok() || !shared.failure.ok()) co_return status;
    if (read.redundancy.width() > 1) {
      if (!read_once.around.has_value())
        read_once.around = co_await ReadWithoutFragment(to, read, deadline);
      const absl::Status& around = *read_once.around;
      const bool is_bad = absl::IsDataLoss(status) || absl::IsNotFound(status);
      if (around.ok() && is_bad) shared.session.ReportStripe(read.stripe);
      if (around.ok() || !shared.failure.ok()) co_return around;
      // What waiting may mend tells more than what is lost for good.
      if (IsSilence(around)) status = around;
    }
    const bool retry =
        IsSilence(status) || (absl::IsDataLoss(status) && ++damaged < kDamagedReadsMax);
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

Task<void> ReadColdInWindow(Shared* shared, const ColdRead* read) {
  const Delivery to{shared->session, shared->regions, shared->timeout};
  absl::Status status = co_await ReadCold(to, *read, shared->timeout);
  if (!status.ok() && shared->failure.ok()) shared->failure = status;
  shared->session.window().Release(1);
}

// A turn in the session's window. False: something has failed, and nothing more is begun.
Task<bool> Admit(Shared* shared) {
  absl::Status admitted =
      co_await shared->session.TakeTurn(shared->session.window(), shared->timeout);
  if (!admitted.ok() && shared->failure.ok()) shared->failure = admitted;
  if (shared->failure.ok()) co_return true;
  if (admitted.ok()) shared->session.window().Release(1);
  co_return false;
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

absl::StatusOr<std::vector<FragmentRead>> PlanBy(const MapIndex& map, const OpenedFile& file,
                                                 const std::vector<WantedRange>& ranges,
                                                 std::vector<ColdRead>* cold) {
  cold->clear();
  const auto redundancy_of = [&map](PgId group) { return map.RedundancyOf(group); };
  return PlanReads(file.extents, file.size_bytes, ranges, redundancy_of, cold);
}

Task<absl::Status> ReadPlanned(Session& session, const OpenedFile& file,
                               std::vector<WantedRange> ranges, absl::Duration timeout) {
  std::erase_if(ranges, [](const WantedRange& range) { return range.destination.empty(); });
  const Deadline deadline = Deadline::After(Executor::Current().clock(), timeout);
  absl::StatusOr<std::shared_ptr<const MapIndex>> map = co_await session.Map(deadline);
  if (!map.ok()) co_return map.status();
  std::vector<ColdRead> cold;
  absl::StatusOr<std::vector<FragmentRead>> reads = PlanBy(**map, file, ranges, &cold);
  if (absl::IsFailedPrecondition(reads.status())) {
    // The file may be newer than the map.
    map = co_await session.NewestMap(deadline);
    if (!map.ok()) co_return map.status();
    reads = PlanBy(**map, file, ranges, &cold);
  }
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
    const bool admitted = co_await Admit(&shared);
    if (!admitted) break;
    shared.scope.Spawn(ReadInWindow(&shared, &read));
  }
  for (const ColdRead& read : cold) {
    const bool admitted = co_await Admit(&shared);
    if (!admitted) break;
    shared.scope.Spawn(ReadColdInWindow(&shared, &read));
  }
  co_await shared.scope.Join();
  co_return shared.failure;
}

}  // namespace

Task<absl::StatusOr<std::vector<wire::ExtentRun>>> FetchExtents(Session& session, uint64_t inode,
                                                                uint64_t version,
                                                                uint64_t size_bytes,
                                                                Deadline deadline) {
  std::vector<wire::ExtentRun> extents;
  for (bool more = size_bytes > 0; more;) {
    wire::GetExtentsRequest request;
    request.set_inode(inode);
    request.set_version(version);
    if (!extents.empty())
      request.set_offset_bytes(extents.back().offset_bytes() + extents.back().length_bytes());
    request.set_length_bytes(size_bytes - request.offset_bytes());
    const absl::StatusOr<wire::GetExtentsReply> page =
        co_await session.Meta<wire::GetExtentsReply>(wire::GET_EXTENTS, request, deadline);
    if (!page.ok()) co_return page.status();
    if (page->extents().empty()) co_return absl::DataLossError("a file's extents end early");
    extents.insert(extents.end(), page->extents().begin(), page->extents().end());
    more = page->more();
  }
  co_return extents;
}

namespace {

bool IsSame(std::span<const wire::ExtentRun> a, std::span<const wire::ExtentRun> b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
    return x.SerializeAsString() == y.SerializeAsString();
  });
}

// How often bytes may move to and fro while they are read.
constexpr int kExtentChangesMax = 3;

}  // namespace

Task<absl::Status> ReadRanges(Session& session, OpenedFile file, std::vector<WantedRange> ranges,
                              absl::Duration timeout, std::vector<wire::ExtentRun>* newer) {
  const Clock& clock = Executor::Current().clock();
  std::vector<WantedRange> again = ranges;
  absl::Status read = co_await ReadPlanned(session, file, std::move(ranges), timeout);
  if (absl::IsNotFound(read) && session.known_map() != nullptr) {
    // A node that has not heard of a newer map cannot tell that by that one it is elsewhere.
    const uint64_t version = session.known_map()->version();
    const Deadline deadline = Deadline::After(clock, timeout);
    absl::Status refreshed = co_await session.RefreshMap(deadline);
    if (refreshed.ok() && session.known_map()->version() > version)
      read = co_await ReadPlanned(session, file, again, timeout);
  }
  std::vector<wire::ExtentRun> extents;
  for (int i = 0; absl::IsNotFound(read) && i < kExtentChangesMax; ++i) {
    absl::StatusOr<std::vector<wire::ExtentRun>> now = co_await FetchExtents(
        session, file.inode, file.version, file.size_bytes, Deadline::After(clock, timeout));
    if (!now.ok() || IsSame(*now, file.extents)) break;
    extents = *std::move(now);
    file.extents = extents;
    read = co_await ReadPlanned(session, file, again, timeout);
  }
  if (newer != nullptr) *newer = std::move(extents);
  if (absl::IsNotFound(read)) read = co_await ExplainMissing(session, file, read, timeout);
  co_return read;
}

}  // namespace cairn
