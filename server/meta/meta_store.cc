#include "server/meta/meta_store.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/base/units.h"
#include "server/meta/bucket.h"
#include "server/meta/checkpoint.h"
#include "server/meta/cluster_map_record.h"
#include "server/meta/cold.h"
#include "server/meta/entry_type.h"
#include "server/meta/extents.h"
#include "server/meta/fs_queries.h"
#include "server/meta/keys.h"
#include "server/meta/listing.h"
#include "server/meta/paths.h"
#include "server/meta/prune.h"
#include "server/meta/records.h"
#include "server/meta/reply_size.h"
#include "server/meta/tier_queries.h"
#include "server/meta/tier_subject.h"
#include "server/meta/tiers.h"
#include "server/meta/tree.h"
#include "server/meta/usage_query.h"

namespace cairn {
namespace {

// A record that another points to is missing when a removal came between the two reads. Looking
// again finds the state after it; three in a row mean that the store is damaged.
constexpr int kLooks = 3;

template <class Look>
auto LookAgain(Kv& kv, Look look) {
  for (int i = 1;; ++i) {
    const Transaction txn(kv);
    auto answer = look(txn);
    if (i == kLooks || !absl::IsInternal(answer.status())) return answer;
  }
}

absl::StatusOr<wire::Entry> DescribeEntry(const Transaction& txn, std::string_view name,
                                          const Node& node) {
  ASSIGN_OR_RETURN(const disk::InodeRecord inode, LoadInode(txn, node.inode));
  wire::Entry entry;
  entry.set_name(std::string(name));
  entry.set_type(ToWire(node.type));
  entry.set_size_bytes(inode.size_bytes());
  entry.set_modified_at_ns(inode.modified_at_ns());
  entry.set_inode(node.inode.value());
  entry.set_mode(inode.mode());
  entry.set_uid(inode.uid());
  entry.set_gid(inode.gid());
  entry.set_links(inode.links());
  entry.set_crc32c(inode.crc32c());
  entry.set_version(inode.version());
  entry.set_changed_in_place(inode.changed_in_place());
  entry.set_symlink_target(inode.symlink_target());
  if (node.type == disk::INODE_CHECKPOINT) {
    ASSIGN_OR_RETURN(const disk::CheckpointRecord checkpoint, LoadCheckpoint(txn, node.inode));
    entry.set_size_bytes(checkpoint.size_bytes());
    entry.set_modified_at_ns(checkpoint.committed_at_ns());
    entry.set_version(checkpoint.commit_sequence());
  }
  return entry;
}

struct ExtentPage {
  google::protobuf::RepeatedPtrField<wire::ExtentRun> runs;
  bool more = false;
};

// What a client is told of a run that is in a cold tier alone: one run for each part of it there.
absl::StatusOr<std::vector<wire::ExtentRun>> ColdRuns(const Transaction& txn,
                                                      const wire::ExtentRun& run) {
  ASSIGN_OR_RETURN(const auto cold, FindColdRun(txn, run.first_stripe()));
  if (!cold.has_value()) return absl::InternalError("metadata: a released run lies nowhere");
  std::vector<wire::ExtentRun> runs;
  const uint64_t from = run.skip_bytes(), to = from + run.length_bytes();
  for (const disk::ColdRunRecord::Part& part : cold->parts()) {
    const uint64_t begin = std::max(from, part.run_offset_bytes());
    const uint64_t end = std::min(to, part.run_offset_bytes() + part.length_bytes());
    if (begin >= end) continue;
    wire::ExtentRun& of_part = runs.emplace_back();
    of_part.set_offset_bytes(run.offset_bytes() + begin - from);
    of_part.set_length_bytes(end - begin);
    of_part.set_first_stripe(run.first_stripe() + begin / run.stripe_bytes());
    of_part.set_stripe_count(
        static_cast<uint32_t>(DivideUp(end - begin, uint64_t{run.stripe_bytes()})));
    of_part.set_stripe_bytes(run.stripe_bytes());
    ASSIGN_OR_RETURN(*of_part.mutable_cold(), PlaceOf(txn, part));
    of_part.mutable_cold()->set_offset_bytes(of_part.cold().offset_bytes() + begin -
                                             part.run_offset_bytes());
  }
  return runs;
}

// `run`, or what it is in a cold tier.
absl::StatusOr<std::vector<wire::ExtentRun>> WhereItIs(const Transaction& txn, bool any_released,
                                                       wire::ExtentRun run) {
  if (any_released && run.stripe_count() > 0) {
    ASSIGN_OR_RETURN(
        const auto record,
        Load<disk::StripeRunRecord>(txn, kFamilyStripeRun, StripeRunKey(run.first_stripe())));
    if (record.released()) return ColdRuns(txn, run);
  }
  std::vector<wire::ExtentRun> runs;
  runs.push_back(std::move(run));
  return runs;
}

// The runs that touch [offset_bytes, end_bytes), as many as fit a page.
absl::StatusOr<ExtentPage> ReadExtents(const Transaction& txn, InodeId inode, uint64_t offset_bytes,
                                       uint64_t end_bytes) {
  ExtentPage page;
  ReplyBudget budget;
  ASSIGN_OR_RETURN(const uint64_t released, txn.Read(Counter::kReleasedRuns));
  // The run that holds the first byte may start before it.
  uint64_t from = offset_bytes;
  ASSIGN_OR_RETURN(const auto before, txn.FindLast(kFamilyExtent, ExtentKey(inode, 0),
                                                   ExtentKey(inode, offset_bytes)));
  if (before.has_value()) {
    uint64_t id = 0;
    KeyReader reader(before->first);
    if (!reader.ReadU64(&id) || !reader.ReadU64(&from))
      return absl::DataLossError("metadata: an extent's key is damaged");
  }
  Transaction::Scan scan(txn, kFamilyExtent, ExtentKey(inode, from), ExtentKey(inode, end_bytes));
  for (; scan.Valid(); scan.Next()) {
    uint64_t id = 0, offset = 0;
    KeyReader reader(scan.key());
    disk::ExtentRecord extent;
    RETURN_IF_ERROR(ParseRecord(kFamilyExtent, scan.value(), extent));
    if (!reader.ReadU64(&id) || !reader.ReadU64(&offset)) {
      return absl::DataLossError("metadata: an extent's key is damaged");
    }
    if (offset + extent.length_bytes() <= offset_bytes) continue;
    ASSIGN_OR_RETURN(std::vector<wire::ExtentRun> runs,
                     WhereItIs(txn, released > 0, ToWireExtent(offset, extent)));
    for (wire::ExtentRun& each : runs) {
      const bool is_wanted = each.offset_bytes() + each.length_bytes() > offset_bytes &&
                             each.offset_bytes() < end_bytes;
      if (!is_wanted) continue;
      if (!budget.Take(each)) {
        page.more = true;
        return page;
      }
      *page.runs.Add() = std::move(each);
    }
  }
  RETURN_IF_ERROR(scan.status());
  return page;
}

// Whether it is still what it was when `version` was read: what has been read since is of that
// version then, too.
absl::StatusOr<bool> IsStill(const Transaction& txn, InodeId inode, uint64_t version) {
  const Transaction now(txn.kv());
  ASSIGN_OR_RETURN(const auto record, Find<disk::InodeRecord>(now, kFamilyInode, InodeKey(inode)));
  return record.has_value() && record->version() == version;
}

// How policies know a file, and what they say of reading it.
absl::Status DescribeTiering(const Transaction& txn, const Resolved& file, wire::StatReply* reply) {
  ASSIGN_OR_RETURN(const uint64_t subjects, txn.Read(Counter::kTierSubjects));
  if (subjects == 0) return absl::OkStatus();
  ASSIGN_OR_RETURN(const InodeId subject, SubjectAt(txn, file.path));
  reply->set_subject(subject.value());
  ASSIGN_OR_RETURN(const auto record, FindSubject(txn, subject));
  if (!record.has_value()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const auto above, FindPolicyAbove(txn, InodeId(record->parent())));
  if (above.has_value()) reply->set_recall(above->policy.recall());
  return absl::OkStatus();
}

absl::StatusOr<wire::StatReply> Stat(const Transaction& txn, const wire::StatRequest& request) {
  Resolved resolved;
  if (request.path().empty()) {
    resolved.node = {kRootInode, disk::INODE_DIRECTORY};
  } else {
    ASSIGN_OR_RETURN(resolved, Resolve(txn, request.path(), LatestAlias::kFollow));
  }
  wire::StatReply reply;
  ASSIGN_OR_RETURN(*reply.mutable_entry(), DescribeEntry(txn, request.path(), resolved.node));
  if (resolved.node.type == disk::INODE_FILE) {
    ASSIGN_OR_RETURN(ExtentPage page,
                     ReadExtents(txn, resolved.node.inode, 0, reply.entry().size_bytes()));
    ASSIGN_OR_RETURN(const bool is_still,
                     IsStill(txn, resolved.node.inode, reply.entry().version()));
    // Of a file that was changed meanwhile who asks for them hears that.
    reply.set_more_extents(page.more || (!is_still && reply.entry().size_bytes() > 0));
    if (!reply.more_extents()) *reply.mutable_extents() = std::move(page.runs);
    RETURN_IF_ERROR(DescribeTiering(txn, resolved, &reply));
  }
  return reply;
}

// Where a listing goes on: behind `start_after`, which names an entry of the directory.
absl::StatusOr<std::string> ListFrom(const Transaction& txn, InodeId directory,
                                     const std::string& start_after) {
  if (start_after.empty()) return DentryPrefix(directory);
  std::string name = start_after;
  if (name.back() == '/') name.pop_back();
  RETURN_IF_ERROR(CheckName(name));
  ASSIGN_OR_RETURN(const std::optional<Node> node, FindEntry(txn, directory, name));
  const bool as_directory = node.has_value() ? node->is_directory() : start_after.back() == '/';
  return (as_directory ? DirectoryDentryKey(directory, name) : FileDentryKey(directory, name)) +
         '\0';
}

absl::StatusOr<wire::ListReply> List(const Transaction& txn, const wire::ListRequest& request) {
  ASSIGN_OR_RETURN(const Resolved directory,
                   ResolveDirectory(txn, request.path(), LatestAlias::kFollow));
  ASSIGN_OR_RETURN(const std::string from,
                   ListFrom(txn, directory.node.inode, request.start_after()));
  wire::ListReply reply;
  ReplyBudget budget(request.limit());
  Transaction::Scan scan(txn, kFamilyDentry, from, PrefixEnd(DentryPrefix(directory.node.inode)));
  for (; scan.Valid(); scan.Next()) {
    disk::DentryRecord dentry;
    RETURN_IF_ERROR(ParseRecord(kFamilyDentry, scan.value(), dentry));
    std::string_view name = DentryKeyName(scan.key());
    if (name.back() == '/') name.remove_suffix(1);
    absl::StatusOr<wire::Entry> entry =
        DescribeEntry(txn, name, {InodeId(dentry.inode()), dentry.type()});
    // Removed since the scan began.
    if (absl::IsInternal(entry.status())) continue;
    RETURN_IF_ERROR(entry.status());
    if (!budget.Take(*entry)) {
      reply.set_more(true);
      return reply;
    }
    *reply.add_entries() = *std::move(entry);
  }
  RETURN_IF_ERROR(scan.status());
  return reply;
}

absl::Status WasReplaced() {
  return absl::NotFoundError("the file was replaced or removed since it was opened");
}

absl::StatusOr<wire::GetExtentsReply> GetExtents(const Transaction& txn,
                                                 const wire::GetExtentsRequest& request) {
  const InodeId inode(request.inode());
  ASSIGN_OR_RETURN(const auto record, Find<disk::InodeRecord>(txn, kFamilyInode, InodeKey(inode)));
  if (!record.has_value() || record->incomplete() ||
      (request.version() != 0 && record->version() != request.version())) {
    return WasReplaced();
  }
  if (record->type() != disk::INODE_FILE)
    return absl::InvalidArgumentError("only files have extents");
  const uint64_t size = record->size_bytes();
  if (request.offset_bytes() > size || request.length_bytes() > size - request.offset_bytes()) {
    return absl::OutOfRangeError(StrCat("bytes beyond the end of the file, which has ", size));
  }
  const uint64_t end =
      request.length_bytes() == 0 ? size : request.offset_bytes() + request.length_bytes();
  ASSIGN_OR_RETURN(ExtentPage page, ReadExtents(txn, inode, request.offset_bytes(), end));
  ASSIGN_OR_RETURN(const bool is_still, IsStill(txn, inode, record->version()));
  if (!is_still) return WasReplaced();
  wire::GetExtentsReply reply;
  *reply.mutable_extents() = std::move(page.runs);
  reply.set_more(page.more);
  return reply;
}

// The infos of one name: the committed version, and the one being written.
absl::StatusOr<std::vector<wire::CheckpointInfo>> DescribeName(const Transaction& txn,
                                                               const std::string& path,
                                                               const WalkEntry& entry,
                                                               bool include_writing) {
  std::vector<wire::CheckpointInfo> infos;
  if (entry.node.type == disk::INODE_CHECKPOINT) {
    ASSIGN_OR_RETURN(const disk::CheckpointRecord record, LoadCheckpoint(txn, entry.node.inode));
    infos.push_back(DescribeCheckpoint(path, record));
  }
  if (entry.being_written && include_writing) {
    const std::string name = entry.path.substr(entry.path.rfind('/') + 1);
    ASSIGN_OR_RETURN(const auto attempt, Find<disk::AttemptRecord>(txn, kFamilyAttempt,
                                                                   AttemptKey(entry.parent, name)));
    if (attempt.has_value() && attempt->state() == disk::ATTEMPT_OPEN) {
      ASSIGN_OR_RETURN(wire::CheckpointInfo info, DescribeAttempt(txn, path, *attempt));
      infos.push_back(std::move(info));
    }
  }
  return infos;
}

absl::StatusOr<std::string> RelativeStart(const wire::ListCheckpointsRequest& request) {
  if (request.start_after().empty()) return std::string();
  const std::string prefix = request.path().empty() ? "" : request.path() + "/";
  if (request.start_after().compare(0, prefix.size(), prefix) != 0) {
    return absl::InvalidArgumentError(StrCat("start_after, ", Quoted(request.start_after()),
                                             ", does not lie in ", Quoted(request.path())));
  }
  const std::string relative = request.start_after().substr(prefix.size());
  RETURN_IF_ERROR(SplitPath(relative).status());
  return relative;
}

absl::StatusOr<wire::ListCheckpointsReply> ListCheckpoints(
    const Transaction& txn, const wire::ListCheckpointsRequest& request) {
  ASSIGN_OR_RETURN(const Resolved directory,
                   ResolveDirectory(txn, request.path(), LatestAlias::kIgnore));
  if (directory.node.type == disk::INODE_CHECKPOINT) {
    return absl::FailedPreconditionError(
        StrCat(Quoted(request.path()), " is a checkpoint, not a directory of them"));
  }
  ASSIGN_OR_RETURN(const std::string after, RelativeStart(request));
  const bool recursive = request.recursive() || request.path().empty();
  wire::ListCheckpointsReply reply;
  ReplyBudget budget(request.limit());
  const auto visit = [&](const WalkEntry& entry) -> absl::StatusOr<Visit> {
    if (entry.node.type == disk::INODE_DIRECTORY) return recursive ? Visit::kDescend : Visit::kNext;
    const std::string path = JoinPath(request.path(), entry.path);
    ASSIGN_OR_RETURN(auto infos, DescribeName(txn, path, entry, request.include_writing()));
    if (infos.empty()) return Visit::kNext;
    if (!budget.Take(infos[0])) {
      reply.set_more(true);
      return Visit::kStop;
    }
    // Both versions of a name go on one page, since the next page starts after the name. They are 5
    // KiB at most.
    for (wire::CheckpointInfo& info : infos) *reply.add_checkpoints() = std::move(info);
    return Visit::kNext;
  };
  const absl::Status walked = Walk(txn, directory.node.inode, after, visit);
  if (absl::IsResourceExhausted(walked) && reply.checkpoints_size() > 0) {
    reply.set_more(true);
    return reply;
  }
  RETURN_IF_ERROR(walked);
  return reply;
}

struct Shown {
  InodeId inode;
  wire::CheckpointInfo info;
};

absl::StatusOr<Shown> FindShown(const Transaction& txn, const std::string& path) {
  const absl::StatusOr<Resolved> resolved = Resolve(txn, path, LatestAlias::kFollow);
  if (resolved.ok() && resolved->node.type == disk::INODE_CHECKPOINT) {
    ASSIGN_OR_RETURN(const disk::CheckpointRecord record,
                     LoadCheckpoint(txn, resolved->node.inode));
    return Shown{resolved->node.inode, DescribeCheckpoint(resolved->path, record)};
  }
  if (resolved.ok()) {
    return absl::FailedPreconditionError(
        StrCat(Quoted(path), " is ", Describe(resolved->node.type), ", not a checkpoint"));
  }
  if (!absl::IsNotFound(resolved.status())) return resolved.status();
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return resolved.status();
  ASSIGN_OR_RETURN(const Resolved parent,
                   ResolveDirectory(txn, path.substr(0, slash), LatestAlias::kIgnore));
  ASSIGN_OR_RETURN(const auto attempt,
                   Find<disk::AttemptRecord>(
                       txn, kFamilyAttempt, AttemptKey(parent.node.inode, path.substr(slash + 1))));
  if (!attempt.has_value() || attempt->state() != disk::ATTEMPT_OPEN) return resolved.status();
  ASSIGN_OR_RETURN(wire::CheckpointInfo info, DescribeAttempt(txn, path, *attempt));
  return Shown{InodeId(attempt->inode()), std::move(info)};
}

absl::StatusOr<wire::ShowCheckpointReply> ShowCheckpoint(
    const Transaction& txn, const wire::ShowCheckpointRequest& request) {
  ASSIGN_OR_RETURN(Shown shown, FindShown(txn, request.path()));
  if (!request.start_after_shard().empty())
    RETURN_IF_ERROR(SplitPath(request.start_after_shard()).status());
  wire::ShowCheckpointReply reply;
  *reply.mutable_info() = std::move(shown.info);
  ReplyBudget budget(request.limit());
  const auto visit = [&](const WalkEntry& entry) -> absl::StatusOr<Visit> {
    if (entry.node.type != disk::INODE_FILE) return Visit::kDescend;
    ASSIGN_OR_RETURN(const disk::InodeRecord inode, LoadInode(txn, entry.node.inode));
    if (inode.incomplete()) return Visit::kNext;
    wire::ShardInfo shard;
    shard.set_name(entry.path);
    shard.set_size_bytes(inode.size_bytes());
    shard.set_crc32c(inode.crc32c());
    shard.set_changed_in_place(inode.changed_in_place());
    shard.set_rank(inode.rank());
    if (!budget.Take(shard)) {
      reply.set_more(true);
      return Visit::kStop;
    }
    *reply.add_shards() = std::move(shard);
    return Visit::kNext;
  };
  RETURN_IF_ERROR(Walk(txn, shown.inode, request.start_after_shard(), visit));
  return reply;
}

absl::StatusOr<wire::LatestCheckpointReply> LatestCheckpoint(
    const Transaction& txn, const wire::LatestCheckpointRequest& request) {
  ASSIGN_OR_RETURN(const Resolved directory,
                   ResolveDirectory(txn, request.path(), LatestAlias::kIgnore));
  ASSIGN_OR_RETURN(const auto newest, FindNewestCheckpoint(txn, directory.node.inode));
  if (!newest.has_value()) {
    return absl::NotFoundError(StrCat("no checkpoint is committed in ", Quoted(request.path())));
  }
  ASSIGN_OR_RETURN(const disk::CheckpointRecord record,
                   LoadCheckpoint(txn, InodeId(newest->inode())));
  wire::LatestCheckpointReply reply;
  *reply.mutable_info() = DescribeCheckpoint(JoinPath(request.path(), newest->name()), record);
  return reply;
}

}  // namespace

absl::StatusOr<wire::ListCheckpointsReply> MetaStore::Answer(
    const wire::ListCheckpointsRequest& request) {
  return LookAgain(kv_, [&](const Transaction& txn) { return ListCheckpoints(txn, request); });
}
absl::StatusOr<wire::ShowCheckpointReply> MetaStore::Answer(
    const wire::ShowCheckpointRequest& request) {
  return LookAgain(kv_, [&](const Transaction& txn) { return ShowCheckpoint(txn, request); });
}
absl::StatusOr<wire::LatestCheckpointReply> MetaStore::Answer(
    const wire::LatestCheckpointRequest& request) {
  return LookAgain(kv_, [&](const Transaction& txn) { return LatestCheckpoint(txn, request); });
}
absl::StatusOr<wire::GetBucketReply> MetaStore::Answer(const wire::GetBucketRequest& request) {
  return LookAgain(kv_, [&](const Transaction& txn) { return GetBucket(txn, request); });
}

absl::StatusOr<wire::GetRetentionReply> MetaStore::Answer(
    const wire::GetRetentionRequest& request) {
  return LookAgain(kv_, [&](const Transaction& txn) { return GetRetention(txn, request); });
}
absl::StatusOr<wire::StatReply> MetaStore::Answer(const wire::StatRequest& request) {
  return LookAgain(kv_, [&](const Transaction& txn) { return Stat(txn, request); });
}
absl::StatusOr<wire::ListReply> MetaStore::Answer(const wire::ListRequest& request) {
  return LookAgain(kv_, [&](const Transaction& txn) { return List(txn, request); });
}
absl::StatusOr<wire::GetExtentsReply> MetaStore::Answer(const wire::GetExtentsRequest& request) {
  return LookAgain(kv_, [&](const Transaction& txn) { return GetExtents(txn, request); });
}
absl::StatusOr<wire::GetUsageReply> MetaStore::Answer(const wire::GetUsageRequest& request) {
  return LookAgain(kv_, [&](const Transaction& txn) { return GetUsage(txn, request); });
}
absl::StatusOr<wire::LookupReply> MetaStore::Answer(const wire::LookupRequest& request) {
  return LookAgain(kv_, [&](const Transaction& txn) { return Lookup(txn, request); });
}
absl::StatusOr<wire::LookupReply> MetaStore::Answer(const wire::LookupPathRequest& request) {
  return LookAgain(kv_, [&](const Transaction& txn) { return LookupPath(txn, request); });
}
absl::StatusOr<wire::GetAttributesReply> MetaStore::Answer(
    const wire::GetAttributesRequest& request) {
  return LookAgain(kv_, [&](const Transaction& txn) { return GetAttributes(txn, request); });
}
absl::StatusOr<wire::ReadDirectoryReply> MetaStore::Answer(
    const wire::ReadDirectoryRequest& request) {
  return LookAgain(kv_, [&](const Transaction& txn) { return ReadDirectory(txn, request); });
}
absl::StatusOr<wire::GetXattrsReply> MetaStore::Answer(const wire::GetXattrsRequest& request) {
  return LookAgain(kv_, [&](const Transaction& txn) { return GetXattrs(txn, request); });
}
absl::StatusOr<wire::StatFsReply> MetaStore::Answer(const wire::StatFsRequest& request) {
  return LookAgain(kv_, [&](const Transaction& txn) { return StatFs(txn, request); });
}
absl::StatusOr<wire::OpenNodeReply> MetaStore::Answer(const wire::OpenNodeRequest& request) {
  return LookAgain(kv_, [&](const Transaction& txn) { return OpenNode(txn, request); });
}
absl::StatusOr<wire::GetMapReply> MetaStore::Answer(const wire::GetMapRequest& request) {
  return LookAgain(kv_, [](const Transaction& txn) { return GetClusterMap(txn); });
}
absl::StatusOr<wire::ListTiersReply> MetaStore::Answer(const wire::ListTiersRequest& request) {
  return LookAgain(kv_, [](const Transaction& txn) { return ListTiers(txn); });
}
absl::StatusOr<wire::ListTierPoliciesReply> MetaStore::Answer(
    const wire::ListTierPoliciesRequest& request) {
  return LookAgain(kv_, [&](const Transaction& txn) { return ListTierPolicies(txn, request); });
}
absl::StatusOr<wire::TestTierPolicyReply> MetaStore::Answer(
    const wire::TestTierPolicyRequest& request) {
  return LookAgain(kv_, [&](const Transaction& txn) { return TestTierPolicy(txn, request); });
}
absl::StatusOr<wire::TierQueueReply> MetaStore::Answer(const wire::TierQueueRequest& request) {
  return LookAgain(kv_, [&](const Transaction& txn) { return TierQueue(txn, request); });
}
absl::StatusOr<wire::ExplainTierReply> MetaStore::Answer(const wire::ExplainTierRequest& request) {
  return LookAgain(kv_, [&](const Transaction& txn) { return ExplainTier(txn, request); });
}
absl::StatusOr<wire::TierProgressReply> MetaStore::Answer(
    const wire::TierProgressRequest& request) {
  return LookAgain(kv_, [&](const Transaction& txn) { return TierProgress(txn, request); });
}

absl::StatusOr<MetaCounters> MetaStore::Counters() {
  const Transaction txn(kv_);
  MetaCounters counters;
  ASSIGN_OR_RETURN(counters.checkpoints, txn.Read(Counter::kCheckpoints));
  ASSIGN_OR_RETURN(counters.files, txn.Read(Counter::kFiles));
  ASSIGN_OR_RETURN(counters.open_attempts, txn.Read(Counter::kOpenAttempts));
  ASSIGN_OR_RETURN(counters.pending_free_bytes, txn.Read(Counter::kPendingFreeBytes));
  ASSIGN_OR_RETURN(counters.next_pending_sequence, txn.Read(Counter::kNextPending));
  ASSIGN_OR_RETURN(counters.cleanup_backlog, txn.Read(Counter::kCleanupBacklog));
  ASSIGN_OR_RETURN(counters.tier_policies, txn.Read(Counter::kTierPolicies));
  ASSIGN_OR_RETURN(counters.tier_subjects, txn.Read(Counter::kTierSubjects));
  return counters;
}

absl::StatusOr<std::vector<LeaseId>> MetaStore::Leases() {
  const Transaction txn(kv_);
  std::vector<LeaseId> leases;
  Transaction::Scan scan(txn, kFamilyLease, U64(0), U64(UINT64_MAX));
  for (; scan.Valid(); scan.Next()) {
    uint64_t lease = 0;
    if (!KeyReader(scan.key()).ReadU64(&lease))
      return absl::DataLossError("metadata: a lease's key is damaged");
    leases.emplace_back(lease);
  }
  RETURN_IF_ERROR(scan.status());
  return leases;
}

absl::StatusOr<std::vector<OpenAttempt>> MetaStore::OpenAttempts() {
  const Transaction txn(kv_);
  std::vector<OpenAttempt> attempts;
  Transaction::Scan scan(txn, kFamilyLease, U64(0), U64(UINT64_MAX));
  for (; scan.Valid(); scan.Next()) {
    disk::LeaseRecord lease;
    RETURN_IF_ERROR(ParseRecord(kFamilyLease, scan.value(), lease));
    if (!lease.has_attempt()) continue;
    ASSIGN_OR_RETURN(const auto attempt,
                     Find<disk::AttemptRecord>(
                         txn, kFamilyAttempt,
                         AttemptKey(InodeId(lease.attempt().parent()), lease.attempt().name())));
    if (!attempt.has_value() || attempt->id() != lease.attempt().id()) continue;
    ASSIGN_OR_RETURN(const disk::CheckpointRecord record,
                     LoadCheckpoint(txn, InodeId(attempt->inode())));
    attempts.push_back({LeaseId(attempt->lease()), record.begun_at_ns()});
  }
  RETURN_IF_ERROR(scan.status());
  return attempts;
}

absl::StatusOr<std::vector<ReclaimItem>> MetaStore::Reclaimable(ReclaimPosition from,
                                                                uint64_t below_sequence,
                                                                size_t limit) {
  return CollectReclaimable(Transaction(kv_), from, below_sequence, limit);
}

absl::StatusOr<StripePage> MetaStore::Stripes(uint64_t from, uint64_t stripes_max,
                                              bool with_pending) {
  return WalkStripes(Transaction(kv_), from, stripes_max, with_pending);
}

absl::StatusOr<TierPage> MetaStore::TierFiles(InodeId subject, const TierCursor& from,
                                              size_t runs_max) {
  return LookAgain(
      kv_, [&](const Transaction& txn) { return ReadTierFiles(txn, subject, from, runs_max); });
}

absl::StatusOr<TierTaskPage> MetaStore::TierTasks(const TierTaskFilter& filter,
                                                  const std::string& from, size_t limit) {
  return LookAgain(kv_,
                   [&](const Transaction& txn) { return NextTierTasks(txn, filter, from, limit); });
}

absl::StatusOr<std::vector<ColdObjectFound>> MetaStore::ColdObjects(ColdQueue queue, uint64_t from,
                                                                    size_t limit) {
  return LookAgain(
      kv_, [&](const Transaction& txn) { return ListColdObjects(txn, queue, from, limit); });
}

absl::StatusOr<std::vector<ColdPartOf>> MetaStore::ColdParts(uint64_t object) {
  return LookAgain(kv_, [&](const Transaction& txn) { return ListColdParts(txn, object); });
}

absl::StatusOr<InodeId> MetaStore::TierSubjectAt(const std::string& path) {
  return LookAgain(kv_, [&](const Transaction& txn) { return SubjectAt(txn, path); });
}

absl::StatusOr<std::optional<disk::TierSubjectRecord>> MetaStore::TierSubject(InodeId subject) {
  return LookAgain(kv_, [&](const Transaction& txn) { return FindSubject(txn, subject); });
}

absl::StatusOr<std::string> MetaStore::TierPath(InodeId subject) {
  return LookAgain(kv_, [&](const Transaction& txn) -> absl::StatusOr<std::string> {
    ASSIGN_OR_RETURN(const auto record, FindSubject(txn, subject));
    if (!record.has_value()) return PathOfDirectory(txn, subject);
    return PathOfSubject(txn, subject, *record);
  });
}

absl::StatusOr<std::vector<InodeId>> MetaStore::Orphans(InodeId after, size_t limit) {
  const Transaction txn(kv_);
  std::vector<InodeId> orphans;
  Transaction::Scan scan(txn, kFamilyLink, OrphanKey(InodeId(after.value() + 1)), PrefixEnd("o"));
  for (; scan.Valid() && orphans.size() < limit; scan.Next()) {
    uint64_t inode = 0;
    if (!KeyReader(scan.key().substr(1)).ReadU64(&inode))
      return absl::DataLossError("metadata: a key of family \"link\" is damaged");
    orphans.emplace_back(inode);
  }
  RETURN_IF_ERROR(scan.status());
  return orphans;
}

absl::StatusOr<uint64_t> MetaStore::Count(Counter counter) {
  return Transaction(kv_).Read(counter);
}

absl::StatusOr<LeaseId> MetaStore::NextLease() {
  ASSIGN_OR_RETURN(const uint64_t next, Transaction(kv_).Read(Counter::kNextLease));
  return LeaseId(next);
}

}  // namespace cairn
