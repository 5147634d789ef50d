// Pull and Push: the concatenation of a caller's bulks, moved by RMA calls side by side.
#include "common/rpc/call_table.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "common/base/check.h"
#include "common/base/units.h"
#include "common/task/when_all.h"

namespace cairn {
namespace {

// RMA calls of one handler at once. A gather list of many small tensors gains from company; the
// fabric's own limits bound the bytes.
constexpr size_t kCallsAtOnce = 16;

// What is pulled comes in pieces, so that the checksum of one is made while the next is on its way:
// a save is an eighth faster than with whole stripes; shorter pieces cost more calls than they
// gain. What is pushed is not looked at.
constexpr uint64_t kPulledPieceBytes = 512 * kKiB;
constexpr uint64_t kPushedPieceBytes = UINT64_MAX;

// Runs `move(bulk, offset, piece, index)` for each piece of `memory`, no longer than `piece_max`
// and of one bulk; `index` counts them.
template <class Bytes, class Move>
Task<absl::Status> ForEachPiece(const std::vector<BulkDescriptor>& bulks, uint64_t piece_max,
                                Bytes memory, Move move) {
  size_t at = 0;
  size_t index = 0;
  std::vector<Task<absl::Status>> calls;
  for (const BulkDescriptor& bulk : bulks) {
    uint64_t offset = 0;
    do {
      const uint64_t length = std::min(piece_max, bulk.length_bytes - offset);
      calls.push_back(move(bulk, offset, memory.subspan(at, length), index++));
      at += length;
      offset += length;
      if (calls.size() < kCallsAtOnce) continue;
      const absl::Status moved = co_await WhenAllOk(std::exchange(calls, {}));
      if (!moved.ok()) co_return moved;
    } while (offset < bulk.length_bytes);
  }
  const absl::Status moved = co_await WhenAllOk(std::move(calls));
  co_return moved;
}

// Pieces that have arrived, in whatever order, told of in their own.
class InOrder {
 public:
  explicit InOrder(CallContext::Arrived tell) : tell_(std::move(tell)) {}
  void Add(size_t index, ConstBytes piece) {
    if (!tell_) return;
    early_.emplace(index, piece);
    for (auto next = early_.find(told_); next != early_.end(); next = early_.find(++told_)) {
      tell_(next->second);
      early_.erase(next);
    }
  }

 private:
  CallContext::Arrived tell_;
  size_t told_ = 0;
  absl::flat_hash_map<size_t, ConstBytes> early_;
};

struct Puller {
  Net& net;
  PeerId peer;
  Deadline deadline;
  InOrder& arrived;
  Task<absl::Status> operator()(const BulkDescriptor& bulk, uint64_t offset_bytes,
                                MutableBytes piece, size_t index) const {
    return Pull(*this, bulk, offset_bytes, piece, index);
  }
  static Task<absl::Status> Pull(Puller self, BulkDescriptor bulk, uint64_t offset_bytes,
                                 MutableBytes piece, size_t index) {
    absl::Status read = co_await self.net.Read(self.peer, bulk, offset_bytes, piece, self.deadline);
    if (read.ok()) self.arrived.Add(index, piece);
    co_return read;
  }
};

struct Pusher {
  Net& net;
  PeerId peer;
  Deadline deadline;
  Task<absl::Status> operator()(const BulkDescriptor& bulk, uint64_t offset_bytes, ConstBytes piece,
                                size_t) const {
    return net.Write(peer, bulk, offset_bytes, piece, deadline);
  }
};

}  // namespace

uint64_t CallContext::bulk_bytes() const {
  uint64_t sum = 0;
  for (const BulkDescriptor& bulk : bulks_) sum += bulk.length_bytes;
  return sum;
}

Task<absl::Status> CallContext::Pull(MutableBytes into, Arrived arrived) {
  CAIRN_CHECK(into.size() == bulk_bytes());
  InOrder in_order(std::move(arrived));
  const Puller puller{net_, peer_, deadline_, in_order};
  const absl::Status pulled = co_await ForEachPiece(bulks_, kPulledPieceBytes, into, puller);
  co_return pulled;
}

Task<absl::Status> CallContext::Push(ConstBytes from) {
  CAIRN_CHECK(from.size() == bulk_bytes());
  return ForEachPiece(bulks_, kPushedPieceBytes, from, Pusher{net_, peer_, deadline_});
}

}  // namespace cairn
