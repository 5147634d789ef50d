#include "client/io/cold_read.h"

#include <algorithm>
#include <utility>

#include "client/io/silence.h"
#include "common/base/crc32c.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "proto/wire/tier.pb.h"

namespace cairn {
namespace {

// Of one try: stores are slow, and what has been begun is not to be begun again for nothing.
constexpr absl::Duration kTryTimeout = absl::Seconds(60);
constexpr absl::Duration kRetryPause = absl::Milliseconds(200);
constexpr int kDamagedReadsMax = 2;

// Compares what has arrived with `crcs`, one for each 64 KiB from the start.
absl::Status Verify(const ColdRead& read, const wire::ReadColdReply& reply) {
  size_t piece = 0;
  uint64_t in_piece = 0, at = 0;
  for (const uint32_t expected : reply.crcs()) {
    uint32_t crc = 0;
    const uint64_t stop = std::min(read.length_bytes, at + kBlockBytes);
    while (at < stop) {
      const MutableBytes bytes = read.pieces[piece].bytes;
      const uint64_t length = std::min<uint64_t>(stop - at, bytes.size() - in_piece);
      crc = ExtendCrc32c(crc, bytes.subspan(in_piece, length));
      at += length;
      in_piece += length;
      if (in_piece < bytes.size()) continue;
      ++piece;
      in_piece = 0;
    }
    if (crc != expected)
      return absl::DataLossError("cold bytes arrived with another checksum than they were sent");
  }
  if (at == read.length_bytes) return absl::OkStatus();
  return absl::DataLossError("the reply to a cold read lacks checksums");
}

Task<absl::Status> ReadOnce(const Delivery& to, const ColdRead& read, uint32_t skip,
                            Deadline deadline) {
  const Clock& clock = Executor::Current().clock();
  const Deadline until = Earlier(deadline, Deadline::After(clock, to.reach_within));
  absl::StatusOr<Session::NodeRoute> route =
      co_await to.session.RouteToAnyNode(read.place.object(), skip, until);
  if (!route.ok()) co_return route.status();
  CO_RETURN_IF_ERROR(co_await to.session.TakeTurn(route->node->window(), to.patience));
  wire::ReadColdRequest request;
  *request.mutable_place() = read.place;
  request.set_length_bytes(read.length_bytes);
  request.set_background(to.session.background());
  CallOptions options{Earlier(deadline, Deadline::After(clock, kTryTimeout)), {}, {}};
  for (const ReadPiece& piece : read.pieces) {
    BulkDescriptor bulk = to.regions[piece.range]->descriptor();
    bulk.address += piece.range_offset_bytes;
    bulk.length_bytes = piece.bytes.size();
    options.bulks.push_back(bulk);
  }
  const absl::StatusOr<wire::ReadColdReply> reply = co_await route->node->Call<wire::ReadColdReply>(
      route->last_core, wire::READ_COLD, request, std::move(options));
  route->node->window().Release(1);
  if (!reply.ok()) co_return reply.status();
  to.session.NoteProgress();
  co_return Verify(read, *reply);
}

}  // namespace

Task<absl::Status> ReadCold(const Delivery& to, const ColdRead& read, absl::Duration timeout) {
  const Clock& clock = Executor::Current().clock();
  const Deadline deadline = Deadline::After(clock, timeout);
  int damaged = 0;
  for (uint32_t skip = 0;; ++skip) {
    absl::Status status = co_await ReadOnce(to, read, skip, deadline);
    const bool retry =
        IsSilence(status) || (absl::IsDataLoss(status) && ++damaged < kDamagedReadsMax);
    if (status.ok() || !retry || deadline.Remaining(clock) <= kRetryPause) co_return status;
    CO_RETURN_IF_ERROR(co_await to.session.Pause(kRetryPause));
  }
}

}  // namespace cairn
