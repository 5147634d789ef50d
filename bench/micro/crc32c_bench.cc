// How fast the checksum of every block is, and what combining the CRCs of stripes into that of a
// file costs. One core's CRC must stay far above what one core moves (about 5 GB/s over TCP), or it
// belongs on a thread of its own.
#include <cstdint>
#include <vector>

#include "benchmark/benchmark.h"
#include "common/base/crc32c.h"
#include "common/base/crc32c_combine.h"
#include "common/base/random.h"
#include "common/base/units.h"

namespace cairn {
namespace {

std::vector<std::byte> RandomBytes(size_t count) {
  std::vector<std::byte> bytes(count);
  SeededRandom random(1);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random.Next());
  return bytes;
}

// Of one buffer again and again: small ones stay in the cache, 64 MiB do not, as on the save path.
void BM_Crc32c(benchmark::State& state) {
  const std::vector<std::byte> bytes = RandomBytes(static_cast<size_t>(state.range(0)));
  for (auto unused : state) benchmark::DoNotOptimize(Crc32c(bytes));
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) * state.range(0));
}
BENCHMARK(BM_Crc32c)->Arg(64)->Arg(4 * kKiB)->Arg(64 * kKiB)->Arg(4 * kMiB)->Arg(64 * kMiB);

// A stripe as the client cuts it: block by block from a gather list of pieces of the given size.
void BM_BlockCrcsOfGatherList(benchmark::State& state) {
  const std::vector<std::byte> bytes = RandomBytes(4 * kMiB);
  const size_t piece_bytes = static_cast<size_t>(state.range(0));
  for (auto unused : state) {
    BlockCrcs crcs;
    for (size_t at = 0; at < bytes.size(); at += piece_bytes) {
      crcs.Add(ConstBytes(bytes).subspan(at, std::min(piece_bytes, bytes.size() - at)));
    }
    benchmark::DoNotOptimize(crcs.Finish());
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * bytes.size()));
}
BENCHMARK(BM_BlockCrcsOfGatherList)->Arg(1000)->Arg(64 * kKiB)->Arg(4 * kMiB);

// The CRC of two parts from the CRCs of each: once a block when a file's CRC is put together.
void BM_CombineCrc32c(benchmark::State& state) {
  uint32_t crc = 0x12345678;
  for (auto unused : state)
    benchmark::DoNotOptimize(crc = CombineCrc32c(crc, 0x9abcdef0, kBlockBytes));
}
BENCHMARK(BM_CombineCrc32c);

}  // namespace
}  // namespace cairn
