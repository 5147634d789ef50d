#include "client/io/fragment_read.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "client/io/silence.h"
#include "common/base/crc32c.h"
#include "common/base/erasure_code.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/task/when_all.h"
#include "proto/wire/chunk.pb.h"

namespace cairn {
namespace {

constexpr absl::Duration kTryTimeout = absl::Seconds(20);

// A stripe that lacks a fragment is recovered in parts, for which so much of the others is in
// memory at once, and a block of each at least.
constexpr uint64_t kRecoveryBytes = kMiB;

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

// From fragment `index`. Moves `deadline` on by the time spent waiting for the node's window: it is
// for the call.
Task<absl::Status> ReadFrom(const Delivery& to, const FragmentRead& read, uint32_t index,
                            Place place, Deadline& deadline) {
  const Clock& clock = Executor::Current().clock();
  const Deadline until = Earlier(deadline, Deadline::After(clock, to.reach_within));
  // Others can stand in for it.
  const auto reach =
      read.redundancy.width() > 1 ? Session::Reach::kInHaste : Session::Reach::kPatiently;
  absl::StatusOr<TargetRoute> route;
  if (place == Place::kMember) {
    route = co_await to.session.Route(read.group, index, until, nullptr, reach);
  } else {
    route = co_await to.session.RouteToFormer(read.group, index, until, reach);
  }
  if (!route.ok()) co_return route.status();
  const MonoTime queued = clock.Now();
  absl::Status admitted = co_await to.session.TakeTurn(route->node->window(), to.patience);
  if (!admitted.ok()) co_return admitted;
  deadline = Deadline(deadline.at() + (clock.Now() - queued));
  wire::ReadFragmentRequest request;
  request.set_target(route->target.value());
  request.mutable_key()->set_stripe(read.stripe.value());
  request.mutable_key()->set_index(index);
  request.set_offset_bytes(read.offset_bytes);
  request.set_length_bytes(read.length_bytes);
  request.set_background(to.session.background());
  CallOptions options{Earlier(deadline, Deadline::After(clock, kTryTimeout)), {}, {}};
  for (const ReadPiece& piece : read.pieces) {
    BulkDescriptor bulk = to.regions[piece.range]->descriptor();
    bulk.address += piece.range_offset_bytes;
    bulk.length_bytes = piece.bytes.size();
    options.bulks.push_back(bulk);
  }
  absl::StatusOr<wire::ReadFragmentReply> reply =
      co_await route->node->Call<wire::ReadFragmentReply>(route->core, wire::READ_FRAGMENT, request,
                                                          std::move(options));
  route->node->window().Release(1);
  if (absl::IsNotFound(reply.status()) && route->map_version < to.session.newest_map_version()) {
    co_return absl::UnavailableError(StrCat(ToStd(reply.status().message()),
                                            "; the cluster map is a newer one by now, in which "
                                            "it may be elsewhere"));
  }
  if (!reply.ok()) co_return reply.status();
  to.session.NoteProgress();
  to.session.hedges().Answered(route->target, clock.Now() - queued, clock.Now());
  co_return Verify(read, *reply);
}

}  // namespace

Task<absl::Status> ReadHeld(const Delivery& to, const FragmentRead& read, uint32_t index,
                            Deadline& deadline) {
  absl::Status status = co_await ReadFrom(to, read, index, Place::kMember, deadline);
  if (!absl::IsNotFound(status) && !IsSilence(status)) co_return status;
  // Another target has just taken over, perhaps.
  absl::Status former = co_await ReadFrom(to, read, index, Place::kFormer, deadline);
  // It may have it, and cannot say so now.
  const bool may_have_it = absl::IsNotFound(status) && IsSilence(former);
  co_return former.ok() || may_have_it ? former : status;
}

// --- Without the fragment ---

namespace {

// All but the one that is to be done without, those that are slow last.
std::vector<uint32_t> Others(Session& session, const FragmentRead& read) {
  std::vector<uint32_t> others;
  for (uint32_t i = 0; i < read.redundancy.width(); ++i) {
    if (i != read.index) others.push_back(i);
  }
  const auto is_quick = [&session, &read](uint32_t index) {
    const std::optional<TargetId> target = session.MemberNow(read.group, index);
    return !target.has_value() || !session.hedges().IsSlow(*target);
  };
  std::stable_partition(others.begin(), others.end(), is_quick);
  return others;
}

// From the other copies, one after the other.
Task<absl::Status> ReadReplica(const Delivery& to, const FragmentRead& read, Deadline& deadline) {
  absl::Status last = absl::UnavailableError("there is no other copy");
  const std::vector<uint32_t> others = Others(to.session, read);
  for (uint32_t i : others) {
    last = co_await ReadHeld(to, read, i, deadline);
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
Task<absl::Status> ReadSource(const Delivery* to, const FragmentRead* read, const Part* part,
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
  const Delivery into_part{to->session, part->regions, to->patience};
  absl::Status done = co_await ReadHeld(into_part, source, index, deadline);
  co_return done;
}

// Any k of the other fragments, a further one for each that fails. The memory of one that failed is
// used again: its call has ended.
Task<absl::StatusOr<std::vector<CodedFragment>>> ReadSources(const Delivery& to,
                                                             const FragmentRead& read,
                                                             const Part& part, Deadline deadline) {
  std::vector<CodedFragment> present;
  std::vector<size_t> free_slots;
  for (size_t i = read.redundancy.data_fragments; i > 0; --i) free_slots.push_back(i - 1);
  absl::Status last;
  const std::vector<uint32_t> others = Others(to.session, read);
  size_t next = 0;
  while (!free_slots.empty()) {
    std::vector<Task<absl::Status>> reads;
    std::vector<std::pair<uint32_t, size_t>> asked;
    for (; next < others.size() && asked.size() < free_slots.size(); ++next)
      asked.emplace_back(others[next], free_slots[asked.size()]);
    if (asked.size() < free_slots.size()) {
      // What there is would not do. Of the reasons one is as good as another.
      co_return last.ok() ? absl::DataLossError("too few fragments are left") : last;
    }
    for (const auto& [index, slot] : asked)
      reads.push_back(ReadSource(&to, &read, &part, index, slot, deadline));
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

}  // namespace

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

namespace {

Task<absl::Status> Reconstruct(const Delivery& to, const FragmentRead& read, Deadline deadline) {
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
      to.session.net().Register(all, MemoryAccess::kRemoteWrite);
  if (!region.ok()) co_return region.status();
  part.regions.push_back(*std::move(region));
  std::vector<std::byte> recovered(std::min(step, end - begin));
  for (part.offset_bytes = begin; part.offset_bytes < end; part.offset_bytes += step) {
    part.length_bytes = std::min(step, end - part.offset_bytes);
    const absl::StatusOr<std::vector<CodedFragment>> present =
        co_await ReadSources(to, read, part, deadline);
    if (!present.ok()) co_return present.status();
    const MutableBytes into = MutableBytes(recovered).first(part.length_bytes);
    const WantedFragment wanted[] = {{read.index, into}};
    CO_RETURN_IF_ERROR(code.Reconstruct(*present, wanted));
    CopyToPieces(read, into, part.offset_bytes);
  }
  co_return absl::OkStatus();
}

}  // namespace

Task<absl::Status> ReadWithoutFragment(const Delivery& to, const FragmentRead& read,
                                       Deadline& deadline) {
  if (read.redundancy.scheme == Redundancy::Scheme::kReplica) {
    absl::Status copied = co_await ReadReplica(to, read, deadline);
    co_return copied;
  }
  absl::Status reconstructed = co_await Reconstruct(to, read, deadline);
  co_return reconstructed;
}

}  // namespace cairn
