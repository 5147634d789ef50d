#include "client/io/read_path.h"

#include <algorithm>
#include <utility>

#include "client/io/map_index.h"
#include "client/io/silence.h"
#include "common/base/crc32c.h"
#include "common/base/erasure_code.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/task/scope.h"
#include "common/task/when_all.h"
#include "proto/wire/chunk.pb.h"
#include "proto/wire/meta.pb.h"

namespace cairn {
namespace {

constexpr absl::Duration kTryTimeout = absl::Seconds(20);
constexpr absl::Duration kRetryPause = absl::Milliseconds(50);
// A transfer can be damaged on the way, a disk block stays damaged: one more try tells them apart.
constexpr int kDamagedReadsMax = 2;

// A stripe that lacks a fragment is recovered in parts, for which so much of the others is in
// memory at once, and a block of each at least.
constexpr uint64_t kRecoveryBytes = kMiB;

using Regions = std::vector<std::unique_ptr<MemoryRegion>>;

// What the reads of one call share. Lives in ReadRanges' frame.
struct Shared {
  Session& session;
  const Regions& regions;
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

// Whom to ask for a fragment.
enum class Place { kMember, kFormer };

// From fragment `index`, into memory of `regions`. Moves `deadline` on by the time spent waiting
// for the node's window: it is for the call.
Task<absl::Status> ReadFrom(Shared& shared, const FragmentRead& read, uint32_t index, Place place,
                            const Regions& regions, Deadline& deadline) {
  const Clock& clock = Executor::Current().clock();
  const Deadline until = Earlier(deadline, Deadline::After(clock, kTryTimeout));
  absl::StatusOr<TargetRoute> route;
  if (place == Place::kMember) {
    route = co_await shared.session.Route(read.group, index, until);
  } else {
    route = co_await shared.session.RouteToFormer(read.group, index, until);
  }
  if (!route.ok()) co_return route.status();
  const MonoTime queued = clock.Now();
  absl::Status admitted = co_await shared.session.TakeTurn(route->node->window(), shared.timeout);
  if (!admitted.ok()) co_return admitted;
  deadline = Deadline(deadline.at() + (clock.Now() - queued));
  wire::ReadFragmentRequest request;
  request.set_target(route->target.value());
  request.mutable_key()->set_stripe(read.stripe.value());
  request.mutable_key()->set_index(index);
  request.set_offset_bytes(read.offset_bytes);
  request.set_length_bytes(read.length_bytes);
  CallOptions options{Earlier(deadline, Deadline::After(clock, kTryTimeout)), {}, {}};
  for (const ReadPiece& piece : read.pieces) {
    BulkDescriptor bulk = regions[piece.range]->descriptor();
    bulk.address += piece.range_offset_bytes;
    bulk.length_bytes = piece.bytes.size();
    options.bulks.push_back(bulk);
  }
  absl::StatusOr<wire::ReadFragmentReply> reply =
      co_await route->node->Call<wire::ReadFragmentReply>(route->core, wire::READ_FRAGMENT, request,
                                                          std::move(options));
  route->node->window().Release(1);
  if (absl::IsNotFound(reply.status()) &&
      route->map_version < shared.session.newest_map_version()) {
    co_return absl::UnavailableError(StrCat(ToStd(reply.status().message()),
                                            "; the cluster map is a newer one by now, in which "
                                            "it may be elsewhere"));
  }
  if (!reply.ok()) co_return reply.status();
  shared.session.NoteProgress();
  co_return Verify(read, *reply);
}

Task<absl::Status> ReadOnce(Shared& shared, const FragmentRead& read, uint32_t index,
                            const Regions& regions, Deadline& deadline) {
  absl::Status status = co_await ReadFrom(shared, read, index, Place::kMember, regions, deadline);
  if (!absl::IsNotFound(status)) co_return status;
  // Another target has just taken over, perhaps.
  absl::Status former = co_await ReadFrom(shared, read, index, Place::kFormer, regions, deadline);
  // It may have it, and cannot say so now.
  co_return former.ok() || IsSilence(former) ? former : status;
}

// --- Without the fragment ---

// From the other copies, one after the other.
Task<absl::Status> ReadReplica(Shared& shared, const FragmentRead& read, Deadline& deadline) {
  absl::Status last = absl::UnavailableError("there is no other copy");
  for (uint32_t i = 0; i < read.redundancy.width(); ++i) {
    if (i == read.index) continue;
    last = co_await ReadOnce(shared, read, i, shared.regions, deadline);
    if (last.ok()) co_return last;
  }
  co_return last;
}

// Bytes [offset, offset + length) of all the stripe's fragments, whole blocks.
struct Part {
  uint64_t offset_bytes = 0;
  uint64_t length_bytes = 0;
  std::unique_ptr<std::byte[]> memory;  // of k fragments, one behind the other
  Regions regions;
  MutableBytes slot(size_t i) const { return {memory.get() + i * length_bytes, length_bytes}; }
};

// What the fragment lacks at its end counts as zeros.
Task<absl::Status> ReadSource(Shared* shared, const FragmentRead* read, const Part* part,
                              uint32_t index, size_t slot, Deadline deadline) {
  const MutableBytes into = part->slot(slot);
  const uint64_t held = read->redundancy.FragmentLength(read->stripe_length_bytes, index);
  const uint64_t end = std::min(held, part->offset_bytes + part->length_bytes);
  const uint64_t length = end - std::min(end, part->offset_bytes);
  std::fill(into.begin() + static_cast<ptrdiff_t>(length), into.end(), std::byte{0});
  if (length == 0) co_return absl::OkStatus();
  FragmentRead source = *read;
  source.index = index;
  source.offset_bytes = part->offset_bytes;
  source.length_bytes = length;
  source.pieces = {{0, slot * part->length_bytes, into.first(length)}};
  absl::Status done = co_await ReadOnce(*shared, source, index, part->regions, deadline);
  co_return done;
}

// Any k of the other fragments, a further one for each that fails. The memory of one that failed is
// used again: its call has ended.
Task<absl::StatusOr<std::vector<CodedFragment>>> ReadSources(Shared& shared,
                                                             const FragmentRead& read,
                                                             const Part& part, Deadline deadline) {
  std::vector<CodedFragment> present;
  std::vector<size_t> free_slots;
  for (size_t i = read.redundancy.data_fragments; i > 0; --i) free_slots.push_back(i - 1);
  absl::Status last;
  uint32_t next = 0;
  while (!free_slots.empty()) {
    std::vector<Task<absl::Status>> reads;
    std::vector<std::pair<uint32_t, size_t>> asked;
    for (; next < read.redundancy.width() && asked.size() < free_slots.size(); ++next) {
      if (next == read.index) continue;
      asked.emplace_back(next, free_slots[asked.size()]);
    }
    if (asked.size() < free_slots.size()) {
      // What there is would not do. Of the reasons one is as good as another.
      co_return last.ok() ? absl::DataLossError("too few fragments are left") : last;
    }
    for (const auto& [index, slot] : asked)
      reads.push_back(ReadSource(&shared, &read, &part, index, slot, deadline));
    const std::vector<absl::Status> results = co_await WhenAll(std::move(reads));
    free_slots.clear();
    for (size_t i = 0; i < results.size(); ++i) {
      const auto [index, slot] = asked[i];
      if (results[i].ok()) {
        present.push_back({index, part.slot(slot)});
      } else {
        last = results[i];
        free_slots.push_back(slot);
      }
    }
  }
  co_return present;
}

// `from` begins at byte `from_offset` of the fragment.
void CopyToPieces(const FragmentRead& read, ConstBytes from, uint64_t from_offset) {
  uint64_t at = read.offset_bytes;
  for (const ReadPiece& piece : read.pieces) {
    const uint64_t begin = std::max(at, from_offset);
    const uint64_t end = std::min(at + piece.bytes.size(), from_offset + from.size());
    if (begin < end) {
      const ConstBytes bytes = from.subspan(begin - from_offset, end - begin);
      std::copy(bytes.begin(), bytes.end(),
                piece.bytes.begin() + static_cast<ptrdiff_t>(begin - at));
    }
    at += piece.bytes.size();
  }
}

Task<absl::Status> Reconstruct(Shared& shared, const FragmentRead& read, Deadline deadline) {
  const Redundancy& redundancy = read.redundancy;
  const uint32_t k = redundancy.data_fragments;
  CO_ASSIGN_OR_RETURN(const ErasureCode code, ErasureCode::Create(k, redundancy.parity_fragments));
  const uint64_t begin = AlignDown(read.offset_bytes, kBlockBytes);
  const uint64_t end = std::min(AlignUp(read.offset_bytes + read.length_bytes, kBlockBytes),
                                redundancy.FragmentLength(read.stripe_length_bytes, k));
  const uint64_t step = std::max(kBlockBytes, AlignDown(kRecoveryBytes / k, kBlockBytes));
  Part part;
  part.memory = std::make_unique_for_overwrite<std::byte[]>(k * std::min(step, end - begin));
  const MutableBytes all(part.memory.get(), k * std::min(step, end - begin));
  absl::StatusOr<std::unique_ptr<MemoryRegion>> region =
      shared.session.net().Register(all, MemoryAccess::kRemoteWrite);
  if (!region.ok()) co_return region.status();
  part.regions.push_back(*std::move(region));
  std::vector<std::byte> recovered(std::min(step, end - begin));
  for (part.offset_bytes = begin; part.offset_bytes < end; part.offset_bytes += step) {
    part.length_bytes = std::min(step, end - part.offset_bytes);
    const absl::StatusOr<std::vector<CodedFragment>> present =
        co_await ReadSources(shared, read, part, deadline);
    if (!present.ok()) co_return present.status();
    const MutableBytes into = MutableBytes(recovered).first(part.length_bytes);
    const WantedFragment wanted[] = {{read.index, into}};
    CO_RETURN_IF_ERROR(code.Reconstruct(*present, wanted));
    CopyToPieces(read, into, part.offset_bytes);
  }
  co_return absl::OkStatus();
}

Task<absl::Status> ReadWithoutFragment(Shared& shared, const FragmentRead& read,
                                       Deadline& deadline) {
  if (read.redundancy.scheme == Redundancy::Scheme::kReplica) {
    absl::Status copied = co_await ReadReplica(shared, read, deadline);
    co_return copied;
  }
  absl::Status reconstructed = co_await Reconstruct(shared, read, deadline);
  co_return reconstructed;
}

// --- Reading ---

Task<absl::Status> ReadWithRetries(Shared& shared, const FragmentRead& read) {
  Deadline deadline = Deadline::After(Executor::Current().clock(), shared.timeout);
  int damaged = 0;
  while (true) {
    absl::Status status = co_await ReadOnce(shared, read, read.index, shared.regions, deadline);
    if (status.ok() || !shared.failure.ok()) co_return status;
    if (read.redundancy.width() > 1) {
      absl::Status recovered = co_await ReadWithoutFragment(shared, read, deadline);
      const bool is_bad = absl::IsDataLoss(status) || absl::IsNotFound(status);
      if (recovered.ok() && is_bad) shared.session.ReportStripe(read.stripe);
      if (recovered.ok() || !shared.failure.ok()) co_return recovered;
      // What waiting may mend tells more than what is lost for good.
      if (IsSilence(recovered)) status = recovered;
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
                                                 const std::vector<WantedRange>& ranges) {
  const auto redundancy_of = [&map](PgId group) { return map.RedundancyOf(group); };
  return PlanReads(file.extents, file.size_bytes, ranges, redundancy_of);
}

Task<absl::Status> ReadPlanned(Session& session, const OpenedFile& file,
                               std::vector<WantedRange> ranges, absl::Duration timeout) {
  std::erase_if(ranges, [](const WantedRange& range) { return range.destination.empty(); });
  const Deadline deadline = Deadline::After(Executor::Current().clock(), timeout);
  absl::StatusOr<std::shared_ptr<const MapIndex>> map = co_await session.Map(deadline);
  if (!map.ok()) co_return map.status();
  absl::StatusOr<std::vector<FragmentRead>> reads = PlanBy(**map, file, ranges);
  if (absl::IsFailedPrecondition(reads.status())) {
    // The file may be newer than the map.
    map = co_await session.NewestMap(deadline);
    if (!map.ok()) co_return map.status();
    reads = PlanBy(**map, file, ranges);
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
  std::vector<WantedRange> again = ranges;
  absl::Status read = co_await ReadPlanned(session, file, std::move(ranges), timeout);
  if (absl::IsNotFound(read) && session.known_map() != nullptr) {
    // A node that has not heard of a newer map cannot tell that by that one it is elsewhere.
    const uint64_t version = session.known_map()->version();
    const Deadline deadline = Deadline::After(Executor::Current().clock(), timeout);
    absl::Status refreshed = co_await session.RefreshMap(deadline);
    if (refreshed.ok() && session.known_map()->version() > version)
      read = co_await ReadPlanned(session, file, std::move(again), timeout);
  }
  if (absl::IsNotFound(read)) read = co_await ExplainMissing(session, file, read, timeout);
  co_return read;
}

}  // namespace cairn
