#include "server/meta/tree.h"

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "server/meta/keys.h"
#include "server/meta/paths.h"
#include "server/meta/records.h"
#include "server/meta/usage.h"

namespace cairn {
namespace {

constexpr std::string_view kLatest = "latest";

Node ToNode(const disk::DentryRecord& dentry) { return {InodeId(dentry.inode()), dentry.type()}; }

absl::Status NotFound(const std::vector<std::string_view>& components, size_t index) {
  if (index == 0) {
    return absl::NotFoundError(StrCat("there is no bucket ", Quoted(components[0]),
                                      "; make it with: cairn mkdir ", Printable(components[0])));
  }
  std::string path;
  for (size_t i = 0; i <= index; ++i) path = JoinPath(path, components[i]);
  return absl::NotFoundError(StrCat("there is no ", Quoted(path)));
}

// A step from a directory to an entry of it; nullopt when there is none.
struct Step {
  Node node;
  std::string name;
};
absl::StatusOr<std::optional<Step>> Descend(const Transaction& txn, InodeId directory,
                                            std::string_view name, LatestAlias alias) {
  ASSIGN_OR_RETURN(const std::optional<Node> node, FindEntry(txn, directory, name));
  if (node.has_value()) return Step{*node, std::string(name)};
  if (alias == LatestAlias::kIgnore || name != kLatest) return std::nullopt;
  ASSIGN_OR_RETURN(const auto newest, FindNewestCheckpoint(txn, directory));
  if (!newest.has_value()) return std::nullopt;
  return Step{{InodeId(newest->inode()), disk::INODE_CHECKPOINT}, newest->name()};
}

absl::Status NotADirectory(std::string_view path, disk::InodeType type) {
  return absl::FailedPreconditionError(
      StrCat(Quoted(path), " is ", Describe(type), ", not a directory"));
}

absl::Status IsFixed(std::string_view path) {
  return absl::FailedPreconditionError(
      StrCat(Quoted(path), " is a committed checkpoint; its content cannot be changed"));
}

absl::Status NamesABucket(std::string_view path) {
  return absl::InvalidArgumentError(
      StrCat(Quoted(path), " names a bucket; files and checkpoints lie in one: \"bucket/name\""));
}

}  // namespace

absl::StatusOr<std::optional<Node>> FindEntry(const Transaction& txn, InodeId parent,
                                              std::string_view name) {
  for (const std::string& key : {DirectoryDentryKey(parent, name), FileDentryKey(parent, name)}) {
    ASSIGN_OR_RETURN(const auto dentry, Find<disk::DentryRecord>(txn, kFamilyDentry, key));
    if (dentry.has_value()) return ToNode(*dentry);
  }
  return std::nullopt;
}

absl::StatusOr<Resolved> Resolve(const Transaction& txn, std::string_view path, LatestAlias alias) {
  ASSIGN_OR_RETURN(const std::vector<std::string_view> components, SplitPath(path));
  Resolved at;
  at.node = {kRootInode, disk::INODE_DIRECTORY};
  for (size_t i = 0; i < components.size(); ++i) {
    if (!at.node.is_directory()) return NotADirectory(at.path, at.node.type);
    if (at.node.type == disk::INODE_CHECKPOINT) at.inside_checkpoint = true;
    ASSIGN_OR_RETURN(const auto step, Descend(txn, at.node.inode, components[i], alias));
    if (!step.has_value()) return NotFound(components, i);
    at.parent = at.node.inode;
    at.node = step->node;
    at.path = JoinPath(at.path, step->name);
  }
  return at;
}

absl::StatusOr<Resolved> ResolveDirectory(const Transaction& txn, std::string_view path,
                                          LatestAlias alias) {
  Resolved root;
  root.node = {kRootInode, disk::INODE_DIRECTORY};
  if (path.empty()) return root;
  ASSIGN_OR_RETURN(Resolved resolved, Resolve(txn, path, alias));
  if (!resolved.node.is_directory()) return NotADirectory(resolved.path, resolved.node.type);
  return resolved;
}

absl::StatusOr<Place> ResolvePlace(Transaction& txn, std::string_view path, Missing missing,
                                   int64_t now_ns) {
  ASSIGN_OR_RETURN(const std::vector<std::string_view> components, SplitPath(path));
  if (components.size() == 1) return NamesABucket(path);
  InodeId parent = kRootInode;
  std::string walked;
  for (size_t i = 0; i + 1 < components.size(); ++i) {
    const Place place{parent, components[i]};
    walked = JoinPath(walked, components[i]);
    ASSIGN_OR_RETURN(const std::optional<Node> node, FindEntry(txn, parent, components[i]));
    if (node.has_value()) {
      if (node->type == disk::INODE_CHECKPOINT) return IsFixed(walked);
      if (!node->is_directory()) return NotADirectory(walked, node->type);
      parent = node->inode;
    } else if (missing == Missing::kRefuse || i == 0) {
      return NotFound(components, i);
    } else {
      RETURN_IF_ERROR(CheckNotBeingWritten(txn, place, walked));
      ASSIGN_OR_RETURN(parent, LinkNewDirectory(txn, parent, components[i], now_ns));
    }
  }
  return Place{parent, components.back()};
}

absl::Status CheckNotBeingWritten(const Transaction& txn, const Place& place,
                                  std::string_view path) {
  ASSIGN_OR_RETURN(
      const auto attempt,
      Find<disk::AttemptRecord>(txn, kFamilyAttempt, AttemptKey(place.parent, place.name)));
  if (!attempt.has_value() || attempt->state() != disk::ATTEMPT_OPEN) return absl::OkStatus();
  return absl::FailedPreconditionError(
      StrCat("a checkpoint ", Quoted(path), " is being written (attempt ", attempt->number(), ")"));
}

absl::Status CheckFree(const Transaction& txn, const Place& place, std::string_view path) {
  ASSIGN_OR_RETURN(const std::optional<Node> node, FindEntry(txn, place.parent, place.name));
  if (node.has_value()) {
    return absl::AlreadyExistsError(StrCat(Quoted(path), " exists; it is ", Describe(node->type)));
  }
  return CheckNotBeingWritten(txn, place, path);
}

absl::StatusOr<NewNode> NewInode(Transaction& txn, disk::InodeType type, int64_t now_ns) {
  ASSIGN_OR_RETURN(const uint64_t id, txn.Add(Counter::kNextInode, 1));
  NewNode node;
  node.id = InodeId(id);
  const bool directory = type == disk::INODE_DIRECTORY || type == disk::INODE_CHECKPOINT;
  node.record.set_type(type);
  node.record.set_mode(directory ? 0755 : 0644);
  node.record.set_links(directory ? 2 : 1);
  node.record.set_accessed_at_ns(now_ns);
  node.record.set_modified_at_ns(now_ns);
  node.record.set_changed_at_ns(now_ns);
  return node;
}

void StoreInode(Transaction& txn, InodeId inode, const disk::InodeRecord& record) {
  Store(txn, kFamilyInode, InodeKey(inode), record);
  const bool is_directory =
      record.type() == disk::INODE_DIRECTORY || record.type() == disk::INODE_CHECKPOINT;
  txn.Touch(is_directory ? inode : InodeId(record.parent()));
}

absl::StatusOr<disk::InodeRecord> LoadInode(const Transaction& txn, InodeId inode) {
  return Load<disk::InodeRecord>(txn, kFamilyInode, InodeKey(inode));
}

namespace {

// ".." of the directories in it. Those made by earlier releases were not counted.
absl::Status CountDirectories(Transaction& txn, InodeId parent, int change) {
  ASSIGN_OR_RETURN(disk::InodeRecord record, LoadInode(txn, parent));
  if (change < 0 && record.links() <= 2) return absl::OkStatus();
  record.set_links(record.links() + static_cast<uint32_t>(change));
  StoreInode(txn, parent, record);
  return absl::OkStatus();
}

}  // namespace

absl::Status Link(Transaction& txn, InodeId parent, std::string_view name, Node node) {
  disk::DentryRecord dentry;
  dentry.set_inode(node.inode.value());
  dentry.set_type(node.type);
  const std::string key =
      node.is_directory() ? DirectoryDentryKey(parent, name) : FileDentryKey(parent, name);
  Store(txn, kFamilyDentry, key, dentry);
  txn.Touch(parent);
  return node.is_directory() ? CountDirectories(txn, parent, 1) : absl::OkStatus();
}

absl::Status Unlink(Transaction& txn, InodeId parent, std::string_view name, Node node) {
  txn.Delete(kFamilyDentry,
             node.is_directory() ? DirectoryDentryKey(parent, name) : FileDentryKey(parent, name));
  txn.Touch(parent);
  if (node.is_directory()) txn.Touch(node.inode);
  return node.is_directory() ? CountDirectories(txn, parent, -1) : absl::OkStatus();
}

absl::StatusOr<InodeId> LinkNewDirectory(Transaction& txn, InodeId parent, std::string_view name,
                                         int64_t now_ns) {
  ASSIGN_OR_RETURN(NewNode directory, NewInode(txn, disk::INODE_DIRECTORY, now_ns));
  directory.record.set_parent(parent.value());
  directory.record.set_name(std::string(name));
  StoreInode(txn, directory.id, directory.record);
  RETURN_IF_ERROR(Link(txn, parent, name, {directory.id, disk::INODE_DIRECTORY}));
  RETURN_IF_ERROR(StartUsage(txn, directory.id, parent));
  RETURN_IF_ERROR(TouchDirectory(txn, parent, now_ns));
  return directory.id;
}

absl::Status MoveDirectory(Transaction& txn, InodeId directory, InodeId parent,
                           std::string_view name) {
  ASSIGN_OR_RETURN(disk::InodeRecord record, LoadInode(txn, directory));
  record.set_parent(parent.value());
  record.set_name(std::string(name));
  StoreInode(txn, directory, record);
  return absl::OkStatus();
}

absl::Status TouchDirectory(Transaction& txn, InodeId directory, int64_t now_ns) {
  ASSIGN_OR_RETURN(disk::InodeRecord record, LoadInode(txn, directory));
  record.set_modified_at_ns(now_ns);
  record.set_changed_at_ns(now_ns);
  StoreInode(txn, directory, record);
  return absl::OkStatus();
}

absl::StatusOr<std::optional<disk::CheckpointIndexRecord>> FindNewestCheckpoint(
    const Transaction& txn, InodeId directory) {
  const std::string prefix = CheckpointIndexPrefix(directory);
  ASSIGN_OR_RETURN(const auto last, txn.FindLast(kFamilyCheckpoint, prefix, PrefixEnd(prefix)));
  if (!last.has_value()) return std::nullopt;
  disk::CheckpointIndexRecord record;
  RETURN_IF_ERROR(ParseRecord(kFamilyCheckpoint, last->second, record));
  return record;
}

std::string_view Describe(disk::InodeType type) {
  switch (type) {
    case disk::INODE_FILE:
      return "a file";
    case disk::INODE_DIRECTORY:
      return "a directory";
    case disk::INODE_CHECKPOINT:
      return "a checkpoint";
    case disk::INODE_SYMLINK:
      return "a symbolic link";
    case disk::INODE_FIFO:
    case disk::INODE_SOCKET:
    case disk::INODE_CHARACTER_DEVICE:
    case disk::INODE_BLOCK_DEVICE:
      return "a special file";
    default:
      return "an entry of unknown type";
  }
}

}  // namespace cairn
