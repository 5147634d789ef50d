// The read path's first step: from a fragment's range to bytes in a slab, and the checksums that
// let the client verify them. After: chunk_service.cc pushes them.
#include <algorithm>
#include <utility>

#include "common/base/check.h"
#include "common/base/crc32c.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/telemetry/trace.h"
#include "server/chunk/target.h"
#include "server/chunk/target_state.h"

namespace cairn {

Task<absl::StatusOr<Target::ReadResult>> Target::Read(FragmentKey key, uint64_t offset_bytes,
                                                      uint64_t length_bytes, MutableBytes slab) {
  const TraceSpan span("target.read", key.stripe.value());
  CO_RETURN_IF_ERROR(Refusal());
  if (length_bytes == 0) co_return absl::InvalidArgumentError("a read of nothing");
  const CallGuard guard(this);
  // Before the index is asked: what it answers stays where it is until Unhold().
  std::unique_ptr<Holds>& holds = holds_[key];
  if (holds == nullptr) holds = std::make_unique<Holds>();
  ++holds->readers;
  absl::StatusOr<ReadResult> result = co_await ReadHeld(key, offset_bytes, length_bytes, slab);
  Unhold(key);
  if (result.ok()) {
    ++counters_.reads;
    counters_.read_bytes += static_cast<int64_t>(length_bytes);
  }
  co_return result;
}

void Target::Unhold(FragmentKey key) {
  const auto found = holds_.find(key);
  CAIRN_CHECK(found != holds_.end());
  if (--found->second->readers > 0) return;
  for (const Extent& extent : found->second->freed) Release(&Usage::held, extent);
  holds_.erase(found);
}

Task<absl::StatusOr<Target::ReadResult>> Target::ReadHeld(FragmentKey key, uint64_t offset_bytes,
                                                          uint64_t length_bytes,
                                                          MutableBytes slab) {
  absl::StatusOr<std::optional<IndexRecord>> found;
  co_await runner_.Run([&] { found = index_.Find(key); });
  if (!found.ok()) co_return IndexError(found.status());
  if (!found->has_value()) {
    co_return absl::NotFoundError(StrCat("target ", options_.id.value(), " holds no stripe ",
                                         key.stripe.value(), ", fragment ", key.index));
  }
  const IndexRecord record = **std::move(found);
  if (offset_bytes >= record.length_bytes || length_bytes > record.length_bytes - offset_bytes) {
    co_return absl::OutOfRangeError(StrCat(length_bytes, " bytes at ", offset_bytes, " of stripe ",
                                           key.stripe.value(), ", which has ",
                                           record.length_bytes));
  }
  const uint64_t begin = AlignDown(offset_bytes, kBlockBytes);
  const uint64_t end =
      std::min(AlignUp(offset_bytes + length_bytes, kBlockBytes), record.extent().length_bytes);
  if (end - begin > slab.size()) {
    co_return absl::InvalidArgumentError(StrCat("the blocks of this read take ", end - begin,
                                                " bytes, more than a slab of ", slab.size()));
  }
  const MutableBytes blocks = slab.first(end - begin);
  const Clock& clock = Executor::Current().clock();
  const MonoTime began = clock.Now();
  const absl::Status read = co_await disk_.Read(record.offset_bytes + begin, blocks);
  latencies_.read.Record(began, clock.Now());
  if (!read.ok()) {
    ++counters_.read_errors;
    if (absl::IsFailedPrecondition(read)) co_return Fail(read);  // the device is gone
    if (absl::IsDataLoss(read)) ++counters_.media_errors;
    co_return absl::Status(read.code(), StrCat("target ", options_.id.value(), ", stripe ",
                                               key.stripe.value(), ": ", ToStd(read.message())));
  }
  absl::StatusOr<std::vector<uint32_t>> crcs =
      PieceCrcs(key, record, offset_bytes, length_bytes, blocks);
  if (!crcs.ok()) co_return crcs.status();
  ReadResult result;
  result.bytes = blocks.subspan(offset_bytes - begin, length_bytes);
  result.piece_crcs = *std::move(crcs);
  co_return result;
}

// `blocks` begins at the first block that the range touches. Whole blocks are left for the client
// to verify: it must anyway, after the bytes have crossed the network. Of a partial one the client
// cannot, so it is done here; that is at most two blocks a call.
absl::StatusOr<std::vector<uint32_t>> Target::PieceCrcs(FragmentKey key, const IndexRecord& record,
                                                        uint64_t offset_bytes,
                                                        uint64_t length_bytes, ConstBytes blocks) {
  const uint64_t range_end = offset_bytes + length_bytes;
  const uint64_t first_block = offset_bytes / kBlockBytes;
  std::vector<uint32_t> crcs;
  for (uint64_t block = first_block; block * kBlockBytes < range_end; ++block) {
    const uint64_t block_begin = block * kBlockBytes;
    const uint64_t block_end = std::min<uint64_t>(block_begin + kBlockBytes, record.length_bytes);
    const uint64_t piece_begin = std::max(block_begin, offset_bytes);
    const uint64_t piece_end = std::min(block_end, range_end);
    const uint32_t stored = record.block_crcs[block];
    if (piece_begin == block_begin && piece_end == block_end) {
      crcs.push_back(stored);
      continue;
    }
    const ConstBytes whole =
        blocks.subspan((block - first_block) * kBlockBytes, block_end - block_begin);
    if (Crc32c(whole) != stored) {
      ++counters_.corrupt_blocks;
      return absl::DataLossError(StrCat(
          "target ", options_.id.value(), ", stripe ", key.stripe.value(), ", fragment ", key.index,
          ", block ", block, ": the device returned other bytes than were written"));
    }
    crcs.push_back(Crc32c(whole.subspan(piece_begin - block_begin, piece_end - piece_begin)));
  }
  return crcs;
}

}  // namespace cairn
