#include "bench/scale/footprint.h"

#include "common/base/strings.h"
#include "common/base/units.h"
#include "common/fabric/net.h"
#include "server/meta/extents.h"
#include "server/meta/meta_engine.h"
#include "server/meta/reply_size.h"

namespace cairn::scale {
namespace {

constexpr char kPath[] = "models/llm-405b/step-0000123456";
// client/io/session.cc renews a lease three times in its life.
constexpr double kRenewalsPerLease = 3;

uint64_t BeginBytes(const Case& study) {
  wire::BeginCheckpointRequest request;
  request.set_path(kPath);
  request.set_world_size(study.shape.ranks);
  request.set_rank(study.shape.ranks - 1);
  request.set_nonce(1);
  wire::BeginCheckpointReply reply;
  reply.set_attempt(1);
  reply.set_lease(1);
  reply.mutable_stripes()->set_first(1 + study.shape.ranks * kDefaultGrant);
  reply.mutable_stripes()->set_count(kDefaultGrant);
  reply.set_lease_ttl_ms(60'000);
  reply.set_redundancy(FormatRedundancy(study.shape.redundancy));
  return request.ByteSizeLong() + reply.ByteSizeLong();
}

uint64_t RankDoneBytes(const Case& study, const std::vector<wire::ExtentRun>& extents) {
  wire::RankDoneRequest request;
  request.set_path(kPath);
  request.set_attempt(1);
  request.set_rank(study.shape.ranks - 1);
  wire::ShardRecord* shard = request.add_shards();
  shard->set_name("__16383_0.distcp");
  shard->set_size_bytes(study.shape.rank_bytes);
  shard->set_crc32c(1);
  for (const wire::ExtentRun& run : extents) *shard->add_extents() = run;
  wire::RankDoneReply reply;
  reply.set_ranks_done(study.shape.ranks);
  return request.ByteSizeLong() + reply.ByteSizeLong();
}

uint64_t StatBytes(const Case& study, const std::vector<wire::ExtentRun>& extents) {
  wire::StatRequest request;
  request.set_path(StrCat(kPath, "/__16383_0.distcp"));
  wire::StatReply reply;
  reply.mutable_entry()->set_name(request.path());
  reply.mutable_entry()->set_type(wire::ENTRY_FILE);
  reply.mutable_entry()->set_size_bytes(study.shape.rank_bytes);
  reply.mutable_entry()->set_inode(1);
  reply.mutable_entry()->set_crc32c(1);
  for (const wire::ExtentRun& run : extents) *reply.add_extents() = run;
  return request.ByteSizeLong() + reply.ByteSizeLong();
}

}  // namespace

Footprint FootprintOf(const Case& study, const wire::ClusterMap& map,
                      const std::vector<wire::ExtentRun>& extents, uint32_t sessions,
                      double session_bytes) {
  Footprint footprint;
  footprint.map_bytes = map.ByteSizeLong();
  footprint.groups = static_cast<uint32_t>(map.groups_size());
  // server/service/meta_service.cc cuts the map in parts of a reply's size.
  footprint.map_calls = DivideUp(footprint.map_bytes, uint64_t{kMaxReplyBytes});
  footprint.begin_bytes = BeginBytes(study);
  footprint.rank_done_bytes = RankDoneBytes(study, extents);
  footprint.stat_bytes = StatBytes(study, extents);
  const double ttl = absl::ToDoubleSeconds(MetaOptions().lease_ttl);
  footprint.renewals_per_second = study.shape.ranks * kRenewalsPerLease / ttl;
  footprint.fixed_memory_bytes =
      study.hardware.slab_memory + footprint.map_bytes +
      study.hardware.reactors_per_node * kReceiveBuffers * kMaxMessageBytes;
  footprint.memory_bytes =
      footprint.fixed_memory_bytes + static_cast<uint64_t>(sessions * session_bytes);
  footprint.memory_bytes_max =
      footprint.fixed_memory_bytes + static_cast<uint64_t>(study.shape.ranks * session_bytes);
  return footprint;
}

}  // namespace cairn::scale
