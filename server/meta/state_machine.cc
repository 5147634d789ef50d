#include "server/meta/state_machine.h"

#include <optional>

#include "common/base/status_macros.h"
#include "server/meta/attempt.h"
#include "server/meta/bucket.h"
#include "server/meta/checkpoint.h"
#include "server/meta/cleanup.h"
#include "server/meta/cluster_map_record.h"
#include "server/meta/cold.h"
#include "server/meta/facts.h"
#include "server/meta/file.h"
#include "server/meta/fs_content.h"
#include "server/meta/fs_names.h"
#include "server/meta/links.h"
#include "server/meta/namespace.h"
#include "server/meta/pending_free.h"
#include "server/meta/prune.h"
#include "server/meta/recall.h"
#include "server/meta/records.h"
#include "server/meta/requests.h"
#include "server/meta/shard.h"
#include "server/meta/tier_control.h"
#include "server/meta/tier_evaluate.h"
#include "server/meta/tier_import.h"
#include "server/meta/tier_steps.h"
#include "server/meta/tiers.h"

namespace cairn {
namespace {

template <class Reply>
absl::StatusOr<std::string> Serialize(const absl::StatusOr<Reply>& reply) {
  if (!reply.ok()) return reply.status();
  return SerializeRecord(*reply);
}

// Numbers that were given out and not made durable are not given out again.
constexpr uint64_t kStartGap = uint64_t{1} << 24;

absl::StatusOr<disk::NoteStartReply> NoteStart(Transaction& txn) {
  RETURN_IF_ERROR(txn.Add(Counter::kNextInode, kStartGap).status());
  RETURN_IF_ERROR(txn.Add(Counter::kNextVersion, kStartGap).status());
  return disk::NoteStartReply();
}

absl::StatusOr<std::string> DispatchFs(const disk::Command& command, Transaction& txn,
                                       const CommandFacts& facts) {
  switch (command.body_case()) {
    case disk::Command::kMakeNode:
      return Serialize(MakeNode(txn, command.make_node(), facts));
    case disk::Command::kLinkNode:
      return Serialize(LinkNode(txn, command.link_node(), facts));
    case disk::Command::kUnlinkNode:
      return Serialize(UnlinkNode(txn, command.unlink_node(), facts));
    case disk::Command::kRenameNode:
      return Serialize(RenameNode(txn, command.rename_node(), facts));
    case disk::Command::kSetAttributes:
      return Serialize(SetAttributes(txn, command.set_attributes(), facts));
    case disk::Command::kSetXattr:
      return Serialize(SetXattr(txn, command.set_xattr(), facts));
    case disk::Command::kBeginWrites:
      return Serialize(BeginWrites(txn, command.begin_writes()));
    case disk::Command::kEndWrites:
      return Serialize(EndWrites(txn, command.end_writes()));
    case disk::Command::kWriteExtents:
      return Serialize(WriteExtents(txn, command.write_extents(), facts));
    case disk::Command::kSyncNamespace:
      return SerializeRecord(wire::SyncNamespaceReply());
    case disk::Command::kReapOrphans:
      return Serialize(ReapOrphans(txn, command.reap_orphans()));
    case disk::Command::kNoteStart:
      return Serialize(NoteStart(txn));
    default:
      break;
  }
  return absl::UnimplementedError("this build does not know that command");
}

absl::StatusOr<std::string> DispatchTiering(const disk::Command& command, Transaction& txn,
                                            const CommandFacts& facts) {
  switch (command.body_case()) {
    case disk::Command::kAddTier:
      return Serialize(AddTier(txn, command.add_tier(), facts));
    case disk::Command::kRemoveTier:
      return Serialize(RemoveTier(txn, command.remove_tier()));
    case disk::Command::kPlanColdObjects:
      return Serialize(PlanColdObjects(txn, command.plan_cold_objects(), facts));
    case disk::Command::kNoteColdObject:
      return Serialize(NoteColdObject(txn, command.note_cold_object(), facts));
    case disk::Command::kAbandonColdObjects:
      return Serialize(AbandonColdObjects(txn, command.abandon_cold_objects(), facts));
    case disk::Command::kForgetColdObjects:
      return Serialize(ForgetColdObjects(txn, command.forget_cold_objects()));
    case disk::Command::kLoseColdObject:
      return Serialize(LoseColdObject(txn, command.lose_cold_object()));
    case disk::Command::kControlTier:
      return Serialize(ControlTier(txn, command.control_tier()));
    case disk::Command::kSetTierPolicy:
      return Serialize(SetTierPolicy(txn, command.set_tier_policy(), facts));
    case disk::Command::kAskTier:
      return Serialize(AskTier(txn, command.ask_tier(), facts));
    case disk::Command::kRunTiering:
      return Serialize(RunTiering(txn, command.run_tiering(), facts));
    case disk::Command::kFinishTierStep:
      return Serialize(FinishTierStep(txn, command.finish_tier_step(), facts));
    case disk::Command::kReleaseRuns:
      return Serialize(ReleaseRuns(txn, command.release_runs()));
    case disk::Command::kBeginRecall:
      return Serialize(BeginRecall(txn, command.begin_recall()));
    case disk::Command::kRecallExtent:
      return Serialize(RecallExtent(txn, command.recall_extent()));
    case disk::Command::kEndRecall:
      return Serialize(EndRecall(txn, command.end_recall()));
    case disk::Command::kNoteReads:
      return Serialize(NoteReads(txn, command.note_reads()));
    case disk::Command::kImportCold:
      return Serialize(ImportCold(txn, command.import_cold(), facts));
    default:
      return DispatchFs(command, txn, facts);
  }
}

absl::StatusOr<std::string> Dispatch(const disk::Command& command, Transaction& txn) {
  const CommandFacts facts(command);
  switch (command.body_case()) {
    case disk::Command::kBeginCheckpoint:
      return Serialize(BeginCheckpoint(txn, command.begin_checkpoint(), facts));
    case disk::Command::kStageShard:
      return Serialize(StageShard(txn, command.stage_shard(), facts));
    case disk::Command::kRankDone:
      return Serialize(RankDone(txn, command.rank_done(), facts));
    case disk::Command::kCommitCheckpoint:
      return Serialize(CommitCheckpoint(txn, command.commit_checkpoint(), facts));
    case disk::Command::kAbortCheckpoint:
      return Serialize(AbortCheckpoint(txn, command.abort_checkpoint(), facts));
    case disk::Command::kPinCheckpoint:
      return Serialize(PinCheckpoint(txn, command.pin_checkpoint()));
    case disk::Command::kSetRetention:
      return Serialize(SetRetention(txn, command.set_retention()));
    case disk::Command::kPruneCheckpoints:
      return Serialize(PruneCheckpoints(txn, command.prune_checkpoints(), facts));
    case disk::Command::kBeginFile:
      return Serialize(BeginFile(txn, command.begin_file(), facts));
    case disk::Command::kCommitFile:
      return Serialize(CommitFile(txn, command.commit_file(), facts));
    case disk::Command::kAbortFile:
      return Serialize(AbortFile(txn, command.abort_file()));
    case disk::Command::kRemove:
      return Serialize(Remove(txn, command.remove(), facts));
    case disk::Command::kRename:
      return Serialize(Rename(txn, command.rename(), facts));
    case disk::Command::kMakeDirectory:
      return Serialize(MakeDirectory(txn, command.make_directory(), facts));
    case disk::Command::kMakeBucket:
      return Serialize(MakeBucket(txn, command.make_bucket(), facts));
    case disk::Command::kSetBucket:
      return Serialize(SetBucket(txn, command.set_bucket()));
    case disk::Command::kExpireLease:
      return Serialize(ExpireLease(txn, command.expire_lease(), facts));
    case disk::Command::kRunCleanup:
      return Serialize(RunCleanup(txn, command.run_cleanup(), facts));
    case disk::Command::kFinishReclaim:
      RETURN_IF_ERROR(FinishReclaim(txn, command.finish_reclaim()));
      return SerializeRecord(disk::FinishReclaimReply());
    case disk::Command::kSetClusterMap:
      return Serialize(SetClusterMap(txn, command.set_cluster_map()));
    default:
      return DispatchTiering(command, txn, facts);
  }
}

// A rank that says twice that it is done is known by what it said (RankRecord.done_digest), however
// late the repetition comes. Half of a save's mutations are such.
bool AnswersItsRepetitions(const disk::Command& command) {
  return command.body_case() == disk::Command::kRankDone;
}

absl::StatusOr<std::string> ApplyOnce(const disk::Command& command, Transaction& txn) {
  if (AnswersItsRepetitions(command)) return Dispatch(command, txn);
  ASSIGN_OR_RETURN(std::optional<std::string> earlier, FindResult(txn, command));
  if (earlier.has_value()) return *std::move(earlier);
  ASSIGN_OR_RETURN(std::string reply, Dispatch(command, txn));
  if (IsBuffered(command) && txn.HasChangedSinceSave())
    RETURN_IF_ERROR(txn.Raise(Counter::kBuffered, 1));
  // What changed nothing may as well be looked at again: a commit that waits for ranks is asked
  // often, and costs no write.
  if (txn.HasChangedSinceSave()) RETURN_IF_ERROR(KeepResult(txn, command, reply));
  return reply;
}

}  // namespace

absl::StatusOr<std::string> Apply(const disk::Command& command, Transaction& txn) {
  const Transaction::Savepoint before = txn.Save();
  txn.SetClient(command.client());
  absl::StatusOr<std::string> reply = ApplyOnce(command, txn);
  if (!reply.ok()) txn.RollBack(before);
  return reply;
}

bool IsBuffered(const disk::Command& command) {
  switch (command.body_case()) {
    case disk::Command::kMakeNode:
      return command.make_node().buffered();
    case disk::Command::kLinkNode:
      return command.link_node().buffered();
    case disk::Command::kUnlinkNode:
      return command.unlink_node().buffered();
    case disk::Command::kRenameNode:
      return command.rename_node().buffered();
    case disk::Command::kSetAttributes:
      return command.set_attributes().buffered();
    case disk::Command::kSetXattr:
      return command.set_xattr().buffered();
    case disk::Command::kWriteExtents:
      return command.write_extents().buffered();
    default:
      return false;
  }
}

bool FreesSpace(const disk::Command& command) {
  switch (command.body_case()) {
    case disk::Command::kAbortCheckpoint:
    case disk::Command::kPruneCheckpoints:
    case disk::Command::kAbortFile:
    case disk::Command::kRemove:
    case disk::Command::kExpireLease:
    case disk::Command::kRunCleanup:
    case disk::Command::kFinishReclaim:
    case disk::Command::kRemoveTier:
    case disk::Command::kForgetColdObjects:
    case disk::Command::kAbandonColdObjects:
    case disk::Command::kLoseColdObject:
    case disk::Command::kRunTiering:
    case disk::Command::kFinishTierStep:
    case disk::Command::kReleaseRuns:
    case disk::Command::kEndRecall:
    case disk::Command::kUnlinkNode:
    case disk::Command::kEndWrites:
    case disk::Command::kReapOrphans:
    case disk::Command::kSyncNamespace:
      return true;
    case disk::Command::kPinCheckpoint:
      // What has to be unpinned before it can be removed.
      return !command.pin_checkpoint().pinned();
    default:
      return false;
  }
}

}  // namespace cairn
