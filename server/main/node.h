// A node: everything a cairnd consists of, wired in the order in which it must start and stop.
// Tests run nodes in their own process through it.
#pragma once

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
#include "server/admin/status_service.h"
#include "server/kv/kv.h"
#include "server/main/core.h"
#include "server/main/data_directory.h"
#include "server/meta/meta_engine.h"
#include "server/repair/reclaim_loop.h"
#include "server/service/map_keeper.h"
#include "server/service/meta_service.h"

namespace cairn {

class Node {
 public:
  // Opens or makes the data directory, recovers, and listens. Errors say what is wrong with which
  // setting or path.
  static absl::StatusOr<std::unique_ptr<Node>> Start(const config::Server& config);
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

  absl::Status Open();
  absl::Status OpenCores();
  absl::Status OpenTargets();
  absl::Status OpenTarget(uint32_t number, const config::Target& target);
  Core& CoreOf(uint32_t target_number) { return *cores_[target_number % cores_.size()]; }
  std::string TargetHome(uint32_t number) const;
  std::string TargetPath(uint32_t number, const config::Target& target) const;
  void AddToMap(uint32_t number, const config::Target& target, wire::TargetState state);
  absl::Status OpenMetadata();
  absl::Status Listen();
  Task<absl::Status> StartMetadata();
  Task<absl::Status> StartListening();
  Task<absl::Status> StopServing();
  Task<absl::Status> StopMetadata();
  ReclaimLoop::Targets ReclaimTargets();
  Task<absl::Status> FreeOnTargets(std::vector<StripeSpan> spans);
  Task<std::vector<LeaseId>> PendingLeases();
  Task<absl::Status> DropLease(LeaseId lease);
  Task<bool> LeaseIsLive(LeaseId lease);
  static Task<bool> AskLease(MetaEngine& meta, LeaseId lease);
  Task<absl::StatusOr<wire::StatusReply>> CollectStatus();
  static void ReportTarget(const TargetStatus& target, wire::StatusReply* reply);

  config::Server config_;
  SystemRandom random_;
  SystemClock clock_;
  MonoTime started_at_;
  std::unique_ptr<DataDirectory> directory_;
  std::unique_ptr<Kv> meta_kv_;
  std::unique_ptr<BlockingPool> meta_write_pool_;
  std::unique_ptr<BlockingPool> meta_read_pool_;
  std::unique_ptr<BlockingPool> meta_walk_pool_;
  std::vector<std::unique_ptr<Core>> cores_;
  std::unique_ptr<MetaEngine> meta_;
  std::unique_ptr<MetaService> meta_service_;
  std::unique_ptr<StatusService> status_service_;
  std::unique_ptr<SessionTable> sessions_;
  std::unique_ptr<ReclaimLoop> reclaim_;
  wire::ClusterMap map_;  // once listening, the keeper's, on core 0
  std::unique_ptr<MapKeeper> map_keeper_;
  std::string endpoint_;
  bool stopped_ = false;
};

}  // namespace cairn
