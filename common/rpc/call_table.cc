// Pull and Push: the concatenation of a caller's bulks, moved by RMA calls side by side.
#include "common/rpc/call_table.h"

#include <algorithm>

#include "common/base/check.h"
#include "common/task/when_all.h"

namespace cairn {
namespace {

// RMA calls of one handler at once. A gather list of many small tensors gains from company; the
// fabric's own limits bound the bytes.
constexpr size_t kCallsAtOnce = 16;

// Runs `move(bulk, piece)` for each bulk and its piece of `memory`.
template <class Bytes, class Move>
Task<absl::Status> ForEachBulk(const std::vector<BulkDescriptor>& bulks, Bytes memory, Move move) {
  size_t next = 0;
  size_t at = 0;
  while (next < bulks.size()) {
    std::vector<Task<absl::Status>> calls;
    for (; next < bulks.size() && calls.size() < kCallsAtOnce; ++next) {
      const Bytes piece = memory.subspan(at, bulks[next].length_bytes);
      at += piece.size();
      calls.push_back(move(bulks[next], piece));
    }
    const absl::Status moved = co_await WhenAllOk(std::move(calls));
    if (!moved.ok()) co_return moved;
  }
  co_return absl::OkStatus();
}

struct Puller {
  Net& net;
  PeerId peer;
  Deadline deadline;
  Task<absl::Status> operator()(const BulkDescriptor& bulk, MutableBytes piece) const {
    return net.Read(peer, bulk, 0, piece, deadline);
  }
};

struct Pusher {
  Net& net;
  PeerId peer;
  Deadline deadline;
  Task<absl::Status> operator()(const BulkDescriptor& bulk, ConstBytes piece) const {
    return net.Write(peer, bulk, 0, piece, deadline);
  }
};

}  // namespace

uint64_t CallContext::bulk_bytes() const {
  uint64_t sum = 0;
  for (const BulkDescriptor& bulk : bulks_) sum += bulk.length_bytes;
  return sum;
}

Task<absl::Status> CallContext::Pull(MutableBytes into) {
  CAIRN_CHECK(into.size() == bulk_bytes());
  return ForEachBulk(bulks_, into, Puller{net_, peer_, deadline_});
}

Task<absl::Status> CallContext::Push(ConstBytes from) {
  CAIRN_CHECK(from.size() == bulk_bytes());
  return ForEachBulk(bulks_, from, Pusher{net_, peer_, deadline_});
}

}  // namespace cairn
