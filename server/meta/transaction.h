// A group of commands on its way into the store: an overlay of changes over the Kv, so that each
// command sees what those before it did, and a failed one can be taken back. Also the reader that
// queries use (without changes).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/ids.h"
#include "server/kv/kv.h"
#include "server/meta/families.h"

namespace cairn {

// What happens to an attempt at a checkpoint.
struct SaveEvent {
  enum class Kind { kBegun, kCommitted, kAborted };
  Kind kind;
  LeaseId lease;
  int64_t at_ns = 0;
  uint64_t size_bytes = 0;  // of a commit
};

// What a command did besides the store; told to the engine after the commit.
struct Effects {
  std::vector<LeaseId> granted_leases;  // or a sign of life
  std::vector<LeaseId> ended_leases;
  std::vector<SaveEvent> saves;
  // Directories in which a name has changed, or the attributes of what it leads to, or their own.
  struct Touch {
    InodeId directory;
    uint64_t client = 0;  // whose command it was; 0: the service's
    friend bool operator==(const Touch&, const Touch&) = default;
  };
  std::vector<Touch> touches;
  bool cleanup_queued = false;
  bool tiering_wanted = false;  // a subject is due, or a step waits
  bool orphans_made = false;
};

// The numbers in the system family: sources of ids, and counts for people.
enum class Counter : uint8_t {
  kNextInode = 1,
  kNextStripe = 2,
  kNextLease = 3,
  kNextAttempt = 4,
  kNextCommit = 5,   // orders commits of checkpoints
  kNextVersion = 6,  // of file contents
  kNextPending = 7,
  kNextCleanup = 8,
  kNextRequest = 9,
  kOldestRequest = 10,
  // Nothing is queued below these: a scan from the start of a queue would step over a tombstone for
  // everything that has passed through it.
  kOldestPending = 11,
  kOldestCleanup = 12,
  kNextColdObject = 13,
  kNextTierDue = 14,
  kOldestTierDue = 15,
  kTierDueFrom = 16,  // no subject is due before that time
  kCheckpoints = 32,
  kFiles = 33,
  kOpenAttempts = 34,
  kPendingFreeBytes = 35,
  kCleanupBacklog = 36,
  // While these are zero, nobody has to look for what they count.
  kTierPolicies = 50,
  kTierSubjects = 51,
  kReleasedRuns = 52,
  kOrphans = 53,
  kBuffered = 54,  // 1: there have been mutations that were replied to before they were durable
  kForgottenAttempt = 37,  // the highest attempt number of the names that are forgotten
  kUsageCounted = 40,      // 1: directories have their UsageRecords
};

// Not thread-safe. Nothing reaches the Kv before the owner writes TakeBatch(). What it has read
// once it takes for what there is: nobody else may change the Kv while it is used, or its user must
// not mind.
class Transaction {
 public:
  explicit Transaction(Kv& kv) : kv_(&kv) {}
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;

  // What was read once is not read again: later changes of the store are not seen.
  absl::StatusOr<std::optional<std::string>> Get(ColumnFamily family, std::string_view key) const;
  void Put(ColumnFamily family, std::string_view key, std::string value);
  void Delete(ColumnFamily family, std::string_view key);

  // Walks [begin, end) of a family in key order, as it is with the changes made so far.
  // REQUIRES: the transaction is not changed while the scan is used.
  class Scan {
   public:
    Scan(const Transaction& txn, ColumnFamily family, std::string_view begin, std::string_view end);
    bool Valid() const { return valid_; }
    void Next();
    std::string_view key() const {
      return from_overlay_ ? std::string_view(overlay_->first) : base_->key();
    }
    std::string_view value() const {
      return from_overlay_ ? std::string_view(*overlay_->second) : base_->value();
    }
    // Check it when Valid() turns false.
    absl::Status status() const { return txn_->Note(base_->status()); }

   private:
    using Overlay = std::map<std::string, std::optional<std::string>, std::less<>>;
    void Settle();
    bool BaseIn() const { return base_->Valid(); }
    bool OverlayIn() const { return overlay_ != overlay_end_ && overlay_->first < end_; }

    const Transaction* txn_;
    std::string end_;
    std::unique_ptr<KvIterator> base_;
    Overlay::const_iterator overlay_, overlay_end_;
    bool from_overlay_ = false;
    bool valid_ = false;
  };

  using KeyValue = std::pair<std::string, std::string>;
  // The last entry of [begin, end). Steps over what was deleted there: choose `begin` close.
  absl::StatusOr<std::optional<KeyValue>> FindLast(ColumnFamily family, std::string_view begin,
                                                   std::string_view end) const;

  absl::StatusOr<uint64_t> Read(Counter counter) const;
  // Adds to a counter and returns what it was before. Sources of ids start at 1.
  absl::StatusOr<uint64_t> Add(Counter counter, uint64_t amount);
  // To at least `value`.
  absl::Status Raise(Counter counter, uint64_t value);
  // To at most `value`.
  absl::Status Lower(Counter counter, uint64_t value);
  // For counts. REQUIRES: the count is at least `amount`.
  absl::Status Subtract(Counter counter, uint64_t amount);

  Kv& kv() const { return *kv_; }
  Effects& effects() { return effects_; }
  // Whose command is applied from now on.
  void SetClient(uint64_t client) { client_ = client; }
  void Touch(InodeId directory);

  // A point to which RollBack() returns; forgets the one before.
  struct Savepoint {
    size_t changes, granted, ended, saves, touches;
    bool cleanup_queued;
  };
  Savepoint Save();
  // A point within what follows Save(), which is not forgotten for it.
  Savepoint Mark() const;
  void RollBack(const Savepoint& point);
  // Something was put or deleted since the last savepoint.
  bool HasChangedSinceSave() const { return !undo_.empty(); }

  // The first error of the Kv itself, which is final for it. What follows it cannot be trusted.
  const absl::Status& store_error() const { return store_error_; }

  // The changes in order of family and key, each key once; the transaction is empty afterwards.
  KvBatch TakeBatch();
  bool empty() const;

 private:
  using Overlay = std::map<std::string, std::optional<std::string>, std::less<>>;
  struct Undo {
    ColumnFamily family;
    std::string key;
    bool was_in_overlay;
    std::optional<std::string> value;
  };
  void Change(ColumnFamily family, std::string_view key, std::optional<std::string> value);
  absl::Status Note(absl::Status status) const;

  // A group's commands ask for the same directories and buckets again and again.
  using Reads = absl::flat_hash_map<std::string, std::optional<std::string>>;

  Kv* kv_;
  mutable Reads reads_[kMetaFamilyCount];
  Overlay overlays_[kMetaFamilyCount];
  std::vector<Undo> undo_;
  Effects effects_;
  uint64_t client_ = 0;
  mutable absl::Status store_error_;
};

}  // namespace cairn
