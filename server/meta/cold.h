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
#include "proto/wire/meta.pb.h"
#include "server/meta/facts.h"
#include "server/meta/transaction.h"

namespace cairn {

inline constexpr uint32_t kColdObjectsPlannedMax = 256;  // by one command
inline constexpr int kColdPiecesMax = 16'384;            // of an object
// With less of it alive, an object is worth writing anew.
inline constexpr uint64_t kSparsePercent = 50;

// Whether objects have the bytes among their live ones already.
enum class Counted { kYes, kNo };

// NOT_FOUND: there is no such tier. INVALID_ARGUMENT: none, or too many at once.
absl::StatusOr<disk::PlanColdObjectsReply> PlanColdObjects(Transaction& txn,
                                                           const disk::PlanColdObjects& request,
                                                           const CommandFacts& facts);
// Pieces of runs that are gone, and those that lie in another object already, do not count, but for
// pieces that are said to lie in it no more: whose manifests are old then. The same once more
// changes nothing. NOT_FOUND: it was not planned, or has been abandoned: it must be deleted from
// its store. INVALID_ARGUMENT: a piece is not in its run, or not in the object.
absl::StatusOr<disk::NoteColdObjectReply> NoteColdObject(Transaction& txn,
                                                         const disk::NoteColdObject& request,
                                                         const CommandFacts& facts);
// Its pieces count as not copied; what lies nowhere else is left as it is, and told.
absl::StatusOr<disk::LoseColdObjectReply> LoseColdObject(Transaction& txn,
                                                         const disk::LoseColdObject& request);
// Those that are not planned any more are left as they are.
absl::StatusOr<disk::AbandonColdObjectsReply> AbandonColdObjects(
    Transaction& txn, const disk::AbandonColdObjects& request, const CommandFacts& facts);
// FAILED_PRECONDITION, and nothing is forgotten: one has live bytes. Unknown ones are gone already.
absl::StatusOr<disk::ForgetColdObjectsReply> ForgetColdObjects(
    Transaction& txn, const disk::ForgetColdObjects& request);

// The run has lost its last reference. Returns how many parts it had. REQUIRES: its record says
// that it is cold.
absl::StatusOr<size_t> DropColdRun(Transaction& txn, uint64_t first_stripe);

// A planned manifest is in its store, durably, and `references` subjects refer to it.
absl::Status NoteManifest(Transaction& txn, uint64_t object, uint64_t size_bytes,
                          uint32_t references, int64_t now_ns);
// One subject fewer does.
absl::Status DropManifest(Transaction& txn, uint64_t object);
// An object that another cluster has made, of which nothing is referred to yet. Returns its id
// here.
absl::StatusOr<uint64_t> AdoptColdObject(Transaction& txn, disk::ColdObjectRecord record);
// The same of a manifest, which one subject more refers to.
absl::StatusOr<uint64_t> AdoptManifest(Transaction& txn, const std::string& tier,
                                       const std::string& cluster_id, uint64_t object,
                                       uint64_t size_bytes);
// Where a new run lies. Its StripeRunRecord is the caller's to mark.
absl::Status AddColdRun(Transaction& txn, uint64_t first_stripe, const disk::ColdRunRecord& run,
                        Counted counted);
// Its parts are another run's now.
void ForgetColdRun(Transaction& txn, uint64_t first_stripe, const disk::ColdRunRecord& run);

// The runs that have parts in an object, each with all of its parts.
struct ColdPartOf {
  uint64_t first_stripe = 0;
  disk::ColdRunRecord run;
};
absl::StatusOr<std::vector<ColdPartOf>> ListColdParts(const Transaction& txn, uint64_t object);

// Its parts cover the run.
bool IsWhole(const disk::ColdRunRecord& run, uint64_t length_bytes);
// The parts within [begin, end) of the run, counted from `begin`.
disk::ColdRunRecord CutColdRun(const disk::ColdRunRecord& run, uint64_t begin, uint64_t end);
// Where a part's bytes are, as clients and nodes are told.
absl::StatusOr<wire::ColdPlace> PlaceOf(const Transaction& txn,
                                        const disk::ColdRunRecord::Part& part);
// nullopt: nothing of it lies in a cold tier.
absl::StatusOr<std::optional<disk::ColdRunRecord>> FindColdRun(const Transaction& txn,
                                                               uint64_t first_stripe);
// All zero for a tier that holds nothing.
absl::StatusOr<disk::ColdUsageRecord> ColdUsage(const Transaction& txn, std::string_view tier);

// Nothing lies in any tier, and nothing is about to.
absl::StatusOr<bool> AllIsHot(const Transaction& txn);

// An object that waits for something, from the id `from` on, `limit` at most.
struct ColdObjectFound {
  uint64_t object = 0;
  disk::ColdObjectRecord record;
};
enum class ColdQueue { kPlanned, kGarbage, kManifestGarbage, kSparse };
absl::StatusOr<std::vector<ColdObjectFound>> ListColdObjects(const Transaction& txn,
                                                             ColdQueue queue, uint64_t from,
                                                             size_t limit);

}  // namespace cairn
