#include "server/meta/recall.h"

#include <optional>
#include <string>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "server/meta/bucket.h"
#include "server/meta/cold.h"
#include "server/meta/extents.h"
#include "server/meta/families.h"
#include "server/meta/keys.h"
#include "server/meta/pending_free.h"
#include "server/meta/records.h"
#include "server/meta/tier_subject.h"

namespace cairn {
namespace {

// The new runs lie where the old one did in the cold tiers. REQUIRES: nothing else refers to that.
absl::Status MoveColdRun(Transaction& txn, const disk::RecallExtent& request,
                         const disk::ColdRunRecord& cold) {
  for (const wire::ExtentRun& run : request.extents()) {
    const uint64_t begin = run.offset_bytes() - request.offset_bytes();
    const disk::ColdRunRecord cut = CutColdRun(cold, begin, begin + run.length_bytes());
    RETURN_IF_ERROR(AddColdRun(txn, run.first_stripe(), cut, Counted::kYes));
    const std::string key = StripeRunKey(run.first_stripe());
    ASSIGN_OR_RETURN(disk::StripeRunRecord record,
                     Load<disk::StripeRunRecord>(txn, kFamilyStripeRun, key));
    record.set_cold(true);
    Store(txn, kFamilyStripeRun, key, record);
  }
  return absl::OkStatus();
}

// The file refers to the old run no more.
absl::Status LeaveOldRun(Transaction& txn, const disk::RecallExtent& request,
                         disk::StripeRunRecord run) {
  const std::string key = StripeRunKey(request.first_stripe());
  if (run.references() > 1) {
    run.set_references(run.references() - 1);
    Store(txn, kFamilyStripeRun, key, run);
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const std::optional<disk::ColdRunRecord> cold,
                   FindColdRun(txn, request.first_stripe()));
  if (!cold.has_value()) return absl::InternalError("metadata: a released run lies nowhere");
  ForgetColdRun(txn, request.first_stripe(), *cold);
  RETURN_IF_ERROR(MoveColdRun(txn, request, *cold));
  txn.Delete(kFamilyStripeRun, key);
  return txn.Subtract(Counter::kReleasedRuns, 1);
}

absl::Status MarkPartly(Transaction& txn, InodeId subject) {
  ASSIGN_OR_RETURN(const auto before, FindSubject(txn, subject));
  if (!before.has_value() || before->partly()) return absl::OkStatus();
  disk::TierSubjectRecord after = *before;
  after.set_partly(true);
  return StoreSubject(txn, subject, before, after);
}

}  // namespace

absl::StatusOr<disk::BeginRecallReply> BeginRecall(Transaction& txn,
                                                   const disk::BeginRecall& request) {
  const InodeId subject(request.subject());
  ASSIGN_OR_RETURN(const auto record, FindSubject(txn, subject));
  if (!record.has_value() || record->step() != wire::TIER_STEP_RECALL)
    return absl::FailedPreconditionError("it is not being fetched any more");
  ASSIGN_OR_RETURN(const std::string path, PathOfSubject(txn, subject, *record));
  ASSIGN_OR_RETURN(const uint64_t lease, txn.Add(Counter::kNextLease, 1));
  disk::LeaseRecord stored;
  stored.mutable_recall()->set_subject(request.subject());
  disk::BeginRecallReply reply;
  ASSIGN_OR_RETURN(
      *reply.mutable_stripes(),
      GrantStripes(txn, request.stripes(), stored.mutable_recall()->mutable_granted()));
  Store(txn, kFamilyLease, LeaseKey(LeaseId(lease)), stored);
  txn.effects().granted_leases.push_back(LeaseId(lease));
  reply.set_lease(lease);
  ASSIGN_OR_RETURN(*reply.mutable_redundancy(), RedundancyAt(txn, path));
  return reply;
}

absl::StatusOr<disk::RecallExtentReply> RecallExtent(Transaction& txn,
                                                     const disk::RecallExtent& request) {
  const LeaseId lease_id(request.lease());
  ASSIGN_OR_RETURN(const auto lease,
                   Find<disk::LeaseRecord>(txn, kFamilyLease, LeaseKey(lease_id)));
  if (!lease.has_value() || !lease->has_recall())
    return absl::AbortedError("the lease of this recall has ended");
  disk::RecallExtentReply reply;
  const InodeId file(request.file());
  const std::string extent_key = ExtentKey(file, request.offset_bytes());
  ASSIGN_OR_RETURN(const auto extent, Find<disk::ExtentRecord>(txn, kFamilyExtent, extent_key));
  ASSIGN_OR_RETURN(
      const auto run,
      Find<disk::StripeRunRecord>(txn, kFamilyStripeRun, StripeRunKey(request.first_stripe())));
  const bool is_same = extent.has_value() && run.has_value() && run->released() &&
                       extent->first_stripe() == request.first_stripe();
  if (!is_same) {
    reply.set_stale(true);
    return reply;
  }
  txn.Delete(kFamilyExtent, extent_key);
  ASSIGN_OR_RETURN(const uint64_t end, AddExtents(txn, file, request.offset_bytes(),
                                                  request.extents(), lease->recall().granted()));
  if (end != request.offset_bytes() + extent->length_bytes()) {
    return absl::InvalidArgumentError(StrCat("extents of ", end - request.offset_bytes(),
                                             " bytes for one of ", extent->length_bytes()));
  }
  RETURN_IF_ERROR(LeaveOldRun(txn, request, *run));
  RETURN_IF_ERROR(MarkPartly(txn, InodeId(lease->recall().subject())));
  txn.effects().granted_leases.push_back(lease_id);
  return reply;
}

absl::StatusOr<disk::EndRecallReply> EndRecall(Transaction& txn, const disk::EndRecall& request) {
  const LeaseId lease(request.lease());
  ASSIGN_OR_RETURN(const auto record, Find<disk::LeaseRecord>(txn, kFamilyLease, LeaseKey(lease)));
  if (record.has_value() && record->has_recall())
    RETURN_IF_ERROR(DropRecall(txn, lease, record->recall()));
  return disk::EndRecallReply();
}

absl::Status DropRecall(Transaction& txn, LeaseId lease, const disk::LeaseRecord::Recall& recall) {
  txn.Delete(kFamilyLease, LeaseKey(lease));
  txn.effects().ended_leases.push_back(lease);
  for (const disk::IdRange& range : recall.granted())
    RETURN_IF_ERROR(QueueRange(txn, {range.first(), range.count()}));
  return absl::OkStatus();
}

}  // namespace cairn
