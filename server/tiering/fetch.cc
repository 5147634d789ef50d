#include "server/tiering/fetch.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/task/scope.h"
#include "common/task/semaphore.h"
#include "common/task/when_all.h"
#include "server/meta/extents.h"
#include "server/tiering/archive.h"
#include "server/tiering/object_packer.h"

namespace cairn {
namespace {

constexpr absl::Duration kRecallTimeout = absl::Minutes(10);
constexpr size_t kRunsPerPage = 512;
// Bytes that one call fetches: they are in the node's memory.
constexpr uint64_t kChunkBytes = kColdPayloadBytes;
constexpr int64_t kExtentsAtOnce = 32;
constexpr int kTries = 3;
constexpr absl::Duration kTryPause = absl::Seconds(1);
// Stripes that a target does not take move, under new ids.
constexpr uint64_t kIdsPerStripe = 3;

// What the extents of one fetch share.
struct FetchJob {
  TierShared* shared = nullptr;
  TierTask task;
  TierProgress* progress = nullptr;
  disk::BeginRecallReply lease;
  uint64_t next_id = 0;
  absl::Status failure;
  Semaphore turns{kExtentsAtOnce};
  Scope scope;
  StopSource ended;
};

// Consecutive parts of a run, as one call fetches them. All lie in one tier.
struct Chunk {
  std::string tier;
  std::vector<wire::ExtentRun> runs;
  uint64_t bytes = 0;
  uint64_t stripes = 0;
};

std::vector<Chunk> CutIntoChunks(const TierRun& run) {
  std::vector<Chunk> chunks;
  const uint64_t stripe_bytes = run.record.stripe_bytes();
  for (int i = 0; i < run.cold.parts_size(); ++i) {
    const disk::ColdRunRecord::Part& part = run.cold.parts(i);
    const wire::ColdPlace& place = run.places[static_cast<size_t>(i)];
    for (uint64_t at = 0; at < part.length_bytes();) {
      // Whole stripes, so that none of a chunk ends in the midst of one.
      const bool joins = !chunks.empty() && chunks.back().tier == place.tier() &&
                         chunks.back().bytes < kChunkBytes;
      if (!joins) chunks.push_back({place.tier(), {}, 0, 0});
      Chunk& chunk = chunks.back();
      const uint64_t length = std::min(part.length_bytes() - at, kChunkBytes - chunk.bytes);
      wire::ExtentRun& piece = chunk.runs.emplace_back();
      piece.set_offset_bytes(run.offset_bytes + part.run_offset_bytes() + at);
      piece.set_length_bytes(length);
      piece.set_stripe_bytes(run.record.stripe_bytes());
      *piece.mutable_cold() = place;
      piece.mutable_cold()->set_offset_bytes(place.offset_bytes() + at);
      chunk.bytes += length;
      chunk.stripes = DivideUp(chunk.bytes, stripe_bytes);
      at += length;
    }
  }
  return chunks;
}

using Extents = std::vector<wire::ExtentRun>;

Task<absl::StatusOr<Extents>> FetchOnce(FetchJob* job, const wire::TierInfo& tier,
                                        const Chunk& chunk) {
  TierShared& shared = *job->shared;
  CO_ASSIGN_OR_RETURN(const wire::NodeInfo node, shared.NextNode());
  wire::RecallColdRequest request;
  *request.mutable_tier() = tier.spec();
  request.mutable_runs()->Add(chunk.runs.begin(), chunk.runs.end());
  request.set_lease(job->lease.lease());
  request.set_redundancy(job->lease.redundancy());
  const uint64_t ids = chunk.stripes * kIdsPerStripe + kIdsPerStripe;
  const uint64_t end = job->lease.stripes().first() + job->lease.stripes().count();
  if (job->next_id + ids > end)
    co_return absl::ResourceExhaustedError("the ids of this fetch are used up; it begins anew");
  request.mutable_stripes()->set_first(job->next_id);
  request.mutable_stripes()->set_count(ids);
  job->next_id += ids;
  const absl::StatusOr<wire::RecallColdReply> reply =
      co_await shared.nodes().Recall(node, std::move(request), shared.After(kRecallTimeout));
  if (!reply.ok()) co_return shared.OfNode(reply.status());
  co_return Extents(reply->extents().begin(), reply->extents().end());
}

Task<absl::StatusOr<Extents>> FetchChunk(FetchJob* job, Chunk chunk) {
  absl::StatusOr<Extents> fetched = absl::InternalError("not fetched");
  for (int i = 0; i < kTries; ++i) {
    if (i > 0) CO_RETURN_IF_ERROR(co_await SleepFor(kTryPause * i, job->shared->stop()));
    CO_ASSIGN_OR_RETURN(const wire::TierInfo tier, job->shared->FindTier(chunk.tier));
    CO_RETURN_IF_ERROR(co_await job->shared->KeepPace(tier, Slots::Class::kRecall, chunk.bytes));
    CO_RETURN_IF_ERROR(co_await job->shared->slots().Take(Slots::Class::kRecall));
    if (job->failure.ok() && job->progress->cancelled) job->failure = CancelledByOperator();
    // What another has failed of is not gone on with.
    if (job->failure.ok()) {
      fetched = co_await FetchOnce(job, tier, chunk);
    } else {
      fetched = job->failure;
    }
    job->shared->slots().Give();
    if (fetched.ok() || !MayRecover(fetched.status()) || !job->failure.ok()) break;
  }
  if (fetched.ok()) {
    job->progress->done_bytes += chunk.bytes;
  } else if (job->failure.ok()) {
    job->failure = fetched.status();
  }
  co_return fetched;
}

Task<absl::Status> FetchRun(FetchJob* job, InodeId file, TierRun run) {
  std::vector<Task<absl::StatusOr<Extents>>> fetches;
  for (Chunk& chunk : CutIntoChunks(run)) fetches.push_back(FetchChunk(job, std::move(chunk)));
  const std::vector<absl::StatusOr<Extents>> fetched = co_await WhenAll(std::move(fetches));
  disk::RecallExtent recall;
  for (const absl::StatusOr<Extents>& extents : fetched) {
    if (!extents.ok()) co_return extents.status();
    recall.mutable_extents()->Add(extents->begin(), extents->end());
  }
  recall.set_lease(job->lease.lease());
  recall.set_file(file.value());
  recall.set_offset_bytes(run.offset_bytes);
  recall.set_first_stripe(run.first_stripe);
  const absl::StatusOr<disk::RecallExtentReply> exchanged =
      co_await job->shared->meta().Mutate(std::move(recall));
  co_return exchanged.status();
}

Task<void> FetchInTurn(FetchJob* job, InodeId file, TierRun run) {
  if (job->failure.ok() && job->progress->cancelled) job->failure = CancelledByOperator();
  if (job->failure.ok()) {
    const absl::Status fetched = co_await FetchRun(job, file, std::move(run));
    if (!fetched.ok() && job->failure.ok()) job->failure = fetched;
  }
  job->turns.Release(1);
}

Task<void> KeepLease(FetchJob* job) {
  const absl::Duration interval = job->shared->meta().lease_ttl() / 4;
  while (job->shared->meta().RenewLease(LeaseId(job->lease.lease()))) {
    const absl::Status slept = co_await SleepFor(interval, job->ended);
    if (!slept.ok()) co_return;
  }
}

Task<absl::Status> LaunchAll(FetchJob* job) {
  TierCursor cursor;
  for (bool last = false; !last;) {
    if (job->progress->cancelled) co_return CancelledByOperator();
    const absl::StatusOr<TierPage> page =
        co_await job->shared->meta().TierFiles(job->task.subject, cursor, kRunsPerPage);
    if (!page.ok()) co_return page.status();
    for (const TierFile& file : page->files) {
      for (const TierRun& run : file.runs) {
        if (!run.record.released()) continue;
        CO_RETURN_IF_ERROR(co_await job->turns.Acquire(1, Deadline::Infinite()));
        job->scope.Spawn(FetchInTurn(job, file.inode, run));
        CO_RETURN_IF_ERROR(job->failure);
      }
    }
    cursor = page->next;
    last = page->last;
  }
  co_return absl::OkStatus();
}

// Ids for all of it: a small file with many small runs has a stripe each.
uint64_t IdsFor(const disk::TierSubjectRecord& record) {
  constexpr uint64_t kStripeBytes = 256 * kKiB;
  const uint64_t wanted = (record.size_bytes() / kStripeBytes + 4096) * kIdsPerStripe;
  return std::min(wanted, kMaxGrant);
}

Task<absl::Status> FetchAll(TierShared* shared, const TierTask& task, TierProgress* progress) {
  FetchJob job;
  job.shared = shared;
  job.task = task;
  job.progress = progress;
  disk::BeginRecall begin;
  begin.set_subject(task.subject.value());
  begin.set_stripes(IdsFor(task.record));
  absl::StatusOr<disk::BeginRecallReply> begun = co_await shared->meta().Mutate(std::move(begin));
  if (!begun.ok()) co_return Superseded(begun.status());
  job.lease = *std::move(begun);
  job.next_id = job.lease.stripes().first();
  Scope keeping;
  keeping.Spawn(KeepLease(&job));
  absl::Status launched = co_await LaunchAll(&job);
  co_await job.scope.Join();
  job.ended.RequestStop();
  co_await keeping.Join();
  disk::EndRecall end;
  end.set_lease(job.lease.lease());
  const absl::StatusOr<disk::EndRecallReply> ended = co_await shared->meta().Mutate(std::move(end));
  CO_RETURN_IF_ERROR(job.failure);
  CO_RETURN_IF_ERROR(launched);
  co_return ended.status();
}

}  // namespace

Task<void> Fetch(TierShared* shared, TierTask task, TierProgress* progress) {
  disk::FinishTierStep finish;
  finish.set_step(wire::TIER_STEP_RECALL);
  finish.add_subjects(task.subject.value());
  const absl::Status outcome = co_await FetchAll(shared, task, progress);
  // Full targets are not the tier's fault.
  if (!absl::IsResourceExhausted(outcome)) shared->NoteOutcome(task.record.tier(), outcome);
  co_await FinishStep(shared, std::move(finish), outcome);
}

}  // namespace cairn
