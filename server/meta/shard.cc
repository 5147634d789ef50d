#include "server/meta/shard.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/crc32c.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "server/meta/attempt.h"
#include "server/meta/cleanup.h"
#include "server/meta/extents.h"
#include "server/meta/keys.h"
#include "server/meta/paths.h"
#include "server/meta/records.h"
#include "server/meta/tree.h"

namespace cairn {
namespace {

// One rank of an open attempt, while a command works on it.
struct Writer {
  Attempt attempt;
  uint32_t rank = 0;
  disk::RankRecord record;
  Grants grants = Grants::kPerhapsUsed;
  int64_t now_ns = 0;
  std::string_view path;  // of the checkpoint, in the request
};

absl::StatusOr<Writer> FindWriter(Transaction& txn, Attempt attempt, uint32_t rank,
                                  std::string_view path, const CommandFacts& facts) {
  if (rank >= attempt.record.world_size()) {
    return absl::InvalidArgumentError(StrCat("rank ", rank, " is not below the world size, ",
                                             attempt.record.world_size(), ", of ", Quoted(path)));
  }
  ASSIGN_OR_RETURN(auto record,
                   Find<disk::RankRecord>(txn, kFamilyAttemptRank, RankKey(attempt.id(), rank)));
  if (!record.has_value()) {
    return absl::FailedPreconditionError(StrCat("rank ", rank, " has not begun attempt ",
                                                attempt.record.number(), " of ", Quoted(path)));
  }
  const bool has_shards = record->shard_count() > 0 || record->incomplete_shards() > 0;
  const Grants grants = has_shards ? Grants::kPerhapsUsed : Grants::kUnused;
  return Writer{std::move(attempt), rank, *std::move(record), grants, facts.now_ns(), path};
}

void StoreWriter(Transaction& txn, const Writer& writer) {
  Store(txn, kFamilyAttemptRank, RankKey(writer.attempt.id(), writer.rank), writer.record);
  StoreAttempt(txn, writer.attempt);
  txn.effects().granted_leases.push_back(LeaseId(writer.attempt.record.lease()));
}

// The directory of a shard inside the checkpoint; its own directories are made as needed.
absl::StatusOr<Place> PlaceShard(Transaction& txn, const Writer& writer, std::string_view name) {
  ASSIGN_OR_RETURN(const std::vector<std::string_view> components, SplitPath(name));
  InodeId directory(writer.attempt.record.inode());
  for (size_t i = 0; i + 1 < components.size(); ++i) {
    ASSIGN_OR_RETURN(const std::optional<Node> node, FindEntry(txn, directory, components[i]));
    if (!node.has_value()) {
      ASSIGN_OR_RETURN(directory, LinkNewDirectory(txn, directory, components[i], writer.now_ns));
    } else if (node->is_directory()) {
      directory = node->inode;
    } else {
      return absl::AlreadyExistsError(StrCat("the shard name ", Quoted(name), " goes through ",
                                             Quoted(components[i]), ", which is a shard itself"));
    }
  }
  return Place{directory, components.back()};
}

absl::StatusOr<NewNode> LinkShard(Transaction& txn, const Writer& writer, const Place& place) {
  ASSIGN_OR_RETURN(NewNode shard, NewInode(txn, disk::INODE_FILE, writer.now_ns));
  ASSIGN_OR_RETURN(const uint64_t version, txn.Add(Counter::kNextVersion, 1));
  shard.record.set_version(version);
  shard.record.set_rank(writer.rank);
  shard.record.set_parent(place.parent.value());
  RETURN_IF_ERROR(Link(txn, place.parent, place.name, {shard.id, disk::INODE_FILE}));
  return shard;
}

// A shard that is new, or goes on where the last StageShard ended. One that begins at its first
// byte again was written anew after a failure: what was staged of it goes.
absl::StatusOr<NewNode> OpenShard(Transaction& txn, Writer& writer, const Place& place,
                                  const wire::ShardRecord& shard) {
  ASSIGN_OR_RETURN(const std::optional<Node> node, FindEntry(txn, place.parent, place.name));
  if (!node.has_value()) return LinkShard(txn, writer, place);
  if (node->is_directory()) {
    return absl::AlreadyExistsError(
        StrCat("the shard name ", Quoted(shard.name()), " is a directory of other shards"));
  }
  ASSIGN_OR_RETURN(disk::InodeRecord record, LoadInode(txn, node->inode));
  if (!record.incomplete() || record.rank() != writer.rank) {
    return absl::AlreadyExistsError(StrCat("the shard ", Quoted(shard.name()), " was ",
                                           record.incomplete() ? "begun" : "closed",
                                           " already, by rank ", record.rank()));
  }
  writer.record.set_incomplete_shards(writer.record.incomplete_shards() - 1);
  const bool begins_again = shard.extents_size() > 0 && shard.extents(0).offset_bytes() == 0;
  if (!begins_again || record.size_bytes() == 0) return NewNode{node->inode, std::move(record)};
  RETURN_IF_ERROR(QueueTree(txn, node->inode, CountedFiles::kNo));
  return LinkShard(txn, writer, place);
}

enum class More { kFollows, kNo };

absl::Status AddShard(Transaction& txn, Writer& writer, const wire::ShardRecord& shard, More more) {
  if (writer.path.size() + 1 + shard.name().size() > kMaxPathBytes) {
    return absl::InvalidArgumentError(
        StrCat("the shard name ", Quoted(shard.name()), " is too long"));
  }
  ASSIGN_OR_RETURN(const Place place, PlaceShard(txn, writer, shard.name()));
  ASSIGN_OR_RETURN(NewNode node, OpenShard(txn, writer, place, shard));
  ASSIGN_OR_RETURN(const uint64_t size,
                   AddExtents(txn, node.id, node.record.size_bytes(), shard.extents(),
                              writer.record.granted(), writer.grants));
  if (!shard.extents().empty()) writer.grants = Grants::kPerhapsUsed;
  node.record.set_size_bytes(size);
  node.record.set_incomplete(more == More::kFollows);
  if (more == More::kFollows) {
    writer.record.set_incomplete_shards(writer.record.incomplete_shards() + 1);
    writer.record.set_incomplete_name(shard.name());
  } else {
    if (size != shard.size_bytes()) {
      return absl::InvalidArgumentError(StrCat("the shard ", Quoted(shard.name()),
                                               " is said to have ", shard.size_bytes(),
                                               " bytes; its extents have ", size));
    }
    node.record.set_crc32c(shard.crc32c());
    disk::AttemptRecord& attempt = writer.attempt.record;
    attempt.set_shard_count(attempt.shard_count() + 1);
    attempt.set_size_bytes(attempt.size_bytes() + size);
    writer.record.set_shard_count(writer.record.shard_count() + 1);
  }
  StoreInode(txn, node.id, node.record);
  return absl::OkStatus();
}

// The shard, or this piece of it, is there already: an earlier call said the same, and its answer
// was lost for good.
absl::StatusOr<bool> IsStaged(Transaction& txn, const Writer& writer,
                              const wire::ShardRecord& shard, More more) {
  ASSIGN_OR_RETURN(const Place place, PlaceShard(txn, writer, shard.name()));
  ASSIGN_OR_RETURN(const std::optional<Node> node, FindEntry(txn, place.parent, place.name));
  if (!node.has_value() || node->type != disk::INODE_FILE) return false;
  ASSIGN_OR_RETURN(const disk::InodeRecord record, LoadInode(txn, node->inode));
  if (record.rank() != writer.rank) return false;
  if (record.incomplete()) {
    if (more == More::kNo || shard.extents().empty()) return false;
  } else if (record.size_bytes() != shard.size_bytes() || record.crc32c() != shard.crc32c()) {
    return false;
  }
  return HasExtents(txn, node->inode, shard.extents());
}

uint32_t Digest(const wire::RankDoneRequest& request) {
  const std::string bytes = SerializeRecord(request);
  return Crc32c(std::as_bytes(std::span(bytes)));
}

absl::Status IsDone(std::string_view path, uint32_t rank) {
  return absl::FailedPreconditionError(
      StrCat("rank ", rank, " of ", Quoted(path), " has said already that it is done"));
}

}  // namespace

absl::StatusOr<wire::StageShardReply> StageShard(Transaction& txn,
                                                 const wire::StageShardRequest& request,
                                                 const CommandFacts& facts) {
  ASSIGN_OR_RETURN(Attempt attempt, FindAttempt(txn, request.path(), request.attempt()));
  if (attempt.record.state() == disk::ATTEMPT_COMMITTED)
    return IsDone(request.path(), request.rank());
  ASSIGN_OR_RETURN(Writer writer,
                   FindWriter(txn, std::move(attempt), request.rank(), request.path(), facts));
  if (writer.record.done()) return IsDone(request.path(), request.rank());
  const More more = request.more_extents_follow() ? More::kFollows : More::kNo;
  ASSIGN_OR_RETURN(const bool staged, IsStaged(txn, writer, request.shard(), more));
  if (staged) return wire::StageShardReply();
  RETURN_IF_ERROR(AddShard(txn, writer, request.shard(), more));
  StoreWriter(txn, writer);
  return wire::StageShardReply();
}

absl::StatusOr<wire::RankDoneReply> RankDone(Transaction& txn, const wire::RankDoneRequest& request,
                                             const CommandFacts& facts) {
  ASSIGN_OR_RETURN(Attempt attempt, FindAttempt(txn, request.path(), request.attempt()));
  wire::RankDoneReply reply;
  if (attempt.record.state() == disk::ATTEMPT_COMMITTED) {
    // All ranks were done, this one too; what each said is forgotten.
    reply.set_ranks_done(attempt.record.ranks_done());
    return reply;
  }
  ASSIGN_OR_RETURN(Writer writer,
                   FindWriter(txn, std::move(attempt), request.rank(), request.path(), facts));
  const uint32_t digest = Digest(request);
  if (writer.record.done()) {
    if (writer.record.done_digest() != digest) return IsDone(request.path(), request.rank());
    reply.set_ranks_done(writer.attempt.record.ranks_done());
    return reply;
  }
  for (const wire::ShardRecord& shard : request.shards()) {
    RETURN_IF_ERROR(AddShard(txn, writer, shard, More::kNo));
  }
  if (writer.record.incomplete_shards() > 0) {
    return absl::FailedPreconditionError(
        StrCat("rank ", request.rank(), " of ", Quoted(request.path()), " has ",
               writer.record.incomplete_shards(), " shards that are not closed, ",
               "the last that was begun is ", Quoted(writer.record.incomplete_name())));
  }
  writer.record.set_done(true);
  writer.record.set_done_digest(digest);
  writer.record.clear_incomplete_name();
  RETURN_IF_ERROR(MarkRankDone(txn, writer.attempt.id(), request.rank()));
  writer.attempt.record.set_ranks_done(writer.attempt.record.ranks_done() + 1);
  StoreWriter(txn, writer);
  reply.set_ranks_done(writer.attempt.record.ranks_done());
  return reply;
}

}  // namespace cairn
