#include "server/chunk/chunk_index.h"

#include <utility>

#include "common/base/status_macros.h"

namespace cairn {
namespace {

constexpr ColumnFamily kFragments = 0;
constexpr ColumnFamily kIdentity = 1;
constexpr char kIdentityKey[] = "target";

absl::Status NoFragmentKey() {
  return absl::DataLossError("the index holds a key that is no fragment's");
}

absl::StatusOr<ChunkIndex::Entry> DecodeEntry(const KvIterator& at) {
  const std::optional<FragmentKey> key = DecodeFragmentKey(at.key());
  if (!key) return NoFragmentKey();
  ASSIGN_OR_RETURN(IndexRecord record, DecodeIndexRecord(*key, at.value()));
  return ChunkIndex::Entry{*key, std::move(record)};
}

absl::StatusOr<HeldFragment> Describe(const FragmentKey& key, std::string_view encoded) {
  const absl::StatusOr<IndexRecord> record = DecodeIndexRecord(key, encoded);
  if (absl::IsDataLoss(record.status())) return HeldFragment{key, {}, 0, true};
  RETURN_IF_ERROR(record.status());
  return HeldFragment{key, record->lease, record->length_bytes, false};
}

}  // namespace

absl::StatusOr<std::optional<IndexIdentity>> ChunkIndex::LoadIdentity() {
  ASSIGN_OR_RETURN(const std::optional<std::string> encoded, kv_.Get(kIdentity, kIdentityKey));
  if (!encoded) return std::nullopt;
  ASSIGN_OR_RETURN(const IndexIdentity identity, DecodeIndexIdentity(*encoded));
  return identity;
}

absl::Status ChunkIndex::StoreIdentity(TargetId target, const TargetUuid& uuid) {
  KvBatch batch;
  batch.Put(kIdentity, kIdentityKey, EncodeIndexIdentity(target, uuid));
  return kv_.Write(batch, KvDurability::kSynced);
}

absl::StatusOr<std::optional<IndexRecord>> ChunkIndex::Find(const FragmentKey& key) {
  ASSIGN_OR_RETURN(const std::optional<std::string> encoded,
                   kv_.Get(kFragments, EncodeFragmentKey(key)));
  if (!encoded) return std::nullopt;
  ASSIGN_OR_RETURN(IndexRecord record, DecodeIndexRecord(key, *encoded));
  return std::optional<IndexRecord>(std::move(record));
}

absl::StatusOr<std::vector<FragmentKey>> ChunkIndex::FindMissing(std::span<const FragmentKey> keys,
                                                                 size_t limit) {
  std::vector<FragmentKey> missing;
  for (const FragmentKey& key : keys) {
    if (missing.size() == limit) break;
    ASSIGN_OR_RETURN(const std::optional<IndexRecord> record, Find(key));
    if (!record) missing.push_back(key);
  }
  return missing;
}

absl::Status ChunkIndex::Add(std::span<const Entry* const> entries) {
  KvBatch batch;
  for (const Entry* entry : entries) {
    batch.Put(kFragments, EncodeFragmentKey(entry->key),
              EncodeIndexRecord(entry->key, entry->record));
  }
  return kv_.Write(batch, KvDurability::kSynced);
}

absl::StatusOr<ChunkIndex::Removed> ChunkIndex::Remove(std::span<const FragmentKey> keys) {
  KvBatch batch;
  Removed removed;
  for (const FragmentKey& key : keys) {
    absl::StatusOr<std::optional<IndexRecord>> record = Find(key);
    if (absl::IsDataLoss(record.status())) {
      removed.damaged.push_back(record.status());
      continue;
    }
    RETURN_IF_ERROR(record.status());
    if (!record->has_value()) continue;
    batch.Delete(kFragments, EncodeFragmentKey(key));
    removed.entries.push_back({key, **std::move(record)});
  }
  if (!batch.empty()) RETURN_IF_ERROR(kv_.Write(batch, KvDurability::kSynced));
  return removed;
}

absl::StatusOr<std::vector<FragmentKey>> ChunkIndex::List(FragmentKey from, StripeId end,
                                                          size_t limit) {
  std::vector<FragmentKey> keys;
  const auto at = kv_.NewIterator(kFragments, EncodeFragmentKey({.stripe = end}));
  for (at->Seek(EncodeFragmentKey(from)); at->Valid() && keys.size() < limit; at->Next()) {
    const std::optional<FragmentKey> key = DecodeFragmentKey(at->key());
    if (!key) return NoFragmentKey();
    keys.push_back(*key);
  }
  RETURN_IF_ERROR(at->status());
  return keys;
}

absl::StatusOr<std::vector<HeldFragment>> ChunkIndex::ListHeld(FragmentKey from, StripeId end,
                                                               size_t limit) {
  std::vector<HeldFragment> held;
  const auto at = kv_.NewIterator(kFragments, EncodeFragmentKey({.stripe = end}));
  for (at->Seek(EncodeFragmentKey(from)); at->Valid() && held.size() < limit; at->Next()) {
    const std::optional<FragmentKey> key = DecodeFragmentKey(at->key());
    if (!key) return NoFragmentKey();
    ASSIGN_OR_RETURN(held.emplace_back(), Describe(*key, at->value()));
  }
  RETURN_IF_ERROR(at->status());
  return held;
}

absl::StatusOr<std::vector<HeldFragment>> ChunkIndex::FindHeld(std::span<const FragmentKey> keys) {
  std::vector<HeldFragment> held;
  for (const FragmentKey& key : keys) {
    ASSIGN_OR_RETURN(const std::optional<std::string> encoded,
                     kv_.Get(kFragments, EncodeFragmentKey(key)));
    if (!encoded) continue;
    ASSIGN_OR_RETURN(held.emplace_back(), Describe(key, *encoded));
  }
  return held;
}

absl::Status ChunkIndex::ForEach(
    const std::function<absl::Status(const FragmentKey&, const IndexRecord&)>& visit) {
  const auto at = kv_.NewIterator(kFragments, "");
  for (at->Seek(""); at->Valid(); at->Next()) {
    ASSIGN_OR_RETURN(const Entry entry, DecodeEntry(*at));
    RETURN_IF_ERROR(visit(entry.key, entry.record));
  }
  return at->status();
}

}  // namespace cairn
