// How keys are written. Numbers are big endian, so that byte order is numeric order; what is
// scanned together shares a prefix. On disk: changing anything here needs a new format version
// (tests/compat pins every key).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/ids.h"

namespace cairn {

enum class Counter : uint8_t;

std::string U64(uint64_t number);
// The first key after all that start with `prefix`. REQUIRES: some byte of it is not 0xff.
std::string PrefixEnd(std::string_view prefix);

// system
std::string SystemKey();
std::string ClusterMapKey();
std::string CounterKey(Counter counter);
// Written for its durability alone.
std::string SyncMarkKey();

// inode
std::string InodeKey(InodeId inode);

// dentry: parent, name, and "/" after the name of a directory, so that a scan yields S3's byte
// order.
std::string DentryPrefix(InodeId parent);
std::string FileDentryKey(InodeId parent, std::string_view name);
std::string DirectoryDentryKey(InodeId parent, std::string_view name);
// The name as it is in a dentry key, "/" and all. REQUIRES: it is a dentry key.
std::string_view DentryKeyName(std::string_view key);

// extent: inode, offset in the file.
std::string ExtentPrefix(InodeId inode);
std::string ExtentKey(InodeId inode, uint64_t offset_bytes);

// stripe_run: the first stripe.
std::string StripeRunKey(uint64_t first_stripe);

// checkpoint: 'i' and the inode of the directory; 'c', parent and commit sequence for the order of
// commits; 'p', parent and name of what is pinned or leads to a pin.
std::string CheckpointKey(InodeId inode);
std::string CheckpointIndexPrefix(InodeId parent);
std::string CheckpointIndexKey(InodeId parent, uint64_t commit_sequence);
std::string PinPrefix(InodeId parent);
std::string PinKey(InodeId parent, std::string_view name);

// attempt: parent and name of the checkpoint, as in a dentry key.
std::string AttemptPrefix(InodeId parent);
std::string AttemptKey(InodeId parent, std::string_view name);

// attempt_rank: attempt, then 'b' and a chunk of the bitmap of done ranks, or 'r' and a rank.
std::string RankPrefix(AttemptId attempt);
std::string RankKey(AttemptId attempt, uint32_t rank);
std::string RankBitmapKey(AttemptId attempt, uint32_t chunk);

// lease
std::string LeaseKey(LeaseId lease);

// policy: 'b' and a bucket's inode; 'r' or 'u' and a directory's inode; 't' and a tier's name; 'p'
// and the inode of a directory that has a tier policy.
std::string BucketKey(InodeId bucket);
std::string RetentionKey(InodeId directory);
std::string UsageKey(InodeId directory);
std::string TierPrefix();
std::string TierPolicyPrefix();
std::string TierPolicyKey(InodeId directory);
std::string TierKey(std::string_view name);

// pending_free, cleanup: order of arrival.
std::string SequenceKey(uint64_t sequence);

// request: 'q', client and sequence; 'o' and the order of arrival.
std::string RequestKey(uint64_t client, uint64_t sequence);
std::string RequestOrderKey(uint64_t order);

// cold: 'o' and an object's id; 'p' and the id of one that is planned; 'g' and the id of one
// without a live byte, 'm' when it is a manifest; 'x' and the id of one with few; 'f', the id
// that another cluster gave one, and that cluster's; 'r' and the first stripe of a run; 'k', an
// object's id, and the first stripe of a run that has parts in it; 'u' and a tier's name.
std::string ColdObjectRecordKey(uint64_t object);
std::string ColdPlannedKey(uint64_t object);
std::string ColdGarbageKey(uint64_t object);
std::string ColdRunKey(uint64_t first_stripe);
std::string ColdManifestGarbageKey(uint64_t object);
std::string ColdSparseKey(uint64_t object);
std::string ColdForeignKey(uint64_t object, std::string_view cluster_id);
std::string ColdPartPrefix(uint64_t object);
std::string ColdPartKey(uint64_t object, uint64_t first_stripe);
std::string ColdUsageKey(std::string_view tier);

// tier: 's' and the inode of a subject; 'n' and the order of one that is due now; 'd', when it is
// due, and its inode; 'w', priority, since when, and the inode of one for which a step waits; 'h',
// the inode of a policy's directory, order, and the inode of one that may be let go of when space
// is short; 'i' and an inode under import.
std::string TierSubjectKey(InodeId inode);
std::string TierDueNowKey(uint64_t order);
std::string TierDueKey(int64_t due_ns, InodeId inode);
std::string TierStepKey(uint32_t priority, int64_t since_ns, InodeId inode);
std::string TierSparePrefix(uint64_t policy);
std::string TierSpareKey(uint64_t policy, int64_t order_ns, InodeId inode);
std::string TierImportKey(InodeId inode);

// link: 'l', inode, parent and name of another name of a file than the one in its record; 'o' and
// the inode of an orphan.
std::string LinkPrefix(InodeId inode);
std::string LinkKey(InodeId inode, InodeId parent, std::string_view name);
std::string OrphanKey(InodeId inode);

// Takes keys apart. Every function returns false, and moves nothing, when too little is left.
class KeyReader {
 public:
  explicit KeyReader(std::string_view key) : rest_(key) {}
  bool ReadU64(uint64_t* number);
  bool ReadU32(uint32_t* number);
  bool ReadByte(char* byte);
  std::string_view rest() const { return rest_; }
  bool empty() const { return rest_.empty(); }

 private:
  std::string_view rest_;
};

}  // namespace cairn
