// What the target's tests share: one target on a simulated disk and store, and fragments whose
// content follows from their key, so that any read can be checked without remembering bytes.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/base/crc32c.h"
#include "common/base/random.h"
#include "server/chunk/target.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_executor.h"
#include "tests/sim/sim_kv.h"

namespace cairn {

struct FreeDeleter {
  void operator()(std::byte* bytes) const { std::free(bytes); }
};

// Aligned for direct I/O, as slabs are.
class TestSlab {
 public:
  explicit TestSlab(size_t size)
      : memory_(static_cast<std::byte*>(std::aligned_alloc(kUnitBytes, AlignUp(size, kUnitBytes)))),
        size_(AlignUp(size, kUnitBytes)) {
    std::memset(memory_.get(), 0, size_);
  }
  MutableBytes bytes() const { return {memory_.get(), size_}; }

 private:
  std::unique_ptr<std::byte, FreeDeleter> memory_;
  size_t size_;
};

// A fragment's content.
inline void FillContent(uint64_t stripe, MutableBytes content) {
  SeededRandom random(stripe * 7919 + 1);
  for (size_t i = 0; i < content.size(); i += 8) {
    const uint64_t word = random.Next();
    std::memcpy(content.data() + i, &word, std::min<size_t>(8, content.size() - i));
  }
}
inline std::vector<uint32_t> CrcsOf(ConstBytes content) {
  BlockCrcs crcs;
  crcs.Add(content);
  return crcs.Finish();
}

inline FragmentKey Key(uint64_t stripe, uint32_t index = 0) { return {StripeId(stripe), index}; }
inline FragmentRun Stripes(uint64_t first, uint32_t count = 1, uint32_t stride = 1) {
  return {StripeId(first), count, stride, 0};
}

class TargetWorld {
 public:
  static constexpr uint64_t kDeviceBytes = 16 * kMiB;

  explicit TargetWorld(uint64_t seed = 1, uint64_t device_bytes = kDeviceBytes)
      : executor(seed), disk(device_bytes, seed), store(2), random(seed) {}
  ~TargetWorld() { Close(); }

  absl::Status Open(std::string cluster = "cluster-a", uint32_t id = 7) {
    auto opened = executor.Run(
        Target::Open({std::move(cluster), TargetId(id)}, *disk_seen, *store_seen, runner, random));
    if (!opened.ok()) return opened.status();
    target = *std::move(opened);
    return absl::OkStatus();
  }
  void Close() {
    if (target == nullptr) return;
    executor.Run(target->Close());
    target.reset();
  }
  void Crash(uint64_t seed) {
    disk.Crash(seed);
    store.Crash(seed);
  }
  absl::Status Restart() {
    executor.RunUntilIdle();
    Close();
    disk.PowerOn();
    store.PowerOn();
    return Open();
  }
  // A power cut, and a restart on what survived it.
  absl::Status CrashAndOpen(uint64_t seed) {
    Crash(seed);
    return Restart();
  }

  absl::Status Write(uint64_t stripe, uint64_t length, uint64_t lease = 1) {
    return executor.Run(WriteTask(*target, stripe, length, lease));
  }
  static Task<absl::Status> WriteTask(Target& target, uint64_t stripe, uint64_t length,
                                      uint64_t lease) {
    const TestSlab slab(length);
    FillContent(stripe, slab.bytes().first(length));
    std::vector<uint32_t> crcs = CrcsOf(slab.bytes().first(length));
    const absl::Status written =
        co_await target.Write(Key(stripe), LeaseId(lease), slab.bytes(), length, std::move(crcs));
    co_return written;
  }
  absl::StatusOr<std::vector<StripeId>> Seal(std::vector<FragmentRun> runs, uint64_t lease = 1) {
    return executor.Run(target->Seal(LeaseId(lease), std::move(runs)));
  }
  // OK when nothing is missing.
  absl::Status SealAll(std::vector<FragmentRun> runs, uint64_t lease = 1) {
    const auto missing = Seal(std::move(runs), lease);
    if (!missing.ok()) return missing.status();
    return missing->empty() ? absl::OkStatus() : absl::NotFoundError("stripes are missing");
  }
  absl::Status Free(std::vector<FragmentRun> runs) {
    return executor.Run(target->Free(std::move(runs)));
  }

  // Reads a range and checks bytes and piece checksums against the content. DATA_LOSS also when a
  // checksum does not match the bytes, as the client would find.
  absl::Status Read(uint64_t stripe, uint64_t offset, uint64_t length, uint64_t whole_length) {
    const TestSlab slab(4 * kMiB);
    const auto read = executor.Run(target->Read(Key(stripe), offset, length, slab.bytes()));
    if (!read.ok()) return read.status();
    return CheckRead(*read, stripe, offset, length, whole_length);
  }
  static absl::Status CheckRead(const Target::ReadResult& read, uint64_t stripe, uint64_t offset,
                                uint64_t length, uint64_t whole_length) {
    if (read.bytes.size() != length) return absl::InternalError("the read has another length");
    size_t piece = 0;
    for (uint64_t at = offset; at < offset + length; ++piece) {
      const uint64_t end = std::min(AlignDown(at, kBlockBytes) + kBlockBytes, offset + length);
      if (piece >= read.piece_crcs.size()) return absl::InternalError("too few piece checksums");
      if (Crc32c(read.bytes.subspan(at - offset, end - at)) != read.piece_crcs[piece]) {
        return absl::DataLossError("a piece does not match its checksum");
      }
      at = end;
    }
    if (piece != read.piece_crcs.size()) return absl::InternalError("too many piece checksums");
    std::vector<std::byte> content(whole_length);
    FillContent(stripe, content);
    if (std::memcmp(content.data() + offset, read.bytes.data(), length) != 0) {
      return absl::InternalError("wrong bytes with right checksums");
    }
    return absl::OkStatus();
  }
  absl::Status ReadAll(uint64_t stripe, uint64_t length) { return Read(stripe, 0, length, length); }

  // The sum of all parts is the capacity.
  ::testing::AssertionResult SpaceAddsUp() const {
    const Target::Usage usage = target->usage();
    const uint64_t sum = usage.used + usage.pending + usage.held + usage.bad + usage.free;
    if (sum == usage.capacity) return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure()
           << usage.used << " used + " << usage.pending << " pending + " << usage.held << " held + "
           << usage.bad << " bad + " << usage.free << " free is not " << usage.capacity;
  }

  SimExecutor executor;
  SimBlockingRunner runner;
  SimDisk disk;
  SimKv store;
  // What the target is given: these, or what a test puts before them.
  Disk* disk_seen = &disk;
  Kv* store_seen = &store;
  SeededRandom random;
  std::unique_ptr<Target> target;
};

}  // namespace cairn
