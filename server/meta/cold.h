// What lies in cold tiers: objects, each of pieces of runs of stripes, and of each run where its
// bytes are. An object is planned before it is put, so that a crash leaves none that nobody knows;
// it counts once it is noted; and without a live byte it is to be deleted from its store.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/disk/meta.pb.h"
#include "proto/disk/meta_log.pb.h"
#include "server/meta/facts.h"
#include "server/meta/transaction.h"

namespace cairn {

inline constexpr uint32_t kColdObjectsPlannedMax = 256;  // by one command
inline constexpr int kColdPiecesMax = 16'384;            // of an object

// NOT_FOUND: there is no such tier. INVALID_ARGUMENT: none, or too many at once.
absl::StatusOr<disk::PlanColdObjectsReply> PlanColdObjects(Transaction& txn,
                                                           const disk::PlanColdObjects& request,
                                                           const CommandFacts& facts);
// Pieces of runs that are gone, and those that lie in another object already, do not count. The
// same once more changes nothing. NOT_FOUND: it was not planned, or has been abandoned: it must be
// deleted from its store. INVALID_ARGUMENT: a piece is not in its run, or not in the object.
absl::StatusOr<disk::NoteColdObjectReply> NoteColdObject(Transaction& txn,
                                                         const disk::NoteColdObject& request,
                                                         const CommandFacts& facts);
// Those that are not planned any more are left as they are.
absl::StatusOr<disk::AbandonColdObjectsReply> AbandonColdObjects(
    Transaction& txn, const disk::AbandonColdObjects& request, const CommandFacts& facts);
// FAILED_PRECONDITION, and nothing is forgotten: one has live bytes. Unknown ones are gone already.
absl::StatusOr<disk::ForgetColdObjectsReply> ForgetColdObjects(
    Transaction& txn, const disk::ForgetColdObjects& request);

// The run has lost its last reference. REQUIRES: its record says that it is cold.
absl::Status DropColdRun(Transaction& txn, uint64_t first_stripe);

// Its parts cover the run.
bool IsWhole(const disk::ColdRunRecord& run, uint64_t length_bytes);
// nullopt: nothing of it lies in a cold tier.
absl::StatusOr<std::optional<disk::ColdRunRecord>> FindColdRun(const Transaction& txn,
                                                               uint64_t first_stripe);
// All zero for a tier that holds nothing.
absl::StatusOr<disk::ColdUsageRecord> ColdUsage(const Transaction& txn, std::string_view tier);

// An object that waits for something, from the id `from` on, `limit` at most.
struct ColdObjectFound {
  uint64_t object = 0;
  disk::ColdObjectRecord record;
};
enum class ColdQueue { kPlanned, kGarbage };
absl::StatusOr<std::vector<ColdObjectFound>> ListColdObjects(const Transaction& txn,
                                                             ColdQueue queue, uint64_t from,
                                                             size_t limit);

}  // namespace cairn
