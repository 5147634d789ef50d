#include "server/meta/transaction.h"

#include <algorithm>

#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "server/meta/keys.h"

namespace cairn {
namespace {

// Of a family: what 512 commands have in common and what each has of its own.
constexpr size_t kReadsKept = 4096;

}  // namespace

absl::StatusOr<std::optional<std::string>> Transaction::Get(ColumnFamily family,
                                                            std::string_view key) const {
  const Overlay& overlay = overlays_[family];
  if (const auto found = overlay.find(key); found != overlay.end()) return found->second;
  Reads& reads = reads_[family];
  const absl::string_view name = ToAbsl(key);
  if (const auto read = reads.find(name); read != reads.end()) return read->second;
  absl::StatusOr<std::optional<std::string>> value = kv_->Get(family, key);
  RETURN_IF_ERROR(Note(value.status()));
  if (reads.size() < kReadsKept) reads.try_emplace(name, *value);
  return value;
}

absl::Status Transaction::Note(absl::Status status) const {
  store_error_.Update(status);
  return status;
}

void Transaction::Put(ColumnFamily family, std::string_view key, std::string value) {
  Change(family, key, std::move(value));
}

void Transaction::Delete(ColumnFamily family, std::string_view key) {
  Change(family, key, std::nullopt);
}

void Transaction::Change(ColumnFamily family, std::string_view key,
                         std::optional<std::string> value) {
  Overlay& overlay = overlays_[family];
  const auto found = overlay.find(key);
  if (found == overlay.end()) {
    undo_.push_back({family, std::string(key), false, std::nullopt});
    overlay.emplace(std::string(key), std::move(value));
  } else {
    undo_.push_back({family, std::string(key), true, std::move(found->second)});
    found->second = std::move(value);
  }
}

Transaction::Scan::Scan(const Transaction& txn, ColumnFamily family, std::string_view begin,
                        std::string_view end)
    : txn_(&txn), end_(end), base_(txn.kv_->NewIterator(family, end)) {
  base_->Seek(begin);
  const auto& overlay = txn.overlays_[family];
  overlay_ = overlay.lower_bound(begin);
  overlay_end_ = overlay.end();
  Settle();
}

void Transaction::Scan::Next() {
  if (!from_overlay_) {
    base_->Next();
  } else {
    if (BaseIn() && base_->key() == overlay_->first) base_->Next();
    ++overlay_;
  }
  Settle();
}

// Moves to the next entry that exists: the overlay's where both have the key, none where it says
// deleted.
void Transaction::Scan::Settle() {
  while (OverlayIn()) {
    if (BaseIn() && base_->key() < overlay_->first) break;
    if (overlay_->second.has_value()) {
      from_overlay_ = valid_ = true;
      return;
    }
    if (BaseIn() && base_->key() == overlay_->first) base_->Next();
    ++overlay_;
  }
  from_overlay_ = false;
  valid_ = BaseIn();
}

absl::StatusOr<std::optional<Transaction::KeyValue>> Transaction::FindLast(
    ColumnFamily family, std::string_view begin, std::string_view end) const {
  const Overlay& overlay = overlays_[family];
  const std::unique_ptr<KvIterator> base = kv_->NewIterator(family, end);
  base->SeekForPrev(end);
  auto above = overlay.lower_bound(end);
  for (;;) {
    const bool base_in = base->Valid() && base->key() >= begin;
    const bool overlay_in = above != overlay.begin() && std::prev(above)->first >= begin;
    if (!base_in) RETURN_IF_ERROR(Note(base->status()));
    if (!base_in && !overlay_in) return std::nullopt;
    if (!overlay_in || (base_in && base->key() > std::prev(above)->first)) {
      return KeyValue(base->key(), base->value());
    }
    --above;
    if (above->second.has_value()) return KeyValue(above->first, *above->second);
    if (base_in && base->key() == above->first) base->Prev();
  }
}

absl::StatusOr<uint64_t> Transaction::Read(Counter counter) const {
  ASSIGN_OR_RETURN(const std::optional<std::string> value, Get(kFamilySystem, CounterKey(counter)));
  const bool is_source = counter < Counter::kCheckpoints;
  if (!value.has_value()) return uint64_t{is_source ? 1u : 0u};
  KeyReader reader(*value);
  uint64_t number = 0;
  if (!reader.ReadU64(&number) || !reader.empty()) {
    return absl::DataLossError("metadata: a counter is damaged");
  }
  return number;
}

absl::StatusOr<uint64_t> Transaction::Add(Counter counter, uint64_t amount) {
  ASSIGN_OR_RETURN(const uint64_t before, Read(counter));
  if (amount > UINT64_MAX - before) return absl::ResourceExhaustedError("metadata: out of numbers");
  if (amount > 0) Put(kFamilySystem, CounterKey(counter), U64(before + amount));
  return before;
}

absl::Status Transaction::Raise(Counter counter, uint64_t value) {
  ASSIGN_OR_RETURN(const uint64_t before, Read(counter));
  if (value > before) Put(kFamilySystem, CounterKey(counter), U64(value));
  return absl::OkStatus();
}

absl::Status Transaction::Lower(Counter counter, uint64_t value) {
  ASSIGN_OR_RETURN(const uint64_t before, Read(counter));
  if (value < before) Put(kFamilySystem, CounterKey(counter), U64(value));
  return absl::OkStatus();
}

absl::Status Transaction::Subtract(Counter counter, uint64_t amount) {
  ASSIGN_OR_RETURN(const uint64_t before, Read(counter));
  if (amount > before) return absl::DataLossError("metadata: a count would fall below zero");
  if (amount > 0) Put(kFamilySystem, CounterKey(counter), U64(before - amount));
  return absl::OkStatus();
}

Transaction::Savepoint Transaction::Save() {
  undo_.clear();
  return Mark();
}

Transaction::Savepoint Transaction::Mark() const {
  return {undo_.size(),          effects_.granted_leases.size(), effects_.ended_leases.size(),
          effects_.saves.size(), effects_.touches.size(),        effects_.cleanup_queued};
}

void Transaction::RollBack(const Savepoint& point) {
  while (undo_.size() > point.changes) {
    Undo& last = undo_.back();
    Overlay& overlay = overlays_[last.family];
    const auto found = overlay.find(last.key);
    CAIRN_CHECK(found != overlay.end());
    if (last.was_in_overlay) {
      found->second = std::move(last.value);
    } else {
      overlay.erase(found);
    }
    undo_.pop_back();
  }
  effects_.granted_leases.resize(point.granted);
  effects_.ended_leases.resize(point.ended);
  effects_.saves.erase(effects_.saves.begin() + static_cast<ptrdiff_t>(point.saves),
                       effects_.saves.end());
  effects_.touches.resize(point.touches);
  effects_.cleanup_queued = point.cleanup_queued;
}

void Transaction::Touch(InodeId directory) {
  const Effects::Touch touch{directory, client_};
  if (effects_.touches.empty() || effects_.touches.back() != touch)
    effects_.touches.push_back(touch);
}

KvBatch Transaction::TakeBatch() {
  KvBatch batch;
  for (ColumnFamily family = 0; family < kMetaFamilyCount; ++family) {
    for (auto& [key, value] : overlays_[family]) {
      if (value.has_value()) {
        batch.Put(family, key, *value);
      } else {
        batch.Delete(family, key);
      }
    }
    overlays_[family].clear();
    reads_[family].clear();
  }
  undo_.clear();
  return batch;
}

bool Transaction::empty() const {
  return std::all_of(std::begin(overlays_), std::end(overlays_),
                     [](const Overlay& overlay) { return overlay.empty(); });
}

}  // namespace cairn
