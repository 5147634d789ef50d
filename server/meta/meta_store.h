// The questions: everything that reads the metadata and changes nothing. Blocking; MetaEngine runs
// it on the read runner. Replies are cut into pages that fit an RPC.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/ids.h"
#include "proto/wire/fs.pb.h"
#include "proto/wire/meta.pb.h"
#include "proto/wire/tier.pb.h"
#include "server/kv/kv.h"
#include "server/meta/cold.h"
#include "server/meta/pending_free.h"
#include "server/meta/save_log.h"
#include "server/meta/stripe_walk.h"
#include "server/meta/tier_files.h"

namespace cairn {

struct MetaCounters {
  uint64_t checkpoints = 0;  // committed and visible
  uint64_t files = 0;        // shards of committed checkpoints included
  uint64_t open_attempts = 0;
  uint64_t pending_free_bytes = 0;  // known to be written and not reclaimed yet
  uint64_t next_pending_sequence = 0;
  uint64_t cleanup_backlog = 0;  // put-off tasks
  uint64_t tier_policies = 0;
  uint64_t tier_subjects = 0;  // checkpoints and files that tiering knows
};

// Thread-safe as its Kv is. Each answer is of one moment per record, not of one moment in all: a
// listing that races with changes shows each entry before or after its change.
class MetaStore {
 public:
  explicit MetaStore(Kv& kv) : kv_(kv) {}

  absl::StatusOr<wire::ListCheckpointsReply> Answer(const wire::ListCheckpointsRequest& request);
  absl::StatusOr<wire::ShowCheckpointReply> Answer(const wire::ShowCheckpointRequest& request);
  absl::StatusOr<wire::LatestCheckpointReply> Answer(const wire::LatestCheckpointRequest& request);
  absl::StatusOr<wire::GetBucketReply> Answer(const wire::GetBucketRequest& request);
  absl::StatusOr<wire::GetRetentionReply> Answer(const wire::GetRetentionRequest& request);
  absl::StatusOr<wire::StatReply> Answer(const wire::StatRequest& request);
  absl::StatusOr<wire::ListReply> Answer(const wire::ListRequest& request);
  absl::StatusOr<wire::GetExtentsReply> Answer(const wire::GetExtentsRequest& request);
  absl::StatusOr<wire::GetUsageReply> Answer(const wire::GetUsageRequest& request);
  absl::StatusOr<wire::LookupReply> Answer(const wire::LookupRequest& request);
  absl::StatusOr<wire::LookupReply> Answer(const wire::LookupPathRequest& request);
  absl::StatusOr<wire::GetAttributesReply> Answer(const wire::GetAttributesRequest& request);
  absl::StatusOr<wire::ReadDirectoryReply> Answer(const wire::ReadDirectoryRequest& request);
  absl::StatusOr<wire::GetXattrsReply> Answer(const wire::GetXattrsRequest& request);
  absl::StatusOr<wire::StatFsReply> Answer(const wire::StatFsRequest& request);
  absl::StatusOr<wire::OpenNodeReply> Answer(const wire::OpenNodeRequest& request);
  absl::StatusOr<wire::GetMapReply> Answer(const wire::GetMapRequest& request);
  absl::StatusOr<wire::ListTiersReply> Answer(const wire::ListTiersRequest& request);
  absl::StatusOr<wire::ListTierPoliciesReply> Answer(const wire::ListTierPoliciesRequest& request);
  absl::StatusOr<wire::TestTierPolicyReply> Answer(const wire::TestTierPolicyRequest& request);
  absl::StatusOr<wire::TierQueueReply> Answer(const wire::TierQueueRequest& request);
  absl::StatusOr<wire::ExplainTierReply> Answer(const wire::ExplainTierRequest& request);
  absl::StatusOr<wire::TierProgressReply> Answer(const wire::TierProgressRequest& request);

  absl::StatusOr<MetaCounters> Counters();
  absl::StatusOr<std::vector<LeaseId>> Leases();
  absl::StatusOr<std::vector<OpenAttempt>> OpenAttempts();
  // See MetaEngine::NextReclaim(); considers entries below `below_sequence`.
  absl::StatusOr<std::vector<ReclaimItem>> Reclaimable(ReclaimPosition from,
                                                       uint64_t below_sequence, size_t limit);
  // See stripe_walk.h.
  absl::StatusOr<StripePage> Stripes(uint64_t from, uint64_t stripes_max, bool with_pending);
  // See tier_files.h.
  absl::StatusOr<TierPage> TierFiles(InodeId subject, const TierCursor& from, size_t runs_max);
  absl::StatusOr<TierTaskPage> TierTasks(const TierTaskFilter& filter, const std::string& from,
                                         size_t limit);
  // See cold.h.
  absl::StatusOr<std::vector<ColdObjectFound>> ColdObjects(ColdQueue queue, uint64_t from,
                                                           size_t limit);
  absl::StatusOr<std::vector<ColdPartOf>> ColdParts(uint64_t object);
  absl::StatusOr<InodeId> TierSubjectAt(const std::string& path);
  absl::StatusOr<std::optional<disk::TierSubjectRecord>> TierSubject(InodeId subject);
  // "bucket/dir/name" of a subject, or of the directory of a policy.
  absl::StatusOr<std::string> TierPath(InodeId subject);
  // Files that no name leads to and that some mount may have open, behind `after`.
  absl::StatusOr<std::vector<InodeId>> Orphans(InodeId after, size_t limit);
  absl::StatusOr<uint64_t> Count(Counter counter);
  // No lease from here on has been granted.
  absl::StatusOr<LeaseId> NextLease();

 private:
  Kv& kv_;
};

}  // namespace cairn
