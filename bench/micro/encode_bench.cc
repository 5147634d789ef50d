// What a client pays for the parity of a save: checksums alone, as with replica:1, beside checksums
// and Reed-Solomon parity in the one pass of the write path. Data is larger than any cache, as
// tensors are, and the parity memory is used again, as the SDK does. Per byte of content.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "benchmark/benchmark.h"
#include "client/io/stripe_encoder.h"
#include "common/base/erasure_code.h"
#include "common/base/random.h"
#include "common/base/units.h"
#include "common/placement/redundancy.h"

namespace cairn {
namespace {

constexpr uint64_t kStripeBytes = 4 * kMiB;  // as nodes ask for
constexpr uint64_t kDataBytes = 128 * kMiB;

std::vector<std::byte> RandomBytes(size_t count) {
  std::vector<std::byte> bytes(count);
  SeededRandom random(1);
  for (size_t at = 0; at < count; at += sizeof(uint64_t)) {
    const uint64_t word = random.Next();
    std::memcpy(&bytes[at], &word, sizeof word);
  }
  return bytes;
}

// Walks over the data, a stripe at a time.
class Stripes {
 public:
  Segment Next() {
    const Segment segment = {0, at_, ConstBytes(data_).subspan(at_, kStripeBytes)};
    at_ = (at_ + kStripeBytes) % kDataBytes;
    return segment;
  }

 private:
  uint64_t at_ = 0;
  const std::vector<std::byte> data_ = RandomBytes(kDataBytes);
};

void BM_ContentCrcs(benchmark::State& state) {
  Stripes stripes;
  for (auto unused : state) {
    const Segment segment = stripes.Next();
    benchmark::DoNotOptimize(ContentCrcs(std::span(&segment, 1)));
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(kStripeBytes));
}
BENCHMARK(BM_ContentCrcs);

// Arguments: k and m.
void BM_EncodeStripe(benchmark::State& state) {
  Redundancy redundancy;
  redundancy.scheme = Redundancy::Scheme::kErasureCode;
  redundancy.data_fragments = static_cast<uint32_t>(state.range(0));
  redundancy.parity_fragments = static_cast<uint32_t>(state.range(1));
  const absl::StatusOr<ErasureCode> code =
      ErasureCode::Create(redundancy.data_fragments, redundancy.parity_fragments);
  if (!code.ok()) {
    state.SkipWithError("no such code");
    return;
  }
  Stripes stripes;
  const uint64_t parity_bytes = redundancy.FragmentLength(kStripeBytes, redundancy.data_fragments);
  std::vector<std::byte> memory(redundancy.parity_fragments * parity_bytes);
  std::vector<MutableBytes> parity;
  for (uint32_t i = 0; i < redundancy.parity_fragments; ++i)
    parity.push_back(MutableBytes(memory).subspan(i * parity_bytes, parity_bytes));
  for (auto unused : state) {
    const Segment segment = stripes.Next();
    benchmark::DoNotOptimize(EncodeStripe(*code, redundancy, std::span(&segment, 1), parity));
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(kStripeBytes));
}
BENCHMARK(BM_EncodeStripe)->Args({4, 2})->Args({8, 2})->Args({8, 3});

}  // namespace
}  // namespace cairn
