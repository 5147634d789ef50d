// The key-value seam: ordered keys in column families, atomic batches. The real one is RocksDB; the
// simulated one a map that loses unsynced batches in a crash. All calls may block: run them through
// a BlockingRunner.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace cairn {

// The index of a column family in the list given at opening.
using ColumnFamily = uint32_t;

// Mutations that become visible and durable together, applied in order.
class KvBatch {
 public:
  enum class Op : uint8_t { kPut, kDelete, kDeleteRange };
  struct Entry {
    Op op;
    ColumnFamily family;
    std::string key;
    std::string value;  // kPut: the value; kDeleteRange: the end key, not itself deleted
  };
  void Put(ColumnFamily family, std::string_view key, std::string_view value) {
    entries_.push_back({Op::kPut, family, std::string(key), std::string(value)});
  }
  void Delete(ColumnFamily family, std::string_view key) {
    entries_.push_back({Op::kDelete, family, std::string(key), {}});
  }
  void DeleteRange(ColumnFamily family, std::string_view begin, std::string_view end) {
    entries_.push_back({Op::kDeleteRange, family, std::string(begin), std::string(end)});
  }
  // What it adds serves to free more: it may use a reserve that other batches leave alone.
  void set_frees_space() { frees_space_ = true; }
  bool frees_space() const { return frees_space_; }
  bool adds() const {
    return std::any_of(entries_.begin(), entries_.end(),
                       [](const Entry& entry) { return entry.op == Op::kPut; });
  }

  const std::vector<Entry>& entries() const { return entries_; }
  bool empty() const { return entries_.empty(); }
  void Clear() { entries_.clear(); }

 private:
  bool frees_space_ = false;
  std::vector<Entry> entries_;
};

// A snapshot walk over one family in byte order of keys.
class KvIterator {
 public:
  virtual ~KvIterator() = default;
  virtual void Seek(std::string_view key) = 0;         // first key >= key
  virtual void SeekForPrev(std::string_view key) = 0;  // last key <= key
  virtual bool Valid() const = 0;
  virtual void Next() = 0;
  virtual void Prev() = 0;
  virtual std::string_view key() const = 0;    // until the next move
  virtual std::string_view value() const = 0;  // until the next move
  // Not OK when the walk ended because of an error. Check it when Valid() turns false.
  virtual absl::Status status() const = 0;
};

enum class KvDurability {
  kSynced,    // survives a power cut when Write() has returned
  kUnsynced,  // survives a crash of the process; lost with the machine until the next synced write
};

// Thread-safe. A first error other than NOT_FOUND is final for the store: the owner stops using it
// (RocksDB aborts when written to after a failed log write).
class Kv {
 public:
  virtual ~Kv() = default;
  // nullopt when there is no such key. Errors: DATA_LOSS (a checksum did not match), UNAVAILABLE
  // (I/O).
  virtual absl::StatusOr<std::optional<std::string>> Get(ColumnFamily family,
                                                         std::string_view key) = 0;
  // Keys from `end` on do not exist for the walk; an empty `end` is none. A walk without one steps
  // over whatever was deleted behind its last key.
  virtual std::unique_ptr<KvIterator> NewIterator(ColumnFamily family, std::string_view end) = 0;
  // RESOURCE_EXHAUSTED: there is little space left, nothing was written, and the store goes on: the
  // one error that is not final.
  virtual absl::Status Write(const KvBatch& batch, KvDurability durability) = 0;
};

}  // namespace cairn
