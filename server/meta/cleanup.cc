#include "server/meta/cleanup.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "server/meta/attempt.h"
#include "server/meta/checkpoint.h"
#include "server/meta/extents.h"
#include "server/meta/keys.h"
#include "server/meta/links.h"
#include "server/meta/pending_free.h"
#include "server/meta/prune.h"
#include "server/meta/records.h"
#include "server/meta/tier_control.h"
#include "server/meta/tier_subject.h"
#include "server/meta/tree.h"
#include "server/meta/usage.h"

namespace cairn {
namespace {

// A command's worth of work in records, whatever it asks for: some 10 ms.
constexpr size_t kMaxItems = 4096;

enum class Progress { kDone, kMore };

absl::Status Queue(Transaction& txn, const disk::CleanupRecord& record) {
  ASSIGN_OR_RETURN(const uint64_t sequence, txn.Add(Counter::kNextCleanup, 1));
  Store(txn, kFamilyCleanup, SequenceKey(sequence), record);
  txn.effects().cleanup_queued = true;
  return txn.Add(Counter::kCleanupBacklog, 1).status();
}

// Copies up to `limit` entries of a prefix: a scan must not see its own changes.
absl::StatusOr<std::vector<Transaction::KeyValue>> Collect(const Transaction& txn,
                                                           ColumnFamily family,
                                                           const std::string& prefix,
                                                           size_t limit) {
  std::vector<Transaction::KeyValue> entries;
  Transaction::Scan scan(txn, family, prefix, PrefixEnd(prefix));
  for (; scan.Valid() && entries.size() < limit; scan.Next())
    entries.emplace_back(scan.key(), scan.value());
  RETURN_IF_ERROR(scan.status());
  return entries;
}

absl::StatusOr<Progress> FreeFile(Transaction& txn, InodeId inode, CountedFiles counted,
                                  size_t* budget) {
  RETURN_IF_ERROR(ReleaseExtents(txn, inode, budget));
  if (*budget == 0) {
    // Who still reads it must not take what is left for all there was.
    ASSIGN_OR_RETURN(disk::InodeRecord record, LoadInode(txn, inode));
    record.set_incomplete(true);
    StoreInode(txn, inode, record);
    return Progress::kMore;
  }
  --*budget;
  RETURN_IF_ERROR(DropSubject(txn, inode));
  txn.Delete(kFamilyInode, InodeKey(inode));
  if (counted == CountedFiles::kYes) RETURN_IF_ERROR(txn.Subtract(Counter::kFiles, 1));
  return Progress::kDone;
}

// A file with other names stays, and one that a mount may have open is an orphan.
absl::StatusOr<Progress> FreeFileOfTree(Transaction& txn, const Place& place, InodeId inode,
                                        CountedFiles counted, const CommandFacts& facts,
                                        size_t* budget) {
  ASSIGN_OR_RETURN(disk::InodeRecord record, LoadInode(txn, inode));
  if (record.links() > 1) {
    --*budget;
    RETURN_IF_ERROR(
        DropName(txn, inode, place.parent, place.name, facts.now_ns(), &record).status());
    return Progress::kDone;
  }
  const bool may_be_open = record.type() == disk::INODE_FILE && facts.mounts_are_live();
  if (!may_be_open || record.incomplete()) return FreeFile(txn, inode, counted, budget);
  --*budget;
  if (counted == CountedFiles::kYes) RETURN_IF_ERROR(txn.Subtract(Counter::kFiles, 1));
  RETURN_IF_ERROR(MakeOrphan(txn, inode, std::move(record)));
  return Progress::kDone;
}

absl::StatusOr<Progress> FreeEntry(Transaction& txn, const Place& place, const Node& node,
                                   CountedFiles counted, const CommandFacts& facts,
                                   size_t* budget) {
  if (!node.is_directory()) return FreeFileOfTree(txn, place, node.inode, counted, facts, budget);
  --*budget;
  if (node.type == disk::INODE_CHECKPOINT) {
    RETURN_IF_ERROR(DropCheckpoint(txn, node.inode));
  } else {
    RETURN_IF_ERROR(QueueTree(txn, node.inode, counted));
  }
  return Progress::kDone;
}

absl::Status AbortInside(Transaction& txn, InodeId directory, const Transaction::KeyValue& entry,
                         const CommandFacts& facts) {
  disk::AttemptRecord record;
  RETURN_IF_ERROR(ParseRecord(kFamilyAttempt, entry.second, record));
  const uint64_t number = record.number();
  if (record.state() == disk::ATTEMPT_OPEN) {
    std::string name(DentryKeyName(entry.first));
    name.pop_back();  // the slash
    Attempt attempt{directory, std::move(name), std::move(record)};
    RETURN_IF_ERROR(AbortAttempt(txn, std::move(attempt), "its directory was removed", facts));
  }
  txn.Delete(kFamilyAttempt, entry.first);
  return NoteForgotten(txn, number);
}

absl::Status DropTierPolicy(Transaction& txn, InodeId directory) {
  const std::string key = TierPolicyKey(directory);
  ASSIGN_OR_RETURN(const auto policy, txn.Get(kFamilyPolicy, key));
  if (!policy.has_value()) return absl::OkStatus();
  txn.Delete(kFamilyPolicy, key);
  return txn.Subtract(Counter::kTierPolicies, 1);
}

absl::StatusOr<Progress> FreeDirectory(Transaction& txn, InodeId inode, CountedFiles counted,
                                       size_t* budget, const CommandFacts& facts) {
  ASSIGN_OR_RETURN(const auto entries, Collect(txn, kFamilyDentry, DentryPrefix(inode), *budget));
  for (const auto& [key, value] : entries) {
    if (*budget == 0) return Progress::kMore;
    disk::DentryRecord dentry;
    RETURN_IF_ERROR(ParseRecord(kFamilyDentry, value, dentry));
    std::string_view name = DentryKeyName(key);
    if (name.back() == '/') name.remove_suffix(1);
    const Node node{InodeId(dentry.inode()), dentry.type()};
    ASSIGN_OR_RETURN(const Progress progress,
                     FreeEntry(txn, {inode, name}, node, counted, facts, budget));
    if (progress == Progress::kMore) return Progress::kMore;
    txn.Delete(kFamilyDentry, key);
  }
  if (*budget == 0) return Progress::kMore;
  ASSIGN_OR_RETURN(const auto attempts,
                   Collect(txn, kFamilyAttempt, AttemptPrefix(inode), *budget));
  for (const auto& entry : attempts) RETURN_IF_ERROR(AbortInside(txn, inode, entry, facts));
  *budget -= attempts.size();
  if (*budget == 0) return Progress::kMore;
  txn.Delete(kFamilyInode, InodeKey(inode));
  txn.Delete(kFamilyPolicy, BucketKey(inode));
  txn.Delete(kFamilyPolicy, RetentionKey(inode));
  RETURN_IF_ERROR(DropTierPolicy(txn, inode));
  ForgetUsage(txn, inode);
  --*budget;
  return Progress::kDone;
}

absl::StatusOr<Progress> FreeTree(Transaction& txn, const disk::CleanupRecord::Tree& tree,
                                  size_t* budget, const CommandFacts& facts) {
  const InodeId inode(tree.inode());
  const CountedFiles counted = tree.counted() ? CountedFiles::kYes : CountedFiles::kNo;
  ASSIGN_OR_RETURN(const disk::InodeRecord record, LoadInode(txn, inode));
  const bool directory =
      record.type() == disk::INODE_DIRECTORY || record.type() == disk::INODE_CHECKPOINT;
  return directory ? FreeDirectory(txn, inode, counted, budget, facts)
                   : FreeFile(txn, inode, counted, budget);
}

// Ranks that began one after the other hold ranges that follow each other: merged, they make few
// entries.
absl::StatusOr<Progress> ForgetRanks(Transaction& txn, AttemptId attempt, size_t* budget) {
  ASSIGN_OR_RETURN(const auto records,
                   Collect(txn, kFamilyAttemptRank, RankPrefix(attempt), *budget));
  std::vector<StripeSpan> granted;
  for (const auto& [key, value] : records) {
    KeyReader reader(key);
    uint64_t id = 0;
    char kind = 0;
    if (!reader.ReadU64(&id) || !reader.ReadByte(&kind)) {
      return absl::DataLossError("metadata: a key of family \"attempt_rank\" is damaged");
    }
    if (kind == 'r') {
      disk::RankRecord rank;
      RETURN_IF_ERROR(ParseRecord(kFamilyAttemptRank, value, rank));
      for (const disk::IdRange& range : rank.granted())
        granted.push_back({range.first(), range.count()});
    }
    txn.Delete(kFamilyAttemptRank, key);
  }
  for (const StripeSpan& range : MergeAdjacent(std::move(granted)))
    RETURN_IF_ERROR(QueueRange(txn, range));
  *budget -= records.size();
  return *budget > 0 ? Progress::kDone : Progress::kMore;
}

absl::StatusOr<Progress> Prune(Transaction& txn, const disk::CleanupRecord::Prune& prune,
                               size_t* budget, const CommandFacts& facts) {
  const InodeId directory(prune.directory());
  ASSIGN_OR_RETURN(const auto set_policy, FindRetention(txn, directory));
  --*budget;
  // A directory or policy that has gone since asks for nothing.
  if (!prune.has_policy() && !set_policy.has_value()) return Progress::kDone;
  const disk::RetentionRecord& policy = prune.has_policy() ? prune.policy() : *set_policy;
  RETURN_IF_ERROR(PruneDirectory(txn, directory, policy, budget, facts));
  return *budget > 0 ? Progress::kDone : Progress::kMore;
}

// Goes on from where the task's record says, which it moves on.
absl::StatusOr<Progress> Visit(Transaction& txn, uint64_t sequence, disk::CleanupRecord task,
                               size_t* budget) {
  ASSIGN_OR_RETURN(const bool done, GoOnVisiting(txn, task.mutable_visit(), budget));
  if (!done) Store(txn, kFamilyCleanup, SequenceKey(sequence), task);
  return done ? Progress::kDone : Progress::kMore;
}

struct QueuedTask {
  uint64_t sequence = 0;
  std::string record;
};

// The oldest task from that sequence on.
absl::StatusOr<std::optional<QueuedTask>> NextTask(const Transaction& txn, uint64_t from) {
  Transaction::Scan scan(txn, kFamilyCleanup, SequenceKey(from), SequenceKey(UINT64_MAX));
  if (!scan.Valid()) {
    RETURN_IF_ERROR(scan.status());
    return std::nullopt;
  }
  QueuedTask task;
  if (!KeyReader(scan.key()).ReadU64(&task.sequence)) {
    return absl::DataLossError("metadata: a key of family \"cleanup\" is damaged");
  }
  task.record = scan.value();
  return task;
}

bool Contains(const google::protobuf::RepeatedField<uint64_t>& sequences, uint64_t sequence) {
  return std::find(sequences.begin(), sequences.end(), sequence) != sequences.end();
}

absl::StatusOr<Progress> RunTask(Transaction& txn, const QueuedTask& queued, size_t* budget,
                                 const CommandFacts& facts) {
  disk::CleanupRecord task;
  RETURN_IF_ERROR(ParseRecord(kFamilyCleanup, queued.record, task));
  switch (task.work_case()) {
    case disk::CleanupRecord::kTree:
      return FreeTree(txn, task.tree(), budget, facts);
    case disk::CleanupRecord::kAttempt:
      return ForgetRanks(txn, AttemptId(task.attempt().id()), budget);
    case disk::CleanupRecord::kPrune:
      return Prune(txn, task.prune(), budget, facts);
    case disk::CleanupRecord::kVisit:
      return Visit(txn, queued.sequence, std::move(task), budget);
    case disk::CleanupRecord::WORK_NOT_SET:
      break;
  }
  return absl::DataLossError("metadata: a cleanup task of unknown kind");
}

}  // namespace

absl::Status QueueTree(Transaction& txn, InodeId inode, CountedFiles counted) {
  disk::CleanupRecord record;
  record.mutable_tree()->set_inode(inode.value());
  record.mutable_tree()->set_counted(counted == CountedFiles::kYes);
  return Queue(txn, record);
}

absl::Status QueueEndedAttempt(Transaction& txn, AttemptId attempt) {
  disk::CleanupRecord record;
  record.mutable_attempt()->set_id(attempt.value());
  return Queue(txn, record);
}

absl::Status QueuePrune(Transaction& txn, InodeId directory, const disk::RetentionRecord* policy) {
  disk::CleanupRecord record;
  record.mutable_prune()->set_directory(directory.value());
  if (policy != nullptr) *record.mutable_prune()->mutable_policy() = *policy;
  return Queue(txn, record);
}

absl::Status QueueVisit(Transaction& txn, const disk::CleanupRecord::Visit& visit) {
  disk::CleanupRecord record;
  *record.mutable_visit() = visit;
  return Queue(txn, record);
}

absl::StatusOr<disk::RunCleanupReply> RunCleanup(Transaction& txn, const disk::RunCleanup& request,
                                                 const CommandFacts& facts) {
  size_t budget = std::clamp<size_t>(request.max_items(), 1, kMaxItems);
  disk::RunCleanupReply reply;
  ASSIGN_OR_RETURN(uint64_t from, txn.Read(Counter::kOldestCleanup));
  std::optional<uint64_t> oldest_left;
  while (budget > 0) {
    ASSIGN_OR_RETURN(const std::optional<QueuedTask> queued, NextTask(txn, from));
    if (!queued.has_value()) break;
    from = queued->sequence + 1;
    if (Contains(request.skip(), queued->sequence)) {
      if (!oldest_left.has_value()) oldest_left = queued->sequence;
      continue;
    }
    const Transaction::Savepoint before = txn.Mark();
    const absl::StatusOr<Progress> progress = RunTask(txn, *queued, &budget, facts);
    if (!progress.ok()) {
      RETURN_IF_ERROR(txn.store_error());
      txn.RollBack(before);
      reply.set_failed(queued->sequence);
      reply.set_failure(progress.status().ToString());
    }
    if (!progress.ok() || *progress == Progress::kMore) {
      from = queued->sequence;
      break;
    }
    txn.Delete(kFamilyCleanup, SequenceKey(queued->sequence));
    RETURN_IF_ERROR(txn.Subtract(Counter::kCleanupBacklog, 1));
  }
  RETURN_IF_ERROR(txn.Raise(Counter::kOldestCleanup, oldest_left.value_or(from)));
  ASSIGN_OR_RETURN(const uint64_t backlog, txn.Read(Counter::kCleanupBacklog));
  const uint64_t left_aside =
      static_cast<uint64_t>(request.skip_size()) + (reply.failed() != 0 ? 1 : 0);
  reply.set_more(backlog > left_aside);
  return reply;
}

}  // namespace cairn
