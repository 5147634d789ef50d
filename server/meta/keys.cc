#include "server/meta/keys.h"

#include "common/base/check.h"

namespace cairn {
namespace {

void AppendU64(std::string& key, uint64_t number) {
  for (int shift = 56; shift >= 0; shift -= 8) key.push_back(static_cast<char>(number >> shift));
}

void AppendU32(std::string& key, uint32_t number) {
  for (int shift = 24; shift >= 0; shift -= 8) key.push_back(static_cast<char>(number >> shift));
}

std::string Tagged(char tag, uint64_t number) {
  std::string key(1, tag);
  AppendU64(key, number);
  return key;
}

std::string Tagged(char tag, uint64_t first, uint64_t second) {
  std::string key = Tagged(tag, first);
  AppendU64(key, second);
  return key;
}

std::string Pair(uint64_t a, uint64_t b) {
  std::string key = U64(a);
  AppendU64(key, b);
  return key;
}

}  // namespace

std::string U64(uint64_t number) {
  std::string key;
  AppendU64(key, number);
  return key;
}

std::string PrefixEnd(std::string_view prefix) {
  std::string end(prefix);
  while (!end.empty() && end.back() == '\xff') end.pop_back();
  CAIRN_CHECK(!end.empty());
  end.back() = static_cast<char>(static_cast<unsigned char>(end.back()) + 1);
  return end;
}

std::string SystemKey() { return "system"; }
std::string ClusterMapKey() { return "map"; }
std::string CounterKey(Counter counter) { return std::string("n") + static_cast<char>(counter); }

std::string SyncMarkKey() { return "synced"; }

std::string InodeKey(InodeId inode) { return U64(inode.value()); }

std::string DentryPrefix(InodeId parent) { return U64(parent.value()); }
std::string FileDentryKey(InodeId parent, std::string_view name) {
  return DentryPrefix(parent).append(name);
}
std::string DirectoryDentryKey(InodeId parent, std::string_view name) {
  return FileDentryKey(parent, name).append("/");
}
std::string_view DentryKeyName(std::string_view key) {
  CAIRN_CHECK(key.size() > 8);
  return key.substr(8);
}

std::string ExtentPrefix(InodeId inode) { return U64(inode.value()); }
std::string ExtentKey(InodeId inode, uint64_t offset_bytes) {
  return Pair(inode.value(), offset_bytes);
}

std::string StripeRunKey(uint64_t first_stripe) { return U64(first_stripe); }

std::string CheckpointKey(InodeId inode) { return Tagged('i', inode.value()); }
std::string CheckpointIndexPrefix(InodeId parent) { return Tagged('c', parent.value()); }
std::string CheckpointIndexKey(InodeId parent, uint64_t commit_sequence) {
  return CheckpointIndexPrefix(parent).append(U64(commit_sequence));
}
std::string PinPrefix(InodeId parent) { return Tagged('p', parent.value()); }
std::string PinKey(InodeId parent, std::string_view name) { return PinPrefix(parent).append(name); }

std::string AttemptPrefix(InodeId parent) { return U64(parent.value()); }
std::string AttemptKey(InodeId parent, std::string_view name) {
  return DirectoryDentryKey(parent, name);
}

std::string RankPrefix(AttemptId attempt) { return U64(attempt.value()); }
std::string RankKey(AttemptId attempt, uint32_t rank) {
  std::string key = RankPrefix(attempt).append("r");
  AppendU32(key, rank);
  return key;
}
std::string RankBitmapKey(AttemptId attempt, uint32_t chunk) {
  std::string key = RankPrefix(attempt).append("b");
  AppendU32(key, chunk);
  return key;
}

std::string LeaseKey(LeaseId lease) { return U64(lease.value()); }

std::string BucketKey(InodeId bucket) { return Tagged('b', bucket.value()); }
std::string RetentionKey(InodeId directory) { return Tagged('r', directory.value()); }
std::string UsageKey(InodeId directory) { return Tagged('u', directory.value()); }
std::string TierPrefix() { return "t"; }
std::string TierKey(std::string_view name) { return TierPrefix().append(name); }
std::string TierPolicyPrefix() { return "p"; }
std::string TierPolicyKey(InodeId directory) { return Tagged('p', directory.value()); }

std::string ColdObjectRecordKey(uint64_t object) { return Tagged('o', object); }
std::string ColdPlannedKey(uint64_t object) { return Tagged('p', object); }
std::string ColdGarbageKey(uint64_t object) { return Tagged('g', object); }
std::string ColdRunKey(uint64_t first_stripe) { return Tagged('r', first_stripe); }
std::string ColdManifestGarbageKey(uint64_t object) { return Tagged('m', object); }
std::string ColdSparseKey(uint64_t object) { return Tagged('x', object); }
std::string ColdForeignKey(uint64_t object, std::string_view cluster_id) {
  return Tagged('f', object).append(cluster_id);
}
std::string ColdPartPrefix(uint64_t object) { return Tagged('k', object); }
std::string ColdPartKey(uint64_t object, uint64_t first_stripe) {
  return Tagged('k', object, first_stripe);
}
std::string ColdUsageKey(std::string_view tier) { return std::string("u").append(tier); }

std::string TierSubjectKey(InodeId inode) { return Tagged('s', inode.value()); }
std::string TierDueNowKey(uint64_t order) { return Tagged('n', order); }
// Times before 1970 are a clock's fault, and sort last: nothing waits for them in vain.
std::string TierDueKey(int64_t due_ns, InodeId inode) {
  return Tagged('d', static_cast<uint64_t>(due_ns), inode.value());
}
std::string TierStepKey(uint32_t priority, int64_t since_ns, InodeId inode) {
  std::string key(1, 'w');
  AppendU32(key, priority);
  AppendU64(key, static_cast<uint64_t>(since_ns));
  AppendU64(key, inode.value());
  return key;
}
std::string TierSparePrefix(uint64_t policy) { return Tagged('h', policy); }
std::string TierSpareKey(uint64_t policy, int64_t order_ns, InodeId inode) {
  std::string key = Tagged('h', policy, static_cast<uint64_t>(order_ns));
  AppendU64(key, inode.value());
  return key;
}
std::string TierImportKey(InodeId inode) { return Tagged('i', inode.value()); }

std::string SequenceKey(uint64_t sequence) { return U64(sequence); }

std::string RequestKey(uint64_t client, uint64_t sequence) {
  return Tagged('q', client).append(U64(sequence));
}
std::string RequestOrderKey(uint64_t order) { return Tagged('o', order); }

std::string LinkPrefix(InodeId inode) { return "l" + U64(inode.value()); }
std::string LinkKey(InodeId inode, InodeId parent, std::string_view name) {
  return LinkPrefix(inode) + U64(parent.value()) + std::string(name);
}
std::string OrphanKey(InodeId inode) { return "o" + U64(inode.value()); }

bool KeyReader::ReadU64(uint64_t* number) {
  if (rest_.size() < 8) return false;
  *number = 0;
  for (size_t i = 0; i < 8; ++i) *number = *number << 8 | static_cast<unsigned char>(rest_[i]);
  rest_.remove_prefix(8);
  return true;
}

bool KeyReader::ReadU32(uint32_t* number) {
  if (rest_.size() < 4) return false;
  *number = 0;
  for (size_t i = 0; i < 4; ++i) *number = *number << 8 | static_cast<unsigned char>(rest_[i]);
  rest_.remove_prefix(4);
  return true;
}

bool KeyReader::ReadByte(char* byte) {
  if (rest_.empty()) return false;
  *byte = rest_[0];
  rest_.remove_prefix(1);
  return true;
}

}  // namespace cairn
