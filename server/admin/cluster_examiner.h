// Examines the whole cluster for `cairn doctor`, on the node with the metadata role: asks every
// node, a bounded number at a time and for a few seconds each, has those looked at again that stand
// out, and keeps the result until the next examination. Next: server/cluster/diagnosis.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "common/rpc/call_table.h"
#include "common/task/scope.h"
#include "common/task/semaphore.h"
#include "proto/wire/examine.pb.h"
#include "server/cluster/node_history.h"
#include "server/cluster/peers.h"
#include "server/meta/reply_size.h"

namespace cairn {

// Lives on core 0's reactor.
class ClusterExaminer {
 public:
  // How the node with the metadata sees the cluster.
  struct Cluster {
    std::function<const wire::ClusterMap&()> map;
    std::function<const NodeHistory&()> history;
    std::function<absl::Time()> wall_now;
    // Of what is told in one reply, so that it fits a message.
    size_t part_bytes_max = kMaxReplyBytes - 256;
  };
  // `peers` outlive it.
  ClusterExaminer(Peers& peers, Cluster cluster);
  ~ClusterExaminer();

  void Register(CallTable& table) {
    table.Add(wire::EXAMINE_CLUSTER, this, &ClusterExaminer::ExamineCluster);
  }
  // ABORTED: another examination has begun and ended since; begin again.
  Task<absl::StatusOr<wire::ExamineClusterReply>> ExamineCluster(
      CallContext& call, const wire::ExamineClusterRequest& request);

  // What is under way ends with the peers.
  void RequestStop();
  Task<void> Stop();

 private:
  struct Examination;
  Task<void> Run(std::shared_ptr<Examination> examination);
  Task<std::vector<wire::NodeFacts>> AskAll(std::vector<uint32_t> nodes, Examination* examination);
  Task<wire::NodeFacts> AskInTurn(uint32_t node, Semaphore* turns, Examination* examination);
  Task<absl::Status> Ask(uint32_t node, wire::NodeFacts* facts);
  Task<absl::Status> AskTime(const wire::NodeInfo& node, Deadline deadline, wire::NodeFacts* facts);
  void FillHistory(wire::NodeFacts* facts) const;

  Peers& peers_;
  const Cluster cluster_;
  uint64_t next_number_ = 1;
  std::shared_ptr<Examination> running_;  // null: none
  std::shared_ptr<Examination> last_;     // that has ended; null: none yet
  bool stopping_ = false;
  Scope scope_;
};

}  // namespace cairn
