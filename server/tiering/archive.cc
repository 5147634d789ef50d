#include "server/tiering/archive.h"

#include <algorithm>
#include <string>
#include <utility>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/task/scope.h"
#include "common/task/semaphore.h"
#include "common/telemetry/log.h"
#include "server/meta/cold.h"
#include "server/tiering/manifest_writer.h"

namespace cairn {
namespace {

// Read, reconstruct, put: 128 MiB over a slow line take a while.
constexpr absl::Duration kPutTimeout = absl::Minutes(10);
constexpr int kTries = 3;
constexpr absl::Duration kTryPause = absl::Seconds(1);
// Objects of a job that wait for a slot: what they are is in memory.
constexpr int64_t kWaitingMax = 64;
constexpr size_t kRunsPerPage = 2048;
constexpr uint64_t kRetrySeconds = 2;

Task<absl::StatusOr<uint64_t>> PlanObject(TierShared* shared, const std::string& tier) {
  disk::PlanColdObjects plan;
  plan.set_tier(tier);
  plan.set_count(1);
  const absl::StatusOr<disk::PlanColdObjectsReply> planned =
      co_await shared->meta().Mutate(std::move(plan));
  if (!planned.ok()) co_return planned.status();
  co_return planned->first();
}

Task<absl::Status> PutOnce(TierShared* shared, const wire::TierInfo& tier,
                           const PackedObject& packed) {
  CO_ASSIGN_OR_RETURN(const wire::NodeInfo node, shared->NextNode());
  CO_ASSIGN_OR_RETURN(const uint64_t object, co_await PlanObject(shared, tier.spec().name()));
  wire::PutColdRequest request;
  *request.mutable_tier() = tier.spec();
  request.set_cluster_id(shared->meta().cluster_id());
  request.set_object(object);
  request.mutable_sources()->Add(packed.sources.begin(), packed.sources.end());
  const absl::StatusOr<wire::PutColdReply> put =
      co_await shared->nodes().Put(node, std::move(request), shared->After(kPutTimeout));
  absl::Status outcome = shared->OfNode(put.status());
  if (put.ok()) {
    const absl::StatusOr<disk::NoteColdObjectReply> noted =
        co_await shared->meta().Mutate(NoteOf(packed, object, put->size_bytes()));
    outcome = noted.status();
  }
  if (outcome.ok()) co_return outcome;
  // It is in the store, or may come there late: under an id that nobody else gets.
  disk::AbandonColdObjects abandon;
  abandon.add_objects(object);
  (void)co_await shared->meta().Mutate(std::move(abandon));
  co_return outcome;
}

// What the objects of one job share.
struct CopyJob {
  TierShared* shared = nullptr;
  wire::TierInfo tier;
  TierProgress* progress = nullptr;
  absl::Status failure;
  Semaphore waiting{kWaitingMax};
  Scope scope;
};

Task<void> CopyInScope(CopyJob* job, PackedObject packed) {
  if (job->failure.ok() && job->progress->cancelled) job->failure = CancelledByOperator();
  if (job->failure.ok()) {
    const absl::Status copied =
        co_await CopyObject(job->shared, job->tier, std::move(packed), job->progress);
    if (!copied.ok() && job->failure.ok()) job->failure = copied;
  }
  job->waiting.Release(1);
}

Task<absl::Status> Launch(CopyJob* job, ObjectPacker* packer, bool last) {
  while (true) {
    std::optional<PackedObject> packed = last ? packer->Finish() : packer->Take();
    if (!packed.has_value()) co_return job->failure;
    CO_RETURN_IF_ERROR(co_await job->waiting.Acquire(1, Deadline::Infinite()));
    job->scope.Spawn(CopyInScope(job, *std::move(packed)));
    CO_RETURN_IF_ERROR(job->failure);
  }
}

Task<absl::Status> LaunchAll(CopyJob* job, const std::vector<TierTask>& tasks) {
  ObjectPacker packer;
  for (const TierTask& task : tasks) {
    TierCursor cursor;
    for (bool last = false; !last;) {
      if (job->progress->cancelled) co_return CancelledByOperator();
      const absl::StatusOr<TierPage> page =
          co_await job->shared->meta().TierFiles(task.subject, cursor, kRunsPerPage);
      // Removed meanwhile: the others are copied all the same.
      if (absl::IsNotFound(page.status())) break;
      if (!page.ok()) co_return page.status();
      for (const TierFile& file : page->files)
        for (const TierRun& run : file.runs) packer.Add(run, task.subject);
      CO_RETURN_IF_ERROR(co_await Launch(job, &packer, false));
      cursor = page->next;
      last = page->last;
    }
  }
  co_return co_await Launch(job, &packer, true);
}

Task<absl::Status> CopyAll(TierShared* shared, const std::vector<TierTask>& tasks,
                           const wire::TierInfo& tier, TierProgress* progress) {
  CopyJob job;
  job.shared = shared;
  job.tier = tier;
  job.progress = progress;
  absl::Status launched = co_await LaunchAll(&job, tasks);
  co_await job.scope.Join();
  CO_RETURN_IF_ERROR(job.failure);
  co_return launched;
}

Task<absl::Status> CopyAndDescribe(TierShared* shared, const std::vector<TierTask>& tasks,
                                   TierProgress* progress, disk::FinishTierStep* finish) {
  CO_ASSIGN_OR_RETURN(const wire::TierInfo tier, shared->FindTier(finish->tier()));
  CO_RETURN_IF_ERROR(co_await CopyAll(shared, tasks, tier, progress));
  co_return co_await WriteManifests(shared, tier, tasks, finish);
}

}  // namespace

Task<absl::Status> CopyObject(TierShared* shared, wire::TierInfo tier, PackedObject packed,
                              TierProgress* progress) {
  absl::Status put;
  for (int i = 0; i < kTries; ++i) {
    if (i > 0) CO_RETURN_IF_ERROR(co_await SleepFor(kTryPause * i, shared->stop()));
    CO_RETURN_IF_ERROR(
        co_await shared->KeepPace(tier, Slots::Class::kArchive, packed.payload_bytes));
    CO_RETURN_IF_ERROR(co_await shared->slots().Take(Slots::Class::kArchive));
    put = co_await PutOnce(shared, tier, packed);
    shared->slots().Give();
    if (put.ok()) {
      progress->done_bytes += packed.payload_bytes;
      co_return put;
    }
    if (!MayRecover(put)) co_return put;
  }
  co_return put;
}

Task<void> FinishStep(TierShared* shared, disk::FinishTierStep finish, absl::Status outcome) {
  if (!outcome.ok() && finish.manifests_size() > 0) {
    disk::AbandonColdObjects abandon;
    for (const auto& manifest : finish.manifests()) abandon.add_objects(manifest.object());
    finish.clear_manifests();
    (void)co_await shared->meta().Mutate(std::move(abandon));
  }
  // What a stop has cut short begins again after it, what an operator has cancelled is noted.
  if (absl::IsCancelled(outcome)) co_return;
  if (!outcome.ok()) {
    finish.set_error(std::string(outcome.message()));
    finish.set_retry_after_seconds(kRetrySeconds);
    CAIRN_LOG_WARN("a step of tiering has failed and is tried again: {}", outcome.ToString());
  }
  const absl::StatusOr<disk::FinishTierStepReply> finished =
      co_await shared->meta().Mutate(std::move(finish));
  if (!finished.ok() && !shared->stop().stop_requested())
    CAIRN_LOG_WARN("the end of a step of tiering could not be noted: {}",
                   finished.status().ToString());
}

Task<void> Archive(TierShared* shared, std::vector<TierTask> tasks, TierProgress* progress) {
  disk::FinishTierStep finish;
  finish.set_step(wire::TIER_STEP_ARCHIVE);
  finish.set_tier(tasks.front().record.tier());
  for (const TierTask& task : tasks) finish.add_subjects(task.subject.value());
  const absl::Status outcome = co_await CopyAndDescribe(shared, tasks, progress, &finish);
  shared->NoteOutcome(finish.tier(), outcome);
  co_await FinishStep(shared, std::move(finish), outcome);
}

}  // namespace cairn
