#include "client/io/stripe_encoder.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"
#include "common/base/crc32c.h"

namespace cairn {
namespace {

// Takes the place of what a short stripe lacks. A pass handles a block at most, so one is enough.
constexpr std::byte kZeros[kBlockBytes] = {};

// Walks the segments from some place of the stripe on.
class Cursor {
 public:
  Cursor(std::span<const Segment> segments, uint64_t offset_bytes) : segments_(segments) {
    while (!segments_.empty() && offset_bytes >= segments_.front().bytes.size()) {
      offset_bytes -= segments_.front().bytes.size();
      segments_ = segments_.subspan(1);
    }
    at_ = offset_bytes;
  }
  // Of what lies together here.
  ConstBytes contiguous() const {
    return segments_.empty() ? ConstBytes() : segments_.front().bytes.subspan(at_);
  }
  void Advance(uint64_t length_bytes) {
    at_ += length_bytes;
    while (!segments_.empty() && at_ == segments_.front().bytes.size()) {
      segments_ = segments_.subspan(1);
      at_ = 0;
    }
  }

 private:
  std::span<const Segment> segments_;
  uint64_t at_ = 0;
};

}  // namespace

std::vector<uint32_t> ContentCrcs(std::span<const Segment> segments) {
  BlockCrcs crcs;
  for (const Segment& segment : segments) crcs.Add(segment.bytes);
  return crcs.Finish();
}

// Block by block, so that checksums and parity find the bytes in the processor's cache; within a
// block, piece by piece, as far as all data fragments lie together.
StripeCrcs EncodeStripe(const ErasureCode& code, const Redundancy& redundancy,
                        std::span<const Segment> segments, std::span<const MutableBytes> parity) {
  const uint32_t k = redundancy.data_fragments;
  CAIRN_CHECK(code.data_fragments() == k && parity.size() == redundancy.parity_fragments);
  uint64_t length = 0;
  for (const Segment& segment : segments) length += segment.bytes.size();
  const uint64_t span = redundancy.FragmentSpan(length);
  const uint64_t parity_bytes = redundancy.FragmentLength(length, k);
  for (MutableBytes each : parity) CAIRN_CHECK(each.size() == parity_bytes);

  std::vector<Cursor> cursors;
  std::vector<uint64_t> left;
  for (uint32_t i = 0; i < k; ++i) {
    cursors.emplace_back(segments, i * span);
    left.push_back(redundancy.FragmentLength(length, i));
  }
  std::vector<BlockCrcs> data_crcs(k);
  std::vector<BlockCrcs> parity_crcs(parity.size());
  std::vector<ConstBytes> inputs(k);
  std::vector<MutableBytes> outputs(parity.size());
  for (uint64_t at = 0; at < parity_bytes;) {
    uint64_t piece = std::min(parity_bytes, AlignDown(at, kBlockBytes) + kBlockBytes) - at;
    for (uint32_t i = 0; i < k; ++i) {
      if (left[i] > 0) piece = std::min({piece, left[i], cursors[i].contiguous().size()});
    }
    for (uint32_t i = 0; i < k; ++i) {
      inputs[i] = ConstBytes(kZeros, piece);
      if (left[i] == 0) continue;
      inputs[i] = cursors[i].contiguous().first(piece);
      data_crcs[i].Add(inputs[i]);
      cursors[i].Advance(piece);
      left[i] -= piece;
    }
    for (size_t i = 0; i < parity.size(); ++i) outputs[i] = parity[i].subspan(at, piece);
    code.Encode(inputs, outputs);
    for (size_t i = 0; i < parity.size(); ++i) parity_crcs[i].Add(outputs[i]);
    at += piece;
  }

  StripeCrcs crcs;
  for (BlockCrcs& each : data_crcs) {
    const std::vector<uint32_t> of_fragment = each.Finish();
    crcs.content.insert(crcs.content.end(), of_fragment.begin(), of_fragment.end());
  }
  for (BlockCrcs& each : parity_crcs) crcs.parity.push_back(each.Finish());
  return crcs;
}

}  // namespace cairn
