// A node: everything a cairnd consists of, wired in the order in which it must start and stop.
// Tests run nodes in their own process through it.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/random.h"
#include "common/reactor/blocking_pool.h"
#include "common/rpc/session_table.h"
#include "proto/config/server.pb.h"
#include "proto/wire/meta.pb.h"
#include "server/admin/cluster_examiner.h"
#include "server/admin/load_service.h"
#include "server/admin/metrics_endpoint.h"
#include "server/admin/node_examiner.h"
#include "server/admin/operator_service.h"
#include "server/admin/status_service.h"
#include "server/admin/tier_metrics.h"
#include "server/admin/tier_service.h"
#include "server/admin/tiering_service.h"
#include "server/cluster/cluster_secret.h"
#include "server/cluster/member.h"
#include "server/cluster/peers.h"
#include "server/disk/open_disk.h"
#include "server/kv/kv.h"
#include "server/main/core.h"
#include "server/main/data_directory.h"
#include "server/main/target_slots.h"
#include "server/meta/meta_engine.h"
#include "server/repair/fragment_maker.h"
#include "server/repair/rebuild_loop.h"
#include "server/repair/reclaim_loop.h"
#include "server/repair/scrub_loop.h"
#include "server/service/fs_service.h"
#include "server/service/map_keeper.h"
#include "server/service/member_service.h"
#include "server/service/meta_service.h"
#include "server/service/node_service.h"
#include "server/tier/cold_stores.h"
#include "server/tier/tier_worker.h"
#include "server/tiering/tier_loop.h"
#include "server/tiering/tier_node.h"

namespace cairn {

class Node {
 public:
  // Opens or makes the data directory, joins its cluster, recovers, and listens. Errors say what is
  // wrong with which setting or path. A node that has joined before waits for its cluster for as
  // long as `stop_wanted`, asked about every second, is false.
  static absl::StatusOr<std::unique_ptr<Node>> Start(
      const config::Server& config, const std::function<bool()>& stop_wanted = nullptr);
  // Stops, if Stop() was not called.
  ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  // Refuses new work, finishes what is under way, closes everything. Idempotent.
  void Stop();

  // HOST:PORT for clients.
  const std::string& endpoint() const { return endpoint_; }
  // What cairnd prints when ready: where it is and lines to paste.
  std::string Board();

 private:
  explicit Node(config::Server config) : config_(std::move(config)) {}

  absl::Status Open(const std::function<bool()>& stop_wanted);
  absl::Status OpenCores();
  absl::Status OpenTargets();
  absl::StatusOr<Target*> OpenTarget(uint32_t number, const TargetSlot& slot);
  absl::StatusOr<DiskOptions> DiskOptionsOf(uint32_t number, const TargetSlot& slot) const;
  absl::StatusOr<std::unique_ptr<Kv>> OpenIndex(uint32_t number) const;
  Target::Options TargetOptions(uint32_t id) const;
  Core& CoreOf(uint32_t target_number);
  std::string TargetHome(uint32_t number) const;
  std::string TargetPath(uint32_t number, const TargetSlot& slot) const;
  wire::TargetInfo InfoOf(uint32_t number, const TargetSlot& slot);
  absl::Status OpenMetadata();
  absl::Status ServeMetadata();
  absl::Status Listen();
  Task<absl::Status> StartMetadata();
  Task<absl::Status> StartListening();
  Task<absl::Status> StartLoops(std::unique_ptr<TierNode> tier_node);
  Task<absl::Status> StopServing();
  Task<absl::Status> StopMetadata();

  // node_targets.cc: targets that come and go while it runs.
  struct NewTarget;
  Task<absl::StatusOr<wire::AddTargetReply>> AddTarget(wire::AddTargetRequest request,
                                                       Deadline deadline);
  Task<absl::StatusOr<wire::AddTargetReply>> AddTargetTo(wire::NodeInfo node,
                                                         wire::AddTargetRequest request,
                                                         Deadline deadline);
  Task<absl::StatusOr<wire::AddTargetReply>> MakeTarget(wire::NewTarget request, Deadline deadline);
  absl::StatusOr<NewTarget> DescribeNewTarget(const wire::NewTarget& request);
  Task<absl::Status> TakeDevice(NewTarget* added, bool wipe);
  Task<absl::Status> GetTargetId(NewTarget* added, Deadline deadline);
  Task<absl::Status> OpenNewTarget(NewTarget* added);
  absl::Status ForgetRemoved(const wire::ClusterMap& map);
  Task<absl::Status> StoreTargets(std::vector<TargetSlot> slots);
  Task<void> GiveUpNewTarget(NewTarget* added);
  Task<void> OnRemovedTargets(std::vector<uint32_t> ids);

  // node_cluster.cc: what it has to do with other nodes.
  absl::StatusOr<ClusterSecret> LoadSecret();
  absl::Status OpenPeers();
  absl::StatusOr<std::unique_ptr<LibfabricNet>> OpenPeerNet();
  std::unique_ptr<Peers> MakePeers(LibfabricNet& net, const ClusterSecret& secret);
  Task<absl::Status> StartPeers(ClusterSecret secret);
  absl::Status JoinCluster(const std::function<bool()>& stop_wanted);
  Task<absl::StatusOr<wire::JoinReply>> TryToJoin();
  wire::JoinRequest OwnJoinRequest(size_t targets) const;
  absl::Status TakeIds(const wire::JoinReply& reply);
  void StartMembership();
  Task<wire::HeartbeatRequest> OwnHeartbeat();
  void OnMapVersion(uint64_t version);
  ReclaimLoop::Targets ReclaimTargets();
  Task<absl::Status> FreeOnTargets(std::vector<StripeSpan> spans);
  Task<std::vector<LeaseId>> PendingLeases();
  Task<absl::Status> DropLease(LeaseId lease);
  Task<absl::StatusOr<bool>> LeaseIsLive(LeaseId lease);
  Task<absl::StatusOr<bool>> AskLease(LeaseId lease);

  // node_repair.cc: what its targets hold, are to hold and are to free; and on the node with the
  // metadata role the rebuild of all.
  absl::Status OpenRepair();
  Task<absl::Status> OnTarget(uint32_t id, const TargetWork& work);
  NodeService::Work RepairWork();
  absl::Status ServeOperators();
  bool ServesClients() const;

  // node_tier.cc: cold tiers.
  class Tiers;
  void OpenTiers();
  void ServeTiers();
  Task<absl::Status> MakeTierNode(std::unique_ptr<TierNode>* made);
  template <class Reply>
  Task<absl::StatusOr<Reply>> OnTierNode(
      std::function<Task<absl::StatusOr<Reply>>(TierNode&)> work);
  Task<absl::StatusOr<wire::PutColdReply>> PutCold(wire::PutColdRequest request, Deadline deadline);
  Task<absl::StatusOr<wire::CheckColdReply>> CheckCold(wire::CheckColdRequest request,
                                                       Deadline deadline);
  Task<absl::StatusOr<wire::DeleteColdReply>> DeleteCold(wire::DeleteColdRequest request,
                                                         Deadline deadline);
  Task<absl::StatusOr<wire::RecallColdReply>> RecallCold(wire::RecallColdRequest request,
                                                         Deadline deadline);
  Task<std::map<std::string, TierTraffic>> TierTraffics();  // of this node
  Task<void> RequestTierStop();
  Task<void> StopTierNode();
  Task<absl::StatusOr<wire::ProbeTierReply>> ProbeTierOn(wire::NodeInfo node,
                                                         wire::ProbeTierRequest request,
                                                         Deadline deadline);

  // node_load.cc: what moves at this moment.
  Task<absl::StatusOr<wire::NodeLoadReply>> CollectLoad();
  void TellClients(const std::vector<ClientLoads::Rate>& rates, wire::NodeLoadReply* reply) const;
  void TellMounts(wire::NodeLoadReply* reply);
  void ServeLoad();
  Task<absl::StatusOr<wire::NodeLoadReply>> AskLoad(wire::NodeInfo node, Deadline deadline);

  Task<absl::StatusOr<wire::StatusReply>> CollectStatus();
  Task<void> CollectMetadataStatus(wire::StatusReply* reply);
  void AddTierHealth(wire::StatusReply* reply) const;
  static void ReportTarget(const TargetStatus& target, wire::StatusReply* reply);

  // node_metrics.cc: what it tells whoever scrapes its metrics.
  struct MetricsSample;
  absl::Status OpenMetrics();
  MetricSet CollectMetrics();
  static void TellNode(const MetricsSample& sample, MetricSet* set);
  Task<MetricsSample> SampleMetrics();
  Task<TieringSample> SampleTiering();  // on the node with the metadata

  config::Server config_;
  SystemRandom random_;
  SystemClock clock_;
  MonoTime started_at_;
  absl::Time started_at_wall_;
  std::unique_ptr<DataDirectory> directory_;
  std::unique_ptr<Kv> meta_kv_;
  std::unique_ptr<BlockingPool> meta_write_pool_;
  std::unique_ptr<BlockingPool> meta_read_pool_;
  std::unique_ptr<BlockingPool> meta_walk_pool_;
  std::unique_ptr<BlockingPool> target_pool_;  // for targets that come and go
  std::unique_ptr<BlockingPool> tier_pool_;
  std::unique_ptr<BlockingPool> move_pool_;
  std::unique_ptr<BlockingPool> cold_read_pool_;
  std::unique_ptr<ColdStores> cold_stores_;
  std::vector<std::unique_ptr<Core>> cores_;
  // To other nodes: an endpoint of its own.
  std::unique_ptr<LibfabricNet> peer_net_;
  std::unique_ptr<Peers> peers_;
  std::unique_ptr<NodeService> node_service_;
  // One of the two: another node keeps the metadata, or this one does.
  std::unique_ptr<Member> member_;
  std::unique_ptr<MetaEngine> meta_;
  std::unique_ptr<MetaService> meta_service_;
  std::unique_ptr<FsService> fs_service_;
  std::unique_ptr<StatusService> status_service_;
  std::unique_ptr<SessionTable> sessions_;
  std::function<Task<absl::Status>(std::vector<StripeSpan>)> free_here_;
  std::unique_ptr<ReclaimLoop> reclaim_;
  // Bulk calls to other nodes, which cost a whole endpoint its connections when one gets lost.
  std::unique_ptr<LibfabricNet> repair_net_;
  std::unique_ptr<Peers> repair_peers_;
  std::unique_ptr<FragmentMaker> fragment_maker_;
  std::unique_ptr<NodeExaminer> node_examiner_;
  std::unique_ptr<RebuildLoop> rebuild_;
  std::unique_ptr<ScrubLoop> scrub_;
  std::unique_ptr<OperatorService> operator_service_;
  std::unique_ptr<ClusterExaminer> cluster_examiner_;
  std::unique_ptr<TierWorker> tier_worker_;
  std::unique_ptr<TierNode> tier_node_;  // on the last core
  std::unique_ptr<TierNodes> tiers_;
  std::unique_ptr<TierLoop> tier_loop_;
  std::unique_ptr<TierService> tier_service_;
  std::unique_ptr<LoadService> load_service_;
  std::unique_ptr<TieringService> tiering_service_;
  std::vector<TargetSlot> slots_;
  // Those that have not left the cluster. Once listening, core 0's.
  struct OwnTarget {
    wire::TargetInfo info;
    Core* core = nullptr;
    Target* target = nullptr;  // null: it could not be opened
    absl::Status failure;      // why
  };
  std::vector<OwnTarget> own_targets_;
  bool changing_targets_ = false;
  // Threads of one target for its index, and for its disk where there is no io_uring: enough that
  // reads do not wait for a commit, and that a disk has a queue.
  static constexpr int kTargetThreads = 4;
  wire::ClusterMap map_;  // once listening, the keeper's, on core 0
  std::unique_ptr<MapKeeper> map_keeper_;
  std::unique_ptr<MemberService> member_service_;
  std::string endpoint_;
  bool stopped_ = false;
  // Once true, all that a scrape asks is there, until the endpoint is gone.
  std::atomic<bool> serving_ = false;
  std::shared_ptr<const wire::ClusterMap> scraped_map_;  // core 0's
  // Last: its threads use all of this.
  std::unique_ptr<MetricsEndpoint> metrics_endpoint_;
};

}  // namespace cairn
