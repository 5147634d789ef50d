#include "server/main/node.h"

#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "common/base/human.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/fabric/host_port.h"
#include "common/task/call_on.h"
#include "common/task/when_all.h"
#include "common/telemetry/log.h"
#include "server/cluster/cluster_map.h"
#include "server/kv/rocks_kv.h"
#include "server/main/config_file.h"
#include "server/main/host_name.h"
#include "server/main/sizes.h"
#include "server/meta/families.h"

namespace cairn {
namespace {

constexpr char kDefaultListen[] = "127.0.0.1:7440";
constexpr uint32_t kReactorsMax = 256;

// A setting's size; an error names the setting.
absl::StatusOr<uint64_t> SizeSetting(std::string_view setting, const std::string& text) {
  absl::StatusOr<uint64_t> size = ParseSize(text);
  if (size.ok()) return size;
  return absl::InvalidArgumentError(StrCat(setting, ": ", ToStd(size.status().message())));
}

// A target's size from its settings, before anything is made.
absl::StatusOr<uint64_t> TargetSizeSetting(uint32_t number, const std::string& text) {
  const std::string setting = StrCat("size of target ", number + 1);
  ASSIGN_OR_RETURN(const uint64_t size, SizeSetting(setting, text));
  if (size >= kTargetBytesMin) return size;
  return absl::InvalidArgumentError(
      StrCat(setting, ": ", text, " is too small; at least ", HumanBytes(kTargetBytesMin)));
}

// Half of what is free where `path` is going to be.
absl::StatusOr<uint64_t> DefaultTargetSize(const std::string& path) {
  struct statvfs filesystem {};
  const std::string directory = std::filesystem::path(path).parent_path().string();
  if (statvfs(directory.c_str(), &filesystem) != 0) {
    return absl::NotFoundError(
        StrCat("cannot look at the filesystem of ", path, ": ", strerror(errno)));
  }
  const uint64_t free_bytes = uint64_t{filesystem.f_bavail} * filesystem.f_frsize;
  const uint64_t size = AlignDown(free_bytes / 2, kSlabBytes);
  if (size >= kTargetBytesMin) return size;
  return absl::ResourceExhaustedError(StrCat("no space for a target at ", path,
                                             ": its filesystem has ", HumanBytes(free_bytes),
                                             " free; free some, or name another path"));
}

absl::StatusOr<IoEngine> ParseEngine(const std::string& name) {
  if (name.empty() || name == "auto") return IoEngine::kAuto;
  if (name == "io_uring") return IoEngine::kIoUring;
  if (name == "threads") return IoEngine::kThreads;
  return absl::InvalidArgumentError(
      StrCat("io_engine \"", name, "\" is not one of auto, io_uring, threads"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Node>> Node::Start(const config::Server& config,
                                                  const std::function<bool()>& stop_wanted) {
  std::unique_ptr<Node> node(new Node(config));
  RETURN_IF_ERROR(node->Open(stop_wanted));
  return node;
}

Node::~Node() { Stop(); }

absl::Status Node::Open(const std::function<bool()>& stop_wanted) {
  started_at_ = clock_.Now();
  if (config_.targets_size() == 0) config_.add_targets();
  const auto purpose =
      config_.join().empty() ? DataDirectory::Purpose::kServe : DataDirectory::Purpose::kJoin;
  ASSIGN_OR_RETURN(directory_,
                   DataDirectory::Open(config_.data(), config_.cluster_id(), random_, purpose));
  RETURN_IF_ERROR(OpenMetrics());
  ASSIGN_OR_RETURN(slots_, TargetSlots(config_, directory_->identity()));
  target_pool_ = std::make_unique<BlockingPool>(1);
  OpenTiers();
  RETURN_IF_ERROR(OpenCores());
  RETURN_IF_ERROR(OpenPeers());
  // The targets' ids come from the cluster.
  if (directory_->joined()) RETURN_IF_ERROR(JoinCluster(stop_wanted));
  RETURN_IF_ERROR(OpenTargets());
  if (!directory_->joined()) RETURN_IF_ERROR(OpenMetadata());
  RETURN_IF_ERROR(Listen());
  serving_.store(true, std::memory_order_release);
  return absl::OkStatus();
}

absl::Status Node::OpenCores() {
  const uint32_t reactors = std::max(config_.reactors(), 1u);
  if (reactors > kReactorsMax) {
    return absl::InvalidArgumentError(StrCat("reactors = ", reactors, " is over ", kReactorsMax));
  }
  uint64_t slab_memory = kDefaultSlabMemory;
  if (!config_.slab_memory().empty()) {
    ASSIGN_OR_RETURN(slab_memory, SizeSetting("slab_memory", config_.slab_memory()));
  }
  const uint64_t slabs = slab_memory / kSlabBytes / reactors;
  if (slabs < kSlabsPerCoreMin) {
    return absl::InvalidArgumentError(StrCat("slab_memory is ", slab_memory, " bytes; ", reactors,
                                             " reactors need at least ",
                                             HumanBytes(kSlabsPerCoreMin * kSlabBytes * reactors)));
  }
  ASSIGN_OR_RETURN(const IoEngine engine, ParseEngine(config_.io_engine()));
  if (config_.listen().empty()) config_.set_listen(kDefaultListen);
  ASSIGN_OR_RETURN(const HostPort listen, ParseHostPort(config_.listen()));
  for (uint32_t i = 0; i < reactors; ++i) {
    Core::Options options;
    options.index = i;
    if (engine == IoEngine::kIoUring) options.backend = Reactor::Backend::kIoUring;
    if (engine == IoEngine::kThreads) options.backend = Reactor::Backend::kPoll;
    options.provider =
        config_.provider().empty() ? std::string(kDefaultProvider) : config_.provider();
    options.bind_host = listen.host;
    options.slabs = {kSlabBytes, slabs};
    ASSIGN_OR_RETURN(std::unique_ptr<Core> core, Core::Start(std::move(options)));
    if (engine == IoEngine::kAuto && !core->thread().reactor().ring_refusal().empty()) {
      CAIRN_LOG_WARN("disk I/O runs on threads, which is slower: {}",
                     core->thread().reactor().ring_refusal());
    }
    cores_.push_back(std::move(core));
  }
  return absl::OkStatus();
}

absl::Status Node::OpenTargets() {
  absl::Status first_failure;
  bool any_open = false;
  for (uint32_t number = 0; number < slots_.size(); ++number) {
    const TargetSlot& slot = slots_[number];
    if (slot.removed) continue;
    absl::StatusOr<Target*> opened = OpenTarget(number, slot);
    // Whoever wrote a setting that makes no sense is there to mend it.
    if (absl::IsInvalidArgument(opened.status())) return opened.status();
    OwnTarget& own = own_targets_.emplace_back();
    own.info = InfoOf(number, slot);
    own.core = &CoreOf(number);
    if (opened.ok()) {
      own.target = *opened;
      any_open = true;
      continue;
    }
    own.info.set_state(wire::TARGET_FAILED);
    own.failure = opened.status();
    CAIRN_LOG_ERROR("target {} ({}) has failed, the others go on without it: {}", number + 1,
                    own.info.path(), own.failure);
    first_failure.Update(own.failure);
    own.core->AddUnopenedTarget(TargetId(slot.id), own.failure);
  }
  return any_open ? absl::OkStatus() : first_failure;
}

Core& Node::CoreOf(uint32_t target_number) {
  const bool has_metadata = !directory_->joined();
  return *cores_[ReactorOf(target_number, static_cast<uint32_t>(cores_.size()), has_metadata)];
}

// Index and default data file lie in the data directory, the device may be anywhere.
std::string Node::TargetHome(uint32_t number) const {
  return StrCat(config_.data(), "/target-", number);
}

std::string Node::TargetPath(uint32_t number, const TargetSlot& slot) const {
  return slot.settings.path().empty() ? TargetHome(number) + "/data" : slot.settings.path();
}

wire::TargetInfo Node::InfoOf(uint32_t number, const TargetSlot& slot) {
  wire::TargetInfo info;
  info.set_id(slot.id);
  info.set_node(directory_->identity().node_id());
  info.set_number(number);
  info.set_core(CoreOf(number).index());
  info.set_state(wire::TARGET_UP);
  info.set_path(TargetPath(number, slot));
  return info;
}

absl::StatusOr<DiskOptions> Node::DiskOptionsOf(uint32_t number, const TargetSlot& slot) const {
  DiskOptions options;
  options.device.path = TargetPath(number, slot);
  if (!slot.settings.size().empty()) {
    ASSIGN_OR_RETURN(options.device.size_bytes, TargetSizeSetting(number, slot.settings.size()));
  } else if (!slot.added && !std::filesystem::exists(options.device.path)) {
    ASSIGN_OR_RETURN(options.device.size_bytes, DefaultTargetSize(options.device.path));
  }
  ASSIGN_OR_RETURN(options.engine, ParseEngine(config_.io_engine()));
  if (config_.unsafe_no_sync()) options.flush_mode = FlushMode::kUnsafeNone;
  return options;
}

absl::StatusOr<std::unique_ptr<Kv>> Node::OpenIndex(uint32_t number) const {
  RocksKv::Options options;
  options.directory = TargetHome(number) + "/index";
  options.families = ChunkIndex::Families();
  if (config_.unsafe_no_sync()) options.sync = RocksKv::Sync::kUnsafeNoSync;
  return RocksKv::Open(std::move(options));
}

Target::Options Node::TargetOptions(uint32_t id) const {
  Target::Options options;
  options.cluster_id = directory_->identity().cluster_id();
  options.id = TargetId(id);
  return options;
}

absl::StatusOr<Target*> Node::OpenTarget(uint32_t number, const TargetSlot& slot) {
  const std::string home = TargetHome(number);
  std::error_code error;
  std::filesystem::create_directories(home, error);
  if (error)
    return absl::PermissionDeniedError(StrCat("cannot make ", home, ": ", error.message()));
  ASSIGN_OR_RETURN(const DiskOptions disk_options, DiskOptionsOf(number, slot));
  Core& core = CoreOf(number);
  Core::OpenTarget opened;
  opened.runner = std::make_unique<BlockingPool>(kTargetThreads);
  ASSIGN_OR_RETURN(opened.index, OpenIndex(number));
  ASSIGN_OR_RETURN(OpenedDisk disk,
                   OpenDisk(disk_options, core.thread().reactor(), *opened.runner));
  for (const std::string& warning : disk.warnings)
    CAIRN_LOG_WARN("target {}: {}", number + 1, warning);
  opened.disk = std::move(disk.disk);
  const Target::Options options = TargetOptions(slot.id);
  ASSIGN_OR_RETURN(
      opened.target, core.thread().RunBlocking<absl::StatusOr<std::unique_ptr<Target>>>([&] {
        return Target::Open(options, *opened.disk, *opened.index, *opened.runner, random_);
      }));
  for (const std::string& warning : opened.target->warnings()) {
    CAIRN_LOG_WARN("target {}: {}", number + 1, warning);
  }
  Target* target = opened.target.get();
  core.AddTarget(std::move(opened));
  return target;
}

absl::Status Node::OpenMetadata() {
  RocksKv::Options options;
  options.directory = config_.data() + "/meta";
  options.families = MetaFamilyNames();
  if (config_.unsafe_no_sync()) options.sync = RocksKv::Sync::kUnsafeNoSync;
  ASSIGN_OR_RETURN(meta_kv_, RocksKv::Open(std::move(options)));
  meta_write_pool_ = std::make_unique<BlockingPool>(1);
  meta_read_pool_ = std::make_unique<BlockingPool>(kMetaReaders);
  meta_walk_pool_ = std::make_unique<BlockingPool>(1);
  return cores_[0]->thread().RunBlocking<absl::Status>([this] { return StartMetadata(); });
}

Task<absl::Status> Node::StartMetadata() {
  MetaOptions options;
  if (config_.lease_ttl_seconds() > 0)
    options.lease_ttl = absl::Seconds(config_.lease_ttl_seconds());
  if (config_.has_reclaim_grace_seconds()) {
    options.reclaim_grace = absl::Seconds(config_.reclaim_grace_seconds());
  }
  meta_ = std::make_unique<MetaEngine>(*meta_kv_, *meta_write_pool_, *meta_read_pool_,
                                       *meta_walk_pool_, clock_, options);
  absl::Status started = co_await meta_->Start(directory_->identity().cluster_id());
  if (!started.ok()) co_return started;
  map_.set_cluster_id(directory_->identity().cluster_id());
  map_.set_stripe_bytes(kSlabBytes);
  auto* node = map_.add_nodes();
  node->set_id(directory_->identity().node_id());
  node->set_endpoint(config_.advertise().empty() ? config_.listen() : config_.advertise());
  node->set_rack(config_.rack());
  node->set_name(HostName());
  absl::StatusOr<wire::GetMapReply> stored = co_await meta_->Query(wire::GetMapRequest());
  if (!stored.ok()) co_return stored.status();
  absl::Status forgotten = ForgetRemoved(stored->map());
  if (!forgotten.ok()) co_return forgotten;
  for (const OwnTarget& own : own_targets_) *map_.add_targets() = own.info;
  absl::StatusOr<wire::ClusterMap> merged = MergeClusterMap(stored->map(), map_, kGroupsPerTarget);
  if (!merged.ok()) co_return merged.status();
  map_ = *std::move(merged);
  disk::SetClusterMap update;
  *update.mutable_map() = map_;
  absl::StatusOr<disk::SetClusterMapReply> set = co_await meta_->Mutate(std::move(update));
  if (!set.ok()) co_return set.status();
  reclaim_ = std::make_unique<ReclaimLoop>(*meta_, ReclaimTargets());
  reclaim_->Start();
  co_return absl::OkStatus();
}

absl::Status Node::Listen() {
  wire::HelloReply identity;
  identity.set_protocol_version(kProtocolVersion);
  identity.set_software_version(CAIRN_VERSION);
  identity.set_cluster_id(directory_->identity().cluster_id());
  identity.set_node_id(directory_->identity().node_id());
  identity.set_node_incarnation(random_.Next());
  identity.set_provider(cores_[0]->net().provider());
  for (const auto& core : cores_) identity.add_core_addresses(core->address());
  identity.set_map_version(map_.version());
  identity.set_slab_bytes(kSlabBytes);
  if (member_ != nullptr) identity.add_meta_endpoints(member_->metadata());
  RpcServer::Options rpc;
  rpc.node_incarnation = identity.node_incarnation();
  SessionTable::Options sessions;
  sessions.identity = std::move(identity);
  sessions.slabs = static_cast<uint32_t>(cores_[0]->slabs().slab_count() * cores_.size());
  sessions_ =
      std::make_unique<SessionTable>(std::move(sessions), random_, [this](SessionId session) {
        node_service_->OnSessionEnded(session);
        if (member_service_ != nullptr) member_service_->OnSessionEnded(session);
      });
  sessions_->SetMapVersion(map_.version());
  node_service_->Register(cores_[0]->table());
  if (meta_ != nullptr) RETURN_IF_ERROR(ServeMetadata());
  status_service_ = std::make_unique<StatusService>([this] { return CollectStatus(); });
  status_service_->Register(cores_[0]->table());
  for (const auto& core : cores_) {
    RETURN_IF_ERROR(core->thread().RunBlocking<absl::Status>([&] {
      return core->Serve(*sessions_, rpc, [this](LeaseId lease) { return LeaseIsLive(lease); });
    }));
  }
  RETURN_IF_ERROR(
      cores_[0]->thread().RunBlocking<absl::Status>([this] { return StartListening(); }));
  std::unique_ptr<TierNode> tier_node;
  RETURN_IF_ERROR(
      cores_.back()->thread().RunBlocking<absl::Status>([&] { return MakeTierNode(&tier_node); }));
  return cores_[0]->thread().RunBlocking<absl::Status>(
      [&] { return StartLoops(std::move(tier_node)); });
}

absl::Status Node::ServeMetadata() {
  map_keeper_ = std::make_unique<MapKeeper>(*meta_, map_, kGroupsPerTarget,
                                            [this](uint64_t version) { OnMapVersion(version); });
  meta_service_ = std::make_unique<MetaService>(
      *meta_, [this]() -> const wire::ClusterMap& { return map_; }, map_keeper_->history(),
      [this](std::string redundancy, wire::DomainLevel level) {
        return map_keeper_->MakeGroups(std::move(redundancy), level);
      });
  meta_service_->Register(cores_[0]->table());
  FailureDetector::Options detection;
  if (config_.down_after_seconds() > 0) {
    // Below it, one late heartbeat would do.
    constexpr absl::Duration kDownAfterMin = absl::Seconds(3);
    detection.down_after = std::max(kDownAfterMin, absl::Seconds(config_.down_after_seconds()));
  }
  if (config_.out_after_seconds() > 0)
    detection.out_after = absl::Seconds(config_.out_after_seconds());
  member_service_ =
      std::make_unique<MemberService>(*node_service_, *map_keeper_, *meta_, detection);
  member_service_->Register(cores_[0]->table());
  fs_service_ = std::make_unique<FsService>(*meta_);
  fs_service_->Register(cores_[0]->table());
  return ServeOperators();
}

Task<absl::Status> Node::StartListening() {
  absl::StatusOr<std::string> listening =
      cores_[0]->net().Listen(config_.listen(), sessions_.get());
  if (!listening.ok()) co_return listening.status();
  endpoint_ = config_.advertise().empty() ? *listening : config_.advertise();
  // With port 0 only now is it known where the node can be found.
  for (wire::NodeInfo& node : *map_.mutable_nodes()) {
    if (node.id() == directory_->identity().node_id()) node.set_endpoint(endpoint_);
  }
  StartMembership();
  co_return absl::OkStatus();
}

// What goes on by itself, once all is there. From here on, calls find this node's part of tiering.
Task<absl::Status> Node::StartLoops(std::unique_ptr<TierNode> tier_node) {
  tier_node_ = std::move(tier_node);
  if (rebuild_ != nullptr) rebuild_->Start();
  if (scrub_ != nullptr) scrub_->Start();
  if (tier_loop_ != nullptr) tier_loop_->Start();
  co_return absl::OkStatus();
}

void Node::Stop() {
  metrics_endpoint_.reset();
  if (std::exchange(stopped_, true) || cores_.empty()) return;
  ReactorThread& first = cores_[0]->thread();
  (void)first.RunBlocking<absl::Status>([this] { return StopServing(); });
  for (const auto& core : cores_) {
    (void)core->thread().RunBlocking<absl::Status>([&] { return core->StopCalls(); });
  }
  (void)first.RunBlocking<absl::Status>([this] { return StopMetadata(); });
  for (const auto& core : cores_) {
    (void)core->thread().RunBlocking<absl::Status>([&] { return core->StopTargets(); });
  }
  // Core 0 goes last: sessions and control connections live on it.
  while (!cores_.empty()) cores_.pop_back();
}

// No new clients, and those that are connected see the node go.
Task<absl::Status> Node::StopServing() {
  cores_[0]->net().StopListening();
  if (sessions_ != nullptr) co_await sessions_->Stop();
  if (meta_ != nullptr) meta_->directory_leases().Stop();
  // What other nodes are asked ends now: calls of theirs and of clients wait for it.
  if (reclaim_ != nullptr) reclaim_->RequestStop();
  if (rebuild_ != nullptr) rebuild_->RequestStop();
  if (scrub_ != nullptr) scrub_->RequestStop();
  if (cluster_examiner_ != nullptr) cluster_examiner_->RequestStop();
  if (fragment_maker_ != nullptr) fragment_maker_->Stop();
  co_await RequestTierStop();
  if (repair_peers_ != nullptr) co_await repair_peers_->Stop();
  if (member_ != nullptr) {
    co_await member_->Stop();
  } else if (peers_ != nullptr) {
    co_await peers_->Stop();
  }
  co_return absl::OkStatus();
}

Task<absl::Status> Node::StopMetadata() {
  if (member_service_ != nullptr) co_await member_service_->Stop();
  if (tier_loop_ != nullptr) co_await tier_loop_->Stop();
  co_await StopTierNode();
  if (rebuild_ != nullptr) co_await rebuild_->Stop();
  if (scrub_ != nullptr) co_await scrub_->Stop();
  if (cluster_examiner_ != nullptr) co_await cluster_examiner_->Stop();
  if (reclaim_ != nullptr) co_await reclaim_->Stop();
  if (meta_ != nullptr) co_await meta_->Stop();
  if (peer_net_ != nullptr) co_await peer_net_->Stop();
  if (repair_net_ != nullptr) co_await repair_net_->Stop();
  member_service_.reset();
  operator_service_.reset();
  tier_service_.reset();
  load_service_.reset();
  tiering_service_.reset();
  tier_loop_.reset();
  cluster_examiner_.reset();
  scrub_.reset();
  rebuild_.reset();
  reclaim_.reset();
  meta_.reset();
  member_.reset();
  // The net first: it hands late messages on until its end.
  peer_net_.reset();
  peers_.reset();
  fragment_maker_.reset();
  node_examiner_.reset();
  repair_net_.reset();
  repair_peers_.reset();
  co_return absl::OkStatus();
}

}  // namespace cairn
