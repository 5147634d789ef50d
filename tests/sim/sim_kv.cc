#include "tests/sim/sim_kv.h"

#include <iterator>
#include <utility>

#include "common/base/check.h"
#include "common/base/random.h"
#include "common/base/status_macros.h"

namespace cairn {
namespace {

// Walks a copy, which is what a snapshot means.
class SimIterator final : public KvIterator {
 public:
  using Family = std::map<std::string, std::string, std::less<>>;
  SimIterator(Family snapshot, absl::Status status)
      : snapshot_(std::move(snapshot)), at_(snapshot_.end()), status_(std::move(status)) {}
  void Seek(std::string_view key) override { at_ = snapshot_.lower_bound(key); }
  void SeekForPrev(std::string_view key) override {
    at_ = snapshot_.upper_bound(key);
    at_ = at_ == snapshot_.begin() ? snapshot_.end() : std::prev(at_);
  }
  bool Valid() const override { return at_ != snapshot_.end(); }
  void Next() override { ++at_; }
  void Prev() override { at_ = at_ == snapshot_.begin() ? snapshot_.end() : std::prev(at_); }
  std::string_view key() const override { return at_->first; }
  std::string_view value() const override { return at_->second; }
  absl::Status status() const override { return status_; }

 private:
  const Family snapshot_;
  Family::const_iterator at_;
  const absl::Status status_;
};

}  // namespace

absl::Status SimKv::Refusal() const {
  if (!powered_) return absl::UnavailableError("simulated: the power is off");
  if (failed_) return absl::FailedPreconditionError("simulated: the store has failed");
  return absl::OkStatus();
}

void SimKv::Apply(const KvBatch& batch, std::vector<Family>& families) {
  for (const KvBatch::Entry& entry : batch.entries()) {
    Family& family = families.at(entry.family);
    switch (entry.op) {
      case KvBatch::Op::kPut:
        family[entry.key] = entry.value;
        break;
      case KvBatch::Op::kDelete:
        family.erase(entry.key);
        break;
      case KvBatch::Op::kDeleteRange:
        family.erase(family.lower_bound(entry.key), family.lower_bound(entry.value));
        break;
    }
  }
}

absl::StatusOr<std::optional<std::string>> SimKv::Get(ColumnFamily family, std::string_view key) {
  RETURN_IF_ERROR(Refusal());
  RETURN_IF_ERROR(std::exchange(get_error_, absl::OkStatus()));
  const auto found = live_.at(family).find(key);
  if (found == live_.at(family).end()) return std::nullopt;
  return found->second;
}

std::unique_ptr<KvIterator> SimKv::NewIterator(ColumnFamily family, std::string_view end) {
  const absl::Status refusal = Refusal();
  if (!refusal.ok()) return std::make_unique<SimIterator>(Family(), refusal);
  const Family& all = live_.at(family);
  Family seen(all.begin(), end.empty() ? all.end() : all.lower_bound(end));
  return std::make_unique<SimIterator>(std::move(seen), absl::OkStatus());
}

absl::Status SimKv::Write(const KvBatch& batch, KvDurability durability) {
  RETURN_IF_ERROR(Refusal());
  if (refuse_after_ >= 0 && refuse_after_-- == 0) return std::exchange(refusal_, absl::OkStatus());
  RETURN_IF_ERROR(CheckSpace(batch));
  if (fail_after_ >= 0 && fail_after_-- == 0) {
    failed_ = true;
    // In the log or not: only a crash tells.
    unsynced_.push_back(batch);
    return write_error_;
  }
  Apply(batch, live_);
  unsynced_.push_back(batch);
  if (durability == KvDurability::kUnsynced) return absl::OkStatus();
  ++synced_writes_;
  for (const KvBatch& unsynced : unsynced_) Apply(unsynced, durable_);
  unsynced_.clear();
  return absl::OkStatus();
}

absl::Status SimKv::CheckSpace(const KvBatch& batch) const {
  if (space_ == Space::kRoom || !batch.adds()) return absl::OkStatus();
  if (space_ == Space::kReserve && batch.frees_space()) return absl::OkStatus();
  return absl::ResourceExhaustedError("the simulated filesystem is full");
}

void SimKv::Crash(uint64_t seed) {
  SeededRandom random(seed);
  const uint64_t kept = random.Below(unsynced_.size() + 1);
  for (uint64_t i = 0; i < kept; ++i) Apply(unsynced_[i], durable_);
  unsynced_.clear();
  live_ = durable_;
  powered_ = false;
  fail_after_ = -1;
  get_error_ = absl::OkStatus();
}

void SimKv::Overwrite(ColumnFamily family, const std::string& key, std::string value) {
  live_.at(family)[key] = value;
  durable_.at(family)[key] = std::move(value);
}

}  // namespace cairn
