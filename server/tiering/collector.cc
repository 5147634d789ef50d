#include "server/tiering/collector.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "common/base/status_macros.h"
#include "common/telemetry/log.h"
#include "server/tiering/archive.h"

namespace cairn {
namespace {

constexpr size_t kObjectsPerRound = 256;
constexpr absl::Duration kDeleteTimeout = absl::Minutes(5);
// A node that was given up may still put what it was asked to put: twice what it is given.
constexpr absl::Duration kMayStillCome = absl::Minutes(20);
// What was written anew is still what manifests tell of, until they have been written anew, too.
constexpr absl::Duration kManifestsFollow = absl::Minutes(10);
// Objects written anew together: enough to fill some.
constexpr size_t kSparseAtOnce = 64;

absl::Status Note(const absl::Status& status, std::string_view what) {
  if (!status.ok() && !absl::IsCancelled(status))
    CAIRN_LOG_WARN("{}, will be tried again: {}", what, status.ToString());
  return status;
}

std::map<std::string, std::vector<ColdObjectFound>> ByTier(std::vector<ColdObjectFound> objects) {
  std::map<std::string, std::vector<ColdObjectFound>> by_tier;
  for (ColdObjectFound& object : objects)
    by_tier[object.record.tier()].push_back(std::move(object));
  return by_tier;
}

}  // namespace

Task<absl::Status> Collector::AbandonPlanned() {
  while (true) {
    const absl::StatusOr<std::vector<ColdObjectFound>> planned =
        co_await shared_.meta().ColdObjects(ColdQueue::kPlanned, 0, kObjectsPerRound);
    if (!planned.ok()) co_return planned.status();
    if (planned->empty()) co_return absl::OkStatus();
    disk::AbandonColdObjects abandon;
    for (const ColdObjectFound& object : *planned) abandon.add_objects(object.object);
    const absl::StatusOr<disk::AbandonColdObjectsReply> abandoned =
        co_await shared_.meta().Mutate(std::move(abandon));
    if (!abandoned.ok()) co_return abandoned.status();
  }
}

Task<bool> Collector::Collect() {
  // First: an import would not find what a manifest still tells of.
  const bool manifests_gone = co_await DeleteSome(ColdQueue::kManifestGarbage);
  if (!manifests_gone) co_return true;
  const bool garbage_gone = co_await DeleteSome(ColdQueue::kGarbage);
  if (!garbage_gone) co_return true;
  co_return co_await CompactSome();
}

bool Collector::HasToWait(const ColdObjectFound& object) const {
  const absl::Time now = Executor::Current().clock().WallNow();
  if (!object.record.written())
    return now - absl::FromUnixNanos(object.record.changed_at_ns()) < kMayStillCome;
  return now - absl::FromUnixNanos(object.record.moved_at_ns()) < kManifestsFollow;
}

Task<bool> Collector::DeleteSome(ColdQueue queue) {
  absl::StatusOr<std::vector<ColdObjectFound>> found =
      co_await shared_.meta().ColdObjects(queue, delete_from_[queue], kObjectsPerRound);
  if (!found.ok()) co_return true;
  const bool is_last = found->size() < kObjectsPerRound;
  delete_from_[queue] = is_last ? 0 : found->back().object + 1;
  std::erase_if(*found, [this](const ColdObjectFound& object) {
    return HasToWait(object) || shared_.IsHeld(object.record.tier());
  });
  for (auto& [tier, objects] : ByTier(*std::move(found))) {
    const absl::Status deleted =
        Note(co_await DeleteOf(tier, std::move(objects)), "cold objects could not be deleted");
    shared_.NoteOutcome(tier, deleted);
  }
  co_return is_last;
}

Task<absl::Status> Collector::DeleteOf(const std::string& tier_name,
                                       std::vector<ColdObjectFound> objects) {
  CO_ASSIGN_OR_RETURN(const wire::TierInfo tier, shared_.FindTier(tier_name));
  CO_ASSIGN_OR_RETURN(const wire::NodeInfo node, shared_.NextNode());
  wire::DeleteColdRequest request;
  *request.mutable_tier() = tier.spec();
  disk::ForgetColdObjects forget;
  for (const ColdObjectFound& object : objects) {
    wire::ColdObjectName& name = *request.add_objects();
    const bool is_foreign = !object.record.cluster_id().empty();
    name.set_cluster_id(object.record.cluster_id());
    name.set_object(is_foreign ? object.record.foreign_object() : object.object);
    name.set_manifest(object.record.manifest());
    forget.add_objects(object.object);
  }
  const absl::StatusOr<wire::DeleteColdReply> deleted =
      co_await shared_.nodes().Delete(node, std::move(request), shared_.After(kDeleteTimeout));
  if (!deleted.ok()) co_return shared_.OfNode(deleted.status());
  const auto count = static_cast<uint64_t>(forget.objects_size());
  const absl::StatusOr<disk::ForgetColdObjectsReply> forgotten =
      co_await shared_.meta().Mutate(std::move(forget));
  if (!forgotten.ok()) co_return forgotten.status();
  deleted_objects_ += count;
  co_return absl::OkStatus();
}

Task<bool> Collector::CompactSome() {
  absl::StatusOr<std::vector<ColdObjectFound>> sparse =
      co_await shared_.meta().ColdObjects(ColdQueue::kSparse, compacted_below_, kSparseAtOnce);
  if (!sparse.ok()) co_return false;
  const bool is_last = sparse->size() < kSparseAtOnce;
  compacted_below_ = is_last ? 0 : sparse->back().object + 1;
  std::erase_if(*sparse, [this](const ColdObjectFound& object) {
    const auto tier = shared_.tiers().find(object.record.tier());
    return tier == shared_.tiers().end() || tier->second.control().archive_paused() ||
           shared_.IsHeld(object.record.tier());
  });
  for (auto& [tier, objects] : ByTier(*std::move(sparse))) {
    const absl::Status compacted =
        Note(co_await CompactOf(tier, std::move(objects)), "cold objects could not be compacted");
    shared_.NoteOutcome(tier, compacted);
  }
  co_return !is_last;
}

// One alone is written anew, too: what it frees is more than half of it.
Task<absl::Status> Collector::CompactOf(const std::string& tier_name,
                                        std::vector<ColdObjectFound> objects) {
  CO_ASSIGN_OR_RETURN(const wire::TierInfo tier, shared_.FindTier(tier_name));
  ObjectPacker packer;
  for (const ColdObjectFound& object : objects) {
    wire::ColdPlace place;
    place.set_tier(tier_name);
    place.set_cluster_id(object.record.cluster_id());
    place.set_object(object.record.cluster_id().empty() ? object.object
                                                        : object.record.foreign_object());
    place.set_object_bytes(object.record.size_bytes());
    const absl::StatusOr<std::vector<ColdPartOf>> runs =
        co_await shared_.meta().ColdParts(object.object);
    if (!runs.ok()) co_return runs.status();
    for (const ColdPartOf& each : *runs) {
      for (const disk::ColdRunRecord::Part& part : each.run.parts()) {
        if (part.object() != object.object) continue;
        place.set_offset_bytes(part.object_offset_bytes());
        packer.AddPart(each.first_stripe, part, place);
      }
    }
  }
  TierProgress progress;
  absl::Status outcome;
  while (std::optional<PackedObject> packed = packer.Finish()) {
    const absl::Status copied = co_await CopyObject(&shared_, tier, *std::move(packed), &progress);
    if (outcome.ok()) outcome = copied;
    // One that cannot be read does not hold up the others.
    if (!copied.ok() && (IsTiersFault(copied) || absl::IsCancelled(copied))) break;
  }
  compacted_bytes_ += progress.done_bytes;
  co_return outcome;
}

}  // namespace cairn
