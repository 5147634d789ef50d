#include "server/meta/cold.h"

#include <algorithm>
#include <map>
#include <utility>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "server/meta/families.h"
#include "server/meta/keys.h"
#include "server/meta/paths.h"
#include "server/meta/records.h"

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

// Without a live byte it is garbage.
absl::Status TakeLiveBytes(Transaction& txn, uint64_t object, uint64_t bytes) {
  ASSIGN_OR_RETURN(disk::ColdObjectRecord record,
                   Load<disk::ColdObjectRecord>(txn, kFamilyCold, ColdObjectRecordKey(object)));
  if (record.live_bytes() < bytes)
    return absl::InternalError("metadata: a cold object has more pieces than bytes");
  record.set_live_bytes(record.live_bytes() - bytes);
  if (record.live_bytes() == 0) txn.Put(kFamilyCold, ColdGarbageKey(object), "");
  StoreObject(txn, object, record);
  return ChangeUsage(txn, record.tier(), [bytes](disk::ColdUsageRecord* usage) {
    usage->set_live_bytes(usage->live_bytes() - bytes);
  });
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

// The bytes of it that count.
absl::StatusOr<uint64_t> AddPiece(Transaction& txn, uint64_t object, const Piece& piece) {
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
  if (!cold.has_value()) cold.emplace();
  if (Overlaps(*cold, piece)) return 0;
  AddPart(&*cold, object, piece);
  Store(txn, kFamilyCold, ColdRunKey(piece.first_stripe()), *cold);
  if (!run->cold()) {
    run->set_cold(true);
    Store(txn, kFamilyStripeRun, key, *run);
  }
  return piece.length_bytes();
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
  for (const Piece& piece : request.pieces()) {
    ASSIGN_OR_RETURN(const uint64_t added, AddPiece(txn, object, piece));
    live_bytes += added;
  }
  record->set_written(true);
  record->set_size_bytes(request.size_bytes());
  record->set_live_bytes(live_bytes);
  record->set_changed_at_ns(facts.now_ns());
  StoreObject(txn, object, *record);
  txn.Delete(kFamilyCold, ColdPlannedKey(object));
  if (live_bytes == 0) txn.Put(kFamilyCold, ColdGarbageKey(object), "");
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
    txn.Put(kFamilyCold, ColdGarbageKey(object), "");
  }
  return disk::AbandonColdObjectsReply();
}

absl::StatusOr<disk::ForgetColdObjectsReply> ForgetColdObjects(
    Transaction& txn, const disk::ForgetColdObjects& request) {
  for (const uint64_t object : request.objects()) {
    ASSIGN_OR_RETURN(const std::optional<disk::ColdObjectRecord> record, FindObject(txn, object));
    if (!record.has_value()) continue;
    ASSIGN_OR_RETURN(const auto garbage, txn.Get(kFamilyCold, ColdGarbageKey(object)));
    if (!garbage.has_value()) {
      return absl::FailedPreconditionError(
          StrCat("cold object ", object, " is in use, or planned"));
    }
    txn.Delete(kFamilyCold, ColdObjectRecordKey(object));
    txn.Delete(kFamilyCold, ColdGarbageKey(object));
    RETURN_IF_ERROR(ChangeUsage(txn, record->tier(), [&](disk::ColdUsageRecord* usage) {
      usage->set_objects(usage->objects() - 1);
      usage->set_size_bytes(usage->size_bytes() - record->size_bytes());
    }));
  }
  return disk::ForgetColdObjectsReply();
}

absl::Status DropColdRun(Transaction& txn, uint64_t first_stripe) {
  const std::string key = ColdRunKey(first_stripe);
  ASSIGN_OR_RETURN(const disk::ColdRunRecord run, Load<disk::ColdRunRecord>(txn, kFamilyCold, key));
  // A run of many parts has one object a part, or a few.
  std::map<uint64_t, uint64_t> bytes;
  for (const Part& part : run.parts()) bytes[part.object()] += part.length_bytes();
  for (const auto& [object, dropped] : bytes) RETURN_IF_ERROR(TakeLiveBytes(txn, object, dropped));
  txn.Delete(kFamilyCold, key);
  return absl::OkStatus();
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

absl::StatusOr<std::vector<ColdObjectFound>> ListColdObjects(const Transaction& txn,
                                                             ColdQueue queue, uint64_t from,
                                                             size_t limit) {
  const bool planned = queue == ColdQueue::kPlanned;
  const std::string begin = planned ? ColdPlannedKey(from) : ColdGarbageKey(from);
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
