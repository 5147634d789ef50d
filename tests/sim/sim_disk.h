// The simulated disk: an image of what is durable, and the writes that are not yet. A power cut
// keeps a random part of those, torn at sectors, in any order; reads and writes can fail, rot, or
// go to the wrong place.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "absl/time/time.h"
#include "common/base/random.h"
#include "common/base/units.h"
#include "server/disk/disk.h"

namespace cairn {

// Not thread-safe; operations take a few steps of the current executor, in which others overtake
// them. Outlives its owner, so that a restarted owner finds what survived.
class SimDisk final : public Disk {
 public:
  SimDisk(uint64_t size_bytes, uint64_t seed);
  ~SimDisk() override;

  uint64_t size_bytes() const override { return live_.size(); }
  uint64_t block_bytes() const override { return 4 * kKiB; }
  Task<absl::Status> Write(uint64_t offset_bytes, ConstBytes data) override;
  Task<absl::Status> Read(uint64_t offset_bytes, MutableBytes data) override;
  Task<absl::Status> Flush() override;

  // The power goes: what was not flushed survives in parts chosen by `seed`. Operations under way,
  // and all that come before PowerOn(), fail with UNAVAILABLE.
  void Crash(uint64_t seed);
  void PowerOn() { powered_ = true; }

  // Fault injection. Each is for the next operation of its kind, after `skip` good ones.
  enum class Kind { kWrite, kRead, kFlush };
  // A failed write has written any part of its bytes. After a failed flush, what was not durable
  // survives only by chance, and no later flush changes that.
  void FailNext(Kind kind, absl::Status error, int skip = 0);
  // As FailNext(), for all of its kind until the power is cut: a device that is dying.
  void FailEvery(Kind kind, absl::Status error);
  // The next write goes to `offset_bytes` instead of its place, and reports success.
  void MisdirectNextWrite(uint64_t offset_bytes);
  // Of faults that were asked for, those that have not happened yet do not happen any more.
  void Disarm();
  // Bit rot.
  void FlipBit(uint64_t offset_bytes, int bit);
  // A slow device: each operation takes so long more. Zero: none.
  void SetDelay(absl::Duration delay) { delay_ = delay; }
  // A lying device: writes and flushes report success and change nothing.
  void DropEverything(bool drop) { dropping_ = drop; }

  int64_t flushes() const { return flushes_; }
  int64_t reads() const { return reads_; }
  uint64_t bytes_read() const { return bytes_read_; }
  int64_t writes() const { return writes_; }
  // Faults that were injected and have happened.
  int64_t faults_fired() const { return faults_fired_; }
  // What a read would return. For tests that look behind the owner's back.
  ConstBytes live() const { return live_; }
  ConstBytes durable() const { return durable_; }

 private:
  struct Unsynced {
    uint64_t offset_bytes;
    std::vector<std::byte> data;
    bool completed = false;
  };
  struct Fault {
    absl::Status error;
    int skip = -1;  // -1: none planted
    bool every = false;
  };
  Task<void> SomeSteps();
  absl::Status TakeFault(Kind kind);
  void ApplyTorn(const Unsynced& write, Random& random);

  SeededRandom random_;
  std::vector<std::byte> live_;
  std::vector<std::byte> durable_;
  // By number, in the order of submission: flushes and crashes take from it while writes are under
  // way.
  std::map<uint64_t, Unsynced> unsynced_;
  uint64_t next_write_ = 0;
  Fault faults_[3];
  int64_t misdirect_to_ = -1;
  bool dropping_ = false;
  absl::Duration delay_;
  bool powered_ = true;
  uint64_t power_cycles_ = 0;
  int64_t under_way_ = 0;
  int64_t flushes_ = 0;
  int64_t reads_ = 0;
  uint64_t bytes_read_ = 0;
  int64_t writes_ = 0;
  int64_t faults_fired_ = 0;
};

}  // namespace cairn
