// The simulated key-value store: a map per column family and a log of the batches that are not
// durable yet. A power cut keeps a random prefix of that log, as a file-backed log does; errors are
// injected.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "server/kv/kv.h"

namespace cairn {

// Not thread-safe. Outlives the Kv's owner, so that a restarted owner finds what survived.
class SimKv final : public Kv {
 public:
  explicit SimKv(size_t families) : durable_(families), live_(families) {}

  absl::StatusOr<std::optional<std::string>> Get(ColumnFamily family,
                                                 std::string_view key) override;
  std::unique_ptr<KvIterator> NewIterator(ColumnFamily family, std::string_view end) override;
  absl::Status Write(const KvBatch& batch, KvDurability durability) override;

  // The power goes: of the unsynced batches a prefix chosen by `seed` survives, and every call
  // fails with UNAVAILABLE until PowerOn().
  void Crash(uint64_t seed);
  void PowerOn() {
    powered_ = true;
    failed_ = false;
  }

  // The write after `writes` more fails with `error`, and so does everything afterwards, as
  // RocksDB's refusal does. What that batch held may or may not survive a crash.
  void FailWriteAfter(int writes, absl::Status error) {
    fail_after_ = writes;
    write_error_ = std::move(error);
  }
  // The write after `skip` good ones is refused and changes nothing; the store goes on.
  void RefuseNextWrite(absl::Status error, int skip = 0) {
    refusal_ = std::move(error);
    refuse_after_ = skip;
  }
  // How full the filesystem is, as RocksKv judges it before a write.
  enum class Space {
    kRoom,
    kReserve,  // only what frees space may add something
    kNone,     // nothing may
  };
  void set_space(Space space) { space_ = space; }
  void FailNextGet(absl::Status error) { get_error_ = std::move(error); }
  // Bit rot behind the store's own checksums.
  void Overwrite(ColumnFamily family, const std::string& key, std::string value);

  int64_t synced_writes() const { return synced_writes_; }
  size_t unsynced_batches() const { return unsynced_.size(); }
  const std::map<std::string, std::string, std::less<>>& family(ColumnFamily family) const {
    return live_[family];
  }

 private:
  using Family = std::map<std::string, std::string, std::less<>>;
  static void Apply(const KvBatch& batch, std::vector<Family>& families);
  absl::Status Refusal() const;
  absl::Status CheckSpace(const KvBatch& batch) const;

  std::vector<Family> durable_;
  std::vector<Family> live_;
  std::deque<KvBatch> unsynced_;
  bool powered_ = true;
  bool failed_ = false;
  int fail_after_ = -1;
  absl::Status write_error_;
  absl::Status refusal_;
  Space space_ = Space::kRoom;
  int refuse_after_ = -1;  // -1: none planted
  absl::Status get_error_;
  int64_t synced_writes_ = 0;
};

}  // namespace cairn
