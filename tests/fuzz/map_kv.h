// The plainest Kv there is, for fuzzing: a map a family, nothing lost, no copies for snapshots.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/kv/kv.h"

namespace cairn {

// An iterator is valid until the next write.
class MapKv final : public Kv {
 public:
  explicit MapKv(size_t families) : families_(families) {}

  absl::StatusOr<std::optional<std::string>> Get(ColumnFamily family,
                                                 std::string_view key) override {
    const auto found = families_.at(family).find(key);
    if (found == families_.at(family).end()) return std::nullopt;
    return found->second;
  }
  std::unique_ptr<KvIterator> NewIterator(ColumnFamily family, std::string_view end) override {
    return std::make_unique<Iterator>(families_.at(family), end);
  }
  absl::Status Write(const KvBatch& batch, KvDurability durability) override {
    for (const KvBatch::Entry& entry : batch.entries()) {
      Family& family = families_.at(entry.family);
      if (entry.op == KvBatch::Op::kPut) family[entry.key] = entry.value;
      if (entry.op == KvBatch::Op::kDelete) family.erase(entry.key);
      if (entry.op == KvBatch::Op::kDeleteRange) {
        family.erase(family.lower_bound(entry.key), family.lower_bound(entry.value));
      }
    }
    return absl::OkStatus();
  }

 private:
  using Family = std::map<std::string, std::string, std::less<>>;
  class Iterator final : public KvIterator {
   public:
    Iterator(const Family& family, std::string_view end)
        : family_(family), end_(end.empty() ? family.end() : family.lower_bound(end)), at_(end_) {}
    void Seek(std::string_view key) override { at_ = Within(family_.lower_bound(key), key); }
    void SeekForPrev(std::string_view key) override {
      at_ = Within(family_.upper_bound(key), key);
      Prev();
    }
    bool Valid() const override { return at_ != end_; }
    void Next() override { ++at_; }
    void Prev() override { at_ = at_ == family_.begin() ? end_ : std::prev(at_); }
    std::string_view key() const override { return at_->first; }
    std::string_view value() const override { return at_->second; }
    absl::Status status() const override { return absl::OkStatus(); }

   private:
    Family::const_iterator Within(Family::const_iterator found, std::string_view key) const {
      const bool is_behind = end_ != family_.end() && key >= end_->first;
      return is_behind ? end_ : found;
    }

    const Family& family_;
    const Family::const_iterator end_;
    Family::const_iterator at_;
  };
  std::vector<Family> families_;
};

}  // namespace cairn
