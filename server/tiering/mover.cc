#include "server/tiering/mover.h"

#include <algorithm>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "client/io/read_path.h"
#include "client/io/write_path.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/task/when_all.h"
#include "server/tier/cold_manifest.h"
#include "server/tier/cold_object.h"

namespace cairn {
namespace {

// Objects in memory at once: one on its way to the store, while another is read.
constexpr int64_t kAtOnce = 2;
// Larger ones are nobody's: tier_limits.h has what is asked for.
constexpr uint64_t kPayloadBytesMax = 512 * kMiB;
// Of each transfer from or to a target, as for clients.
constexpr absl::Duration kTransferTimeout = absl::Seconds(60);
// Clients come first for so long an object: it must get on in the end.
constexpr absl::Duration kGiveWayMax = absl::Seconds(2);
constexpr absl::Duration kGiveWayPause = absl::Milliseconds(50);
constexpr int64_t kColdReadsAtOnce = 4;
constexpr uint64_t kPageBytes = 4096;
// Parts of an upload: some at once keep a link busy.
constexpr uint64_t kPartBytes = 16 * kMiB;
constexpr int kParallelParts = 4;

absl::Status CheckPayload(uint64_t bytes) {
  if (bytes > 0 && bytes <= kPayloadBytesMax) return absl::OkStatus();
  return absl::InvalidArgumentError(StrCat("a cold object of ", bytes, " bytes"));
}

}  // namespace

// Aligned, so that it may be registered.
struct Mover::Memory {
  explicit Memory(uint64_t bytes)
      : size(AlignUp(bytes, kPageBytes)),
        data(static_cast<std::byte*>(::operator new(size, std::align_val_t(kPageBytes)))) {}
  ~Memory() { ::operator delete(data, std::align_val_t(kPageBytes)); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  MutableBytes First(uint64_t bytes) const { return {data, bytes}; }
  const uint64_t size;
  std::byte* const data;
};

Mover::Mover(Session& session, ColdStores& stores, ColdReader& reader, BlockingRunner& runner,
             std::function<bool()> busy, std::string own_cluster, const std::atomic<bool>& stop)
    : session_(session),
      stores_(stores),
      reader_(reader),
      runner_(runner),
      busy_(std::move(busy)),
      own_cluster_(std::move(own_cluster)),
      stop_flag_(stop),
      turns_(kAtOnce) {}

void Mover::RequestStop() {
  stop_.RequestStop();
  turns_.Break();
}

Task<absl::Status> Mover::GiveWay() {
  const Clock& clock = Executor::Current().clock();
  const MonoTime until = clock.Now() + kGiveWayMax;
  while (busy_() && clock.Now() < until)
    CO_RETURN_IF_ERROR(co_await SleepFor(kGiveWayPause, stop_));
  co_return absl::OkStatus();
}

Task<absl::StatusOr<wire::PutColdReply>> Mover::Put(wire::PutColdRequest request,
                                                    Deadline deadline) {
  CO_RETURN_IF_ERROR(co_await turns_.Acquire(1, deadline));
  absl::StatusOr<wire::PutColdReply> reply = co_await PutNow(request, deadline);
  turns_.Release(1);
  if (!reply.ok()) ++TrafficOf(request.tier().name()).failures;
  co_return reply;
}

Task<absl::StatusOr<wire::PutColdReply>> Mover::PutNow(const wire::PutColdRequest& request,
                                                       Deadline deadline) {
  uint64_t payload = 0;
  for (const wire::ColdSource& source : request.sources()) payload += source.length_bytes();
  CO_RETURN_IF_ERROR(CheckPayload(payload));
  CO_RETURN_IF_ERROR(co_await GiveWay());
  const Memory memory(payload);
  CO_RETURN_IF_ERROR(co_await Fill(request, memory.First(payload), deadline));
  absl::StatusOr<wire::PutColdReply> reply = absl::InternalError("not put");
  // Checksums take their time, too: not on the reactor.
  absl::AnyInvocable<void()> put = [&] {
    const absl::StatusOr<std::shared_ptr<ColdStore>> store = stores_.Get(request.tier());
    if (!store.ok()) {
      reply = store.status();
      return;
    }
    ColdObjectBuilder object({request.cluster_id(), request.object()});
    uint64_t at = 0;
    for (const wire::ColdSource& source : request.sources()) {
      object.BeginPiece(source.first_stripe(), source.run_offset_bytes());
      object.Add(memory.First(payload).subspan(at, source.length_bytes()));
      at += source.length_bytes();
    }
    const std::span<const ConstBytes> pieces = object.Finish();
    uint64_t size = 0;
    for (const ConstBytes piece : pieces) size += piece.size();
    const absl::StatusOr<std::string> etag =
        (*store)->Put(ColdObjectKey(request.cluster_id(), request.object()), pieces,
                      {kPartBytes, kParallelParts}, CallBounds{deadline, &stop_flag_});
    if (!etag.ok()) {
      reply = etag.status();
      return;
    }
    reply = wire::PutColdReply();
    reply->set_size_bytes(size);
  };
  co_await runner_.Run(std::move(put));
  if (reply.ok()) TrafficOf(request.tier().name()).archived_bytes += payload;
  co_return reply;
}

Task<absl::Status> Mover::Fill(const wire::PutColdRequest& request, MutableBytes into,
                               Deadline deadline) {
  CO_RETURN_IF_ERROR(co_await FillFromTargets(request, into));
  uint64_t at = 0;
  for (const wire::ColdSource& source : request.sources()) {
    if (source.run().has_cold()) {
      CO_RETURN_IF_ERROR(co_await ReadCold(request.tier(), source.run().cold(),
                                           into.subspan(at, source.length_bytes()), deadline));
    }
    at += source.length_bytes();
  }
  co_return absl::OkStatus();
}

// All sources that are on targets, as ranges of one file that has them one behind the other.
Task<absl::Status> Mover::FillFromTargets(const wire::PutColdRequest& request, MutableBytes into) {
  std::vector<wire::ExtentRun> extents;
  std::vector<WantedRange> ranges;
  uint64_t file_bytes = 0, at = 0;
  for (const wire::ColdSource& source : request.sources()) {
    const MutableBytes part = into.subspan(at, source.length_bytes());
    at += source.length_bytes();
    if (source.run().has_cold()) continue;
    const uint64_t begin = source.run().offset_bytes();
    if (source.run_offset_bytes() < begin ||
        source.run_offset_bytes() + source.length_bytes() > begin + source.run().length_bytes()) {
      co_return absl::InvalidArgumentError("a source is not in its run");
    }
    ranges.push_back({file_bytes + source.run_offset_bytes() - begin, part});
    extents.push_back(source.run());
    extents.back().set_offset_bytes(file_bytes);
    file_bytes += source.run().length_bytes();
  }
  if (ranges.empty()) co_return absl::OkStatus();
  const OpenedFile file{0, 0, file_bytes, extents};
  absl::Status read = co_await ReadRanges(session_, file, std::move(ranges), kTransferTimeout);
  if (!absl::IsFailedPrecondition(read)) co_return read;
  co_return absl::AbortedError("what was to be copied has been removed");
}

namespace {

// Some reads of one cold range, side by side.
Task<absl::Status> ReadPart(ColdReader* reader, const wire::TierSpec* tier, wire::ColdPlace place,
                            MutableBytes into, Semaphore* turns, Deadline deadline) {
  CO_RETURN_IF_ERROR(co_await turns->Acquire(1, deadline));
  std::vector<std::byte> scratch(ColdReader::kScratchBytes);
  const absl::StatusOr<ConstBytes> bytes =
      co_await reader->Read(*tier, place, into.size(), scratch, deadline);
  turns->Release(1);
  if (!bytes.ok()) co_return bytes.status();
  std::copy(bytes->begin(), bytes->end(), into.begin());
  co_return absl::OkStatus();
}

}  // namespace

Task<absl::Status> Mover::ReadCold(const wire::TierSpec& tier, wire::ColdPlace place,
                                   MutableBytes into, Deadline deadline) {
  Semaphore turns(kColdReadsAtOnce);
  std::vector<Task<absl::Status>> reads;
  for (uint64_t at = 0; at < into.size(); at += ColdReader::kBytesMax) {
    const uint64_t length = std::min<uint64_t>(ColdReader::kBytesMax, into.size() - at);
    wire::ColdPlace part = place;
    part.set_offset_bytes(place.offset_bytes() + at);
    reads.push_back(
        ReadPart(&reader_, &tier, std::move(part), into.subspan(at, length), &turns, deadline));
  }
  co_return co_await WhenAllOk(std::move(reads));
}

Task<absl::StatusOr<wire::RecallColdReply>> Mover::Recall(wire::RecallColdRequest request,
                                                          Deadline deadline) {
  CO_RETURN_IF_ERROR(co_await turns_.Acquire(1, deadline));
  absl::StatusOr<wire::RecallColdReply> reply = co_await RecallNow(request, deadline);
  turns_.Release(1);
  if (!reply.ok()) ++TrafficOf(request.tier().name()).failures;
  co_return reply;
}

Task<absl::StatusOr<wire::RecallColdReply>> Mover::RecallNow(const wire::RecallColdRequest& request,
                                                             Deadline deadline) {
  uint64_t bytes = 0;
  for (const wire::ExtentRun& run : request.runs()) bytes += run.length_bytes();
  CO_RETURN_IF_ERROR(CheckPayload(bytes));
  const Memory memory(bytes);
  uint64_t at = 0;
  for (const wire::ExtentRun& run : request.runs()) {
    if (!run.has_cold())
      co_return absl::InvalidArgumentError("a run that is to be fetched is not cold");
    CO_RETURN_IF_ERROR(co_await ReadCold(
        request.tier(), run.cold(), memory.First(bytes).subspan(at, run.length_bytes()), deadline));
    at += run.length_bytes();
  }
  auto ids = std::make_shared<StripeIds>(LeaseId(request.lease()), request.stripes().first(),
                                         request.stripes().count(), request.redundancy());
  WritePath write(session_, std::move(ids), kTransferTimeout);
  std::vector<ConstBytes> pieces{memory.First(bytes)};
  absl::Status written = co_await write.Write(std::move(pieces));
  if (written.ok()) {
    written = co_await write.Flush();
  } else {
    co_await write.Abandon();
  }
  if (!written.ok()) co_return written;
  wire::RecallColdReply reply;
  for (wire::ExtentRun& run : write.Extents()) {
    run.set_offset_bytes(run.offset_bytes() + request.runs(0).offset_bytes());
    *reply.add_extents() = std::move(run);
  }
  TrafficOf(request.tier().name()).recalled_bytes += bytes;
  co_return reply;
}

Task<absl::StatusOr<wire::CheckColdReply>> Mover::Check(wire::CheckColdRequest request,
                                                        Deadline deadline) {
  absl::StatusOr<wire::CheckColdReply> reply = wire::CheckColdReply();
  absl::AnyInvocable<void()> check = [&] {
    const absl::StatusOr<std::shared_ptr<ColdStore>> store = stores_.Get(request.tier());
    if (!store.ok()) {
      reply = store.status();
      return;
    }
    for (const wire::ColdObjectName& name : request.objects()) {
      const std::string& cluster = name.cluster_id().empty() ? own_cluster_ : name.cluster_id();
      const absl::StatusOr<ColdObject> found =
          (*store)->Stat(ColdObjectKey(cluster, name.object()), CallBounds{deadline, &stop_flag_});
      if (!found.ok() && !absl::IsNotFound(found.status())) {
        reply = found.status();
        return;
      }
      if (!found.ok() || found->size_bytes != name.size_bytes()) reply->add_missing(name.object());
    }
  };
  co_await runner_.Run(std::move(check));
  co_return reply;
}

Task<absl::StatusOr<wire::DeleteColdReply>> Mover::Delete(wire::DeleteColdRequest request,
                                                          Deadline deadline) {
  absl::StatusOr<wire::DeleteColdReply> reply = wire::DeleteColdReply();
  absl::AnyInvocable<void()> remove = [&] {
    const absl::StatusOr<std::shared_ptr<ColdStore>> store = stores_.Get(request.tier());
    if (!store.ok()) {
      reply = store.status();
      return;
    }
    std::vector<std::string> keys;
    for (const wire::ColdObjectName& name : request.objects()) {
      const std::string& cluster = name.cluster_id().empty() ? own_cluster_ : name.cluster_id();
      // Of one that was planned and never noted it is not known which it is.
      keys.push_back(ColdManifestKey(cluster, name.object()));
      if (!name.manifest()) keys.push_back(ColdObjectKey(cluster, name.object()));
    }
    const absl::Status removed = (*store)->Delete(keys, CallBounds{deadline, &stop_flag_});
    if (!removed.ok()) reply = removed;
  };
  co_await runner_.Run(std::move(remove));
  co_return reply;
}

}  // namespace cairn
