// The write path's last step: from a checked slab to a pending fragment on the device. Before:
// chunk_service.cc; after: chunk_seal.cc.
#include <utility>

#include "common/base/check.h"
#include "common/base/crc32c.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/task/scope.h"
#include "common/telemetry/trace.h"
#include "server/chunk/target.h"
#include "server/chunk/target_state.h"

namespace cairn {
namespace {

// Places that a fragment is tried in after media errors. A device that refuses all of them is
// better left alone by this writer.
constexpr int kPlacesMax = 3;

bool SameContent(const IndexRecord& a, const IndexRecord& b) {
  return a.lease == b.lease && a.length_bytes == b.length_bytes && a.block_crcs == b.block_crcs;
}

absl::Status Conflict(TargetId target, FragmentKey key) {
  return absl::FailedPreconditionError(StrCat("target ", target.value(), " holds stripe ",
                                              key.stripe.value(), ", fragment ", key.index,
                                              ", with other content or of another lease"));
}

}  // namespace

absl::Status Target::CheckWrite(const IndexRecord& record, ConstBytes data) const {
  if (record.length_bytes == 0 || data.size() != ExtentBytes(record.length_bytes)) {
    return absl::InvalidArgumentError(StrCat("a fragment of ", record.length_bytes, " bytes in ",
                                             data.size(), " bytes of memory"));
  }
  if (record.block_crcs.size() != DivideUp(record.length_bytes, kBlockBytes)) {
    return absl::InvalidArgumentError("a fragment needs one checksum for each 64 KiB block");
  }
  return absl::OkStatus();
}

absl::Status Target::NoRoom(uint64_t needed_bytes) const {
  return absl::ResourceExhaustedError(StrCat(
      "target ", options_.id.value(), " has no ", needed_bytes,
      " bytes in one piece: ", allocator_->free_bytes(), " of ", allocator_->capacity_bytes(),
      " are free, at most ", allocator_->largest_free_bytes(), " together"));
}

absl::Status Target::CheckRoom(FragmentKey key, uint64_t length_bytes) const {
  RETURN_IF_ERROR(Refusal());
  // One that is here already, sent again because the reply was lost, needs no room.
  if (pending_.contains(key)) return absl::OkStatus();
  const uint64_t needed = ExtentBytes(length_bytes);
  return needed <= allocator_->largest_free_bytes() ? absl::OkStatus() : NoRoom(needed);
}

bool Target::WantsSeal(FragmentKey key) const {
  return pending_.size() >= options_.pending_fragments_max && !pending_.contains(key);
}

// Takes space for a new fragment and makes it pending.
absl::StatusOr<std::shared_ptr<Target::Pending>> Target::Admit(FragmentKey key,
                                                               IndexRecord record) {
  const uint64_t needed = ExtentBytes(record.length_bytes);
  const std::optional<Extent> extent = allocator_->Allocate(needed);
  if (!extent) return NoRoom(needed);
  usage_.pending += needed;
  auto pending = std::make_shared<Pending>();
  record.offset_bytes = extent->offset_bytes;
  pending->entry = {key, std::move(record)};
  CAIRN_CHECK(pending_.emplace(key, pending).second);
  by_lease_[pending->entry.record.lease].insert(key);
  return pending;
}

Task<void> Target::FindInto(FragmentKey key, absl::StatusOr<std::optional<IndexRecord>>* result) {
  co_await runner_.Run([&] { *result = index_.Find(key); });
}

// To the fragment's place, and after a media error to another: a bad place is no reason to refuse
// what fits beside it. DATA_LOSS when the last place, which the fragment still has, is bad too.
Task<absl::Status> Target::WriteSomewhere(Pending& pending, ConstBytes data) {
  IndexRecord& record = pending.entry.record;
  const Clock& clock = Executor::Current().clock();
  for (int places = 1;; ++places) {
    const Extent extent = record.extent();
    const MonoTime began = clock.Now();
    const absl::Status written = co_await disk_.Write(extent.offset_bytes, data);
    latencies_.write.Record(began, clock.Now());
    if (!written.ok()) ++counters_.write_errors;
    if (!absl::IsDataLoss(written)) co_return written;
    ++counters_.media_errors;
    if (places == kPlacesMax) co_return written;
    const std::optional<Extent> other = allocator_->Allocate(extent.length_bytes);
    if (!other) co_return written;
    // Out of use: the next writer would be given the same place.
    usage_.bad += extent.length_bytes;
    record.offset_bytes = other->offset_bytes;
  }
}

Task<absl::Status> Target::Write(FragmentKey key, LeaseId lease, ConstBytes data,
                                 uint64_t length_bytes, std::vector<uint32_t> block_crcs) {
  const TraceSpan span("target.write", key.stripe.value());
  CO_RETURN_IF_ERROR(Refusal());
  if (length_bytes > kFragmentBytesMax)
    co_return absl::InvalidArgumentError("the fragment is too long");
  const CallGuard guard(this);
  IndexRecord record{lease, 0, static_cast<uint32_t>(length_bytes), std::move(block_crcs)};
  CO_RETURN_IF_ERROR(CheckWrite(record, data));
  // Somebody may be writing it: wait, and write only if that fails.
  for (auto found = pending_.find(key); found != pending_.end(); found = pending_.find(key)) {
    const std::shared_ptr<Pending> other = found->second;
    if (!SameContent(other->entry.record, record)) co_return Conflict(id(), key);
    if (other->state != Pending::State::kWriting) co_return absl::OkStatus();
    co_await other->write_ended;
  }
  CO_RETURN_IF_ERROR(Refusal());
  CO_ASSIGN_OR_RETURN(const std::shared_ptr<Pending> pending, Admit(key, std::move(record)));

  // A retry of what is sealed already is rare; looking that up beside the write costs no time.
  absl::StatusOr<std::optional<IndexRecord>> sealed;
  Scope lookup;
  lookup.Spawn(FindInto(key, &sealed));
  const absl::Status written = co_await WriteSomewhere(*pending, data);
  co_await lookup.Join();

  const bool bad = absl::IsDataLoss(written);
  absl::Status result = written;
  if (absl::IsFailedPrecondition(written)) result = Fail(written);  // the device is gone
  if (bad) {
    // Not DATA_LOSS: that is what bytes damaged on their way here are, which are worth sending
    // again.
    result = absl::FailedPreconditionError(StrCat(
        "target ", options_.id.value(), " cannot write this fragment: ", ToStd(written.message())));
  }
  if (result.ok() && !sealed.ok()) result = IndexError(sealed.status());
  if (result.ok() && pending->dropped)
    result = absl::AbortedError("the fragment was discarded while being written");
  const bool fresh = result.ok() && !sealed->has_value();
  if (fresh) {
    pending->state = Pending::State::kWritten;
    ++counters_.writes;
    counters_.written_bytes += static_cast<int64_t>(length_bytes);
  } else {
    if (result.ok() && !SameContent(**sealed, pending->entry.record)) result = Conflict(id(), key);
    if (!pending->dropped) Forget(pending);
    const Extent extent = pending->entry.record.extent();
    if (bad) {
      usage_.pending -= extent.length_bytes;
      usage_.bad += extent.length_bytes;
    } else {
      Release(&Usage::pending, extent);
    }
  }
  pending->write_ended.Set();
  co_return result;
}

// Takes it out of the maps; its space stays taken.
void Target::Forget(const std::shared_ptr<Pending>& pending) {
  const FragmentKey key = pending->entry.key;
  CAIRN_CHECK(pending_.erase(key) == 1);
  const auto lease = by_lease_.find(pending->entry.record.lease);
  CAIRN_CHECK(lease != by_lease_.end() && lease->second.erase(key) == 1);
  if (lease->second.empty()) by_lease_.erase(lease);
}

void Target::Drop(const std::shared_ptr<Pending>& pending) {
  if (pending->state == Pending::State::kSealing) return;
  Forget(pending);
  if (pending->state == Pending::State::kWriting) {
    pending->dropped = true;
  } else {
    Release(&Usage::pending, pending->entry.record.extent());
  }
}

// As Drop(), if it is there at all.
void Target::DropPending(FragmentKey key) {
  const auto found = pending_.find(key);
  if (found == pending_.end()) return;
  const std::shared_ptr<Pending> pending = found->second;
  Drop(pending);
}

void Target::Discard(std::vector<FragmentRun> runs) {
  for (const FragmentRun& run : runs) {
    for (uint32_t i = 0; i < run.count; ++i) DropPending(run.key(i));
  }
}

void Target::DropLease(LeaseId lease) {
  const auto found = by_lease_.find(lease);
  if (found == by_lease_.end()) return;
  // A copy: dropping takes from the set.
  const std::vector<FragmentKey> keys(found->second.begin(), found->second.end());
  for (const FragmentKey& key : keys) {
    const std::shared_ptr<Pending> pending = pending_.at(key);
    Drop(pending);
  }
}

std::vector<LeaseId> Target::PendingLeases() const {
  std::vector<LeaseId> leases;
  leases.reserve(by_lease_.size());
  for (const auto& [lease, keys] : by_lease_) {
    if (lease != kRestoreLease) leases.push_back(lease);
  }
  return leases;
}

}  // namespace cairn
