#include "server/meta/fs_names.h"

#include <sys/stat.h>

#include <cerrno>
#include <optional>
#include <string>
#include <utility>

#include "common/base/posix_error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "server/meta/bucket.h"
#include "server/meta/checkpoint.h"
#include "server/meta/fs_queries.h"
#include "server/meta/keys.h"
#include "server/meta/links.h"
#include "server/meta/move.h"
#include "server/meta/namespace.h"
#include "server/meta/paths.h"
#include "server/meta/pins.h"
#include "server/meta/tree.h"
#include "server/meta/usage.h"
#include "server/meta/whereabouts.h"

namespace cairn {
namespace {

constexpr uint32_t kModeBits = 07777;

absl::StatusOr<disk::InodeType> FromWire(wire::EntryType type) {
  switch (type) {
    case wire::ENTRY_FILE:
      return disk::INODE_FILE;
    case wire::ENTRY_DIRECTORY:
      return disk::INODE_DIRECTORY;
    case wire::ENTRY_SYMLINK:
      return disk::INODE_SYMLINK;
    case wire::ENTRY_FIFO:
      return disk::INODE_FIFO;
    case wire::ENTRY_SOCKET:
      return disk::INODE_SOCKET;
    case wire::ENTRY_CHARACTER_DEVICE:
      return disk::INODE_CHARACTER_DEVICE;
    case wire::ENTRY_BLOCK_DEVICE:
      return disk::INODE_BLOCK_DEVICE;
    default:
      return PosixError(EINVAL, "nothing of that type can be made");
  }
}

absl::Status OnlyBuckets() {
  return PosixError(EPERM, "only buckets, which are directories, lie at the top");
}

// A directory in which names may be made and removed.
struct Parent {
  InodeId inode;
  disk::InodeRecord record;
  Whereabouts where;
};
absl::StatusOr<Parent> FindParent(const Transaction& txn, uint64_t inode) {
  Parent parent;
  parent.inode = InodeId(inode);
  ASSIGN_OR_RETURN(parent.record, FindDirectoryInode(txn, parent.inode));
  ASSIGN_OR_RETURN(parent.where, WhereIsDirectory(txn, parent.inode));
  RETURN_IF_ERROR(CheckNotFixed(parent.where));
  return parent;
}

absl::Status CheckNotBeingWrittenAt(const Transaction& txn, const Place& place) {
  const absl::Status checked = CheckNotBeingWritten(txn, place, place.name);
  return absl::IsFailedPrecondition(checked) ? WithPosixError(checked, EBUSY) : checked;
}

absl::Status Exists(std::string_view name) {
  return PosixError(EEXIST, StrCat(Quoted(name), " exists"));
}

absl::StatusOr<Node> FindNamed(const Transaction& txn, InodeId parent, std::string_view name) {
  ASSIGN_OR_RETURN(const std::optional<Node> node, FindEntry(txn, parent, name));
  if (node.has_value()) return *node;
  ASSIGN_OR_RETURN(const bool is_latest, IsLatestLink(txn, parent, name));
  if (is_latest) return PosixError(EPERM, "nobody has made `latest`, and nobody can remove it");
  return PosixError(ENOENT, StrCat("there is no ", Quoted(name)));
}

// Whose it is: with set-group-ID, a directory hands on its group, and to directories the bit.
void SetOwner(const wire::MakeNodeRequest& request, const Parent& parent,
              disk::InodeRecord* record) {
  const bool hands_on = (parent.record.mode() & S_ISGID) != 0;
  uint32_t mode = request.mode() & kModeBits;
  if (hands_on && record->type() == disk::INODE_DIRECTORY) mode |= S_ISGID;
  record->set_mode(mode);
  record->set_uid(request.uid());
  record->set_gid(hands_on ? parent.record.gid() : request.gid());
}

absl::StatusOr<InodeId> MakeDirectoryNode(Transaction& txn, const wire::MakeNodeRequest& request,
                                          const Parent& parent, int64_t now_ns) {
  InodeId inode;
  if (parent.inode == kRootInode) {
    ASSIGN_OR_RETURN(inode, AddBucket(txn, request.name(), {}, now_ns));
  } else {
    ASSIGN_OR_RETURN(inode, LinkNewDirectory(txn, parent.inode, request.name(), now_ns));
  }
  ASSIGN_OR_RETURN(disk::InodeRecord record, LoadInode(txn, inode));
  SetOwner(request, parent, &record);
  StoreInode(txn, inode, record);
  return inode;
}

absl::StatusOr<InodeId> MakeOtherNode(Transaction& txn, const wire::MakeNodeRequest& request,
                                      const Parent& parent, disk::InodeType type, int64_t now_ns) {
  if (parent.inode == kRootInode) return OnlyBuckets();
  ASSIGN_OR_RETURN(NewNode node, NewInode(txn, type, now_ns));
  SetOwner(request, parent, &node.record);
  node.record.set_parent(parent.inode.value());
  node.record.set_name(request.name());
  if (type == disk::INODE_SYMLINK) {
    node.record.set_mode(0777);
    node.record.set_symlink_target(request.symlink_target());
    node.record.set_size_bytes(request.symlink_target().size());
  }
  if (type == disk::INODE_CHARACTER_DEVICE || type == disk::INODE_BLOCK_DEVICE)
    node.record.set_device(request.device());
  if (type == disk::INODE_FILE) {
    ASSIGN_OR_RETURN(const uint64_t version, txn.Add(Counter::kNextVersion, 1));
    node.record.set_version(version);
    node.record.set_changed_in_place(true);
  }
  StoreInode(txn, node.id, node.record);
  RETURN_IF_ERROR(Link(txn, parent.inode, request.name(), {node.id, type}));
  RETURN_IF_ERROR(ChangeUsage(txn, parent.inode, {node.record.size_bytes(), 1, 0}, {}));
  RETURN_IF_ERROR(txn.Add(Counter::kFiles, 1).status());
  RETURN_IF_ERROR(TouchDirectory(txn, parent.inode, now_ns));
  return node.id;
}

// What is to be removed, or replaced, is empty and not pinned.
absl::Status CheckRemovable(const Transaction& txn, InodeId parent, std::string_view name,
                            const Node& node) {
  if (node.type == disk::INODE_CHECKPOINT) {
    ASSIGN_OR_RETURN(const disk::CheckpointRecord record, LoadCheckpoint(txn, node.inode));
    if (!record.pinned()) return absl::OkStatus();
    return PosixError(EPERM, StrCat("the checkpoint ", Quoted(name), " is pinned"));
  }
  if (!node.is_directory()) return absl::OkStatus();
  const absl::Status empty = CheckEmpty(txn, node.inode, name);
  return absl::IsFailedPrecondition(empty) ? WithPosixError(empty, ENOTEMPTY) : empty;
}

absl::Status RemoveNode(Transaction& txn, const Parent& parent, std::string_view name,
                        const Node& node, const CommandFacts& facts) {
  if (node.type == disk::INODE_CHECKPOINT) return RemoveCheckpoint(txn, node.inode, facts.now_ns());
  RETURN_IF_ERROR(Unlink(txn, parent.inode, name, node));
  RETURN_IF_ERROR(ReleaseEntry(txn, parent.inode, name, node, facts));
  return TouchDirectory(txn, parent.inode, facts.now_ns());
}

absl::Status CheckKinds(const Node& source, const Node& target) {
  if (source.is_directory() && !target.is_directory())
    return PosixError(ENOTDIR, "a directory cannot replace what is none");
  if (!source.is_directory() && target.is_directory())
    return PosixError(EISDIR, "only a directory can replace a directory");
  // A checkpoint has files in it.
  if (target.type == disk::INODE_CHECKPOINT)
    return PosixError(ENOTEMPTY, "a checkpoint is in its place; remove it first");
  return absl::OkStatus();
}

absl::Status CheckNotIntoItself(const Transaction& txn, const Node& node, InodeId to) {
  if (!node.is_directory()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const bool below, IsBelow(txn, to, node.inode));
  if (!below) return absl::OkStatus();
  return PosixError(EINVAL, "a directory cannot be moved into itself");
}

// Between buckets, what moves is new to the one that gets it.
absl::Status CheckQuotaOfMove(const Transaction& txn, const Node& node, const Parent& from,
                              const Parent& to, std::string_view name) {
  if (from.where.bucket == to.where.bucket) return absl::OkStatus();
  ASSIGN_OR_RETURN(const Content moved, ContentOf(txn, node));
  const absl::Status fits =
      CheckQuota(txn, JoinPath(to.where.bucket_name, name), {moved.size_bytes, 0});
  return absl::IsResourceExhausted(fits) ? WithPosixError(fits, EDQUOT) : fits;
}

struct RenamePlan {
  Parent from, to;
  std::string_view from_name, to_name;
  Node source;
  std::optional<Node> target;
};

// Both go through a place that nothing else can have.
absl::Status Exchange(Transaction& txn, const RenamePlan& rename, const CommandFacts& facts) {
  if (!rename.target.has_value())
    return PosixError(ENOENT, StrCat("there is no ", Quoted(rename.to_name)));
  const Node& target = *rename.target;
  RETURN_IF_ERROR(CheckNotIntoItself(txn, target, rename.from.inode));
  RETURN_IF_ERROR(CheckQuotaOfMove(txn, target, rename.to, rename.from, rename.from_name));
  constexpr std::string_view kBetween = "\x01 is exchanged \x01";
  ASSIGN_OR_RETURN(const auto there, FindEntry(txn, rename.to.inode, kBetween));
  if (there.has_value()) return Exists(kBetween);
  RETURN_IF_ERROR(MoveEntry(
      txn, {target, rename.to.inode, rename.to_name, {rename.to.inode, kBetween}}, facts));
  RETURN_IF_ERROR(MoveEntry(
      txn, {rename.source, rename.from.inode, rename.from_name, {rename.to.inode, rename.to_name}},
      facts));
  return MoveEntry(txn, {target, rename.to.inode, kBetween, {rename.from.inode, rename.from_name}},
                   facts);
}

absl::Status NoteChanged(Transaction& txn, InodeId inode, int64_t now_ns) {
  ASSIGN_OR_RETURN(disk::InodeRecord record, LoadInode(txn, inode));
  record.set_changed_at_ns(now_ns);
  StoreInode(txn, inode, record);
  return absl::OkStatus();
}

absl::StatusOr<RenamePlan> FindRename(const Transaction& txn,
                                      const wire::RenameNodeRequest& request) {
  RETURN_IF_ERROR(CheckNodeName(request.from_name()));
  RETURN_IF_ERROR(CheckNodeName(request.to_name()));
  RenamePlan rename;
  ASSIGN_OR_RETURN(rename.from, FindParent(txn, request.from_parent()));
  ASSIGN_OR_RETURN(rename.to, FindParent(txn, request.to_parent()));
  rename.from_name = request.from_name();
  rename.to_name = request.to_name();
  ASSIGN_OR_RETURN(rename.source, FindNamed(txn, rename.from.inode, rename.from_name));
  ASSIGN_OR_RETURN(rename.target, FindEntry(txn, rename.to.inode, rename.to_name));
  return rename;
}

absl::Status Replace(Transaction& txn, const RenamePlan& rename, const CommandFacts& facts,
                     wire::RenameNodeReply* reply) {
  if (rename.target.has_value()) {
    RETURN_IF_ERROR(CheckKinds(rename.source, *rename.target));
    RETURN_IF_ERROR(CheckRemovable(txn, rename.to.inode, rename.to_name, *rename.target));
    RETURN_IF_ERROR(RemoveNode(txn, rename.to, rename.to_name, *rename.target, facts));
    reply->set_replaced(rename.target->inode.value());
  }
  const Movement movement{
      rename.source, rename.from.inode, rename.from_name, {rename.to.inode, rename.to_name}};
  RETURN_IF_ERROR(MoveEntry(txn, movement, facts));
  if (rename.target.has_value()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const bool made, CommitIfCheckpoint(txn, movement, facts));
  reply->set_made_checkpoint(made);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<wire::MakeNodeReply> MakeNode(Transaction& txn, const wire::MakeNodeRequest& request,
                                             const CommandFacts& facts) {
  RETURN_IF_ERROR(CheckNodeName(request.name()));
  ASSIGN_OR_RETURN(const disk::InodeType type, FromWire(request.type()));
  if (request.symlink_target().size() > kMaxPathBytes)
    return PosixError(ENAMETOOLONG, "the target of a symbolic link is too long");
  ASSIGN_OR_RETURN(const Parent parent, FindParent(txn, request.parent()));
  const Place place{parent.inode, request.name()};
  ASSIGN_OR_RETURN(const std::optional<Node> there, FindEntry(txn, place.parent, place.name));
  wire::MakeNodeReply reply;
  if (there.has_value()) {
    if (!request.may_exist() || there->type != disk::INODE_FILE) return Exists(request.name());
    reply.set_existed(true);
    ASSIGN_OR_RETURN(*reply.mutable_attributes(), DescribeInode(txn, there->inode));
    return reply;
  }
  RETURN_IF_ERROR(CheckNotBeingWrittenAt(txn, place));
  InodeId inode;
  if (type == disk::INODE_DIRECTORY) {
    ASSIGN_OR_RETURN(inode, MakeDirectoryNode(txn, request, parent, facts.now_ns()));
  } else {
    ASSIGN_OR_RETURN(inode, MakeOtherNode(txn, request, parent, type, facts.now_ns()));
  }
  ASSIGN_OR_RETURN(*reply.mutable_attributes(), DescribeInode(txn, inode));
  return reply;
}

absl::StatusOr<wire::LinkNodeReply> LinkNode(Transaction& txn, const wire::LinkNodeRequest& request,
                                             const CommandFacts& facts) {
  RETURN_IF_ERROR(CheckNodeName(request.name()));
  const InodeId inode(request.node().inode());
  ASSIGN_OR_RETURN(disk::InodeRecord record, FindInode(txn, inode));
  if (record.type() == disk::INODE_DIRECTORY || record.type() == disk::INODE_CHECKPOINT)
    return PosixError(EPERM, "a directory has one name");
  if (record.links() == 0) return PosixError(ENOENT, "its last name has gone");
  if (record.links() >= kMaxLinks) return PosixError(EMLINK, "it has too many names");
  RETURN_IF_ERROR(AdoptName(txn, request.node(), &record));
  ASSIGN_OR_RETURN(const Whereabouts where, WhereIsFile(txn, inode, record));
  RETURN_IF_ERROR(CheckNotFixed(where));
  ASSIGN_OR_RETURN(const Parent parent, FindParent(txn, request.parent()));
  if (parent.inode == kRootInode) return OnlyBuckets();
  if (parent.where.bucket != where.bucket)
    return PosixError(EXDEV, "names of one file lie in one bucket");
  const Place place{parent.inode, request.name()};
  ASSIGN_OR_RETURN(const std::optional<Node> there, FindEntry(txn, place.parent, place.name));
  if (there.has_value()) return Exists(request.name());
  RETURN_IF_ERROR(CheckNotBeingWrittenAt(txn, place));
  AddName(txn, inode, parent.inode, request.name(), &record);
  record.set_changed_at_ns(facts.now_ns());
  StoreInode(txn, inode, record);
  RETURN_IF_ERROR(Link(txn, parent.inode, request.name(), {inode, record.type()}));
  RETURN_IF_ERROR(TouchDirectory(txn, parent.inode, facts.now_ns()));
  wire::LinkNodeReply reply;
  ASSIGN_OR_RETURN(*reply.mutable_attributes(), DescribeInode(txn, inode));
  return reply;
}

absl::StatusOr<wire::UnlinkNodeReply> UnlinkNode(Transaction& txn,
                                                 const wire::UnlinkNodeRequest& request,
                                                 const CommandFacts& facts) {
  RETURN_IF_ERROR(CheckNodeName(request.name()));
  ASSIGN_OR_RETURN(const Parent parent, FindParent(txn, request.parent()));
  ASSIGN_OR_RETURN(const Node node, FindNamed(txn, parent.inode, request.name()));
  if (request.directory() && !node.is_directory())
    return PosixError(ENOTDIR, StrCat(Quoted(request.name()), " is not a directory"));
  if (!request.directory() && node.is_directory())
    return PosixError(EISDIR, StrCat(Quoted(request.name()), " is a directory"));
  RETURN_IF_ERROR(CheckRemovable(txn, parent.inode, request.name(), node));
  ASSIGN_OR_RETURN(const disk::InodeRecord before, LoadInode(txn, node.inode));
  RETURN_IF_ERROR(RemoveNode(txn, parent, request.name(), node, facts));
  wire::UnlinkNodeReply reply;
  reply.mutable_attributes()->set_inode(node.inode.value());
  if (node.is_directory()) return reply;
  ASSIGN_OR_RETURN(const disk::InodeRecord record, LoadInode(txn, node.inode));
  // One that goes at once is left to the cleanup as it was.
  if (record.links() != before.links()) {
    ASSIGN_OR_RETURN(*reply.mutable_attributes(), DescribeInode(txn, node.inode));
  }
  return reply;
}

absl::StatusOr<wire::RenameNodeReply> RenameNode(Transaction& txn,
                                                 const wire::RenameNodeRequest& request,
                                                 const CommandFacts& facts) {
  ASSIGN_OR_RETURN(const RenamePlan rename, FindRename(txn, request));
  if (rename.from.inode == kRootInode || rename.to.inode == kRootInode)
    return PosixError(EPERM, "buckets cannot be renamed, and nothing else lies next to them");
  wire::RenameNodeReply reply;
  const bool is_same = rename.target.has_value() && rename.target->inode == rename.source.inode;
  if (rename.target.has_value() && request.mode() == wire::NODE_RENAME_NO_REPLACE)
    return Exists(request.to_name());
  if (!is_same) {
    RETURN_IF_ERROR(CheckNotIntoItself(txn, rename.source, rename.to.inode));
    RETURN_IF_ERROR(CheckNotBeingWrittenAt(txn, {rename.to.inode, rename.to_name}));
    RETURN_IF_ERROR(CheckQuotaOfMove(txn, rename.source, rename.from, rename.to, rename.to_name));
    RETURN_IF_ERROR(request.mode() == wire::NODE_RENAME_EXCHANGE
                        ? Exchange(txn, rename, facts)
                        : Replace(txn, rename, facts, &reply));
    RETURN_IF_ERROR(NoteChanged(txn, rename.source.inode, facts.now_ns()));
  }
  ASSIGN_OR_RETURN(*reply.mutable_attributes(), DescribeInode(txn, rename.source.inode));
  return reply;
}

}  // namespace cairn
