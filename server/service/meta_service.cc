#include "server/service/meta_service.h"

#include <algorithm>
#include <utility>

#include "common/base/strings.h"
#include "common/base/units.h"
#include "common/fabric/net.h"
#include "server/meta/reply_size.h"

namespace cairn {
namespace {

// The reply's other fields are a few numbers.
constexpr size_t kMapPartBytes = kMaxReplyBytes;
static_assert(kMapPartBytes + 2 * kKiB <= kMaxMessageBytes, "a part must fit a message");

}  // namespace

MetaService::MetaService(MetaEngine& engine, std::function<const wire::ClusterMap&()> map,
                         const MapHistory& history, MakeGroups make_groups)
    : engine_(engine),
      map_(std::move(map)),
      history_(history),
      make_groups_(std::move(make_groups)) {}

void MetaService::Register(CallTable& table) {
  table.Add(wire::GET_MAP, this, &MetaService::GetMap);
  table.Add(wire::RENEW_LEASES, this, &MetaService::RenewLeases);

  table.Add(wire::BEGIN_CHECKPOINT, this, &MetaService::Mutate<wire::BeginCheckpointRequest>);
  table.Add(wire::STAGE_SHARD, this, &MetaService::Mutate<wire::StageShardRequest>);
  table.Add(wire::RANK_DONE, this, &MetaService::Mutate<wire::RankDoneRequest>);
  table.Add(wire::COMMIT_CHECKPOINT, this, &MetaService::Mutate<wire::CommitCheckpointRequest>);
  table.Add(wire::ABORT_CHECKPOINT, this, &MetaService::Mutate<wire::AbortCheckpointRequest>);
  table.Add(wire::PIN_CHECKPOINT, this, &MetaService::Mutate<wire::PinCheckpointRequest>);
  table.Add(wire::SET_RETENTION, this, &MetaService::Mutate<wire::SetRetentionRequest>);
  table.Add(wire::PRUNE_CHECKPOINTS, this, &MetaService::Mutate<wire::PruneCheckpointsRequest>);
  table.Add(wire::BEGIN_FILE, this, &MetaService::Mutate<wire::BeginFileRequest>);
  table.Add(wire::COMMIT_FILE, this, &MetaService::Mutate<wire::CommitFileRequest>);
  table.Add(wire::ABORT_FILE, this, &MetaService::Mutate<wire::AbortFileRequest>);
  table.Add(wire::REMOVE, this, &MetaService::Mutate<wire::RemoveRequest>);
  table.Add(wire::RENAME, this, &MetaService::Mutate<wire::RenameRequest>);
  table.Add(wire::MAKE_BUCKET, this, &MetaService::MutateBucket<wire::MakeBucketRequest>);
  table.Add(wire::SET_BUCKET, this, &MetaService::MutateBucket<wire::SetBucketRequest>);
  table.Add(wire::MAKE_DIRECTORY, this, &MetaService::Mutate<wire::MakeDirectoryRequest>);

  table.Add(wire::GET_BUCKET, this, &MetaService::Query<wire::GetBucketRequest>);
  table.Add(wire::GET_USAGE, this, &MetaService::Query<wire::GetUsageRequest>);
  table.Add(wire::LIST_CHECKPOINTS, this, &MetaService::Query<wire::ListCheckpointsRequest>);
  table.Add(wire::SHOW_CHECKPOINT, this, &MetaService::Query<wire::ShowCheckpointRequest>);
  table.Add(wire::LATEST_CHECKPOINT, this, &MetaService::Query<wire::LatestCheckpointRequest>);
  table.Add(wire::GET_RETENTION, this, &MetaService::Query<wire::GetRetentionRequest>);
  table.Add(wire::STAT, this, &MetaService::Stat);
  table.Add(wire::LIST, this, &MetaService::Query<wire::ListRequest>);
  table.Add(wire::GET_EXTENTS, this, &MetaService::Query<wire::GetExtentsRequest>);
}

Task<absl::StatusOr<wire::GetMapReply>> MetaService::GetMap(CallContext& call,
                                                            const wire::GetMapRequest& request) {
  wire::GetMapReply reply;
  const wire::ClusterMap& map = map_();
  const bool goes_on = request.offset_bytes() > 0 && request.version() == map.version();
  if (!goes_on && map.version() <= request.known_version()) co_return reply;
  const std::string& bytes = Serialized(map);
  if (!goes_on && request.takes_changes()) {
    auto changes = history_.Since(request.known_version(), std::min(bytes.size(), kMapPartBytes));
    if (changes.has_value()) {
      for (wire::MapChange& change : *changes) *reply.add_changes() = std::move(change);
      co_return reply;
    }
  }
  if (bytes.size() <= kMapPartBytes) {
    *reply.mutable_map() = map;
    co_return reply;
  }
  const uint64_t offset = goes_on ? request.offset_bytes() : 0;
  if (offset >= bytes.size()) {
    co_return absl::InvalidArgumentError(StrCat("the cluster map of version ", map.version(),
                                                " has ", bytes.size(), " bytes, none from ", offset,
                                                " on"));
  }
  reply.set_version(map.version());
  reply.set_total_bytes(bytes.size());
  reply.set_part(bytes.substr(offset, kMapPartBytes));
  co_return reply;
}

Task<absl::StatusOr<wire::StatReply>> MetaService::Stat(CallContext& call,
                                                        const wire::StatRequest& request) {
  absl::StatusOr<wire::StatReply> reply = co_await Query(call, request);
  if (!reply.ok() || !request.for_reading() || !on_read_) co_return reply;
  const bool cold = std::any_of(reply->extents().begin(), reply->extents().end(),
                                [](const wire::ExtentRun& run) { return run.has_cold(); });
  on_read_(InodeId(reply->subject()), cold);
  co_return reply;
}

const std::string& MetaService::Serialized(const wire::ClusterMap& map) {
  if (serialized_.empty() || serialized_version_ != map.version()) {
    serialized_ = map.SerializeAsString();
    serialized_version_ = map.version();
  }
  return serialized_;
}

Task<absl::StatusOr<wire::RenewLeasesReply>> MetaService::RenewLeases(
    CallContext& call, const wire::RenewLeasesRequest& request) {
  co_return engine_.RenewLeases(request);
}

}  // namespace cairn
