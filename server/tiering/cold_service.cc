#include "server/tiering/cold_service.h"

#include <algorithm>
#include <utility>

#include "common/base/crc32c.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/telemetry/trace.h"

namespace cairn {
namespace {

// 65 MiB: what a store is asked for at once by one node, less than which would not keep a fast one
// busy.
constexpr size_t kReadsAtOnce = 8;

}  // namespace

void ColdService::Register(CallTable& table) {
  table.Add(wire::READ_COLD, this, &ColdService::Read);
}

void ColdService::Stop() {
  stopped_ = true;
  if (slabs_ != nullptr) slabs_->Break();
}

absl::Status ColdService::MakeMemory() {
  if (slabs_ != nullptr) return absl::OkStatus();
  ASSIGN_OR_RETURN(slabs_, SlabPool::Create({ColdReader::kScratchBytes, kReadsAtOnce}));
  absl::StatusOr<std::unique_ptr<MemoryRegion>> region =
      net_.Register(slabs_->memory(), MemoryAccess::kLocal);
  if (!region.ok()) {
    slabs_.reset();
    return region.status();
  }
  region_ = *std::move(region);
  return absl::OkStatus();
}

Task<absl::StatusOr<wire::ReadColdReply>> ColdService::Read(CallContext& call,
                                                            const wire::ReadColdRequest& request) {
  const TraceSpan span("cold.read");
  const uint64_t length = request.length_bytes();
  if (length == 0 || length > ColdReader::kBytesMax || length != call.bulk_bytes()) {
    co_return absl::InvalidArgumentError(StrCat(
        "a cold read of ", length, " bytes with ", call.bulk_bytes(), " bytes of bulks; 1 to ",
        ColdReader::kBytesMax, " are allowed, and both must agree"));
  }
  if (stopped_) co_return absl::UnavailableError("the node is stopping");
  CO_RETURN_IF_ERROR(MakeMemory());
  const std::string& name = request.place().tier();
  CO_ASSIGN_OR_RETURN(const wire::TierSpec tier, co_await find_tier_(name, call.deadline()));
  CO_ASSIGN_OR_RETURN(const Slab slab, co_await slabs_->Acquire(call.deadline()));
  const absl::StatusOr<ConstBytes> bytes =
      co_await reader_.Read(tier, request.place(), length, slab.bytes(), call.deadline());
  note_(name, length, bytes.ok());
  if (!bytes.ok()) co_return bytes.status();
  wire::ReadColdReply reply;
  for (uint64_t at = 0; at < length; at += kBlockBytes)
    reply.add_crcs(Crc32c(bytes->subspan(at, std::min(kBlockBytes, length - at))));
  absl::Status pushed = co_await call.Push(*bytes);
  if (!pushed.ok()) co_return pushed;
  co_return reply;
}

}  // namespace cairn
