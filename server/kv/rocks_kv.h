// The key-value store on RocksDB: one database in one directory, one process. The metadata has one,
// and each target has one as its index. Everything RocksDB is inside rocks_kv.cc.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/units.h"
#include "server/kv/kv.h"

namespace cairn {

// Thread-safe. The first write error (or I/O error of a read) is final, but for the refusal that
// reserve_bytes describes: everything afterwards is refused with FAILED_PRECONDITION that names it,
// because what RocksDB's log holds is then unknown, and because Debian 12's build aborts the
// process when it is written to again.
class RocksKv final : public Kv {
 public:
  enum class Sync {
    kDurable,
    kUnsafeNoSync,  // kSynced writes are not: for tests that must see data lost
  };
  struct Options {
    // Made when missing, as are its parents.
    std::string directory;
    // ColumnFamily i is families[i]. Names are persistent. New ones are added to an existing store;
    // a store that has others was written by a newer version and is refused.
    std::vector<std::string> families;
    // Bounds block cache, indexes, filters and memtables together.
    uint64_t memory_bytes = 64 * kMiB;
    Sync sync = Sync::kDurable;
    // A batch that adds something is refused with RESOURCE_EXHAUSTED while less than this is free
    // on the filesystem, and one that frees space by what it adds while less than half of it is:
    // RocksDB itself cannot go on after it has met a full one. One half is room for the log and a
    // compaction's output, the other for thousands of removals.
    uint64_t reserve_bytes = 128 * kMiB;
  };

  // Blocks. FAILED_PRECONDITION: in use by another process (named), or written by a newer version.
  // DATA_LOSS: damaged; the message is RocksDB's. RESOURCE_EXHAUSTED: the filesystem is full.
  // UNAVAILABLE: I/O.
  static absl::StatusOr<std::unique_ptr<RocksKv>> Open(Options options);
  // Blocks until background work has ended. REQUIRES: no iterator is left.
  ~RocksKv() override;

  absl::StatusOr<std::optional<std::string>> Get(ColumnFamily family,
                                                 std::string_view key) override;
  std::unique_ptr<KvIterator> NewIterator(ColumnFamily family, std::string_view end) override;
  absl::Status Write(const KvBatch& batch, KvDurability durability) override;

 private:
  struct Impl;
  explicit RocksKv(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace cairn
