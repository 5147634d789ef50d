// The plainest Kv there is, for fuzzing: a map a family, nothing lost, no copies for snapshots.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
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
  std::unique_ptr<KvIterator> NewIterator(ColumnFamily family) override {
    return std::make_unique<Iterator>(families_.at(family));
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
    explicit Iterator(const Family& family) : family_(family), at_(family.end()) {}
    void Seek(std::string_view key) override { at_ = family_.lower_bound(key); }
    void SeekForPrev(std::string_view key) override {
      at_ = family_.upper_bound(key);
      at_ = at_ == family_.begin() ? family_.end() : std::prev(at_);
    }
    bool Valid() const override { return at_ != family_.end(); }
    void Next() override { ++at_; }
    void Prev() override { at_ = at_ == family_.begin() ? family_.end() : std::prev(at_); }
    std::string_view key() const override { return at_->first; }
    std::string_view value() const override { return at_->second; }
    absl::Status status() const override { return absl::OkStatus(); }

   private:
    const Family& family_;
    Family::const_iterator at_;
  };
  std::vector<Family> families_;
};

}  // namespace cairn
