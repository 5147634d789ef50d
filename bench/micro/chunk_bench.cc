// The chunk engine on this machine's disk: allocator, index records, and whole writes, seals and
// reads through io_uring and RocksDB. The target is made in CAIRN_BENCH_DIR (default: the temporary
// directory), which should be on the device in question. Compare WriteAndSeal with fio: --rw=write
// --bs=4M --direct=1 --ioengine=io_uring --end_fsync=1.
#include <benchmark/benchmark.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/base/check.h"
#include "common/base/crc32c.h"
#include "common/base/random.h"
#include "common/buffer/slab_pool.h"
#include "common/reactor/blocking_pool.h"
#include "common/reactor/reactor.h"
#include "common/task/scope.h"
#include "server/chunk/extent_allocator.h"
#include "server/chunk/index_record.h"
#include "server/chunk/target.h"
#include "server/disk/open_disk.h"
#include "server/kv/rocks_kv.h"
#include "tests/sim/run_on.h"

namespace cairn {
namespace {

constexpr uint64_t kFragmentBytes = 4 * kMiB;
constexpr uint64_t kFragments = 64;

void AllocateAndFree(benchmark::State& state) {
  // A 16 TiB device, nine tenths full, freed here and there.
  ExtentAllocator allocator({0, uint64_t{16} << 40});
  SeededRandom random(1);
  std::vector<Extent> live;
  const uint64_t count = static_cast<uint64_t>(state.range(0));
  while (live.size() < count)
    live.push_back(*allocator.Allocate(ExtentBytes(1 + random.Below(kFragmentBytes))));
  for (auto _ : state) {
    Extent& extent = live[random.Below(live.size())];
    allocator.Free(extent);
    extent = *allocator.Allocate(ExtentBytes(1 + random.Below(kFragmentBytes)));
  }
  state.SetItemsProcessed(state.iterations());
  state.counters["free_extents"] = static_cast<double>(allocator.free_extents());
}
BENCHMARK(AllocateAndFree)->Arg(1000)->Arg(1'000'000);

IndexRecord FourMibRecord() {
  return {LeaseId(7), 4 * kGiB, kFragmentBytes,
          std::vector<uint32_t>(kFragmentBytes / kBlockBytes, 0x12345678)};
}

void EncodeRecord(benchmark::State& state) {
  const IndexRecord record = FourMibRecord();
  for (auto _ : state) benchmark::DoNotOptimize(EncodeIndexRecord({StripeId(5), 0}, record));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(EncodeRecord);

void DecodeRecord(benchmark::State& state) {
  const std::string encoded = EncodeIndexRecord({StripeId(5), 0}, FourMibRecord());
  for (auto _ : state) benchmark::DoNotOptimize(DecodeIndexRecord({StripeId(5), 0}, encoded));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(DecodeRecord);

// One target of 2 GiB, new for each benchmark.
class Bench {
 public:
  Bench() {
    const char* parent = std::getenv("CAIRN_BENCH_DIR");
    directory_ = (parent != nullptr ? std::filesystem::path(parent)
                                    : std::filesystem::temp_directory_path()) /
                 "cairn_chunk_bench_XXXXXX";
    CAIRN_CHECK(mkdtemp(directory_.data()) != nullptr);
    auto reactor = Reactor::Create({});
    reactor_ = *std::move(reactor);
    auto disk = OpenDisk({.device = {.path = directory_ + "/data", .size_bytes = 2 * kGiB}},
                         *reactor_, pool_);
    Require(disk.status());
    for (const std::string& warning : disk->warnings) std::fprintf(stderr, "%s\n", warning.c_str());
    disk_ = std::move(disk->disk);
    auto store =
        RocksKv::Open({.directory = directory_ + "/index", .families = ChunkIndex::Families()});
    Require(store.status());
    store_ = *std::move(store);
    auto slabs = SlabPool::Create({.slab_bytes = kFragmentBytes, .slab_count = 32});
    Require(slabs.status());
    slabs_ = *std::move(slabs);
    std::memset(slabs_->memory().data(), 0x5a, slabs_->memory().size());
    BlockCrcs crcs;
    crcs.Add(slabs_->memory().first(kFragmentBytes));
    crcs_ = crcs.Finish();
    auto target =
        RunOn(*reactor_, Target::Open({"bench", TargetId(1)}, *disk_, *store_, pool_, random_));
    Require(target.status());
    target_ = *std::move(target);
  }
  ~Bench() {
    RunOn(*reactor_, target_->Close());
    target_.reset();
    disk_.reset();
    store_.reset();
    std::filesystem::remove_all(directory_);
  }
  static void Require(const absl::Status& status) {
    if (status.ok()) return;
    std::fprintf(stderr, "%s\n", status.ToString().c_str());
    std::abort();
  }

  // Writes kFragments stripes, `depth` at a time, and seals them; returns the first.
  uint64_t WriteAndSeal(int depth) {
    const uint64_t first = next_stripe_;
    next_stripe_ += kFragments;
    RunOn(*reactor_, WriteAndSealAll(first, depth));
    return first;
  }
  // Written before: seals each stripe alone, all at once.
  void WriteAll(uint64_t first, uint64_t length) {
    RunOn(*reactor_, WriteSome(first, kFragments, length));
  }
  void SealEach(uint64_t first) { RunOn(*reactor_, SealEachAtOnce(first)); }
  void Free(uint64_t first) {
    std::vector<FragmentRun> runs(1, FragmentRun{StripeId(first), kFragments});
    Require(RunOn(*reactor_, target_->Free(std::move(runs))));
  }
  void Read(uint64_t first, int depth, uint64_t length) {
    RunOn(*reactor_, ReadAll(first, depth, length));
  }
  uint64_t TakeStripes() { return std::exchange(next_stripe_, next_stripe_ + kFragments); }
  const Target& target() const { return *target_; }

 private:
  Task<void> WriteSome(uint64_t first, uint64_t count, uint64_t length) {
    absl::StatusOr<Slab> slab = co_await slabs_->Acquire(Deadline::Infinite());
    Require(slab.status());
    for (uint64_t stripe = first; stripe < first + count; ++stripe) {
      std::vector<uint32_t> crcs(crcs_.begin(),
                                 crcs_.begin() + static_cast<int>(DivideUp(length, kBlockBytes)));
      const absl::Status written = co_await target_->Write(
          {StripeId(stripe), 0}, LeaseId(1), slab->bytes().first(length), length, std::move(crcs));
      Require(written);
    }
  }
  Task<void> WriteAndSealAll(uint64_t first, int depth) {
    Scope scope;
    const uint64_t each = kFragments / static_cast<uint64_t>(depth);
    for (int writer = 0; writer < depth; ++writer) {
      scope.Spawn(WriteSome(first + static_cast<uint64_t>(writer) * each, each, kFragmentBytes));
    }
    co_await scope.Join();
    co_await SealOne(first, kFragments);
  }
  Task<void> SealOne(uint64_t first, uint32_t count) {
    std::vector<FragmentRun> runs(1, FragmentRun{StripeId(first), count});
    const auto missing = co_await target_->Seal(LeaseId(1), std::move(runs));
    Require(missing.status());
    CAIRN_CHECK(missing->empty());
  }
  Task<void> SealEachAtOnce(uint64_t first) {
    Scope scope;
    for (uint64_t i = 0; i < kFragments; ++i) scope.Spawn(SealOne(first + i, 1));
    co_await scope.Join();
  }
  Task<void> ReadSome(uint64_t first, uint64_t count, uint64_t length) {
    absl::StatusOr<Slab> slab = co_await slabs_->Acquire(Deadline::Infinite());
    Require(slab.status());
    for (uint64_t stripe = first; stripe < first + count; ++stripe) {
      const auto read = co_await target_->Read({StripeId(stripe), 0}, 0, length, slab->bytes());
      Require(read.status());
    }
  }
  Task<void> ReadAll(uint64_t first, int depth, uint64_t length) {
    Scope scope;
    const uint64_t each = kFragments / static_cast<uint64_t>(depth);
    for (int reader = 0; reader < depth; ++reader) {
      scope.Spawn(ReadSome(first + static_cast<uint64_t>(reader) * each, each, length));
    }
    co_await scope.Join();
  }

  std::string directory_;
  std::unique_ptr<Reactor> reactor_;
  BlockingPool pool_{2};
  SystemRandom random_;
  std::unique_ptr<Disk> disk_;
  std::unique_ptr<RocksKv> store_;
  std::unique_ptr<SlabPool> slabs_;
  std::vector<uint32_t> crcs_;
  std::unique_ptr<Target> target_;
  uint64_t next_stripe_ = 1;
};

// 64 stripes of 4 MiB, `depth` under way, and one seal: onto space never written, then onto space
// used before.
void WriteAndSeal(benchmark::State& state) {
  Bench bench;
  const int depth = static_cast<int>(state.range(0));
  const bool fresh = state.range(1) == 0;
  if (!fresh) {
    // Once over the whole device.
    std::vector<uint64_t> written;
    for (int i = 0; i < 7; ++i) written.push_back(bench.WriteAndSeal(16));
    for (uint64_t first : written) bench.Free(first);
  }
  for (auto _ : state) {
    const uint64_t first = bench.WriteAndSeal(depth);
    if (fresh) continue;
    state.PauseTiming();
    bench.Free(first);
    state.ResumeTiming();
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(kFragments * kFragmentBytes));
  state.counters["flushes"] = static_cast<double>(bench.target().counters().flushes);
}
BENCHMARK(WriteAndSeal)
    ->ArgsProduct({{4, 8, 16}, {0}})
    ->Iterations(7)
    ->UseRealTime()
    ->MeasureProcessCPUTime();
BENCHMARK(WriteAndSeal)
    ->ArgsProduct({{4, 8, 16}, {1}})
    ->Iterations(12)
    ->UseRealTime()
    ->MeasureProcessCPUTime();

// 64 small fragments, each sealed by a call of its own, all at once: the group commit.
void SealEach(benchmark::State& state) {
  Bench bench;
  for (auto _ : state) {
    state.PauseTiming();
    const uint64_t first = bench.TakeStripes();
    bench.WriteAll(first, 4 * kKiB);
    state.ResumeTiming();
    bench.SealEach(first);
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kFragments));
  state.counters["seals_per_flush"] = static_cast<double>(bench.target().counters().seals) /
                                      static_cast<double>(bench.target().counters().flushes);
}
BENCHMARK(SealEach)->Iterations(50)->UseRealTime();

void ReadRange(benchmark::State& state) {
  Bench bench;
  const uint64_t first = bench.WriteAndSeal(8);
  const uint64_t length = static_cast<uint64_t>(state.range(1));
  for (auto _ : state) bench.Read(first, static_cast<int>(state.range(0)), length);
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(kFragments * length));
}
BENCHMARK(ReadRange)
    ->ArgsProduct({{1, 8}, {64 * kKiB, kFragmentBytes}})
    ->Iterations(10)
    ->UseRealTime()
    ->MeasureProcessCPUTime();

}  // namespace
}  // namespace cairn
