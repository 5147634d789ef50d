// Seals and removals: one loop takes everything that waits and makes it durable in one flush and
// one synced index batch. Before: chunk_write.cc; after a seal the client commits in the metadata.
#include <algorithm>
#include <span>
#include <utility>

#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/telemetry/log.h"
#include "common/telemetry/trace.h"
#include "server/chunk/seal_batch.h"
#include "server/chunk/target.h"
#include "server/chunk/target_state.h"

namespace cairn {
namespace {

constexpr size_t kMissingMax = 1000;
// Fragments in all jobs that wait, 16 bytes each. Reached only when the device has stopped
// answering.
constexpr size_t kWaitingFragmentsMax = 1024 * 1024;
static_assert(kSealBatchFragmentsMax < kWaitingFragmentsMax);

std::vector<StripeId> Stripes(const std::vector<FragmentKey>& keys) {
  std::vector<StripeId> stripes;
  for (const FragmentKey& key : keys) stripes.push_back(key.stripe);
  return stripes;
}

}  // namespace

// Sorts the runs' fragments into those to be sealed by `job` and those that only the index can
// know. Nothing changes hands yet.
absl::Status Target::Collect(LeaseId lease, const std::vector<FragmentRun>& runs,
                             const absl::flat_hash_set<FragmentKey>& sealed, CommitJob* job,
                             std::vector<FragmentKey>* unknown) {
  for (const FragmentRun& run : runs) {
    if (run.stride == 0) return absl::InvalidArgumentError("a fragment run has no stride");
    for (uint32_t i = 0; i < run.count; ++i) {
      const FragmentKey key = run.key(i);
      const auto found = pending_.find(key);
      const bool ready = found != pending_.end() &&
                         found->second->state != Pending::State::kWriting &&
                         found->second->entry.record.lease == lease;
      if (ready) {
        job->seals.push_back(found->second);
      } else if (!sealed.contains(key)) {
        unknown->push_back(key);
      }
    }
  }
  return absl::OkStatus();
}

Target::SealUnderWay::SealUnderWay(Target* target)
    : target_(target), number_(target->next_seal_++) {
  target_->seals_under_way_.insert(number_);
}

Target::SealUnderWay::~SealUnderWay() {
  target_->seals_under_way_.erase(number_);
  target_->seal_ended_.Set();
  target_->seal_ended_.Reset();
}

Task<void> Target::SealsUnderWay() {
  const CallGuard guard(this);
  const uint64_t later = next_seal_;
  while (!seals_under_way_.empty() && *seals_under_way_.begin() < later) co_await seal_ended_;
}

Task<absl::StatusOr<std::vector<StripeId>>> Target::Seal(LeaseId lease,
                                                         std::vector<FragmentRun> runs) {
  const TraceSpan span("target.seal", lease.value());
  CO_RETURN_IF_ERROR(Refusal());
  const CallGuard guard(this);
  ++counters_.seals;
  const Clock& clock = Executor::Current().clock();
  const MonoTime began = clock.Now();
  absl::StatusOr<std::vector<StripeId>> missing = co_await SealHeld(lease, std::move(runs));
  latencies_.seal.Record(began, clock.Now());
  co_return missing;
}

Task<absl::StatusOr<std::vector<StripeId>>> Target::SealHeld(LeaseId lease,
                                                             std::vector<FragmentRun> runs) {
  absl::flat_hash_set<FragmentKey> sealed;
  while (true) {
    CommitJob job;
    std::vector<FragmentKey> unknown;
    CO_RETURN_IF_ERROR(Collect(lease, runs, sealed, &job, &unknown));
    if (!unknown.empty()) {
      absl::StatusOr<std::vector<FragmentKey>> missing;
      co_await runner_.Run([&] { missing = index_.FindMissing(unknown, kMissingMax); });
      if (!missing.ok()) co_return IndexError(missing.status());
      if (!missing->empty()) co_return Stripes(*missing);
      // Sealed all. Look again: others may have changed while we asked.
      sealed.insert(unknown.begin(), unknown.end());
      continue;
    }
    if (job.seals.empty()) co_return std::vector<StripeId>();
    CO_RETURN_IF_ERROR(co_await Commit(job));
    CO_RETURN_IF_ERROR(job.sealed);
    // Look again: what another seal had in hand may have been refused there, and is pending still.
    for (const auto& pending : job.seals) sealed.insert(pending->entry.key);
  }
}

Task<absl::Status> Target::Free(std::vector<FragmentRun> runs) {
  CO_RETURN_IF_ERROR(Refusal());
  const CallGuard guard(this);
  CommitJob job;
  for (const FragmentRun& run : runs) {
    for (uint32_t i = 0; i < run.count; ++i) job.frees.push_back(run.key(i));
  }
  Discard(std::move(runs));
  CO_RETURN_IF_ERROR(co_await Commit(job));
  co_return job.freed;
}

// OK when the job has been through a round; how that ended is in the job.
Task<absl::Status> Target::Commit(CommitJob& job) {
  CO_RETURN_IF_ERROR(Refusal());
  if (waiting_fragments_ + job.fragments() > kWaitingFragmentsMax) {
    co_return absl::ResourceExhaustedError(StrCat("target ", options_.id.value(), " has ",
                                                  waiting_fragments_,
                                                  " fragments waiting to be sealed or removed"));
  }
  // Those that another seal has are left to it: its job is before this one, so how it ended is
  // known when this one ends. The same goes for a fragment that this call names twice.
  std::vector<std::shared_ptr<Pending>> named = std::exchange(job.seals, {});
  for (std::shared_ptr<Pending>& pending : named) {
    if (pending->state == Pending::State::kSealing) continue;
    pending->state = Pending::State::kSealing;
    job.seals.push_back(std::move(pending));
  }
  waiting_fragments_ += job.fragments();
  waiting_.push_back(&job);
  if (!committing_) {
    committing_ = true;
    background_.Spawn(CommitWaiting());
  }
  co_await job.done;
  co_return absl::OkStatus();
}

Task<void> Target::CommitWaiting() {
  while (!waiting_.empty()) {
    const std::vector<CommitJob*> round(waiting_.begin(), waiting_.end());
    waiting_.clear();
    waiting_fragments_ = 0;
    co_await CommitRound(round);
    for (CommitJob* job : round) job->done.Set();
  }
  committing_ = false;
}

Task<void> Target::CommitRound(const std::vector<CommitJob*>& round) {
  const TraceSpan span("target.commit_round", round.size());
  absl::Status sealed = Refusal();
  if (sealed.ok()) sealed = co_await CommitSeals(round);
  // After the seals: a fragment sealed and removed in one round ends removed. Also when the seals
  // were refused for want of space: removals are what makes it.
  absl::Status freed = Refusal();
  if (freed.ok()) freed = co_await CommitFrees(round);
  for (CommitJob* job : round) {
    job->sealed = sealed;
    job->freed = freed;
  }
}

Task<absl::Status> Target::CommitSeals(const std::vector<CommitJob*>& round) {
  std::vector<std::shared_ptr<Pending>> seals;
  for (const CommitJob* job : round)
    seals.insert(seals.end(), job->seals.begin(), job->seals.end());
  if (seals.empty()) co_return absl::OkStatus();

  // Bytes before records: all of these writes have returned.
  const Clock& clock = Executor::Current().clock();
  const MonoTime began = clock.Now();
  const absl::Status flushed = co_await disk_.Flush();
  ++counters_.flushes;
  if (!flushed.ok()) {
    ++counters_.flush_errors;
    co_return Fail(flushed);
  }
  latencies_.flush.Record(began, clock.Now());

  for (size_t at = 0; at < seals.size(); at += kSealBatchFragmentsMax) {
    const size_t count = std::min(kSealBatchFragmentsMax, seals.size() - at);
    std::vector<const ChunkIndex::Entry*> entries;
    for (size_t i = at; i < at + count; ++i) entries.push_back(&seals[i]->entry);
    absl::Status added;
    co_await runner_.Run([&] { added = index_.Add(entries); });
    ++counters_.index_batches;
    if (absl::IsResourceExhausted(added)) {
      // The store took nothing and goes on; so do these fragments.
      for (size_t i = at; i < seals.size(); ++i) seals[i]->state = Pending::State::kWritten;
      co_return IndexError(added);
    }
    if (!added.ok()) co_return Fail(added);
    for (size_t i = at; i < at + count; ++i) {
      Forget(seals[i]);
      usage_.pending -= seals[i]->entry.record.extent().length_bytes;
      usage_.used += seals[i]->entry.record.extent().length_bytes;
    }
    usage_.fragments += count;
    counters_.sealed_fragments += static_cast<int64_t>(count);
  }
  co_return absl::OkStatus();
}

Task<absl::Status> Target::CommitFrees(const std::vector<CommitJob*>& round) {
  std::vector<FragmentKey> frees;
  for (const CommitJob* job : round)
    frees.insert(frees.end(), job->frees.begin(), job->frees.end());
  // Two jobs may name one fragment; its space comes back once.
  std::sort(frees.begin(), frees.end());
  frees.erase(std::unique(frees.begin(), frees.end()), frees.end());
  // Those that were being sealed when they were named, and were refused.
  for (const FragmentKey& key : frees) DropPending(key);

  for (size_t at = 0; at < frees.size(); at += kSealBatchFragmentsMax) {
    const auto batch =
        std::span(frees).subspan(at, std::min(kSealBatchFragmentsMax, frees.size() - at));
    absl::StatusOr<ChunkIndex::Removed> removed;
    co_await runner_.Run([&] { removed = index_.Remove(batch); });
    if (!removed.ok()) co_return IndexError(removed.status());
    if (!removed->entries.empty()) ++counters_.index_batches;
    for (const absl::Status& damage : removed->damaged) {
      ++counters_.damaged_records;
      CAIRN_LOG_ERROR("target {}: a fragment was not removed, its record and space stay: {}",
                      options_.id.value(), damage);
    }
    for (const ChunkIndex::Entry& entry : removed->entries) {
      const Extent extent = entry.record.extent();
      --usage_.fragments;
      ++counters_.freed_fragments;
      const auto held = holds_.find(entry.key);
      if (held == holds_.end()) {
        Release(&Usage::used, extent);
        continue;
      }
      usage_.used -= extent.length_bytes;
      usage_.held += extent.length_bytes;
      held->second->freed.push_back(extent);
    }
  }
  co_return absl::OkStatus();
}

}  // namespace cairn
