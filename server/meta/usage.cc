#include "server/meta/usage.h"

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "common/base/human.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/telemetry/log.h"
#include "server/meta/bucket.h"
#include "server/meta/checkpoint.h"
#include "server/meta/families.h"
#include "server/meta/keys.h"
#include "server/meta/paths.h"
#include "server/meta/records.h"

namespace cairn {
namespace {

// Of a recount: some MB of changes.
constexpr size_t kRecordsPerBatch = 20'000;

using Record = disk::UsageRecord;

absl::StatusOr<std::optional<Record>> FindUsage(const Transaction& txn, InodeId directory) {
  return Find<Record>(txn, kFamilyPolicy, UsageKey(directory));
}

void StoreUsage(Transaction& txn, InodeId directory, const Record& record) {
  Store(txn, kFamilyPolicy, UsageKey(directory), record);
}

Content ToContent(const Record& record) {
  return {record.size_bytes(), record.files(), record.checkpoints()};
}

// Not below zero: a build from before the counts may have written to the store, and it must stay
// possible to remove what it wrote. The next start counts anew.
uint64_t Changed(uint64_t now, uint64_t added, uint64_t removed) {
  return now + added - std::min(now + added, removed);
}

void Change(Record* record, const Content& added, const Content& removed) {
  record->set_size_bytes(Changed(record->size_bytes(), added.size_bytes, removed.size_bytes));
  record->set_files(Changed(record->files(), added.files, removed.files));
  record->set_checkpoints(Changed(record->checkpoints(), added.checkpoints, removed.checkpoints));
}

absl::Status SetParent(Transaction& txn, InodeId directory, InodeId parent) {
  ASSIGN_OR_RETURN(std::optional<Record> record, FindUsage(txn, directory));
  if (!record.has_value()) return absl::OkStatus();
  record->set_parent(parent.value());
  StoreUsage(txn, directory, *record);
  return absl::OkStatus();
}

// -- counting anew

struct Counted {
  InodeId directory;
  size_t parent = 0;  // its index
  Record record;
};

// A file of several names counts where its record says that it lies.
absl::StatusOr<bool> CountsHere(const Transaction& txn, InodeId inode, disk::InodeType type,
                                InodeId directory, std::string_view key) {
  if (type == disk::INODE_CHECKPOINT) return true;
  ASSIGN_OR_RETURN(const disk::InodeRecord record, LoadInode(txn, inode));
  return record.links() < 2 ||
         (record.parent() == directory.value() && record.name() == DentryKeyName(key));
}

// Adds the entries of a directory to its record, and its directories to the list.
absl::Status CountDirectory(const Transaction& txn, size_t index, std::vector<Counted>* all) {
  const InodeId directory = (*all)[index].directory;
  const std::string prefix = DentryPrefix(directory);
  Transaction::Scan scan(txn, kFamilyDentry, prefix, PrefixEnd(prefix));
  for (; scan.Valid(); scan.Next()) {
    disk::DentryRecord dentry;
    RETURN_IF_ERROR(ParseRecord(kFamilyDentry, scan.value(), dentry));
    const InodeId inode(dentry.inode());
    if (dentry.type() == disk::INODE_DIRECTORY) {
      Record record;
      record.set_parent(directory.value());
      all->push_back({inode, index, std::move(record)});
      continue;
    }
    ASSIGN_OR_RETURN(const bool counts,
                     CountsHere(txn, inode, dentry.type(), directory, scan.key()));
    if (!counts) continue;
    ASSIGN_OR_RETURN(const Content content, ContentOf(txn, {inode, dentry.type()}));
    Change(&(*all)[index].record, content, {});
  }
  return scan.status();
}

absl::StatusOr<std::vector<Counted>> CountAll(Kv& kv) {
  std::vector<Counted> all;
  all.push_back({kRootInode, 0, {}});
  for (size_t i = 0; i < all.size(); ++i) {
    // One each: it keeps what it has read.
    const Transaction txn(kv);
    RETURN_IF_ERROR(CountDirectory(txn, i, &all));
  }
  for (size_t i = all.size() - 1; i > 0; --i)
    Change(&all[all[i].parent].record, ToContent(all[i].record), {});
  return all;
}

absl::Status StoreAll(Kv& kv, const std::vector<Counted>& all) {
  Transaction txn(kv);
  for (size_t i = 1; i < all.size(); ++i) {
    StoreUsage(txn, all[i].directory, all[i].record);
    if (i % kRecordsPerBatch == 0)
      RETURN_IF_ERROR(kv.Write(txn.TakeBatch(), KvDurability::kSynced));
  }
  // With the last of them, so that a count that was cut short begins again.
  RETURN_IF_ERROR(txn.Raise(Counter::kUsageCounted, 1));
  return kv.Write(txn.TakeBatch(), KvDurability::kSynced);
}

absl::StatusOr<Content> ContentOfBuckets(const Transaction& txn) {
  Content sum;
  const std::string prefix = DentryPrefix(kRootInode);
  Transaction::Scan scan(txn, kFamilyDentry, prefix, PrefixEnd(prefix));
  for (; scan.Valid(); scan.Next()) {
    disk::DentryRecord dentry;
    RETURN_IF_ERROR(ParseRecord(kFamilyDentry, scan.value(), dentry));
    ASSIGN_OR_RETURN(const std::optional<Record> record, FindUsage(txn, InodeId(dentry.inode())));
    if (!record.has_value()) continue;
    sum.size_bytes += record->size_bytes();
    sum.files += record->files();
    sum.checkpoints += record->checkpoints();
  }
  RETURN_IF_ERROR(scan.status());
  return sum;
}

// The store has as many files and checkpoints as its buckets together. While removed ones wait for
// the cleanup, that cannot be told.
absl::StatusOr<bool> IsCounted(const Transaction& txn) {
  ASSIGN_OR_RETURN(const uint64_t counted, txn.Read(Counter::kUsageCounted));
  if (counted == 0) return false;
  ASSIGN_OR_RETURN(const uint64_t backlog, txn.Read(Counter::kCleanupBacklog));
  if (backlog > 0) return true;
  ASSIGN_OR_RETURN(const Content sum, ContentOfBuckets(txn));
  ASSIGN_OR_RETURN(const uint64_t files, txn.Read(Counter::kFiles));
  ASSIGN_OR_RETURN(const uint64_t checkpoints, txn.Read(Counter::kCheckpoints));
  return sum.files == files && sum.checkpoints == checkpoints;
}

// -- quotas

absl::Status OverQuota(const BucketState& bucket, std::string_view what) {
  return absl::ResourceExhaustedError(
      StrCat("the bucket ", Quoted(bucket.name), " has a quota of ", HumanBytes(bucket.quota_bytes),
             ", of which ", HumanBytes(bucket.content.size_bytes), " are used", what,
             "; remove or prune checkpoints (cairn ckpt prune), or raise the quota: cairn bucket "
             "set ",
             Printable(bucket.name), " --quota SIZE"));
}

}  // namespace

absl::StatusOr<Content> ContentOf(const Transaction& txn, const Node& node) {
  if (node.type == disk::INODE_CHECKPOINT) {
    ASSIGN_OR_RETURN(const disk::CheckpointRecord record, LoadCheckpoint(txn, node.inode));
    return Content{record.size_bytes(), record.shard_count(), 1};
  }
  if (node.inode == kRootInode) return ContentOfBuckets(txn);
  if (node.is_directory()) {
    ASSIGN_OR_RETURN(const std::optional<Record> record, FindUsage(txn, node.inode));
    return record.has_value() ? ToContent(*record) : Content();
  }
  ASSIGN_OR_RETURN(const disk::InodeRecord record, LoadInode(txn, node.inode));
  return Content{record.size_bytes(), 1, 0};
}

absl::Status StartUsage(Transaction& txn, InodeId directory, InodeId parent) {
  if (parent != kRootInode) {
    ASSIGN_OR_RETURN(const std::optional<Record> above, FindUsage(txn, parent));
    if (!above.has_value()) return absl::OkStatus();  // inside a checkpoint
  }
  Record record;
  record.set_parent(parent.value());
  StoreUsage(txn, directory, record);
  return absl::OkStatus();
}

absl::Status ChangeUsage(Transaction& txn, InodeId directory, const Content& added,
                         const Content& removed) {
  // Ends at the root, or at the top of a tree that has been removed.
  while (directory != kRootInode) {
    ASSIGN_OR_RETURN(std::optional<Record> record, FindUsage(txn, directory));
    if (!record.has_value()) break;
    Change(&*record, added, removed);
    StoreUsage(txn, directory, *record);
    directory = InodeId(record->parent());
  }
  return absl::OkStatus();
}

absl::Status LeaveUsage(Transaction& txn, InodeId parent, const Node& node) {
  ASSIGN_OR_RETURN(const Content content, ContentOf(txn, node));
  RETURN_IF_ERROR(ChangeUsage(txn, parent, {}, content));
  // What is pruned in it from now on is not counted any more.
  return node.type == disk::INODE_DIRECTORY ? SetParent(txn, node.inode, InodeId())
                                            : absl::OkStatus();
}

absl::Status MoveUsage(Transaction& txn, const Node& node, InodeId from, InodeId to) {
  if (from == to) return absl::OkStatus();
  ASSIGN_OR_RETURN(const Content content, ContentOf(txn, node));
  RETURN_IF_ERROR(ChangeUsage(txn, from, {}, content));
  RETURN_IF_ERROR(ChangeUsage(txn, to, content, {}));
  return node.type == disk::INODE_DIRECTORY ? SetParent(txn, node.inode, to) : absl::OkStatus();
}

void ForgetUsage(Transaction& txn, InodeId directory) {
  txn.Delete(kFamilyPolicy, UsageKey(directory));
}

absl::Status CheckQuota(const Transaction& txn, std::string_view path, Growth growth) {
  if (growth.added_bytes <= growth.removed_bytes) return absl::OkStatus();
  ASSIGN_OR_RETURN(const BucketState bucket, FindBucketOf(txn, path));
  if (bucket.quota_bytes == 0) return absl::OkStatus();
  const uint64_t used = bucket.content.size_bytes;
  const uint64_t room = bucket.quota_bytes - std::min(bucket.quota_bytes, used);
  if (growth.added_bytes - growth.removed_bytes <= room) return absl::OkStatus();
  return OverQuota(bucket, StrCat(", and ", Quoted(path), " has ", HumanBytes(growth.added_bytes)));
}

absl::Status CheckQuotaLeft(const Transaction& txn, std::string_view path,
                            uint64_t replaced_bytes) {
  ASSIGN_OR_RETURN(const BucketState bucket, FindBucketOf(txn, path));
  if (bucket.quota_bytes == 0) return absl::OkStatus();
  const uint64_t used = bucket.content.size_bytes;
  if (used - std::min(used, replaced_bytes) < bucket.quota_bytes) return absl::OkStatus();
  return OverQuota(bucket, ", so nothing new can be written");
}

absl::Status CountUsageIfNeeded(Kv& kv) {
  ASSIGN_OR_RETURN(const bool counted, IsCounted(Transaction(kv)));
  if (counted) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::vector<Counted> all, CountAll(kv));
  const absl::Status stored = StoreAll(kv, all);
  if (absl::IsResourceExhausted(stored)) {
    // Space comes back through removals, which need the store to open.
    CAIRN_LOG_WARN("no space to count what buckets hold; they count again at the next start: {}",
                   stored);
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(stored);
  const Content sum = ToContent(all[0].record);
  CAIRN_LOG_INFO("counted what is below {} directories: {} files, {}", all.size() - 1, sum.files,
                 HumanBytes(sum.size_bytes));
  return absl::OkStatus();
}

}  // namespace cairn
