#include "server/meta/namespace.h"

#include <optional>
#include <string>
#include <vector>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "server/meta/bucket.h"
#include "server/meta/checkpoint.h"
#include "server/meta/cleanup.h"
#include "server/meta/keys.h"
#include "server/meta/links.h"
#include "server/meta/move.h"
#include "server/meta/paths.h"
#include "server/meta/pins.h"
#include "server/meta/records.h"
#include "server/meta/tier_subject.h"
#include "server/meta/tree.h"
#include "server/meta/usage.h"

namespace cairn {
namespace {

// Aborted attempts lie between open ones; more than so many in one directory means looking is too
// expensive.
constexpr int kMaxAttemptsSeen = 100'000;

absl::Status InsideCheckpoint(std::string_view path) {
  return absl::FailedPreconditionError(
      StrCat(Quoted(path), " is part of a committed checkpoint, whose content cannot be changed"));
}

// What a rename finds at its destination, and whether it may replace it.
absl::Status CheckReplacement(const Transaction& txn, const Node& source,
                              const std::optional<Node>& target,
                              const wire::RenameRequest& request) {
  if (!target.has_value()) return absl::OkStatus();
  const auto refuse = [&](std::string_view why) {
    return absl::AlreadyExistsError(
        StrCat(Quoted(request.to()), " is ", Describe(target->type), why));
  };
  if (request.no_replace()) return refuse(" that exists");
  if (source.type == disk::INODE_CHECKPOINT || target->type == disk::INODE_CHECKPOINT) {
    return refuse("; remove it first");
  }
  if (source.is_directory() != target->is_directory()) {
    return refuse(source.is_directory() ? "; a directory cannot replace it"
                                        : "; a file cannot replace it");
  }
  return target->is_directory() ? CheckEmpty(txn, target->inode, request.to()) : absl::OkStatus();
}

// `inside` is `directory` or below it.
absl::StatusOr<bool> PassesThrough(const Transaction& txn, std::string_view path,
                                   InodeId directory) {
  ASSIGN_OR_RETURN(const std::vector<std::string_view> components, SplitPath(path));
  InodeId at = kRootInode;
  for (size_t i = 0; i + 1 < components.size(); ++i) {
    ASSIGN_OR_RETURN(const std::optional<Node> node, FindEntry(txn, at, components[i]));
    if (!node.has_value()) return false;
    if (node->inode == directory) return true;
    at = node->inode;
  }
  return false;
}

absl::Status IsPinned(std::string_view path) {
  return absl::FailedPreconditionError(StrCat("the checkpoint ", Quoted(path),
                                              " is pinned; unpin it first: cairn ckpt unpin ",
                                              Printable(path)));
}

// Pins hold against the removal of a directory above them, too.
absl::Status CheckNoPinBelow(const Transaction& txn, InodeId directory, const std::string& path) {
  ASSIGN_OR_RETURN(const auto pinned, FindPinBelow(txn, directory, path));
  return pinned.has_value() ? IsPinned(*pinned) : absl::OkStatus();
}

// Between buckets, what moves is new to the one that gets it.
absl::Status CheckQuotaOfMove(const Transaction& txn, const Node& source,
                              const std::optional<Node>& target,
                              const wire::RenameRequest& request) {
  ASSIGN_OR_RETURN(const std::vector<std::string_view> from, SplitPath(request.from()));
  ASSIGN_OR_RETURN(const std::vector<std::string_view> to, SplitPath(request.to()));
  if (from[0] == to[0]) return absl::OkStatus();
  ASSIGN_OR_RETURN(const Content moved, ContentOf(txn, source));
  Content replaced;
  if (target.has_value()) {
    ASSIGN_OR_RETURN(replaced, ContentOf(txn, *target));
  }
  return CheckQuota(txn, request.to(), {moved.size_bytes, replaced.size_bytes});
}

absl::Status UnlinkTop(Transaction& txn, const Resolved& top, const CommandFacts& facts) {
  RETURN_IF_ERROR(Unlink(txn, top.parent, top.name(), top.node));
  RETURN_IF_ERROR(ReleaseEntry(txn, top.parent, top.name(), top.node, facts));
  return TouchDirectory(txn, top.parent, facts.now_ns());
}

}  // namespace

absl::Status CheckEmpty(const Transaction& txn, InodeId directory, std::string_view path) {
  const std::string prefix = DentryPrefix(directory);
  Transaction::Scan entries(txn, kFamilyDentry, prefix, PrefixEnd(prefix));
  if (entries.Valid()) {
    return absl::FailedPreconditionError(StrCat("the directory ", Quoted(path), " is not empty (",
                                                Quoted(DentryKeyName(entries.key())),
                                                " is in it)"));
  }
  RETURN_IF_ERROR(entries.status());
  const std::string attempts_prefix = AttemptPrefix(directory);
  Transaction::Scan attempts(txn, kFamilyAttempt, attempts_prefix, PrefixEnd(attempts_prefix));
  for (int seen = 0; attempts.Valid() && seen < kMaxAttemptsSeen; attempts.Next(), ++seen) {
    disk::AttemptRecord attempt;
    RETURN_IF_ERROR(ParseRecord(kFamilyAttempt, attempts.value(), attempt));
    if (attempt.state() == disk::ATTEMPT_OPEN) {
      return absl::FailedPreconditionError(StrCat("a checkpoint ",
                                                  Quoted(DentryKeyName(attempts.key())),
                                                  " is being written in ", Quoted(path)));
    }
  }
  return attempts.status();
}

absl::StatusOr<wire::MakeDirectoryReply> MakeDirectory(Transaction& txn,
                                                       const wire::MakeDirectoryRequest& request,
                                                       const CommandFacts& facts) {
  ASSIGN_OR_RETURN(const std::vector<std::string_view> components, SplitPath(request.path()));
  ASSIGN_OR_RETURN(const std::optional<Node> bucket, FindEntry(txn, kRootInode, components[0]));
  if (!bucket.has_value() && (components.size() == 1 || request.parents())) {
    RETURN_IF_ERROR(AddBucket(txn, components[0], {}, facts.now_ns()).status());
  }
  if (components.size() == 1) return wire::MakeDirectoryReply();
  ASSIGN_OR_RETURN(
      const Place place,
      ResolvePlace(txn, request.path(), request.parents() ? Missing::kCreate : Missing::kRefuse,
                   facts.now_ns()));
  ASSIGN_OR_RETURN(const std::optional<Node> node, FindEntry(txn, place.parent, place.name));
  if (node.has_value() && node->type == disk::INODE_DIRECTORY) return wire::MakeDirectoryReply();
  RETURN_IF_ERROR(CheckFree(txn, place, request.path()));
  RETURN_IF_ERROR(LinkNewDirectory(txn, place.parent, place.name, facts.now_ns()).status());
  return wire::MakeDirectoryReply();
}

absl::StatusOr<wire::RemoveReply> Remove(Transaction& txn, const wire::RemoveRequest& request,
                                         const CommandFacts& facts) {
  ASSIGN_OR_RETURN(const Resolved top, Resolve(txn, request.path(), LatestAlias::kIgnore));
  if (top.inside_checkpoint) return InsideCheckpoint(request.path());
  if (top.node.type == disk::INODE_CHECKPOINT) {
    ASSIGN_OR_RETURN(const disk::CheckpointRecord record, LoadCheckpoint(txn, top.node.inode));
    if (record.pinned()) return IsPinned(request.path());
    RETURN_IF_ERROR(RemoveCheckpoint(txn, top.node.inode, facts.now_ns()));
  } else {
    if (top.node.is_directory() && !request.recursive()) {
      RETURN_IF_ERROR(CheckEmpty(txn, top.node.inode, request.path()));
    }
    RETURN_IF_ERROR(CheckNoPinBelow(txn, top.node.inode, request.path()));
    RETURN_IF_ERROR(UnlinkTop(txn, top, facts));
  }
  wire::RemoveReply reply;
  reply.set_entries_removed(1);
  return reply;
}

absl::StatusOr<wire::RenameReply> Rename(Transaction& txn, const wire::RenameRequest& request,
                                         const CommandFacts& facts) {
  ASSIGN_OR_RETURN(const Resolved source, Resolve(txn, request.from(), LatestAlias::kIgnore));
  if (source.inside_checkpoint) return InsideCheckpoint(request.from());
  if (source.parent == kRootInode) {
    return absl::InvalidArgumentError(
        StrCat("the bucket ", Quoted(request.from()), " cannot be renamed"));
  }
  ASSIGN_OR_RETURN(const Place to,
                   ResolvePlace(txn, request.to(), Missing::kRefuse, facts.now_ns()));
  if (request.from() == request.to()) return wire::RenameReply();
  if (source.node.is_directory()) {
    ASSIGN_OR_RETURN(const bool into_itself, PassesThrough(txn, request.to(), source.node.inode));
    if (into_itself) {
      return absl::InvalidArgumentError(StrCat(
          Quoted(request.from()), " cannot be moved into itself, to ", Quoted(request.to())));
    }
  }
  RETURN_IF_ERROR(CheckNotBeingWritten(txn, to, request.to()));
  ASSIGN_OR_RETURN(const std::optional<Node> target, FindEntry(txn, to.parent, to.name));
  RETURN_IF_ERROR(CheckReplacement(txn, source.node, target, request));
  RETURN_IF_ERROR(CheckQuotaOfMove(txn, source.node, target, request));
  if (target.has_value()) {
    RETURN_IF_ERROR(Unlink(txn, to.parent, to.name, *target));
    RETURN_IF_ERROR(ReleaseEntry(txn, to.parent, to.name, *target, facts));
  }
  const Movement movement{source.node, source.parent, source.name(), to};
  RETURN_IF_ERROR(MoveEntry(txn, movement, facts));
  return wire::RenameReply();
}

}  // namespace cairn
