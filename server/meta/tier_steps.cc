#include "server/meta/tier_steps.h"

#include <algorithm>
#include <optional>
#include <string>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "server/meta/cold.h"
#include "server/meta/families.h"
#include "server/meta/keys.h"
#include "server/meta/pending_free.h"
#include "server/meta/records.h"
#include "server/meta/tier_control.h"
#include "server/meta/tier_rules.h"
#include "server/meta/tier_subject.h"

namespace cairn {
namespace {

using Record = disk::TierSubjectRecord;

// A policy that asks for an access by days needs to know it by the hour.
constexpr uint64_t kReadsApartSeconds = 600;
constexpr size_t kErrorBytesMax = 1000;
// Failures in a row are tried again later and later, until once an hour.
constexpr uint64_t kRetrySecondsMax = 3600;

void TakeFailure(const disk::FinishTierStep& request, int64_t now_ns, Record* record) {
  record->set_error(request.error().substr(0, kErrorBytesMax));
  record->set_error_at_ns(now_ns);
  record->set_failures(record->failures() + 1);
  if (request.copy_is_gone()) record->set_copied(false);
  if (request.give_up()) {
    record->set_wanted(wire::TIER_ACTION_UNSPECIFIED);
    record->set_held(true);
    return;
  }
  const uint64_t first = std::clamp<uint64_t>(request.retry_after_seconds(), 1, kRetrySecondsMax);
  const uint64_t seconds =
      std::min(first << std::min(record->failures() - 1, 12u), kRetrySecondsMax);
  record->set_due_ns(TierTimeAfter(now_ns, seconds));
}

const disk::FinishTierStep::Described* FindDescribed(const disk::FinishTierStep& request,
                                                     InodeId inode) {
  for (const disk::FinishTierStep::Described& described : request.described())
    if (described.subject() == inode.value()) return &described;
  return nullptr;
}

absl::Status DropManifests(Transaction& txn, const disk::FinishTierStep& request) {
  for (const disk::FinishTierStep::Manifest& manifest : request.manifests())
    RETURN_IF_ERROR(DropManifest(txn, manifest.object()));
  return absl::OkStatus();
}

absl::Status TakeManifests(Transaction& txn, const disk::FinishTierStep& request,
                           const disk::FinishTierStep::Described& described, Record* record) {
  for (const uint64_t manifest : record->manifests()) RETURN_IF_ERROR(DropManifest(txn, manifest));
  record->clear_manifests();
  for (const disk::FinishTierStep::Manifest& manifest : request.manifests())
    record->add_manifests(manifest.object());
  record->set_manifest_is_old(described.changes() != record->changes());
  return absl::OkStatus();
}

// `described`: of a copy, and only of one.
absl::Status TakeSuccess(Transaction& txn, const disk::FinishTierStep& request,
                         const disk::FinishTierStep::Described* described, int64_t now_ns,
                         Record* record) {
  record->set_failures(0);
  record->set_error("");
  record->set_due_ns(kTierDueNow);
  switch (request.step()) {
    case wire::TIER_STEP_ARCHIVE:
      record->set_copied(true);
      record->set_tier(request.tier());
      return TakeManifests(txn, request, *described, record);
    case wire::TIER_STEP_RELEASE:
      record->set_released(true);
      record->set_partly(false);
      record->set_cold_reads(0);
      return absl::OkStatus();
    case wire::TIER_STEP_RECALL:
      record->set_released(false);
      record->set_partly(false);
      record->set_read_at_ns(now_ns);
      record->set_hot_until_ns(
          std::max<int64_t>(record->hot_until_ns(), TierTimeAfter(now_ns, kFetchHoldSeconds)));
      return absl::OkStatus();
    default:
      return absl::InvalidArgumentError("this build does not know that step of a tier");
  }
}

absl::Status FinishOne(Transaction& txn, const disk::FinishTierStep& request, InodeId inode,
                       int64_t now_ns) {
  ASSIGN_OR_RETURN(const std::optional<Record> before, FindSubject(txn, inode));
  if (!before.has_value()) return DropManifests(txn, request);
  const bool has_copied = request.step() == wire::TIER_STEP_ARCHIVE && request.error().empty();
  const auto* described = has_copied ? FindDescribed(request, inode) : nullptr;
  // What nothing in the tier tells of is no copy: an import would not find it.
  const bool is_another =
      described != nullptr && described->content_version() != before->content_version();
  if (is_another) described = nullptr;
  const bool is_untold = has_copied && described == nullptr;
  if (is_untold) RETURN_IF_ERROR(DropManifests(txn, request));
  // Cancelled, or wanted no more. A copy is one all the same; of the rest it does not matter how it
  // has ended, and the runs know where they lie.
  const bool superseded = before->step() != request.step();
  if (superseded && described == nullptr) return absl::OkStatus();
  Record after = *before;
  if (!superseded) after.set_step(wire::TIER_STEP_NONE);
  if (is_untold) {
    disk::FinishTierStep failed = request;
    failed.set_error(is_another ? "it was changed while it was copied"
                                : "its path was not found when its manifest was written");
    TakeFailure(failed, now_ns, &after);
  } else if (!request.error().empty()) {
    TakeFailure(request, now_ns, &after);
  } else {
    RETURN_IF_ERROR(TakeSuccess(txn, request, described, now_ns, &after));
  }
  return StoreSubject(txn, inode, before, after);
}

absl::StatusOr<uint64_t> ReleaseRun(Transaction& txn, uint64_t first_stripe,
                                    disk::ReleaseRunsReply* reply) {
  const std::string key = StripeRunKey(first_stripe);
  ASSIGN_OR_RETURN(std::optional<disk::StripeRunRecord> run,
                   Find<disk::StripeRunRecord>(txn, kFamilyStripeRun, key));
  if (!run.has_value() || run->released()) return 0;
  ASSIGN_OR_RETURN(const std::optional<disk::ColdRunRecord> cold, FindColdRun(txn, first_stripe));
  if (!cold.has_value() || !IsWhole(*cold, run->length_bytes())) {
    reply->add_not_whole(first_stripe);
    return 0;
  }
  run->set_released(true);
  Store(txn, kFamilyStripeRun, key, *run);
  RETURN_IF_ERROR(txn.Add(Counter::kReleasedRuns, 1).status());
  RETURN_IF_ERROR(
      QueueRun(txn, {first_stripe, run->stripe_count()}, run->length_bytes(), run->groups()));
  return run->length_bytes();
}

}  // namespace

absl::StatusOr<disk::FinishTierStepReply> FinishTierStep(Transaction& txn,
                                                         const disk::FinishTierStep& request,
                                                         const CommandFacts& facts) {
  const auto references = static_cast<uint32_t>(request.subjects_size());
  for (const disk::FinishTierStep::Manifest& manifest : request.manifests()) {
    RETURN_IF_ERROR(
        NoteManifest(txn, manifest.object(), manifest.size_bytes(), references, facts.now_ns()));
  }
  for (const uint64_t subject : request.subjects())
    RETURN_IF_ERROR(FinishOne(txn, request, InodeId(subject), facts.now_ns()));
  return disk::FinishTierStepReply();
}

absl::StatusOr<disk::ReleaseRunsReply> ReleaseRuns(Transaction& txn,
                                                   const disk::ReleaseRuns& request) {
  const InodeId subject(request.subject());
  ASSIGN_OR_RETURN(const std::optional<Record> record, FindSubject(txn, subject));
  if (!record.has_value() || record->step() != wire::TIER_STEP_RELEASE)
    return absl::FailedPreconditionError("it is not being released any more");
  disk::ReleaseRunsReply reply;
  for (const uint64_t first_stripe : request.first_stripes()) {
    ASSIGN_OR_RETURN(const uint64_t released, ReleaseRun(txn, first_stripe, &reply));
    reply.set_released_bytes(reply.released_bytes() + released);
  }
  if (reply.released_bytes() == 0 || record->partly()) return reply;
  Record partly = *record;
  partly.set_partly(true);
  RETURN_IF_ERROR(StoreSubject(txn, subject, record, partly));
  return reply;
}

absl::StatusOr<disk::NoteReadsReply> NoteReads(Transaction& txn, const disk::NoteReads& request) {
  for (const disk::NoteReads::Read& read : request.reads()) {
    const InodeId inode(read.inode());
    ASSIGN_OR_RETURN(const std::optional<Record> before, FindSubject(txn, inode));
    if (!before.has_value()) continue;
    Record after = *before;
    if (read.at_ns() > TierTimeAfter(before->read_at_ns(), kReadsApartSeconds))
      after.set_read_at_ns(read.at_ns());
    if (read.cold()) {
      after.set_cold_reads(before->cold_reads() + 1);
      after.set_due_ns(kTierDueNow);
    }
    // When it is let go of first follows from when it was read last.
    if (before->spare_policy() != 0 && after.read_at_ns() != before->read_at_ns())
      after.set_spare_order_ns(std::max<int64_t>(after.read_at_ns(), 1));
    RETURN_IF_ERROR(StoreSubject(txn, inode, before, after));
  }
  return disk::NoteReadsReply();
}

}  // namespace cairn
