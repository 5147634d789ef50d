#include "server/meta/tier_import.h"

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "common/base/crc32c.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/base/units.h"
#include "common/placement/redundancy.h"
#include "server/meta/bucket.h"
#include "server/meta/checkpoint.h"
#include "server/meta/cleanup.h"
#include "server/meta/cold.h"
#include "server/meta/extents.h"
#include "server/meta/families.h"
#include "server/meta/keys.h"
#include "server/meta/paths.h"
#include "server/meta/pins.h"
#include "server/meta/records.h"
#include "server/meta/tier_subject.h"
#include "server/meta/tree.h"
#include "server/meta/usage.h"

namespace cairn {
namespace {

using Subject = disk::ColdManifest::Subject;
using File = disk::ColdManifest::File;
using Piece = disk::ColdManifest::Piece;

template <class... Args>
absl::Status Bad(const Args&... args) {
  return absl::InvalidArgumentError(StrCat("cold manifest: ", args...));
}

// The id here of an object that another cluster has made.
absl::StatusOr<uint64_t> Adopt(Transaction& txn, const disk::ImportCold& request,
                               const Piece& piece) {
  const std::string& cluster =
      piece.cluster_id().empty() ? request.cluster_id() : piece.cluster_id();
  const std::string key = ColdForeignKey(piece.object(), cluster);
  ASSIGN_OR_RETURN(const auto known, txn.Get(kFamilyCold, key));
  uint64_t object = 0;
  if (known.has_value() && KeyReader(*known).ReadU64(&object)) {
    ASSIGN_OR_RETURN(const auto garbage, txn.Get(kFamilyCold, ColdGarbageKey(object)));
    if (garbage.has_value()) return absl::FailedPreconditionError("its objects are being deleted");
    return object;
  }
  disk::ColdObjectRecord record;
  record.set_tier(request.tier());
  record.set_size_bytes(piece.object_bytes());
  record.set_cluster_id(cluster);
  record.set_foreign_object(piece.object());
  ASSIGN_OR_RETURN(object, AdoptColdObject(txn, record));
  txn.Put(kFamilyCold, key, U64(object));
  return object;
}

// It carries its bytes, or is a hole.
bool IsWithoutObject(const Piece& piece) { return piece.hole() || !piece.data().empty(); }

absl::Status CheckFile(const File& file) {
  if (file.stripe_bytes() == 0 || file.stripe_bytes() > kMaxStripeBytes ||
      file.stripe_bytes() % kBlockBytes != 0)
    return Bad("stripes of ", file.stripe_bytes(), " bytes");
  uint64_t at = file.offset_bytes();
  for (const Piece& piece : file.pieces()) {
    if (piece.length_bytes() > file.size_bytes() - std::min(file.size_bytes(), at))
      return Bad("pieces of a file reach beyond its end");
    at += piece.length_bytes();
    if (IsWithoutObject(piece)) {
      const uint64_t bytes = piece.data().size();
      if (piece.length_bytes() == 0 || bytes > kInlineExtentBytesMax ||
          (!piece.hole() && bytes != piece.length_bytes()))
        return Bad("a piece is not as long as its bytes");
      continue;
    }
    const uint64_t room =
        piece.object_bytes() - std::min(piece.object_bytes(), piece.offset_bytes());
    if (piece.length_bytes() == 0 || piece.length_bytes() > room)
      return Bad("a piece is not in its object");
  }
  return absl::OkStatus();
}

// One run a piece: its stripes are on no target, and their ids are new.
absl::StatusOr<uint64_t> AddPieces(Transaction& txn, const disk::ImportCold& request,
                                   InodeId subject, InodeId inode, const File& file) {
  uint64_t at = file.offset_bytes();
  for (const Piece& piece : file.pieces()) {
    if (IsWithoutObject(piece)) {
      disk::ExtentRecord bytes;
      bytes.set_length_bytes(piece.length_bytes());
      bytes.set_data(piece.data());
      Store(txn, kFamilyExtent, ExtentKey(inode, at), bytes);
      at += piece.length_bytes();
      continue;
    }
    const uint64_t count = DivideUp(piece.length_bytes(), uint64_t{file.stripe_bytes()});
    ASSIGN_OR_RETURN(const uint64_t first, txn.Add(Counter::kNextStripe, count));
    ASSIGN_OR_RETURN(const uint64_t object, Adopt(txn, request, piece));
    disk::ExtentRecord extent;
    extent.set_length_bytes(piece.length_bytes());
    extent.set_first_stripe(first);
    extent.set_stripe_count(static_cast<uint32_t>(count));
    extent.set_stripe_bytes(file.stripe_bytes());
    // Nothing is there; but every run names some group.
    extent.add_groups(1);
    Store(txn, kFamilyExtent, ExtentKey(inode, at), extent);
    disk::StripeRunRecord run;
    run.set_stripe_count(extent.stripe_count());
    run.set_stripe_bytes(extent.stripe_bytes());
    run.set_length_bytes(extent.length_bytes());
    *run.mutable_groups() = extent.groups();
    run.set_references(1);
    run.set_cold(true);
    run.set_released(true);
    Store(txn, kFamilyStripeRun, StripeRunKey(first), run);
    RETURN_IF_ERROR(txn.Add(Counter::kReleasedRuns, 1).status());
    disk::ColdRunRecord cold;
    cold.set_subject(subject.value());
    auto* part = cold.add_parts();
    part->set_length_bytes(piece.length_bytes());
    part->set_object(object);
    part->set_object_offset_bytes(piece.offset_bytes());
    RETURN_IF_ERROR(AddColdRun(txn, first, cold, Counted::kNo));
    at += piece.length_bytes();
  }
  return at;
}

void Describe(const File& file, uint64_t version, disk::InodeRecord* record) {
  record->set_size_bytes(file.size_bytes());
  record->set_crc32c(file.crc32c());
  if (file.mode() != 0) record->set_mode(file.mode());
  record->set_uid(file.uid());
  record->set_gid(file.gid());
  record->set_modified_at_ns(file.modified_at_ns());
  record->set_version(version);
  if (file.has_rank()) record->set_rank(file.rank());
  record->set_changed_in_place(file.changed_in_place());
}

// The directory of a file inside the checkpoint `root`, made as needed.
absl::StatusOr<Place> PlaceIn(Transaction& txn, InodeId root, std::string_view path,
                              int64_t now_ns) {
  ASSIGN_OR_RETURN(const std::vector<std::string_view> components, SplitPath(path));
  InodeId directory = root;
  for (size_t i = 0; i + 1 < components.size(); ++i) {
    ASSIGN_OR_RETURN(const std::optional<Node> node, FindEntry(txn, directory, components[i]));
    if (!node.has_value()) {
      ASSIGN_OR_RETURN(directory, LinkNewDirectory(txn, directory, components[i], now_ns));
    } else if (node->is_directory()) {
      directory = node->inode;
    } else {
      return Bad("a file lies in another file");
    }
  }
  return Place{directory, components.back()};
}

// A file of a checkpoint, or the next of its pieces. Its record's size is what there is so far.
absl::Status AddShard(Transaction& txn, const disk::ImportCold& request, InodeId root,
                      const File& file, int64_t now_ns) {
  RETURN_IF_ERROR(CheckFile(file));
  ASSIGN_OR_RETURN(const Place place, PlaceIn(txn, root, file.path(), now_ns));
  ASSIGN_OR_RETURN(const std::optional<Node> there, FindEntry(txn, place.parent, place.name));
  if (there.has_value() != (file.offset_bytes() > 0))
    return Bad("the parts of a file are not in order");
  NewNode shard;
  if (there.has_value()) {
    shard.id = there->inode;
    ASSIGN_OR_RETURN(shard.record, LoadInode(txn, shard.id));
    if (shard.record.size_bytes() != file.offset_bytes()) return Bad("a file has a hole");
  } else {
    ASSIGN_OR_RETURN(shard, NewInode(txn, disk::INODE_FILE, now_ns));
    ASSIGN_OR_RETURN(const uint64_t version, txn.Add(Counter::kNextVersion, 1));
    Describe(file, version, &shard.record);
    shard.record.set_parent(place.parent.value());
    RETURN_IF_ERROR(Link(txn, place.parent, place.name, {shard.id, disk::INODE_FILE}));
  }
  ASSIGN_OR_RETURN(const uint64_t end, AddPieces(txn, request, root, shard.id, file));
  shard.record.set_size_bytes(end);
  shard.record.set_incomplete(end < file.size_bytes());
  StoreInode(txn, shard.id, shard.record);
  return absl::OkStatus();
}

absl::StatusOr<bool> HasName(const Transaction& txn, const std::string& path) {
  const absl::StatusOr<Resolved> there = Resolve(txn, path, LatestAlias::kIgnore);
  if (there.ok()) return true;
  if (absl::IsNotFound(there.status())) return false;
  return there.status();
}

absl::Status MakeBucketFor(Transaction& txn, const Subject& subject, int64_t now_ns) {
  ASSIGN_OR_RETURN(const std::vector<std::string_view> components, SplitPath(subject.path()));
  if (components.size() < 2) return Bad("a path without a bucket");
  ASSIGN_OR_RETURN(const std::optional<Node> bucket, FindEntry(txn, kRootInode, components[0]));
  if (bucket.has_value()) return absl::OkStatus();
  const std::string redundancy = subject.redundancy().empty() ? "replica:1" : subject.redundancy();
  RETURN_IF_ERROR(ParseRedundancy(redundancy).status());
  return AddBucket(txn, components[0], {.redundancy = redundancy}, now_ns).status();
}

absl::StatusOr<InodeId> BeginSubject(Transaction& txn, const Subject& subject, int64_t now_ns) {
  const auto type = subject.has_checkpoint() ? disk::INODE_CHECKPOINT : disk::INODE_FILE;
  ASSIGN_OR_RETURN(NewNode node, NewInode(txn, type, now_ns));
  if (type == disk::INODE_FILE) {
    ASSIGN_OR_RETURN(const uint64_t version, txn.Add(Counter::kNextVersion, 1));
    if (subject.files_size() == 0) return Bad("a file that is not described");
    Describe(subject.files(0), version, &node.record);
    node.record.set_size_bytes(0);
    node.record.set_incomplete(true);
  }
  StoreInode(txn, node.id, node.record);
  txn.Put(kFamilyTier, TierImportKey(node.id), "");
  return node.id;
}

absl::Status AddFiles(Transaction& txn, const disk::ImportCold& request, InodeId inode,
                      int64_t now_ns) {
  const Subject& subject = request.subject();
  for (const File& file : subject.files()) {
    if (subject.has_checkpoint()) {
      RETURN_IF_ERROR(AddShard(txn, request, inode, file, now_ns));
      continue;
    }
    RETURN_IF_ERROR(CheckFile(file));
    ASSIGN_OR_RETURN(disk::InodeRecord record, LoadInode(txn, inode));
    if (record.size_bytes() != file.offset_bytes()) return Bad("a file has a hole");
    ASSIGN_OR_RETURN(const uint64_t end, AddPieces(txn, request, inode, inode, file));
    record.set_size_bytes(end);
    record.set_incomplete(end < file.size_bytes());
    StoreInode(txn, inode, record);
  }
  return absl::OkStatus();
}

absl::Status LinkCheckpoint(Transaction& txn, const Subject& subject, InodeId inode,
                            const Place& place) {
  const disk::ColdManifest::Checkpoint& from = subject.checkpoint();
  disk::CheckpointRecord record;
  record.set_parent(place.parent.value());
  record.set_name(std::string(place.name));
  record.set_attempt(from.attempt());
  record.set_world_size(from.world_size());
  record.set_job(from.job());
  if (from.has_step()) record.set_step(from.step());
  *record.mutable_attributes() = from.attributes();
  record.set_begun_at_ns(from.begun_at_ns());
  record.set_committed(true);
  record.set_committed_at_ns(from.committed_at_ns());
  ASSIGN_OR_RETURN(const uint64_t sequence, txn.Add(Counter::kNextCommit, 1));
  record.set_commit_sequence(sequence);
  record.set_shard_count(from.shard_count());
  record.set_size_bytes(subject.size_bytes());
  record.set_pinned(from.pinned());
  StoreCheckpoint(txn, inode, record);
  RETURN_IF_ERROR(Link(txn, place.parent, place.name, {inode, disk::INODE_CHECKPOINT}));
  if (record.pinned()) RETURN_IF_ERROR(NotePin(txn, subject.path()));
  RETURN_IF_ERROR(txn.Add(Counter::kCheckpoints, 1).status());
  return txn.Add(Counter::kFiles, record.shard_count()).status();
}

// It has its name from now on, and lies in the tier alone.
absl::Status MakeVisible(Transaction& txn, const disk::ImportCold& request, InodeId inode,
                         int64_t now_ns) {
  const Subject& subject = request.subject();
  ASSIGN_OR_RETURN(const Place place, ResolvePlace(txn, subject.path(), Missing::kCreate, now_ns));
  RETURN_IF_ERROR(CheckNotBeingWritten(txn, place, subject.path()));
  Node node{inode, disk::INODE_FILE};
  if (subject.has_checkpoint()) {
    node.type = disk::INODE_CHECKPOINT;
    RETURN_IF_ERROR(LinkCheckpoint(txn, subject, inode, place));
  } else {
    ASSIGN_OR_RETURN(disk::InodeRecord record, LoadInode(txn, inode));
    if (record.incomplete() || record.size_bytes() != subject.size_bytes())
      return Bad("a file lacks pieces");
    ASSIGN_OR_RETURN(const ExtentCounts counts, CountExtents(txn, inode));
    record.set_inline_bytes(counts.inline_bytes);
    record.set_hole_bytes(counts.hole_bytes);
    record.set_extents(counts.extents);
    record.set_parent(place.parent.value());
    record.set_name(std::string(place.name));
    StoreInode(txn, inode, record);
    RETURN_IF_ERROR(Link(txn, place.parent, place.name, node));
    RETURN_IF_ERROR(txn.Add(Counter::kFiles, 1).status());
  }
  const bool is_checkpoint = subject.has_checkpoint();
  const uint64_t files = is_checkpoint ? subject.checkpoint().shard_count() : 1;
  RETURN_IF_ERROR(ChangeUsage(txn, place.parent,
                              {subject.size_bytes(), files, is_checkpoint ? uint64_t{1} : 0}, {}));
  RETURN_IF_ERROR(TouchDirectory(txn, place.parent, now_ns));
  txn.Delete(kFamilyTier, TierImportKey(inode));
  ASSIGN_OR_RETURN(disk::TierSubjectRecord record,
                   MakeSubject(txn, node, place.parent, place.name));
  record.set_copied(true);
  record.set_released(subject.size_bytes() > 0);
  record.set_tier(request.tier());
  for (int i = 0; i < request.manifests_size(); ++i) {
    ASSIGN_OR_RETURN(const uint64_t manifest,
                     AdoptManifest(txn, request.tier(), request.cluster_id(), request.manifests(i),
                                   request.manifest_bytes(i)));
    record.add_manifests(manifest);
  }
  record.set_due_ns(kTierDueNow);
  return StoreSubject(txn, inode, std::nullopt, record);
}

// What a crash has left under construction.
absl::StatusOr<std::vector<InodeId>> UnderImport(const Transaction& txn) {
  std::vector<InodeId> inodes;
  Transaction::Scan scan(txn, kFamilyTier, "i", PrefixEnd("i"));
  for (; scan.Valid(); scan.Next()) {
    uint64_t inode = 0;
    if (!KeyReader(scan.key().substr(1)).ReadU64(&inode))
      return absl::DataLossError("metadata: a key of family \"tier\" is damaged");
    inodes.emplace_back(inode);
  }
  RETURN_IF_ERROR(scan.status());
  return inodes;
}

absl::Status GiveUp(Transaction& txn, InodeId inode) {
  const std::string key = TierImportKey(inode);
  ASSIGN_OR_RETURN(const auto under_way, txn.Get(kFamilyTier, key));
  if (!under_way.has_value()) return absl::OkStatus();
  txn.Delete(kFamilyTier, key);
  return QueueTree(txn, inode, CountedFiles::kNo);
}

}  // namespace

absl::StatusOr<disk::ImportColdReply> ImportCold(Transaction& txn, const disk::ImportCold& request,
                                                 const CommandFacts& facts) {
  disk::ImportColdReply reply;
  InodeId inode(request.inode());
  if (request.give_up()) {
    std::vector<InodeId> given_up{inode};
    if (inode.value() == 0) {
      ASSIGN_OR_RETURN(given_up, UnderImport(txn));
    }
    for (const InodeId each : given_up) RETURN_IF_ERROR(GiveUp(txn, each));
    return reply;
  }
  ASSIGN_OR_RETURN(const auto tier, txn.Get(kFamilyPolicy, TierKey(request.tier())));
  if (!tier.has_value())
    return absl::NotFoundError(StrCat("there is no tier ", Quoted(request.tier())));
  if (request.manifests_size() != request.manifest_bytes_size())
    return Bad("manifests without their sizes");
  ASSIGN_OR_RETURN(const bool existed, HasName(txn, request.subject().path()));
  if (existed) {
    if (inode.value() != 0) RETURN_IF_ERROR(GiveUp(txn, inode));
    reply.set_existed(true);
    return reply;
  }
  if (inode.value() == 0) {
    RETURN_IF_ERROR(MakeBucketFor(txn, request.subject(), facts.now_ns()));
    ASSIGN_OR_RETURN(inode, BeginSubject(txn, request.subject(), facts.now_ns()));
  } else {
    ASSIGN_OR_RETURN(const auto under_way, txn.Get(kFamilyTier, TierImportKey(inode)));
    if (!under_way.has_value()) return Bad("what this part belongs to is not being imported");
  }
  RETURN_IF_ERROR(AddFiles(txn, request, inode, facts.now_ns()));
  if (request.last()) RETURN_IF_ERROR(MakeVisible(txn, request, inode, facts.now_ns()));
  reply.set_inode(inode.value());
  return reply;
}

}  // namespace cairn
