// The wiring follows server/main/node.cc, node_cluster.cc and core.cc; what differs is that all
// cores share one executor, so that nothing hops.
#include "tests/sim/node/sim_node.h"

#include <algorithm>
#include <set>
#include <utility>

#include "common/base/check.h"
#include "common/base/strings.h"
#include "common/buffer/slab_pool.h"
#include "common/rpc/call_table.h"
#include "common/rpc/rpc_server.h"
#include "common/task/when_all.h"
#include "server/admin/cluster_examiner.h"
#include "server/admin/node_examiner.h"
#include "server/admin/operator_service.h"
#include "server/admin/ping_service.h"
#include "server/cluster/cluster_map.h"
#include "server/cluster/member.h"
#include "server/cluster/membership.h"
#include "server/cluster/peers.h"
#include "server/meta/families.h"
#include "server/repair/fragment_list.h"
#include "server/repair/fragment_maker.h"
#include "server/repair/free_everywhere.h"
#include "server/repair/free_spans.h"
#include "server/repair/groups_in_use.h"
#include "server/repair/rebuild_loop.h"
#include "server/repair/reclaim_loop.h"
#include "server/repair/scrub_loop.h"
#include "server/service/chunk_service.h"
#include "server/service/fs_service.h"
#include "server/service/map_keeper.h"
#include "server/service/member_service.h"
#include "server/service/meta_service.h"
#include "server/service/node_service.h"

namespace cairn {
namespace {

constexpr char kClusterId[] = "simulated";
constexpr uint32_t kGroupsOfATarget = 4;
// A few nodes take several.
constexpr size_t kExaminationPartBytes = 1024;
// Of a node that starts, for its cluster.
constexpr absl::Duration kJoinPatience = absl::Seconds(60);
constexpr absl::Duration kJoinTry = absl::Seconds(5);
constexpr absl::Duration kJoinPause = absl::Seconds(1);

Task<absl::Status> FreeOn(std::vector<Target*> targets, std::vector<StripeSpan> spans) {
  std::vector<Task<absl::Status>> frees;
  for (Target* target : targets) frees.push_back(FreeSpans(*target, spans));
  absl::Status freed = co_await WhenAllOk(std::move(frees));
  co_return freed;
}

Task<std::vector<LeaseId>> PendingOn(std::vector<Target*> targets) {
  std::vector<LeaseId> leases;
  for (Target* target : targets) {
    const std::vector<LeaseId> of_target = target->PendingLeases();
    leases.insert(leases.end(), of_target.begin(), of_target.end());
  }
  co_return leases;
}

Task<absl::Status> DropOn(std::vector<Target*> targets, LeaseId lease) {
  for (Target* target : targets) target->DropLease(lease);
  co_return absl::OkStatus();
}

Task<absl::StatusOr<bool>> AskLease(MetaEngine* meta, Member* member, LeaseId lease) {
  if (member == nullptr) co_return meta->LeaseIsLive(lease);
  co_return co_await member->leases().IsLive(lease);
}

Task<absl::Status> FreeHere(RemoteLeases* leases, std::vector<Target*> targets,
                            std::vector<StripeSpan> spans) {
  if (leases != nullptr) leases->Forget();
  co_return co_await FreeOn(std::move(targets), std::move(spans));
}

Task<absl::Status> WorkOn(std::vector<Target*> targets, uint32_t id, const TargetWork* work) {
  for (Target* target : targets) {
    if (target->id().value() == id) co_return co_await (*work)(*target);
  }
  co_return absl::UnavailableError("no such target");
}

Task<wire::HeartbeatRequest> Say(wire::HeartbeatRequest heartbeat) { co_return heartbeat; }

}  // namespace

struct SimNode::Core {
  std::unique_ptr<SimNet> net;
  std::unique_ptr<SlabPool> slabs;
  std::unique_ptr<MemoryRegion> region;
  CallTable table;
  PingService ping;
  std::unique_ptr<ChunkService> chunks;
  std::unique_ptr<RpcServer> rpc;
  std::vector<Target*> targets;
};

// One life of the process.
struct SimNode::Life {
  std::vector<std::unique_ptr<Core>> cores;
  std::vector<std::unique_ptr<Target>> targets;
  std::unique_ptr<SimNet> peer_net;
  std::unique_ptr<Peers> peers;
  std::unique_ptr<NodeService> node_service;
  std::unique_ptr<Member> member;
  StopSource stop;
  struct OwnTarget {
    wire::TargetInfo info;
    Target* target = nullptr;
  };
  std::vector<OwnTarget> own_targets;  // those that have not left the cluster
  std::function<Task<absl::Status>(std::vector<StripeSpan>)> free_here;
  std::unique_ptr<MetaEngine> meta;
  std::unique_ptr<MapKeeper> map_keeper;
  std::unique_ptr<MemberService> member_service;
  std::unique_ptr<MetaService> meta_service;
  std::unique_ptr<FsService> fs_service;
  std::unique_ptr<SessionTable> sessions;
  std::unique_ptr<ReclaimLoop> reclaim;
  std::unique_ptr<SimNet> repair_net;
  std::unique_ptr<Peers> repair_peers;
  std::unique_ptr<FragmentMaker> fragment_maker;
  std::unique_ptr<NodeExaminer> node_examiner;
  std::unique_ptr<RebuildLoop> rebuild;
  std::unique_ptr<ScrubLoop> scrub;
  std::unique_ptr<OperatorService> operator_service;
  std::unique_ptr<ClusterExaminer> cluster_examiner;
  wire::ClusterMap map;

  std::vector<Target*> AllTargets() const {
    std::vector<Target*> all;
    for (const OwnTarget& own : own_targets) all.push_back(own.target);
    return all;
  }
};

SimNode::SimNode(SimExecutor& executor, SimFabric& fabric, Options options)
    : executor_(executor),
      fabric_(fabric),
      options_(std::move(options)),
      meta_store_(kMetaFamilyCount) {
  for (uint32_t i = 0; i < options_.targets; ++i) {
    disks_.push_back(std::make_unique<SimDisk>(options_.target_bytes, executor_.random().Next()));
    indexes_.push_back(std::make_unique<SimKv>(ChunkIndex::Families().size()));
  }
}

SimNode::~SimNode() { CAIRN_CHECK(life_ == nullptr); }

Target& SimNode::target(size_t target) { return *life_->targets[target]; }
MetaEngine& SimNode::meta() { return *life_->meta; }
const wire::ClusterMap& SimNode::map() const { return life_->map; }

size_t SimNode::calls_running() const {
  size_t sum = 0;
  if (life_ == nullptr) return sum;
  for (const auto& core : life_->cores) {
    if (core->rpc != nullptr) sum += core->rpc->calls_running();
  }
  return sum;
}

Task<absl::Status> SimNode::Start() {
  CAIRN_CHECK(life_ == nullptr);
  life_ = std::make_unique<Life>();
  absl::Status booted = co_await Boot(*life_);
  co_return booted;
}

Task<absl::Status> SimNode::Boot(Life& life) {
  for (uint32_t i = 0; i < options_.cores; ++i) {
    auto core = std::make_unique<Core>();
    core->net = fabric_.MakeNet(options_.process);
    absl::StatusOr<std::unique_ptr<SlabPool>> slabs =
        SlabPool::Create({static_cast<size_t>(options_.stripe_bytes), options_.slabs});
    if (!slabs.ok()) co_return slabs.status();
    core->slabs = *std::move(slabs);
    absl::StatusOr<std::unique_ptr<MemoryRegion>> region =
        core->net->Register(core->slabs->memory(), MemoryAccess::kLocal);
    if (!region.ok()) co_return region.status();
    core->region = *std::move(region);
    life.cores.push_back(std::move(core));
  }
  absl::Status opened = co_await OpenPeers(life);
  if (opened.ok() && !founder()) opened = co_await Join(life);
  if (opened.ok()) opened = co_await OpenTargets(life);
  if (opened.ok() && founder()) opened = co_await OpenMetadata(life);
  if (!opened.ok()) co_return opened;
  opened = Serve(life);
  if (opened.ok()) StartMembership(life);
  co_return opened;
}

Task<absl::Status> SimNode::OpenPeers(Life& life) {
  if (identity_ == 0) {
    identity_ = executor_.random().Next() | 1;
    if (founder()) node_id_ = 1;
    for (uint32_t i = 0; i < options_.targets; ++i) target_ids_.push_back(i + 1);
  }
  absl::StatusOr<ClusterSecret> secret = ClusterSecret::FromText(options_.secret);
  if (!secret.ok()) co_return secret.status();
  life.peer_net = fabric_.MakeNet(options_.process);
  life.peers = std::make_unique<Peers>(*life.peer_net, executor_.random(),
                                       Peers::Options{options_.process, kClusterId, *secret});
  if (!founder())
    life.member = std::make_unique<Member>(*life.peers, std::vector<std::string>{options_.join});
  life.free_here = [&life](std::vector<StripeSpan> spans) {
    return FreeHere(life.member == nullptr ? nullptr : &life.member->leases(), life.AllTargets(),
                    std::move(spans));
  };
  life.repair_net = fabric_.MakeNet(options_.process);
  life.repair_peers = std::make_unique<Peers>(
      *life.repair_net, executor_.random(), Peers::Options{options_.process, kClusterId, *secret});
  life.node_service = std::make_unique<NodeService>(
      *std::move(secret), [] { return kClusterId; }, RepairWork(life));
  co_return absl::OkStatus();
}

NodeService::Work SimNode::RepairWork(Life& life) {
  const auto on_target = [&life](uint32_t target, const TargetWork& work) {
    return WorkOn(life.AllTargets(), target, &work);
  };
  life.fragment_maker = std::make_unique<FragmentMaker>(
      *life.repair_net, *life.repair_peers, on_target, [] { return false; },
      FragmentMaker::Options());
  NodeService::Work work;
  work.free = life.free_here;
  work.free_fragments = [on_target](const wire::FreeFragmentsRequest& request) {
    return FreeFragments(request, on_target);
  };
  work.list = [&life, on_target](const wire::ListFragmentsRequest& request) {
    std::vector<uint32_t> targets;
    for (const Life::OwnTarget& own : life.own_targets) targets.push_back(own.info.id());
    return ListFragments(request, std::move(targets), on_target);
  };
  work.restore = [maker = life.fragment_maker.get()](const wire::RestoreFragmentsRequest& request,
                                                     Deadline deadline) {
    return maker->Restore(request, deadline);
  };
  NodeExaminer::Options examiner;
  examiner.software_version = "simulated";
  examiner.started_at = executor_.clock().Now();
  examiner.wall_now = [this] { return WallNow(); };
  examiner.state = [this, &life] { return Say(Heartbeat(life)); };
  examiner.on_target = on_target;
  life.node_examiner = std::make_unique<NodeExaminer>(*life.repair_peers, std::move(examiner));
  work.examine = [&life](wire::ExamineNodeRequest request, Deadline deadline) {
    return life.node_examiner->Examine(std::move(request), deadline);
  };
  work.add_target = [this, &life](const wire::AddTargetRequest&, Deadline) {
    return AddTarget(&life);
  };
  work.probe_tier = [](wire::ProbeTierRequest,
                       Deadline) -> Task<absl::StatusOr<wire::ProbeTierReply>> {
    co_return absl::UnimplementedError("simulated nodes have no cold tiers");
  };
  return work;
}

wire::JoinRequest SimNode::OwnJoinRequest() const {
  wire::JoinRequest request;
  request.set_identity(identity_);
  request.set_name(options_.process);
  request.set_target_count(options_.targets);
  request.set_node(node_id_);
  return request;
}

Task<absl::Status> SimNode::Join(Life& life) {
  const Deadline patience = Deadline::After(executor_.clock(), kJoinPatience);
  while (true) {
    const absl::StatusOr<wire::JoinReply> reply =
        co_await life.member->Join(OwnJoinRequest(), Deadline::After(executor_.clock(), kJoinTry));
    if (reply.ok()) {
      node_id_ = reply->node();
      target_ids_.assign(reply->targets().begin(), reply->targets().end());
      co_return absl::OkStatus();
    }
    const bool may_pass =
        absl::IsUnavailable(reply.status()) || absl::IsDeadlineExceeded(reply.status());
    if (!may_pass || patience.HasPassed(executor_.clock())) co_return reply.status();
    absl::Status slept = co_await SleepFor(kJoinPause, life.stop);
    if (!slept.ok()) co_return slept;
  }
}

Task<absl::Status> SimNode::OpenTargets(Life& life) {
  for (uint32_t number = 0; number < options_.targets; ++number) {
    if (target_ids_[number] == 0) continue;
    absl::Status opened = co_await OpenTarget(life, number);
    if (!opened.ok()) co_return opened;
  }
  co_return absl::OkStatus();
}

Task<absl::Status> SimNode::OpenTarget(Life& life, uint32_t number) {
  Target::Options options{kClusterId, TargetId(target_ids_[number]),
                          options_.pending_fragments_max};
  absl::StatusOr<std::unique_ptr<Target>> opened = co_await Target::Open(
      std::move(options), *disks_[number], *indexes_[number], runner_, executor_.random());
  if (!opened.ok()) co_return opened.status();
  Core& core = *life.cores[CoreOf(number)];
  core.targets.push_back(opened->get());
  if (core.chunks != nullptr) core.chunks->AddTarget(opened->get());
  Life::OwnTarget& own = life.own_targets.emplace_back();
  own.target = opened->get();
  own.info.set_id(target_ids_[number]);
  own.info.set_node(node_id_);
  own.info.set_number(number);
  own.info.set_core(CoreOf(number));
  own.info.set_state(wire::TARGET_UP);
  life.targets.push_back(*std::move(opened));
  co_return absl::OkStatus();
}

Task<absl::StatusOr<wire::AddTargetReply>> SimNode::AddTarget(Life* life) {
  const uint32_t number = options_.targets++;
  disks_.push_back(std::make_unique<SimDisk>(options_.target_bytes, executor_.random().Next()));
  indexes_.push_back(std::make_unique<SimKv>(ChunkIndex::Families().size()));
  target_ids_.push_back(0);
  if (founder()) {
    absl::StatusOr<uint32_t> id = co_await life->map_keeper->AddNodeTarget(node_id_, number);
    if (!id.ok()) co_return id.status();
    target_ids_[number] = *id;
  } else {
    const absl::StatusOr<wire::JoinReply> reply =
        co_await life->member->Join(OwnJoinRequest(), Deadline::After(executor_.clock(), kJoinTry));
    if (!reply.ok()) co_return reply.status();
    target_ids_[number] = reply->targets(static_cast<int>(number));
  }
  absl::Status opened = co_await OpenTarget(*life, number);
  if (!opened.ok()) co_return opened;
  wire::AddTargetReply reply;
  reply.set_target(target_ids_[number]);
  co_return reply;
}

Task<absl::StatusOr<wire::AddTargetReply>> SimNode::AddTargetTo(Life* life, wire::NodeInfo node,
                                                                wire::AddTargetRequest request,
                                                                Deadline deadline) {
  if (node.id() == node_id_) co_return co_await AddTarget(life);
  co_return co_await life->peers->CallNode<wire::AddTargetReply>(
      node.id(), node.endpoint(), wire::ADD_TARGET, std::move(request), deadline);
}

Task<void> SimNode::OnRemovedTargets(Life* life, std::vector<uint32_t> ids) {
  for (uint32_t id : ids) {
    std::replace(target_ids_.begin(), target_ids_.end(), id, 0u);
    std::erase_if(life->own_targets, [id](const auto& own) { return own.info.id() == id; });
  }
  co_return;
}

Task<absl::Status> SimNode::OpenMetadata(Life& life) {
  life.meta = std::make_unique<MetaEngine>(meta_store_, runner_, runner_, runner_,
                                           executor_.clock(), options_.meta);
  absl::Status started = co_await life.meta->Start(kClusterId);
  if (!started.ok()) co_return started;
  life.map.set_cluster_id(kClusterId);
  life.map.set_stripe_bytes(static_cast<uint32_t>(options_.stripe_bytes));
  auto* node = life.map.add_nodes();
  node->set_id(1);
  node->set_endpoint(options_.endpoint);
  absl::StatusOr<wire::GetMapReply> stored = co_await life.meta->Query(wire::GetMapRequest());
  if (!stored.ok()) co_return stored.status();
  wire::HeartbeatRequest told;
  told.set_node(1);
  for (const Life::OwnTarget& own : life.own_targets) *told.add_targets() = own.info;
  const std::vector<uint32_t> removed = RemovedTargets(stored->map(), told);
  co_await OnRemovedTargets(&life, removed);
  for (const Life::OwnTarget& own : life.own_targets) *life.map.add_targets() = own.info;
  absl::StatusOr<wire::ClusterMap> merged =
      MergeClusterMap(stored->map(), life.map, kGroupsOfATarget);
  if (!merged.ok()) co_return merged.status();
  life.map = *std::move(merged);
  disk::SetClusterMap update;
  *update.mutable_map() = life.map;
  absl::StatusOr<disk::SetClusterMapReply> set = co_await life.meta->Mutate(std::move(update));
  if (!set.ok()) co_return set.status();
  ReclaimLoop::Targets targets;
  targets.free = [&life](std::vector<StripeSpan> spans) {
    return FreeEverywhere(*life.peers, life.map, 1, std::move(spans), life.free_here);
  };
  targets.pending_leases = [&life] { return PendingOn(life.AllTargets()); };
  targets.drop_lease = [&life](LeaseId lease) { return DropOn(life.AllTargets(), lease); };
  life.reclaim = std::make_unique<ReclaimLoop>(*life.meta, std::move(targets));
  life.reclaim->Start();
  co_return absl::OkStatus();
}

absl::Status SimNode::Serve(Life& life) {
  wire::HelloReply identity;
  identity.set_software_version("simulated");
  identity.set_cluster_id(kClusterId);
  identity.set_node_id(node_id_);
  identity.set_node_incarnation(executor_.random().Next());
  identity.set_provider(life.cores[0]->net->provider());
  for (const auto& core : life.cores) identity.add_core_addresses(core->net->address());
  identity.set_map_version(life.map.version());
  identity.set_slab_bytes(static_cast<uint32_t>(options_.stripe_bytes));
  if (life.member != nullptr) identity.add_meta_endpoints(life.member->metadata());
  const RpcServer::Options rpc{.node_incarnation = identity.node_incarnation()};
  SessionTable::Options sessions;
  sessions.identity = std::move(identity);
  sessions.slabs = static_cast<uint32_t>(options_.slabs * life.cores.size());
  sessions.credits_max = options_.credits_max;
  life.sessions = std::make_unique<SessionTable>(std::move(sessions), executor_.random(),
                                                 [&life](SessionId session) {
                                                   life.node_service->OnSessionEnded(session);
                                                   if (life.member_service != nullptr)
                                                     life.member_service->OnSessionEnded(session);
                                                 });
  life.sessions->SetMapVersion(life.map.version());
  life.node_service->Register(life.cores[0]->table);
  if (founder()) ServeMetadata(life);
  for (const auto& core : life.cores) {
    core->chunks = std::make_unique<ChunkService>(
        *core->slabs, core->targets,
        [&life](LeaseId lease) { return AskLease(life.meta.get(), life.member.get(), lease); });
    core->chunks->Register(core->table);
    core->ping.Register(core->table);
    core->rpc = std::make_unique<RpcServer>(*core->net, core->table, *life.sessions, rpc);
    core->net->SetReceiver(
        [server = core->rpc.get()](ConstBytes message) { server->OnMessage(message); });
  }
  return life.cores[0]->net->Listen(options_.endpoint, life.sessions.get()).status();
}

void SimNode::ServeMetadata(Life& life) {
  life.map_keeper = std::make_unique<MapKeeper>(
      *life.meta, life.map, kGroupsOfATarget,
      [sessions = life.sessions.get()](uint64_t version) { sessions->SetMapVersion(version); });
  life.meta_service = std::make_unique<MetaService>(
      *life.meta, [map = &life.map]() -> const wire::ClusterMap& { return *map; },
      life.map_keeper->history(),
      [keeper = life.map_keeper.get()](std::string redundancy, wire::DomainLevel level) {
        return keeper->MakeGroups(std::move(redundancy), level);
      });
  life.meta_service->Register(life.cores[0]->table);
  life.fs_service = std::make_unique<FsService>(*life.meta);
  life.fs_service->Register(life.cores[0]->table);
  life.member_service = std::make_unique<MemberService>(*life.node_service, *life.map_keeper,
                                                        *life.meta, FailureDetector::Options());
  life.member_service->Register(life.cores[0]->table);
  RebuildLoop::Map map;
  map.get = [map = &life.map]() -> const wire::ClusterMap& { return *map; };
  map.apply = [keeper = life.map_keeper.get()](std::function<bool(wire::ClusterMap*)> change) {
    return keeper->ChangeMoves(std::move(change));
  };
  map.usage = [members = life.member_service.get()] { return members->usage(); };
  map.keep_crowded = [keeper = life.map_keeper.get()] { return keeper->KeepCrowded(); };
  life.rebuild =
      std::make_unique<RebuildLoop>(*life.meta, *life.peers, map, RebuildLoop::Options());
  ScrubLoop::Options scrub;
  scrub.bandwidth = [] { return 100 * kMiB; };
  life.scrub = std::make_unique<ScrubLoop>(life.rebuild->check(), std::move(scrub));
  OperatorService::Repair repair;
  repair.report = [scrub = life.scrub.get()](uint64_t stripe) { scrub->Report(stripe); };
  repair.status = [rebuild = life.rebuild.get(), scrub = life.scrub.get()] {
    wire::RebuildStatusReply status = rebuild->Status();
    *status.mutable_scrub() = scrub->Status();
    return status;
  };
  repair.check = [check = &life.rebuild->check()](wire::CheckStorageRequest request) {
    return check->Step(std::move(request));
  };
  repair.facts = [rebuild = life.rebuild.get()] { return rebuild->Facts(); };
  repair.groups_in_use = [meta = life.meta.get()](std::set<uint32_t> groups) {
    return GroupsInUse(*meta, std::move(groups));
  };
  life.operator_service = std::make_unique<OperatorService>(
      *life.map_keeper, std::move(repair),
      [this, &life](const wire::NodeInfo& node, wire::AddTargetRequest request, Deadline deadline) {
        return AddTargetTo(&life, node, std::move(request), deadline);
      });
  life.operator_service->Register(life.cores[0]->table);
  ClusterExaminer::Cluster cluster;
  cluster.map = map.get;
  cluster.history = [members = life.member_service.get()]() -> const NodeHistory& {
    return members->history();
  };
  cluster.wall_now = [this] { return WallNow(); };
  cluster.part_bytes_max = kExaminationPartBytes;
  life.cluster_examiner = std::make_unique<ClusterExaminer>(*life.peers, std::move(cluster));
  life.cluster_examiner->Register(life.cores[0]->table);
}

wire::HeartbeatRequest SimNode::Heartbeat(const Life& life) const {
  wire::HeartbeatRequest heartbeat;
  heartbeat.set_node(node_id_);
  heartbeat.set_endpoint(options_.endpoint);
  for (const Life::OwnTarget& own : life.own_targets) {
    wire::TargetInfo& target = *heartbeat.add_targets();
    target = own.info;
    const Target::Usage usage = own.target->usage();
    target.set_capacity_bytes(usage.capacity);
    target.set_used_bytes(usage.capacity - usage.free);
    target.set_fragments(usage.fragments);
    if (!own.target->failure().ok()) target.set_state(wire::TARGET_FAILED);
  }
  return heartbeat;
}

void SimNode::StartMembership(Life& life) {
  const auto heartbeat = [this, &life] { return Say(Heartbeat(life)); };
  const auto on_removed_targets = [this, &life](std::vector<uint32_t> ids) {
    return OnRemovedTargets(&life, std::move(ids));
  };
  if (life.member == nullptr) {
    life.member_service->Start(heartbeat, on_removed_targets);
    life.rebuild->Start();
    life.scrub->Start();
    return;
  }
  Member::Node node;
  node.heartbeat = heartbeat;
  node.on_removed_targets = on_removed_targets;
  node.on_map_version = [&life](uint64_t version) {
    if (version > life.sessions->map_version()) life.sessions->SetMapVersion(version);
  };
  node.pending_leases = [&life] { return PendingOn(life.AllTargets()); };
  node.drop_lease = [&life](LeaseId lease) { return DropOn(life.AllTargets(), lease); };
  life.member->Start(std::move(node));
}

void SimNode::Kill(uint64_t seed) {
  fabric_.Kill(options_.process);
  SeededRandom random(seed);
  for (const auto& disk : disks_) disk->Crash(random.Next());
  for (const auto& index : indexes_) index->Crash(random.Next());
  meta_store_.Crash(random.Next());
}

Task<void> SimNode::Bury() {
  Life& life = *life_;
  life.cores[0]->net->StopListening();
  if (life.sessions != nullptr) co_await life.sessions->Stop();
  if (life.meta != nullptr) life.meta->directory_leases().Stop();
  if (life.reclaim != nullptr) life.reclaim->RequestStop();
  if (life.rebuild != nullptr) life.rebuild->RequestStop();
  if (life.scrub != nullptr) life.scrub->RequestStop();
  if (life.cluster_examiner != nullptr) life.cluster_examiner->RequestStop();
  if (life.fragment_maker != nullptr) life.fragment_maker->Stop();
  if (life.repair_peers != nullptr) co_await life.repair_peers->Stop();
  life.stop.RequestStop();
  if (life.member != nullptr) {
    co_await life.member->Stop();
  } else if (life.peers != nullptr) {
    co_await life.peers->Stop();
  }
  for (const auto& core : life.cores) {
    core->slabs->Break();
    (void)core->net->Reset();
    if (core->rpc != nullptr) co_await core->rpc->Stop();
  }
  if (life.member_service != nullptr) co_await life.member_service->Stop();
  if (life.rebuild != nullptr) co_await life.rebuild->Stop();
  if (life.scrub != nullptr) co_await life.scrub->Stop();
  if (life.cluster_examiner != nullptr) co_await life.cluster_examiner->Stop();
  if (life.reclaim != nullptr) co_await life.reclaim->Stop();
  if (life.meta != nullptr) co_await life.meta->Stop();
  if (life.peer_net != nullptr) co_await life.peer_net->Stop();
  if (life.repair_net != nullptr) co_await life.repair_net->Stop();
  life.member.reset();
  life.peer_net.reset();
  life.scrub.reset();
  life.rebuild.reset();
  life.peers.reset();
  life.fragment_maker.reset();
  life.node_examiner.reset();
  life.repair_net.reset();
  life.repair_peers.reset();
  for (const auto& target : life.targets) co_await target->Close();
  life.targets.clear();
  for (const auto& core : life.cores) {
    core->region.reset();
    co_await core->net->Stop();
    core->net.reset();
    core->rpc.reset();
  }
  life_.reset();
  for (const auto& disk : disks_) disk->PowerOn();
  for (const auto& index : indexes_) index->PowerOn();
  meta_store_.PowerOn();
}

Task<absl::Status> SimNode::Restart(uint64_t seed, uint32_t cores) {
  Kill(seed);
  co_await Bury();
  options_.cores = cores;
  absl::Status started = co_await Start();
  co_return started;
}

}  // namespace cairn
