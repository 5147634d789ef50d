#include "server/service/chunk_service.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "common/base/crc32c.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/telemetry/trace.h"

namespace cairn {
namespace {

// Stripes that one seal or discard may name: 256 GiB in stripes of 4 MiB. Longer saves say it in
// several calls.
constexpr uint64_t kSealStripesMax = 65'536;

absl::Status CheckCrcs(const std::vector<uint32_t>& computed,
                       const wire::WriteFragmentRequest& request) {
  const auto [wrong, expected] = std::mismatch(
      computed.begin(), computed.end(), request.block_crcs().begin(), request.block_crcs().end());
  if (wrong == computed.end() && expected == request.block_crcs().end()) return absl::OkStatus();
  return absl::DataLossError(
      StrCat("stripe ", request.key().stripe(), ", block ", wrong - computed.begin(),
             ": the bytes pulled from the client do not match its checksum"));
}

absl::StatusOr<std::vector<FragmentRun>> ToRuns(
    const google::protobuf::RepeatedPtrField<wire::FragmentRun>& wire_runs) {
  std::vector<FragmentRun> runs;
  uint64_t total = 0;
  for (const wire::FragmentRun& run : wire_runs) {
    total += run.count();
    const uint64_t span = uint64_t{run.count()} * run.stride();
    if (run.count() == 0 || run.stride() == 0 || run.first_stripe() + span < run.first_stripe()) {
      return absl::InvalidArgumentError("a fragment run is empty or wraps around");
    }
    if (total > kSealStripesMax) {
      return absl::InvalidArgumentError(
          StrCat("a call names more than ", kSealStripesMax, " stripes"));
    }
    runs.push_back({StripeId(run.first_stripe()), run.count(), run.stride(), run.index()});
  }
  return runs;
}

}  // namespace

ChunkService::ChunkService(SlabPool& slabs, std::vector<Target*> targets, LeaseCheck lease_is_live,
                           Unopened unopened)
    : slabs_(slabs), lease_is_live_(std::move(lease_is_live)), unopened_(std::move(unopened)) {
  for (Target* target : targets) targets_.emplace(target->id().value(), target);
}

void ChunkService::Register(CallTable& table) {
  table.Add(wire::WRITE_FRAGMENT, this, &ChunkService::Write);
  table.Add(wire::READ_FRAGMENT, this, &ChunkService::Read);
  table.Add(wire::SEAL, this, &ChunkService::Seal);
  table.Add(wire::DISCARD, this, &ChunkService::Discard);
}

absl::StatusOr<Target*> ChunkService::Find(uint32_t target) const {
  const auto found = targets_.find(target);
  if (found != targets_.end()) return found->second;
  if (const auto unopened = unopened_.find(target); unopened != unopened_.end()) {
    return absl::FailedPreconditionError(
        StrCat("target ", target, " has failed: ", ToStd(unopened->second.message())));
  }
  // Worth another try: the reply names the newest map, which the caller fetches first.
  return absl::UnavailableError(
      StrCat("this core has no target ", target, "; the caller's cluster map is old"));
}

std::vector<ClientLoads::Rate> ChunkService::ClientRates() const {
  return loads_.Rates(Executor::Current().clock().Now());
}

void ChunkService::NoteClient() {
  served_at_ns_.store(Executor::Current().clock().Now().nanoseconds(), std::memory_order_relaxed);
}

Task<absl::StatusOr<wire::WriteFragmentReply>> ChunkService::Write(
    CallContext& call, const wire::WriteFragmentRequest& request) {
  const TraceSpan span("chunk.write");
  if (!request.background()) NoteClient();
  const uint64_t length = request.length_bytes();
  if (length == 0 || length > slabs_.slab_bytes() || length != call.bulk_bytes()) {
    co_return absl::InvalidArgumentError(
        StrCat("a fragment of ", length, " bytes with ", call.bulk_bytes(),
               " bytes of bulks; 1 to ", slabs_.slab_bytes(), " are allowed, and both must agree"));
  }
  if (static_cast<uint64_t>(request.block_crcs_size()) != DivideUp(length, kBlockBytes)) {
    co_return absl::InvalidArgumentError("a fragment needs one checksum for each 64 KiB block");
  }
  if (LeaseId(request.lease()) == kRestoreLease)
    co_return absl::InvalidArgumentError("this lease is the service's own");
  absl::StatusOr<Target*> target = Find(request.target());
  if (!target.ok()) co_return target.status();

  const FragmentKey key{StripeId(request.key().stripe()), request.key().index()};
  // Before the bytes are pulled: a target that is full or has failed would be sent all of a save.
  CO_RETURN_IF_ERROR((*target)->CheckRoom(key, length));
  wire::WriteFragmentReply reply;
  if ((*target)->WantsSeal(key)) {
    reply.set_seal_first(true);
    co_return reply;
  }

  // Who began first ends first, and so not all of a job's ranks at one moment.
  absl::StatusOr<Slab> slab = co_await slabs_.Acquire(call.deadline(), request.key().stripe());
  if (!slab.ok()) co_return slab.status();
  const MutableBytes data = slab->bytes().first(length);
  BlockCrcs computed;
  absl::Status pulled =
      co_await call.Pull(data, [&computed](ConstBytes bytes) { computed.Add(bytes); });
  if (!pulled.ok()) co_return pulled;
  absl::Status intact = CheckCrcs(computed.Finish(), request);
  if (!intact.ok()) co_return intact;
  const MutableBytes padded = slab->bytes().first(AlignUp(length, kUnitBytes));
  std::memset(padded.data() + length, 0, padded.size() - length);

  std::vector<uint32_t> crcs(request.block_crcs().begin(), request.block_crcs().end());
  absl::Status written =
      co_await (*target)->Write(key, LeaseId(request.lease()), padded, length, std::move(crcs));
  if (!written.ok()) co_return written;
  loads_.Wrote(call.session(), length, Executor::Current().clock().Now());
  co_return reply;
}

Task<absl::StatusOr<wire::ReadFragmentReply>> ChunkService::Read(
    CallContext& call, const wire::ReadFragmentRequest& request) {
  const TraceSpan span("chunk.read");
  if (!request.background()) NoteClient();
  const uint64_t length = request.length_bytes();
  const uint64_t offset = request.offset_bytes();
  // Whole blocks pass through the slab.
  const bool fits =
      length > 0 && length <= slabs_.slab_bytes() && offset <= slabs_.slab_bytes() &&
      AlignUp(offset + length, kBlockBytes) - AlignDown(offset, kBlockBytes) <= slabs_.slab_bytes();
  if (!fits || length != call.bulk_bytes()) {
    co_return absl::InvalidArgumentError(
        StrCat("a read of ", length, " bytes at ", offset, " with ", call.bulk_bytes(),
               " bytes of bulks does not fit a slab of ", slabs_.slab_bytes()));
  }
  absl::StatusOr<Target*> target = Find(request.target());
  if (!target.ok()) co_return target.status();

  absl::StatusOr<Slab> slab = co_await slabs_.Acquire(call.deadline());
  if (!slab.ok()) co_return slab.status();
  const FragmentKey key{StripeId(request.key().stripe()), request.key().index()};
  absl::StatusOr<Target::ReadResult> read =
      co_await (*target)->Read(key, offset, length, slab->bytes());
  if (!read.ok()) co_return read.status();
  absl::Status pushed = co_await call.Push(read->bytes);
  if (!pushed.ok()) co_return pushed;
  loads_.Read(call.session(), length, Executor::Current().clock().Now());
  wire::ReadFragmentReply reply;
  for (uint32_t crc : read->piece_crcs) reply.add_piece_crcs(crc);
  co_return reply;
}

Task<absl::StatusOr<wire::SealReply>> ChunkService::Seal(CallContext& call,
                                                         const wire::SealRequest& request) {
  const TraceSpan span("chunk.seal");
  absl::StatusOr<Target*> target = Find(request.target());
  if (!target.ok()) co_return target.status();
  absl::StatusOr<std::vector<FragmentRun>> runs = ToRuns(request.runs());
  if (!runs.ok()) co_return runs.status();
  // From before the check: reclaim waits for the seals that passed it.
  const Target::SealUnderWay under_way(*target);
  // The space of an ended lease is reclaimed once. What a writer that slept through that seals
  // later would stay for ever: nothing refers to it, and nothing looks for it again.
  const absl::StatusOr<bool> live = co_await lease_is_live_(LeaseId(request.lease()));
  if (!live.ok()) co_return live.status();
  if (!*live) {
    co_return absl::AbortedError(
        "the lease of this write has ended: its attempt was aborted or replaced, or it was not "
        "renewed in time; begin again");
  }
  absl::StatusOr<std::vector<StripeId>> missing =
      co_await (*target)->Seal(LeaseId(request.lease()), *std::move(runs));
  if (!missing.ok()) co_return missing.status();
  wire::SealReply reply;
  for (StripeId stripe : *missing) reply.add_missing_stripes(stripe.value());
  co_return reply;
}

Task<absl::StatusOr<wire::DiscardReply>> ChunkService::Discard(
    CallContext& call, const wire::DiscardRequest& request) {
  absl::StatusOr<Target*> target = Find(request.target());
  if (!target.ok()) co_return target.status();
  absl::StatusOr<std::vector<FragmentRun>> runs = ToRuns(request.runs());
  if (!runs.ok()) co_return runs.status();
  (*target)->Discard(*std::move(runs));
  co_return wire::DiscardReply();
}

}  // namespace cairn
