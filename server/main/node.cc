#include "server/main/node.h"

#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/fabric/host_port.h"
#include "common/task/call_on.h"
#include "common/task/when_all.h"
#include "common/telemetry/log.h"
#include "server/cluster/cluster_map.h"
#include "server/disk/open_disk.h"
#include "server/kv/rocks_kv.h"
#include "server/main/config_file.h"
#include "server/main/host_name.h"
#include "server/main/human.h"
#include "server/meta/families.h"

namespace cairn {
namespace {

constexpr char kDefaultListen[] = "127.0.0.1:7440";
constexpr uint64_t kDefaultSlabMemory = 256 * kMiB;
constexpr uint64_t kSlabBytes = 4 * kMiB;
// A save needs two slabs a core to overlap network and disk; fewer than this would serve one client
// at a time.
constexpr uint64_t kSlabsPerCoreMin = 4;
constexpr uint32_t kReactorsMax = 256;
// Groups a target gets when it joins: enough to spread a lost target's load over many others later.
constexpr uint32_t kGroupsPerTarget = 16;
// Threads that read metadata: queries are short, and mostly served from RocksDB's cache.
constexpr int kMetaReaders = 2;
// Threads of one target for its index, and for its disk where there is no io_uring: enough that
// reads do not wait for a commit, and that a disk has a queue.
constexpr int kTargetThreads = 4;

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
  RETURN_IF_ERROR(OpenCores());
  RETURN_IF_ERROR(OpenPeers());
  // The targets' ids come from the cluster.
  if (directory_->joined()) RETURN_IF_ERROR(JoinCluster(stop_wanted));
  RETURN_IF_ERROR(OpenTargets());
  if (!directory_->joined()) RETURN_IF_ERROR(OpenMetadata());
  return Listen();
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
  const uint32_t count = static_cast<uint32_t>(config_.targets_size());
  absl::Status first_failure;
  uint32_t failures = 0;
  for (uint32_t number = 0; number < count; ++number) {
    const config::Target& target = config_.targets(static_cast<int>(number));
    absl::Status opened = OpenTarget(number, target);
    // Whoever wrote a setting that makes no sense is there to mend it.
    if (absl::IsInvalidArgument(opened)) return opened;
    AddOwnTarget(number, target, opened.ok() ? wire::TARGET_UP : wire::TARGET_FAILED);
    if (opened.ok()) continue;
    CAIRN_LOG_ERROR("target {} ({}) has failed, the others go on without it: {}", number + 1,
                    TargetPath(number, target), opened);
    first_failure.Update(opened);
    ++failures;
    CoreOf(number).AddUnopenedTarget(IdOf(number), std::move(opened));
  }
  return failures == count ? first_failure : absl::OkStatus();
}

// Index and default data file lie in the data directory, the device may be anywhere.
std::string Node::TargetHome(uint32_t number) const {
  return StrCat(config_.data(), "/target-", number);
}

std::string Node::TargetPath(uint32_t number, const config::Target& target) const {
  return target.path().empty() ? TargetHome(number) + "/data" : target.path();
}

// The founding node's have the first ids.
TargetId Node::IdOf(uint32_t target_number) const {
  if (!directory_->joined()) return TargetId(target_number + 1);
  return TargetId(directory_->identity().targets(static_cast<int>(target_number)));
}

void Node::AddOwnTarget(uint32_t number, const config::Target& target, wire::TargetState state) {
  wire::TargetInfo& info = own_targets_.emplace_back();
  info.set_id(static_cast<uint32_t>(IdOf(number).value()));
  info.set_node(directory_->identity().node_id());
  info.set_number(number);
  info.set_core(CoreOf(number).index());
  info.set_state(state);
  info.set_path(TargetPath(number, target));
}

absl::Status Node::OpenTarget(uint32_t number, const config::Target& target) {
  const std::string home = TargetHome(number);
  std::error_code error;
  std::filesystem::create_directories(home, error);
  if (error)
    return absl::PermissionDeniedError(StrCat("cannot make ", home, ": ", error.message()));
  DiskOptions disk_options;
  disk_options.device.path = TargetPath(number, target);
  if (!target.size().empty()) {
    ASSIGN_OR_RETURN(disk_options.device.size_bytes, TargetSizeSetting(number, target.size()));
  } else if (!std::filesystem::exists(disk_options.device.path)) {
    ASSIGN_OR_RETURN(disk_options.device.size_bytes, DefaultTargetSize(disk_options.device.path));
  }
  ASSIGN_OR_RETURN(disk_options.engine, ParseEngine(config_.io_engine()));
  RocksKv::Options index_options;
  index_options.directory = home + "/index";
  index_options.families = ChunkIndex::Families();
  if (config_.unsafe_no_sync()) {
    disk_options.flush_mode = FlushMode::kUnsafeNone;
    index_options.sync = RocksKv::Sync::kUnsafeNoSync;
  }
  Core& core = CoreOf(number);
  Core::OpenTarget opened;
  opened.runner = std::make_unique<BlockingPool>(kTargetThreads);
  ASSIGN_OR_RETURN(opened.index, RocksKv::Open(std::move(index_options)));
  ASSIGN_OR_RETURN(OpenedDisk disk,
                   OpenDisk(disk_options, core.thread().reactor(), *opened.runner));
  for (const std::string& warning : disk.warnings)
    CAIRN_LOG_WARN("target {}: {}", number + 1, warning);
  opened.disk = std::move(disk.disk);
  Target::Options options;
  options.cluster_id = directory_->identity().cluster_id();
  options.id = IdOf(number);
  ASSIGN_OR_RETURN(
      opened.target, core.thread().RunBlocking<absl::StatusOr<std::unique_ptr<Target>>>([&] {
        return Target::Open(options, *opened.disk, *opened.index, *opened.runner, random_);
      }));
  for (const std::string& warning : opened.target->warnings()) {
    CAIRN_LOG_WARN("target {}: {}", number + 1, warning);
  }
  core.AddTarget(std::move(opened));
  return absl::OkStatus();
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
  for (const wire::TargetInfo& target : own_targets_) *map_.add_targets() = target;
  absl::StatusOr<wire::GetMapReply> stored = co_await meta_->Query(wire::GetMapRequest());
  if (!stored.ok()) co_return stored.status();
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
  return cores_[0]->thread().RunBlocking<absl::Status>([this] { return StartListening(); });
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
  if (rebuild_ != nullptr) rebuild_->Start();
  if (scrub_ != nullptr) scrub_->Start();
  co_return absl::OkStatus();
}

void Node::Stop() {
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
  // What other nodes are asked ends now: calls of theirs and of clients wait for it.
  if (reclaim_ != nullptr) reclaim_->RequestStop();
  if (rebuild_ != nullptr) rebuild_->RequestStop();
  if (scrub_ != nullptr) scrub_->RequestStop();
  if (cluster_examiner_ != nullptr) cluster_examiner_->RequestStop();
  if (fragment_maker_ != nullptr) fragment_maker_->Stop();
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
  if (rebuild_ != nullptr) co_await rebuild_->Stop();
  if (scrub_ != nullptr) co_await scrub_->Stop();
  if (cluster_examiner_ != nullptr) co_await cluster_examiner_->Stop();
  if (reclaim_ != nullptr) co_await reclaim_->Stop();
  if (meta_ != nullptr) co_await meta_->Stop();
  if (peer_net_ != nullptr) co_await peer_net_->Stop();
  if (repair_net_ != nullptr) co_await repair_net_->Stop();
  member_service_.reset();
  operator_service_.reset();
  cluster_examiner_.reset();
  scrub_.reset();
  storage_check_.reset();
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
