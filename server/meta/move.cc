#include "server/meta/move.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>
#include <utility>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "server/meta/checkpoint.h"
#include "server/meta/cleanup.h"
#include "server/meta/families.h"
#include "server/meta/keys.h"
#include "server/meta/links.h"
#include "server/meta/listing.h"
#include "server/meta/paths.h"
#include "server/meta/pins.h"
#include "server/meta/records.h"
#include "server/meta/tier_control.h"
#include "server/meta/tier_subject.h"
#include "server/meta/usage.h"
#include "server/meta/whereabouts.h"

namespace cairn {
namespace {

// A checkpoint of more files than this stays a directory: looking at all of them is one command.
constexpr uint64_t kCheckpointFilesMax = 100'000;

absl::Status MoveCheckpointRecord(Transaction& txn, InodeId inode, const Place& to) {
  ASSIGN_OR_RETURN(disk::CheckpointRecord record, LoadCheckpoint(txn, inode));
  RETURN_IF_ERROR(ForgetCommittedAttempt(txn, record));
  txn.Delete(kFamilyCheckpoint,
             CheckpointIndexKey(InodeId(record.parent()), record.commit_sequence()));
  record.set_parent(to.parent.value());
  record.set_name(std::string(to.name));
  StoreCheckpoint(txn, inode, record);
  return absl::OkStatus();
}

// What lies in cold tiers is called so there, too, and other policies may hold for it.
absl::Status TellTiersOfMove(Transaction& txn, const Node& node, const Place& to) {
  if (node.type == disk::INODE_DIRECTORY) {
    ASSIGN_OR_RETURN(const uint64_t policies, txn.Read(Counter::kTierPolicies));
    ASSIGN_OR_RETURN(const uint64_t subjects, txn.Read(Counter::kTierSubjects));
    if (policies == 0 && subjects == 0) return absl::OkStatus();
    disk::CleanupRecord::Visit visit;
    visit.set_directory(node.inode.value());
    visit.set_moved(true);
    return QueueVisit(txn, visit);
  }
  if (node.type != disk::INODE_FILE && node.type != disk::INODE_CHECKPOINT) return absl::OkStatus();
  ASSIGN_OR_RETURN(const auto known, FindSubject(txn, node.inode));
  return known.has_value() ? MoveSubject(txn, node.inode, to.parent, to.name)
                           : NoteWritten(txn, node, to.parent, to.name);
}

// The place in the records of the entry itself, and what it counts for.
absl::Status MoveRecords(Transaction& txn, const Movement& movement) {
  const Node& node = movement.node;
  if (!node.is_directory()) {
    ASSIGN_OR_RETURN(disk::InodeRecord record, LoadInode(txn, node.inode));
    RETURN_IF_ERROR(
        MoveName(txn, node.inode, movement.from, movement.from_name, movement.to, &record));
    StoreInode(txn, node.inode, record);
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(MoveUsage(txn, node, movement.from, movement.to.parent));
  return node.type == disk::INODE_CHECKPOINT
             ? MoveCheckpointRecord(txn, node.inode, movement.to)
             : MoveDirectory(txn, node.inode, movement.to.parent, movement.to.name);
}

absl::StatusOr<std::string> PathIn(const Transaction& txn, InodeId parent, std::string_view name) {
  ASSIGN_OR_RETURN(const std::string path, FindPath(txn, parent));
  return JoinPath(path, name);
}

// Of a file in a directory that is about to be a checkpoint.
absl::StatusOr<bool> IsPlain(const Transaction& txn, const Node& node) {
  if (node.type == disk::INODE_DIRECTORY) return true;
  if (node.type != disk::INODE_FILE) return false;
  ASSIGN_OR_RETURN(const disk::InodeRecord record, LoadInode(txn, node.inode));
  return record.links() == 1;
}

absl::StatusOr<bool> HoldsFilesOnly(const Transaction& txn, InodeId directory) {
  bool plain = true;
  const auto visit = [&](const WalkEntry& entry) -> absl::StatusOr<Visit> {
    if (entry.being_written) plain = false;
    if (plain) {
      ASSIGN_OR_RETURN(plain, IsPlain(txn, entry.node));
    }
    return plain ? Visit::kDescend : Visit::kStop;
  };
  RETURN_IF_ERROR(Walk(txn, directory, "", visit));
  return plain;
}

// Checkpoints lie next to it, or are meant to.
absl::StatusOr<bool> IsForCheckpoints(const Transaction& txn, InodeId directory) {
  ASSIGN_OR_RETURN(const auto newest, FindNewestCheckpoint(txn, directory));
  if (newest.has_value()) return true;
  ASSIGN_OR_RETURN(const auto retention, txn.Get(kFamilyPolicy, RetentionKey(directory)));
  return retention.has_value();
}

absl::Status CommitDirectory(Transaction& txn, const Place& place, InodeId inode,
                             const Content& content, const CommandFacts& facts) {
  ASSIGN_OR_RETURN(disk::InodeRecord directory, LoadInode(txn, inode));
  ASSIGN_OR_RETURN(const uint64_t sequence, txn.Add(Counter::kNextCommit, 1));
  disk::CheckpointRecord record;
  record.set_parent(place.parent.value());
  record.set_name(std::string(place.name));
  record.set_world_size(1);
  if (const auto step = StepOfName(place.name); step.has_value()) record.set_step(*step);
  record.set_begun_at_ns(directory.modified_at_ns());
  record.set_committed(true);
  record.set_committed_at_ns(facts.now_ns());
  record.set_commit_sequence(sequence);
  record.set_shard_count(content.files);
  record.set_size_bytes(content.size_bytes);
  StoreCheckpoint(txn, inode, record);
  RETURN_IF_ERROR(Unlink(txn, place.parent, place.name, {inode, disk::INODE_DIRECTORY}));
  RETURN_IF_ERROR(Link(txn, place.parent, place.name, {inode, disk::INODE_CHECKPOINT}));
  directory.set_type(disk::INODE_CHECKPOINT);
  StoreInode(txn, inode, directory);
  // It counts as a whole from now on.
  ForgetUsage(txn, inode);
  RETURN_IF_ERROR(ChangeUsage(txn, place.parent, {0, 0, 1}, {}));
  RETURN_IF_ERROR(txn.Add(Counter::kCheckpoints, 1).status());
  RETURN_IF_ERROR(NoteWritten(txn, {inode, disk::INODE_CHECKPOINT}, place.parent, place.name));
  return QueuePruneIfAsked(txn, place.parent);
}

}  // namespace

absl::Status MoveEntry(Transaction& txn, const Movement& movement, const CommandFacts& facts) {
  const Place& to = movement.to;
  ASSIGN_OR_RETURN(const bool leads_to_pin, LeadsToPin(txn, movement.from, movement.from_name));
  if (leads_to_pin) {
    ASSIGN_OR_RETURN(const std::string path, PathIn(txn, movement.from, movement.from_name));
    RETURN_IF_ERROR(ForgetPin(txn, path));
  }
  RETURN_IF_ERROR(Unlink(txn, movement.from, movement.from_name, movement.node));
  RETURN_IF_ERROR(Link(txn, to.parent, to.name, movement.node));
  RETURN_IF_ERROR(MoveRecords(txn, movement));
  if (leads_to_pin) {
    ASSIGN_OR_RETURN(const std::string path, PathIn(txn, to.parent, to.name));
    RETURN_IF_ERROR(NotePin(txn, path));
  }
  RETURN_IF_ERROR(TellTiersOfMove(txn, movement.node, to));
  RETURN_IF_ERROR(TouchDirectory(txn, movement.from, facts.now_ns()));
  return TouchDirectory(txn, to.parent, facts.now_ns());
}

absl::StatusOr<bool> CommitIfCheckpoint(Transaction& txn, const Movement& movement,
                                        const CommandFacts& facts) {
  const Place& to = movement.to;
  const bool may_be = movement.node.type == disk::INODE_DIRECTORY && to.parent != kRootInode &&
                      IsTemporaryName(movement.from_name) && !IsTemporaryName(to.name) &&
                      StepOfName(to.name).has_value();
  if (!may_be) return false;
  if (!IsCheckpointName(to.name)) {
    ASSIGN_OR_RETURN(const bool for_checkpoints, IsForCheckpoints(txn, to.parent));
    if (!for_checkpoints) return false;
  }
  ASSIGN_OR_RETURN(const Content content, ContentOf(txn, movement.node));
  const bool fits = content.files > 0 && content.files <= kCheckpointFilesMax;
  if (!fits || content.checkpoints > 0) return false;
  ASSIGN_OR_RETURN(const bool plain, HoldsFilesOnly(txn, movement.node.inode));
  if (!plain) return false;
  RETURN_IF_ERROR(CommitDirectory(txn, to, movement.node.inode, content, facts));
  return true;
}

bool IsTemporaryName(std::string_view name) {
  static constexpr std::array<std::string_view, 10> kEnds = {
      ".tmp", "-tmp", "_tmp", ".temp", ".partial", ".part", ".incomplete", ".writing", ".new", "~"};
  if (name.empty()) return false;
  if (name.front() == '.' || name.front() == '_') return true;
  return std::any_of(kEnds.begin(), kEnds.end(), [name](std::string_view end) {
    return name.size() > end.size() && name.substr(name.size() - end.size()) == end;
  });
}

bool IsCheckpointName(std::string_view name) {
  static constexpr std::array<std::string_view, 7> kWords = {
      "step", "ckpt", "checkpoint", "iter", "iteration", "epoch", "save"};
  std::string_view stem = name;
  while (!stem.empty() && std::isdigit(static_cast<unsigned char>(stem.back())) != 0)
    stem.remove_suffix(1);
  if (stem.size() == name.size()) return false;
  while (!stem.empty() && std::string_view("-_=.").find(stem.back()) != std::string_view::npos)
    stem.remove_suffix(1);
  return std::any_of(kWords.begin(), kWords.end(), [stem](std::string_view word) {
    if (stem.size() < word.size() || stem.substr(stem.size() - word.size()) != word) return false;
    const size_t before = stem.size() - word.size();
    return before == 0 || std::isalpha(static_cast<unsigned char>(stem[before - 1])) == 0;
  });
}

}  // namespace cairn
