// The queue of stripes that nothing references any more: filled by removals and ended leases,
// emptied by the reclaim loop once the targets have freed them. The arithmetic is in reclaim.h.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/disk/meta.pb.h"
#include "proto/disk/meta_log.pb.h"
#include "server/meta/reclaim.h"
#include "server/meta/transaction.h"

namespace cairn {

// Part of one entry of the queue.
struct ReclaimItem {
  uint64_t sequence = 0;            // names the entry
  std::vector<StripeSpan> stripes;  // to free; may be empty
  uint64_t next_stripe = 0;         // the entry is done below it
  std::vector<uint32_t> groups;     // where the stripes are; empty: anywhere
};

// A place in the queue: in entry `sequence`, at stripe `stripe`.
struct ReclaimPosition {
  uint64_t sequence = 0;
  uint64_t stripe = 0;
};

// Queues a granted range whose lease has ended: what of it is referenced stays.
absl::Status QueueRange(Transaction& txn, StripeSpan range);
// Queues a run whose last reference has gone.
absl::Status QueueRun(Transaction& txn, StripeSpan run, uint64_t length_bytes,
                      const google::protobuf::RepeatedField<uint32_t>& groups);

// Items from `from` on, of the entries below `below_sequence`, oldest first, with at most about
// `limit` spans in all. Looks at a bounded number of references, so an item may end before its
// entry does.
absl::StatusOr<std::vector<ReclaimItem>> CollectReclaimable(const Transaction& txn,
                                                            ReclaimPosition from,
                                                            uint64_t below_sequence, size_t limit);
// Shortens or deletes the entries. Unknown ones are done already.
absl::Status FinishReclaim(Transaction& txn, const disk::FinishReclaim& request);

}  // namespace cairn
