// A target's index in its key-value store: one record per sealed fragment. What is not here does
// not exist after a restart. Everything blocks: call it through a BlockingRunner.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/chunk/index_record.h"
#include "server/kv/kv.h"

namespace cairn {

// Thread-safe as its store is.
class ChunkIndex {
 public:
  struct Entry {
    FragmentKey key;
    IndexRecord record;
  };

  // The column families that the store is opened with, in this order.
  static std::vector<std::string> Families() { return {"fragment", "identity"}; }

  explicit ChunkIndex(Kv& kv) : kv_(kv) {}

  // nullopt in a new store.
  absl::StatusOr<std::optional<IndexIdentity>> LoadIdentity();
  // Durable when it returns.
  absl::Status StoreIdentity(TargetId target, const TargetUuid& uuid);

  absl::StatusOr<std::optional<IndexRecord>> Find(const FragmentKey& key);
  // Those of `keys` without a record, at most `limit`.
  absl::StatusOr<std::vector<FragmentKey>> FindMissing(std::span<const FragmentKey> keys,
                                                       size_t limit);
  // In one batch each; durable when they return.
  absl::Status Add(std::span<const Entry* const> entries);
  struct Removed {
    std::vector<Entry> entries;  // there before, and not any more
    // One for each record that is damaged. It stays: where its bytes lie is unknown, and it must
    // not hold up the others.
    std::vector<absl::Status> damaged;
  };
  // Unknown keys are ignored.
  absl::StatusOr<Removed> Remove(std::span<const FragmentKey> keys);

  // Those of stripes in [from, end), in the order of keys, at most `limit`. Does not look at the
  // records.
  absl::StatusOr<std::vector<FragmentKey>> List(FragmentKey from, StripeId end, size_t limit);
  // As List(), with what the records say.
  absl::StatusOr<std::vector<HeldFragment>> ListHeld(FragmentKey from, StripeId end, size_t limit);
  // Of `keys`, those that have a record.
  absl::StatusOr<std::vector<HeldFragment>> FindHeld(std::span<const FragmentKey> keys);
  // Stops at the first error, its own or the visitor's.
  absl::Status ForEach(
      const std::function<absl::Status(const FragmentKey&, const IndexRecord&)>& visit);

 private:
  Kv& kv_;
};

}  // namespace cairn
