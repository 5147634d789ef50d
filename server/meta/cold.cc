#include "server/meta/cold.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "server/meta/families.h"
#include "server/meta/keys.h"
#include "server/meta/paths.h"
#include "server/meta/records.h"
#include "server/meta/tier_subject.h"

namespace cairn {
namespace {

using Part = disk::ColdRunRecord::Part;
using Piece = disk::NoteColdObject::Piece;

template <class... Args>
absl::Status Bad(const Args&... args) {
  return absl::InvalidArgumentError(StrCat("cold object: ", args...));
}

absl::StatusOr<std::optional<disk::ColdObjectRecord>> FindObject(const Transaction& txn,
                                                                 uint64_t object) {
  return Find<disk::ColdObjectRecord>(txn, kFamilyCold, ColdObjectRecordKey(object));
}

void StoreObject(Transaction& txn, uint64_t object, const disk::ColdObjectRecord& record) {
  Store(txn, kFamilyCold, ColdObjectRecordKey(object), record);
}

template <class Change>
absl::Status ChangeUsage(Transaction& txn, std::string_view tier, const Change& change) {
  ASSIGN_OR_RETURN(disk::ColdUsageRecord usage, ColdUsage(txn, tier));
  change(&usage);
  const std::string key = ColdUsageKey(tier);
  if (usage.objects() == 0) {
    txn.Delete(kFamilyCold, key);
  } else {
    Store(txn, kFamilyCold, key, usage);
  }
  return absl::OkStatus();
}

void QueueGarbage(Transaction& txn, uint64_t object, const disk::ColdObjectRecord& record) {
  txn.Delete(kFamilyCold, ColdSparseKey(object));
  txn.Put(kFamilyCold, record.manifest() ? ColdManifestGarbageKey(object) : ColdGarbageKey(object),
          "");
}

absl::Status ChangeLiveBytes(Transaction& txn, std::string_view tier, uint64_t added,
                             uint64_t taken) {
  return ChangeUsage(txn, tier, [added, taken](disk::ColdUsageRecord* usage) {
    usage->set_live_bytes(usage->live_bytes() + added - taken);
  });
}

absl::Status AddLiveBytes(Transaction& txn, uint64_t object, uint64_t bytes) {
  ASSIGN_OR_RETURN(disk::ColdObjectRecord record,
                   Load<disk::ColdObjectRecord>(txn, kFamilyCold, ColdObjectRecordKey(object)));
  if (record.live_bytes() == 0) txn.Delete(kFamilyCold, ColdGarbageKey(object));
  record.set_live_bytes(record.live_bytes() + bytes);
  StoreObject(txn, object, record);
  return ChangeLiveBytes(txn, record.tier(), bytes, 0);
}

// Without a live byte it is garbage.
absl::Status TakeLiveBytes(Transaction& txn, uint64_t object, uint64_t bytes) {
  ASSIGN_OR_RETURN(disk::ColdObjectRecord record,
                   Load<disk::ColdObjectRecord>(txn, kFamilyCold, ColdObjectRecordKey(object)));
  if (record.live_bytes() < bytes)
    return absl::InternalError("metadata: a cold object has more pieces than bytes");
  record.set_live_bytes(record.live_bytes() - bytes);
  if (record.live_bytes() == 0) {
    QueueGarbage(txn, object, record);
  } else if (record.live_bytes() < record.size_bytes() / 100 * kSparsePercent) {
    txn.Put(kFamilyCold, ColdSparseKey(object), "");
  }
  StoreObject(txn, object, record);
  return ChangeLiveBytes(txn, record.tier(), 0, bytes);
}

absl::Status TakeParts(Transaction& txn, const disk::ColdRunRecord& run) {
  // A run of many parts has one object a part, or a few.
  std::map<uint64_t, uint64_t> bytes;
  for (const Part& part : run.parts()) bytes[part.object()] += part.length_bytes();
  for (const auto& [object, dropped] : bytes) RETURN_IF_ERROR(TakeLiveBytes(txn, object, dropped));
  return absl::OkStatus();
}

// Some of it has been written anew now.
absl::Status NoteMoved(Transaction& txn, uint64_t object, int64_t now_ns) {
  ASSIGN_OR_RETURN(disk::ColdObjectRecord record,
                   Load<disk::ColdObjectRecord>(txn, kFamilyCold, ColdObjectRecordKey(object)));
  record.set_moved_at_ns(now_ns);
  StoreObject(txn, object, record);
  return absl::OkStatus();
}

// The piece lies in `object` now, and no more in the one it has lain in. False: it did not.
absl::StatusOr<bool> MovePiece(Transaction& txn, disk::ColdRunRecord* run, uint64_t object,
                               const Piece& piece) {
  for (Part& part : *run->mutable_parts()) {
    if (part.object() != piece.instead_of() ||
        part.run_offset_bytes() != piece.run_offset_bytes() ||
        part.length_bytes() != piece.length_bytes()) {
      continue;
    }
    RETURN_IF_ERROR(TakeLiveBytes(txn, part.object(), part.length_bytes()));
    part.set_object(object);
    part.set_object_offset_bytes(piece.object_offset_bytes());
    return true;
  }
  return false;
}

// Stores where a run lies now, and for each object which runs have parts in it. `after` without
// parts: it lies nowhere any more.
void StoreColdRun(Transaction& txn, uint64_t first_stripe, const disk::ColdRunRecord& before,
                  const disk::ColdRunRecord& after) {
  std::set<uint64_t> objects;
  for (const Part& part : after.parts()) objects.insert(part.object());
  for (const Part& part : before.parts()) {
    if (!objects.contains(part.object()))
      txn.Delete(kFamilyCold, ColdPartKey(part.object(), first_stripe));
  }
  for (const uint64_t object : objects) txn.Put(kFamilyCold, ColdPartKey(object, first_stripe), "");
  if (after.parts_size() > 0) {
    Store(txn, kFamilyCold, ColdRunKey(first_stripe), after);
  } else {
    txn.Delete(kFamilyCold, ColdRunKey(first_stripe));
  }
}

bool Overlaps(const disk::ColdRunRecord& run, const Piece& piece) {
  const uint64_t end = piece.run_offset_bytes() + piece.length_bytes();
  return std::any_of(run.parts().begin(), run.parts().end(), [&](const Part& part) {
    return part.run_offset_bytes() < end &&
           piece.run_offset_bytes() < part.run_offset_bytes() + part.length_bytes();
  });
}

void AddPart(disk::ColdRunRecord* run, uint64_t object, const Piece& piece) {
  Part* part = run->add_parts();
  part->set_run_offset_bytes(piece.run_offset_bytes());
  part->set_length_bytes(piece.length_bytes());
  part->set_object(object);
  part->set_object_offset_bytes(piece.object_offset_bytes());
  std::sort(
      run->mutable_parts()->begin(), run->mutable_parts()->end(),
      [](const Part& a, const Part& b) { return a.run_offset_bytes() < b.run_offset_bytes(); });
}

bool IsWithin(uint64_t offset_bytes, uint64_t length_bytes, uint64_t of_bytes) {
  return offset_bytes <= of_bytes && length_bytes <= of_bytes - offset_bytes;
}

// What pieces have been taken out of, and whose they are.
struct Moved {
  std::set<uint64_t> from;
  std::set<uint64_t> subjects;
};

// The bytes of it that count.
absl::StatusOr<uint64_t> AddPiece(Transaction& txn, uint64_t object, const Piece& piece,
                                  Moved* moved) {
  const std::string key = StripeRunKey(piece.first_stripe());
  ASSIGN_OR_RETURN(std::optional<disk::StripeRunRecord> run,
                   Find<disk::StripeRunRecord>(txn, kFamilyStripeRun, key));
  if (!run.has_value()) return 0;
  if (!IsWithin(piece.run_offset_bytes(), piece.length_bytes(), run->length_bytes())) {
    return Bad("bytes ", piece.run_offset_bytes(), " to ",
               piece.run_offset_bytes() + piece.length_bytes(), " of a run of ",
               run->length_bytes());
  }
  ASSIGN_OR_RETURN(std::optional<disk::ColdRunRecord> cold, FindColdRun(txn, piece.first_stripe()));
  const disk::ColdRunRecord before = cold.value_or(disk::ColdRunRecord());
  if (!cold.has_value()) cold.emplace();
  if (piece.instead_of() != 0) {
    ASSIGN_OR_RETURN(const bool was_there, MovePiece(txn, &*cold, object, piece));
    if (!was_there) return 0;
    moved->from.insert(piece.instead_of());
    if (cold->subject() != 0) moved->subjects.insert(cold->subject());
  } else {
    if (Overlaps(*cold, piece)) return 0;
    AddPart(&*cold, object, piece);
  }
  if (piece.subject() != 0) cold->set_subject(piece.subject());
  StoreColdRun(txn, piece.first_stripe(), before, *cold);
  if (!run->cold()) {
    run->set_cold(true);
    Store(txn, kFamilyStripeRun, key, *run);
  }
  return piece.length_bytes();
}

std::string QueueKey(ColdQueue queue, uint64_t from) {
  switch (queue) {
    case ColdQueue::kPlanned:
      return ColdPlannedKey(from);
    case ColdQueue::kGarbage:
      return ColdGarbageKey(from);
    case ColdQueue::kManifestGarbage:
      return ColdManifestGarbageKey(from);
    case ColdQueue::kSparse:
      break;
  }
  return ColdSparseKey(from);
}

absl::Status CheckObject(const disk::NoteColdObject& request) {
  if (request.pieces_size() > kColdPiecesMax)
    return Bad(request.pieces_size(), " pieces; ", kColdPiecesMax, " at most");
  for (const Piece& piece : request.pieces()) {
    if (piece.length_bytes() == 0) return Bad("an empty piece");
    if (!IsWithin(piece.object_offset_bytes(), piece.length_bytes(), request.size_bytes()))
      return Bad("a piece is not in an object of ", request.size_bytes(), " bytes");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<disk::PlanColdObjectsReply> PlanColdObjects(Transaction& txn,
                                                           const disk::PlanColdObjects& request,
                                                           const CommandFacts& facts) {
  if (request.count() == 0 || request.count() > kColdObjectsPlannedMax)
    return Bad(request.count(), " at once; 1 to ", kColdObjectsPlannedMax, " are");
  ASSIGN_OR_RETURN(const auto tier, txn.Get(kFamilyPolicy, TierKey(request.tier())));
  if (!tier.has_value())
    return absl::NotFoundError(StrCat("there is no tier ", Quoted(request.tier())));
  ASSIGN_OR_RETURN(const uint64_t first, txn.Add(Counter::kNextColdObject, request.count()));
  disk::ColdObjectRecord record;
  record.set_tier(request.tier());
  record.set_changed_at_ns(facts.now_ns());
  for (uint64_t object = first; object < first + request.count(); ++object) {
    StoreObject(txn, object, record);
    txn.Put(kFamilyCold, ColdPlannedKey(object), "");
  }
  RETURN_IF_ERROR(ChangeUsage(txn, request.tier(), [&](disk::ColdUsageRecord* usage) {
    usage->set_objects(usage->objects() + request.count());
  }));
  disk::PlanColdObjectsReply reply;
  reply.set_first(first);
  return reply;
}

absl::StatusOr<disk::NoteColdObjectReply> NoteColdObject(Transaction& txn,
                                                         const disk::NoteColdObject& request,
                                                         const CommandFacts& facts) {
  RETURN_IF_ERROR(CheckObject(request));
  const uint64_t object = request.object();
  ASSIGN_OR_RETURN(std::optional<disk::ColdObjectRecord> record, FindObject(txn, object));
  ASSIGN_OR_RETURN(const auto planned, txn.Get(kFamilyCold, ColdPlannedKey(object)));
  if (!record.has_value() || (!planned.has_value() && !record->written()))
    return absl::NotFoundError(StrCat("cold object ", object, " is not planned"));
  disk::NoteColdObjectReply reply;
  reply.set_live_bytes(record->live_bytes());
  if (record->written()) return reply;
  uint64_t live_bytes = 0;
  Moved moved;
  for (const Piece& piece : request.pieces()) {
    ASSIGN_OR_RETURN(const uint64_t added, AddPiece(txn, object, piece, &moved));
    live_bytes += added;
  }
  for (const uint64_t from : moved.from) RETURN_IF_ERROR(NoteMoved(txn, from, facts.now_ns()));
  for (const uint64_t subject : moved.subjects)
    RETURN_IF_ERROR(MakeManifestOld(txn, InodeId(subject)));
  record->set_written(true);
  record->set_size_bytes(request.size_bytes());
  record->set_live_bytes(live_bytes);
  record->set_changed_at_ns(facts.now_ns());
  StoreObject(txn, object, *record);
  txn.Delete(kFamilyCold, ColdPlannedKey(object));
  if (live_bytes == 0) QueueGarbage(txn, object, *record);
  RETURN_IF_ERROR(ChangeUsage(txn, record->tier(), [&](disk::ColdUsageRecord* usage) {
    usage->set_size_bytes(usage->size_bytes() + request.size_bytes());
    usage->set_live_bytes(usage->live_bytes() + live_bytes);
  }));
  reply.set_live_bytes(live_bytes);
  return reply;
}

absl::StatusOr<disk::AbandonColdObjectsReply> AbandonColdObjects(
    Transaction& txn, const disk::AbandonColdObjects& request, const CommandFacts& facts) {
  for (const uint64_t object : request.objects()) {
    ASSIGN_OR_RETURN(const auto planned, txn.Get(kFamilyCold, ColdPlannedKey(object)));
    if (!planned.has_value()) continue;
    ASSIGN_OR_RETURN(disk::ColdObjectRecord record,
                     Load<disk::ColdObjectRecord>(txn, kFamilyCold, ColdObjectRecordKey(object)));
    record.set_changed_at_ns(facts.now_ns());
    StoreObject(txn, object, record);
    txn.Delete(kFamilyCold, ColdPlannedKey(object));
    QueueGarbage(txn, object, record);
  }
  return disk::AbandonColdObjectsReply();
}

absl::StatusOr<disk::ForgetColdObjectsReply> ForgetColdObjects(
    Transaction& txn, const disk::ForgetColdObjects& request) {
  for (const uint64_t object : request.objects()) {
    ASSIGN_OR_RETURN(const std::optional<disk::ColdObjectRecord> record, FindObject(txn, object));
    if (!record.has_value()) continue;
    const std::string key =
        record->manifest() ? ColdManifestGarbageKey(object) : ColdGarbageKey(object);
    ASSIGN_OR_RETURN(const auto garbage, txn.Get(kFamilyCold, key));
    if (!garbage.has_value()) {
      return absl::FailedPreconditionError(
          StrCat("cold object ", object, " is in use, or planned"));
    }
    txn.Delete(kFamilyCold, ColdObjectRecordKey(object));
    txn.Delete(kFamilyCold, key);
    if (!record->cluster_id().empty()) {
      txn.Delete(kFamilyCold, ColdForeignKey(record->foreign_object(), record->cluster_id()));
    }
    RETURN_IF_ERROR(ChangeUsage(txn, record->tier(), [&](disk::ColdUsageRecord* usage) {
      usage->set_objects(usage->objects() - 1);
      usage->set_size_bytes(usage->size_bytes() - record->size_bytes());
    }));
  }
  return disk::ForgetColdObjectsReply();
}

absl::StatusOr<size_t> DropColdRun(Transaction& txn, uint64_t first_stripe) {
  ASSIGN_OR_RETURN(const disk::ColdRunRecord run,
                   Load<disk::ColdRunRecord>(txn, kFamilyCold, ColdRunKey(first_stripe)));
  RETURN_IF_ERROR(TakeParts(txn, run));
  StoreColdRun(txn, first_stripe, run, {});
  return static_cast<size_t>(run.parts_size());
}

absl::StatusOr<disk::LoseColdObjectReply> LoseColdObject(Transaction& txn,
                                                         const disk::LoseColdObject& request) {
  disk::LoseColdObjectReply reply;
  ASSIGN_OR_RETURN(const std::vector<ColdPartOf> parts, ListColdParts(txn, request.object()));
  for (const ColdPartOf& each : parts) {
    const std::string run_key = StripeRunKey(each.first_stripe);
    ASSIGN_OR_RETURN(disk::StripeRunRecord run,
                     Load<disk::StripeRunRecord>(txn, kFamilyStripeRun, run_key));
    disk::ColdRunRecord kept;
    kept.set_subject(each.run.subject());
    uint64_t lost_bytes = 0;
    for (const Part& part : each.run.parts()) {
      if (part.object() == request.object()) {
        lost_bytes += part.length_bytes();
      } else {
        *kept.add_parts() = part;
      }
    }
    if (run.released()) reply.set_lost_bytes(reply.lost_bytes() + lost_bytes);
    if (run.released() || lost_bytes == 0) continue;
    RETURN_IF_ERROR(TakeLiveBytes(txn, request.object(), lost_bytes));
    StoreColdRun(txn, each.first_stripe, each.run, kept);
    if (kept.parts_size() > 0) continue;
    run.set_cold(false);
    Store(txn, kFamilyStripeRun, run_key, run);
  }
  return reply;
}

absl::StatusOr<std::vector<ColdPartOf>> ListColdParts(const Transaction& txn, uint64_t object) {
  std::vector<ColdPartOf> parts;
  const std::string prefix = ColdPartPrefix(object);
  Transaction::Scan scan(txn, kFamilyCold, prefix, PrefixEnd(prefix));
  for (; scan.Valid(); scan.Next()) {
    uint64_t first_stripe = 0;
    if (!KeyReader(scan.key().substr(prefix.size())).ReadU64(&first_stripe))
      return absl::DataLossError("metadata: a key of family \"cold\" is damaged");
    parts.push_back({first_stripe, {}});
  }
  RETURN_IF_ERROR(scan.status());
  for (ColdPartOf& each : parts) {
    ASSIGN_OR_RETURN(each.run,
                     Load<disk::ColdRunRecord>(txn, kFamilyCold, ColdRunKey(each.first_stripe)));
  }
  return parts;
}

absl::Status NoteManifest(Transaction& txn, uint64_t object, uint64_t size_bytes,
                          uint32_t references, int64_t now_ns) {
  ASSIGN_OR_RETURN(std::optional<disk::ColdObjectRecord> record, FindObject(txn, object));
  ASSIGN_OR_RETURN(const auto planned, txn.Get(kFamilyCold, ColdPlannedKey(object)));
  if (!record.has_value() || !planned.has_value())
    return absl::NotFoundError(StrCat("cold object ", object, " is not planned"));
  txn.Delete(kFamilyCold, ColdPlannedKey(object));
  record->set_manifest(true);
  record->set_written(true);
  record->set_size_bytes(size_bytes);
  record->set_references(references);
  record->set_live_bytes(references == 0 ? 0 : size_bytes);
  record->set_changed_at_ns(now_ns);
  if (references == 0) QueueGarbage(txn, object, *record);
  StoreObject(txn, object, *record);
  return ChangeUsage(txn, record->tier(), [&](disk::ColdUsageRecord* usage) {
    usage->set_size_bytes(usage->size_bytes() + size_bytes);
    usage->set_live_bytes(usage->live_bytes() + record->live_bytes());
  });
}

absl::Status DropManifest(Transaction& txn, uint64_t object) {
  ASSIGN_OR_RETURN(disk::ColdObjectRecord record,
                   Load<disk::ColdObjectRecord>(txn, kFamilyCold, ColdObjectRecordKey(object)));
  if (record.references() == 0)
    return absl::InternalError("metadata: a manifest that is referred to counts no references");
  record.set_references(record.references() - 1);
  const uint64_t freed = record.references() == 0 ? record.live_bytes() : 0;
  record.set_live_bytes(record.live_bytes() - freed);
  if (record.references() == 0) QueueGarbage(txn, object, record);
  StoreObject(txn, object, record);
  return ChangeLiveBytes(txn, record.tier(), 0, freed);
}

absl::StatusOr<uint64_t> AdoptColdObject(Transaction& txn, disk::ColdObjectRecord record) {
  ASSIGN_OR_RETURN(const uint64_t object, txn.Add(Counter::kNextColdObject, 1));
  record.set_written(true);
  RETURN_IF_ERROR(ChangeUsage(txn, record.tier(), [&](disk::ColdUsageRecord* usage) {
    usage->set_objects(usage->objects() + 1);
    usage->set_size_bytes(usage->size_bytes() + record.size_bytes());
    usage->set_live_bytes(usage->live_bytes() + record.live_bytes());
  }));
  StoreObject(txn, object, record);
  return object;
}

absl::StatusOr<uint64_t> AdoptManifest(Transaction& txn, const std::string& tier,
                                       const std::string& cluster_id, uint64_t object,
                                       uint64_t size_bytes) {
  const std::string key = ColdForeignKey(object, cluster_id);
  ASSIGN_OR_RETURN(const auto known, txn.Get(kFamilyCold, key));
  uint64_t id = 0;
  if (known.has_value() && KeyReader(*known).ReadU64(&id)) {
    ASSIGN_OR_RETURN(disk::ColdObjectRecord record,
                     Load<disk::ColdObjectRecord>(txn, kFamilyCold, ColdObjectRecordKey(id)));
    if (record.references() == 0)
      return absl::FailedPreconditionError("its manifest is being deleted");
    record.set_references(record.references() + 1);
    StoreObject(txn, id, record);
    return id;
  }
  disk::ColdObjectRecord record;
  record.set_tier(tier);
  record.set_manifest(true);
  record.set_size_bytes(size_bytes);
  record.set_live_bytes(size_bytes);
  record.set_references(1);
  record.set_cluster_id(cluster_id);
  record.set_foreign_object(object);
  ASSIGN_OR_RETURN(id, AdoptColdObject(txn, record));
  txn.Put(kFamilyCold, key, U64(id));
  return id;
}

absl::Status AddColdRun(Transaction& txn, uint64_t first_stripe, const disk::ColdRunRecord& run,
                        Counted counted) {
  for (const Part& part : run.parts()) {
    if (counted == Counted::kYes) break;
    RETURN_IF_ERROR(AddLiveBytes(txn, part.object(), part.length_bytes()));
  }
  StoreColdRun(txn, first_stripe, {}, run);
  return absl::OkStatus();
}

void ForgetColdRun(Transaction& txn, uint64_t first_stripe, const disk::ColdRunRecord& run) {
  StoreColdRun(txn, first_stripe, run, {});
}

disk::ColdRunRecord CutColdRun(const disk::ColdRunRecord& run, uint64_t begin, uint64_t end) {
  disk::ColdRunRecord cut;
  cut.set_subject(run.subject());
  for (const Part& part : run.parts()) {
    const uint64_t from = std::max(begin, part.run_offset_bytes());
    const uint64_t to = std::min(end, part.run_offset_bytes() + part.length_bytes());
    if (from >= to) continue;
    Part* added = cut.add_parts();
    added->set_run_offset_bytes(from - begin);
    added->set_length_bytes(to - from);
    added->set_object(part.object());
    added->set_object_offset_bytes(part.object_offset_bytes() + from - part.run_offset_bytes());
  }
  return cut;
}

absl::StatusOr<wire::ColdPlace> PlaceOf(const Transaction& txn, const Part& part) {
  ASSIGN_OR_RETURN(
      const disk::ColdObjectRecord record,
      Load<disk::ColdObjectRecord>(txn, kFamilyCold, ColdObjectRecordKey(part.object())));
  wire::ColdPlace place;
  place.set_tier(record.tier());
  place.set_cluster_id(record.cluster_id());
  place.set_object(record.cluster_id().empty() ? part.object() : record.foreign_object());
  place.set_object_bytes(record.size_bytes());
  place.set_offset_bytes(part.object_offset_bytes());
  return place;
}

bool IsWhole(const disk::ColdRunRecord& run, uint64_t length_bytes) {
  uint64_t covered = 0;
  for (const Part& part : run.parts()) {
    if (part.run_offset_bytes() != covered) return false;
    covered += part.length_bytes();
  }
  return covered == length_bytes;
}

absl::StatusOr<std::optional<disk::ColdRunRecord>> FindColdRun(const Transaction& txn,
                                                               uint64_t first_stripe) {
  return Find<disk::ColdRunRecord>(txn, kFamilyCold, ColdRunKey(first_stripe));
}

absl::StatusOr<disk::ColdUsageRecord> ColdUsage(const Transaction& txn, std::string_view tier) {
  ASSIGN_OR_RETURN(std::optional<disk::ColdUsageRecord> usage,
                   Find<disk::ColdUsageRecord>(txn, kFamilyCold, ColdUsageKey(tier)));
  return usage.has_value() ? *std::move(usage) : disk::ColdUsageRecord();
}

absl::StatusOr<bool> AllIsHot(const Transaction& txn) {
  const std::string prefix = ColdUsageKey("");
  const Transaction::Scan scan(txn, kFamilyCold, prefix, PrefixEnd(prefix));
  if (!scan.Valid()) RETURN_IF_ERROR(scan.status());
  return !scan.Valid();
}

absl::StatusOr<std::vector<ColdObjectFound>> ListColdObjects(const Transaction& txn,
                                                             ColdQueue queue, uint64_t from,
                                                             size_t limit) {
  const std::string begin = QueueKey(queue, from);
  std::vector<ColdObjectFound> found;
  Transaction::Scan scan(txn, kFamilyCold, begin, PrefixEnd(begin.substr(0, 1)));
  for (; scan.Valid() && found.size() < limit; scan.Next()) {
    uint64_t object = 0;
    if (!KeyReader(scan.key().substr(1)).ReadU64(&object))
      return absl::DataLossError("metadata: a key of family \"cold\" is damaged");
    found.push_back({object, {}});
  }
  RETURN_IF_ERROR(scan.status());
  for (ColdObjectFound& each : found) {
    ASSIGN_OR_RETURN(each.record, Load<disk::ColdObjectRecord>(txn, kFamilyCold,
                                                               ColdObjectRecordKey(each.object)));
  }
  return found;
}

}  // namespace cairn
