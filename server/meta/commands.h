// Which request is which command, and what answers it: the types by which MetaEngine::Mutate() and
// Query() are called.
#pragma once

#include "proto/disk/meta_log.pb.h"
#include "proto/wire/meta.pb.h"
#include "proto/wire/tier.pb.h"
#include "server/meta/command_types.h"
#include "server/meta/fs_commands.h"

namespace cairn {

namespace meta_internal {

template <>
struct Mutation<wire::BeginCheckpointRequest> : Answer<wire::BeginCheckpointReply> {
  static auto* Body(disk::Command& command) { return command.mutable_begin_checkpoint(); }
};
template <>
struct Mutation<wire::StageShardRequest> : Answer<wire::StageShardReply> {
  static auto* Body(disk::Command& command) { return command.mutable_stage_shard(); }
};
template <>
struct Mutation<wire::RankDoneRequest> : Answer<wire::RankDoneReply> {
  static auto* Body(disk::Command& command) { return command.mutable_rank_done(); }
};
template <>
struct Mutation<wire::CommitCheckpointRequest> : Answer<wire::CommitCheckpointReply> {
  static auto* Body(disk::Command& command) { return command.mutable_commit_checkpoint(); }
};
template <>
struct Mutation<wire::AbortCheckpointRequest> : Answer<wire::AbortCheckpointReply> {
  static auto* Body(disk::Command& command) { return command.mutable_abort_checkpoint(); }
};
template <>
struct Mutation<wire::PinCheckpointRequest> : Answer<wire::PinCheckpointReply> {
  static auto* Body(disk::Command& command) { return command.mutable_pin_checkpoint(); }
};
template <>
struct Mutation<wire::SetRetentionRequest> : Answer<wire::SetRetentionReply> {
  static auto* Body(disk::Command& command) { return command.mutable_set_retention(); }
};
template <>
struct Mutation<wire::PruneCheckpointsRequest> : Answer<wire::PruneCheckpointsReply> {
  static auto* Body(disk::Command& command) { return command.mutable_prune_checkpoints(); }
};
template <>
struct Mutation<wire::BeginFileRequest> : Answer<wire::BeginFileReply> {
  static auto* Body(disk::Command& command) { return command.mutable_begin_file(); }
};
template <>
struct Mutation<wire::CommitFileRequest> : Answer<wire::CommitFileReply> {
  static auto* Body(disk::Command& command) { return command.mutable_commit_file(); }
};
template <>
struct Mutation<wire::AbortFileRequest> : Answer<wire::AbortFileReply> {
  static auto* Body(disk::Command& command) { return command.mutable_abort_file(); }
};
template <>
struct Mutation<wire::RemoveRequest> : Answer<wire::RemoveReply> {
  static auto* Body(disk::Command& command) { return command.mutable_remove(); }
};
template <>
struct Mutation<wire::RenameRequest> : Answer<wire::RenameReply> {
  static auto* Body(disk::Command& command) { return command.mutable_rename(); }
};
template <>
struct Mutation<wire::MakeDirectoryRequest> : Answer<wire::MakeDirectoryReply> {
  static auto* Body(disk::Command& command) { return command.mutable_make_directory(); }
};
template <>
struct Mutation<wire::MakeBucketRequest> : Answer<wire::MakeBucketReply> {
  static auto* Body(disk::Command& command) { return command.mutable_make_bucket(); }
};
template <>
struct Mutation<wire::SetBucketRequest> : Answer<wire::SetBucketReply> {
  static auto* Body(disk::Command& command) { return command.mutable_set_bucket(); }
};
template <>
struct Mutation<disk::ExpireLease> : Answer<disk::ExpireLeaseReply> {
  static auto* Body(disk::Command& command) { return command.mutable_expire_lease(); }
};
template <>
struct Mutation<disk::RunCleanup> : Answer<disk::RunCleanupReply> {
  static auto* Body(disk::Command& command) { return command.mutable_run_cleanup(); }
};
template <>
struct Mutation<disk::FinishReclaim> : Answer<disk::FinishReclaimReply> {
  static auto* Body(disk::Command& command) { return command.mutable_finish_reclaim(); }
};
template <>
struct Mutation<disk::SetClusterMap> : Answer<disk::SetClusterMapReply> {
  static auto* Body(disk::Command& command) { return command.mutable_set_cluster_map(); }
};
template <>
struct Mutation<disk::AddTier> : Answer<disk::AddTierReply> {
  static auto* Body(disk::Command& command) { return command.mutable_add_tier(); }
};
template <>
struct Mutation<disk::RemoveTier> : Answer<disk::RemoveTierReply> {
  static auto* Body(disk::Command& command) { return command.mutable_remove_tier(); }
};
template <>
struct Mutation<disk::PlanColdObjects> : Answer<disk::PlanColdObjectsReply> {
  static auto* Body(disk::Command& command) { return command.mutable_plan_cold_objects(); }
};
template <>
struct Mutation<disk::NoteColdObject> : Answer<disk::NoteColdObjectReply> {
  static auto* Body(disk::Command& command) { return command.mutable_note_cold_object(); }
};
template <>
struct Mutation<disk::AbandonColdObjects> : Answer<disk::AbandonColdObjectsReply> {
  static auto* Body(disk::Command& command) { return command.mutable_abandon_cold_objects(); }
};
template <>
struct Mutation<disk::ForgetColdObjects> : Answer<disk::ForgetColdObjectsReply> {
  static auto* Body(disk::Command& command) { return command.mutable_forget_cold_objects(); }
};
template <>
struct Mutation<wire::ControlTierRequest> : Answer<wire::ControlTierReply> {
  static auto* Body(disk::Command& command) { return command.mutable_control_tier(); }
};
template <>
struct Mutation<wire::SetTierPolicyRequest> : Answer<wire::SetTierPolicyReply> {
  static auto* Body(disk::Command& command) { return command.mutable_set_tier_policy(); }
};
template <>
struct Mutation<wire::AskTierRequest> : Answer<wire::AskTierReply> {
  static auto* Body(disk::Command& command) { return command.mutable_ask_tier(); }
};
template <>
struct Mutation<disk::RunTiering> : Answer<disk::RunTieringReply> {
  static auto* Body(disk::Command& command) { return command.mutable_run_tiering(); }
};
template <>
struct Mutation<disk::FinishTierStep> : Answer<disk::FinishTierStepReply> {
  static auto* Body(disk::Command& command) { return command.mutable_finish_tier_step(); }
};
template <>
struct Mutation<disk::ReleaseRuns> : Answer<disk::ReleaseRunsReply> {
  static auto* Body(disk::Command& command) { return command.mutable_release_runs(); }
};
template <>
struct Mutation<disk::BeginRecall> : Answer<disk::BeginRecallReply> {
  static auto* Body(disk::Command& command) { return command.mutable_begin_recall(); }
};
template <>
struct Mutation<disk::RecallExtent> : Answer<disk::RecallExtentReply> {
  static auto* Body(disk::Command& command) { return command.mutable_recall_extent(); }
};
template <>
struct Mutation<disk::EndRecall> : Answer<disk::EndRecallReply> {
  static auto* Body(disk::Command& command) { return command.mutable_end_recall(); }
};
template <>
struct Mutation<disk::NoteReads> : Answer<disk::NoteReadsReply> {
  static auto* Body(disk::Command& command) { return command.mutable_note_reads(); }
};
template <>
struct Mutation<disk::LoseColdObject> : Answer<disk::LoseColdObjectReply> {
  static auto* Body(disk::Command& command) { return command.mutable_lose_cold_object(); }
};
template <>
struct Mutation<disk::ImportCold> : Answer<disk::ImportColdReply> {
  static auto* Body(disk::Command& command) { return command.mutable_import_cold(); }
};

template <>
struct Query<wire::ListCheckpointsRequest> : Answer<wire::ListCheckpointsReply> {
  // May look through hundreds of thousands of entries.
  static constexpr bool kWalks = true;
};
template <>
struct Query<wire::ShowCheckpointRequest> : Answer<wire::ShowCheckpointReply> {};
template <>
struct Query<wire::LatestCheckpointRequest> : Answer<wire::LatestCheckpointReply> {};
template <>
struct Query<wire::GetRetentionRequest> : Answer<wire::GetRetentionReply> {};
template <>
struct Query<wire::StatRequest> : Answer<wire::StatReply> {};
template <>
struct Query<wire::ListRequest> : Answer<wire::ListReply> {};
template <>
struct Query<wire::GetExtentsRequest> : Answer<wire::GetExtentsReply> {};
template <>
struct Query<wire::GetBucketRequest> : Answer<wire::GetBucketReply> {};
template <>
struct Query<wire::GetUsageRequest> : Answer<wire::GetUsageReply> {
  static constexpr bool kWalks = true;
};
template <>
struct Query<wire::GetMapRequest> : Answer<wire::GetMapReply> {};
template <>
struct Query<wire::ListTiersRequest> : Answer<wire::ListTiersReply> {};
template <>
struct Query<wire::ListTierPoliciesRequest> : Answer<wire::ListTierPoliciesReply> {};
template <>
struct Query<wire::TestTierPolicyRequest> : Answer<wire::TestTierPolicyReply> {
  static constexpr bool kWalks = true;
};
template <>
struct Query<wire::TierQueueRequest> : Answer<wire::TierQueueReply> {};
template <>
struct Query<wire::ExplainTierRequest> : Answer<wire::ExplainTierReply> {};
template <>
struct Query<wire::TierProgressRequest> : Answer<wire::TierProgressReply> {
  static constexpr bool kWalks = true;
};

}  // namespace meta_internal

}  // namespace cairn
