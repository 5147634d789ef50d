#include "bench/scale/calibrate.h"

#include <chrono>
#include <vector>

#include "client/io/stripe_encoder.h"
#include "common/base/erasure_code.h"
#include "common/base/random.h"
#include "common/base/status_macros.h"
#include "server/main/sizes.h"

namespace cairn::scale {
namespace {

// Larger than a core's caches together: a rank's tensors come from memory.
constexpr size_t kStripes = 16;
constexpr double kSeconds = 0.25;

// Runs `work(stripe)` over and over; bytes a second.
template <class Function>
double Rate(Function work) {
  const auto start = std::chrono::steady_clock::now();
  double seconds = 0;
  uint64_t done = 0;
  while (seconds < kSeconds) {
    work(done++ % kStripes);
    seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
  return static_cast<double>(done * kSlabBytes) / seconds;
}

}  // namespace

absl::StatusOr<ProcessorRates> MeasureProcessor(const Redundancy& redundancy) {
  std::vector<std::byte> memory(kStripes * kSlabBytes);
  SeededRandom random(1);
  for (std::byte& byte : memory) byte = static_cast<std::byte>(random.Next());
  std::vector<Segment> stripes;
  for (size_t i = 0; i < kStripes; ++i)
    stripes.push_back({0, i * kSlabBytes, ConstBytes(memory).subspan(i * kSlabBytes, kSlabBytes)});
  ProcessorRates rates;
  rates.checksums = Rate([&](size_t i) { (void)ContentCrcs(std::span(&stripes[i], 1)); });
  rates.encode = rates.checksums;
  if (redundancy.scheme == Redundancy::Scheme::kReplica) return rates;
  ASSIGN_OR_RETURN(const ErasureCode code,
                   ErasureCode::Create(redundancy.data_fragments, redundancy.parity_fragments));
  const uint64_t length = redundancy.FragmentLength(kSlabBytes, redundancy.data_fragments);
  std::vector<std::byte> parity(length * redundancy.parity_fragments);
  std::vector<MutableBytes> buffers;
  for (uint32_t i = 0; i < redundancy.parity_fragments; ++i)
    buffers.push_back(MutableBytes(parity).subspan(i * length, length));
  rates.encode = Rate(
      [&](size_t i) { (void)EncodeStripe(code, redundancy, std::span(&stripes[i], 1), buffers); });
  return rates;
}

}  // namespace cairn::scale
