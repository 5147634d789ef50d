// Attempts at a checkpoint: begin, join, fencing, abort. The shards of its ranks are in shard.h,
// its commit in checkpoint.h.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/ids.h"
#include "proto/disk/meta.pb.h"
#include "proto/wire/meta.pb.h"
#include "server/meta/facts.h"
#include "server/meta/transaction.h"
#include "server/meta/tree.h"

namespace cairn {

// More ranks than any cluster has; bounds the bitmap of done ranks.
inline constexpr uint32_t kMaxWorldSize = 1 << 20;
inline constexpr size_t kMaxJobBytes = 256;
inline constexpr int kMaxAttributes = 64;
inline constexpr size_t kMaxAttributeBytes = 4096;
inline constexpr size_t kMissingRanksNamed = 16;

absl::StatusOr<wire::BeginCheckpointReply> BeginCheckpoint(
    Transaction& txn, const wire::BeginCheckpointRequest& request, const CommandFacts& facts);
absl::StatusOr<wire::AbortCheckpointReply> AbortCheckpoint(
    Transaction& txn, const wire::AbortCheckpointRequest& request, const CommandFacts& facts);

// The newest attempt at a name.
struct Attempt {
  InodeId parent;
  std::string name;
  disk::AttemptRecord record;
  AttemptId id() const { return AttemptId(record.id()); }
};
// The attempt that a request names, open or committed. ABORTED: it was aborted or superseded; says
// why or by which. NOT_FOUND: nothing is being written there. FAILED_PRECONDITION: that attempt was
// never begun.
absl::StatusOr<Attempt> FindAttempt(Transaction& txn, std::string_view path, uint64_t number);
void StoreAttempt(Transaction& txn, const Attempt& attempt);

// Ends an open attempt: nothing of it becomes visible, its lease ends, its space comes back.
absl::Status AbortAttempt(Transaction& txn, Attempt attempt, std::string_view reason,
                          const CommandFacts& facts);
// The part of an end that abort and commit share: the lease, the granted stripes, the count.
absl::Status EndAttempt(Transaction& txn, const disk::AttemptRecord& record);

// What was known of an attempt of this number goes. A name that is used anew starts above all
// forgotten numbers, so that a stale rank of its former life is not taken for one of the new.
absl::Status NoteForgotten(Transaction& txn, uint64_t number);

// Marks a rank done. REQUIRES: it is not.
absl::Status MarkRankDone(Transaction& txn, AttemptId attempt, uint32_t rank);
// The lowest ranks that are not done, at most `limit`. Reads a bit a rank, not a record a rank.
absl::StatusOr<std::vector<uint32_t>> MissingRanks(const Transaction& txn,
                                                   const disk::AttemptRecord& record, size_t limit);

}  // namespace cairn
