// Extents of files: checking what clients claim, storing it, and letting it go.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/ids.h"
#include "proto/disk/meta.pb.h"
#include "proto/wire/meta.pb.h"
#include "server/meta/transaction.h"

namespace cairn {

using GrantedRanges = google::protobuf::RepeatedPtrField<disk::IdRange>;
using WireExtents = google::protobuf::RepeatedPtrField<wire::ExtentRun>;

// A 4 MiB stripe is usual; beyond this nothing would fit a slab.
inline constexpr uint32_t kMaxStripeBytes = 64 << 20;
inline constexpr int kMaxGroupsPerRun = 1024;

// Whether files have stripes of what was granted. kUnused saves looking for the first run's.
enum class Grants { kUnused, kPerhapsUsed };

// Adds `extents` to a file whose content so far is `offset_bytes` long, with one reference to each
// of their stripes; returns the new length. Costs the number of runs, not of stripes.
// INVALID_ARGUMENT when they do not continue the file, disagree with themselves, or use a stripe
// that was not granted or is used already; says which.
absl::StatusOr<uint64_t> AddExtents(Transaction& txn, InodeId inode, uint64_t offset_bytes,
                                    const WireExtents& extents, const GrantedRanges& granted,
                                    Grants use = Grants::kPerhapsUsed);

// What is kept of a file's extents beside them.
struct ExtentCounts {
  uint64_t inline_bytes = 0;
  uint64_t hole_bytes = 0;
  uint64_t extents = 0;
  uint64_t partial = 0;  // of them, those that are a part of their run
};
// By looking at all of them.
absl::StatusOr<ExtentCounts> CountExtents(const Transaction& txn, InodeId inode);

// An extent that carries its bytes has so many at most, and a file so many in such.
inline constexpr uint64_t kInlineExtentBytesMax = 32 << 10;
inline constexpr uint64_t kInlineFileBytesMax = 64 << 20;

// OK when the extents could take the place of what a file has there: in order, none overlapping
// another, each a whole run, or bytes, or a hole. INVALID_ARGUMENT says what is wrong.
absl::Status CheckReplacement(const WireExtents& extents);
// The extents, whose offsets count from `base_bytes`, take the place of what the file has there.
// REQUIRES: CheckReplacement(), and the file reaches to where the first begins. RESOURCE_EXHAUSTED:
// the file consists of too many pieces there. EREMOTE: some of what would be cut is in a cold tier
// alone.
absl::Status ReplaceExtents(Transaction& txn, InodeId inode, uint64_t base_bytes,
                            const WireExtents& extents, const GrantedRanges& granted,
                            ExtentCounts* counts);
// The file ends at `end_bytes` from now on; what is new of it is a hole.
absl::Status ResizeExtents(Transaction& txn, InodeId inode, uint64_t size_bytes, uint64_t end_bytes,
                           ExtentCounts* counts);
// As a client is told.
wire::ExtentRun ToWireExtent(uint64_t offset_bytes, const disk::ExtentRecord& extent);

// The file has just these, among others.
absl::StatusOr<bool> HasExtents(const Transaction& txn, InodeId inode, const WireExtents& extents);

// Removes up to `*budget` extents of a file and queues the stripes that lose their last reference
// for reclaim; what lay of them in cold tiers is not referred to any more. Takes what it did off
// the budget; the file has no extents left when some budget is.
absl::Status ReleaseExtents(Transaction& txn, InodeId inode, size_t* budget);

// Takes `count` new stripe ids into `granted`, next to its last range where they follow it.
// RESOURCE_EXHAUSTED when the holder has too many ranges.
absl::StatusOr<wire::StripeRange> GrantStripes(Transaction& txn, uint64_t wanted,
                                               GrantedRanges* granted);

// What a rank or a file gets that does not say: 16 TiB in stripes of 4 MiB, more than either holds.
// Ids cost nothing: at 10,000 ranks a minute, 64 bits of them last for centuries.
inline constexpr uint64_t kDefaultGrant = 1 << 22;
inline constexpr uint64_t kMaxGrant = 1 << 24;
// Bounds the record of a rank. Ranges that follow each other count once.
inline constexpr int kMaxGrantedRanges = 64;

}  // namespace cairn
