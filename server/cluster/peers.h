// Connections from this node to others of its cluster. Each begins with a proof from both sides
// that they know the cluster's secret; without one no call is made.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "common/base/random.h"
#include "common/fabric/net.h"
#include "common/rpc/rpc_client.h"
#include "common/task/semaphore.h"
#include "server/cluster/cluster_secret.h"

namespace cairn {

// Lives on the executor of `net`, an endpoint of its own: what is reset for a call that got lost
// must not cost clients their connections.
class Peers {
 public:
  struct Options {
    std::string name;        // shown to operators: "host:pid"
    std::string cluster_id;  // "": that of the first node that answers
    ClusterSecret secret;
  };
  Peers(Net& net, Random& random, Options options);
  ~Peers();

  // The proven connection to the node at HOST:PORT, made when there is none. UNAVAILABLE and
  // DEADLINE_EXCEEDED when it does not answer; PERMISSION_DENIED when one side does not know the
  // secret; FAILED_PRECONDITION when it belongs to another cluster or speaks another version.
  Task<absl::StatusOr<std::shared_ptr<NodeConnection>>> Connect(std::string endpoint,
                                                                Deadline deadline);
  // One call to core 0 of that node; not repeated. The connection's map version tells of newer
  // maps.
  template <class Reply, class Request>
  Task<absl::StatusOr<Reply>> Call(std::string endpoint, wire::Method method, Request request,
                                   Deadline deadline) {
    absl::StatusOr<std::shared_ptr<NodeConnection>> node =
        co_await Connect(std::move(endpoint), deadline);
    if (!node.ok()) co_return node.status();
    co_return co_await (*node)->Call<Reply>(0, method, request, CallOptions{deadline, {}, {}});
  }

  // As Call(), to node `node`: UNAVAILABLE when another one answers at the endpoint.
  template <class Reply, class Request>
  Task<absl::StatusOr<Reply>> CallNode(uint32_t node, std::string endpoint, wire::Method method,
                                       Request request, Deadline deadline) {
    absl::StatusOr<std::shared_ptr<NodeConnection>> connection =
        co_await ConnectNode(node, std::move(endpoint), deadline);
    if (!connection.ok()) co_return connection.status();
    co_return co_await (*connection)
        ->Call<Reply>(0, method, request, CallOptions{deadline, {}, {}});
  }
  Task<absl::StatusOr<std::shared_ptr<NodeConnection>>> ConnectNode(uint32_t node,
                                                                    std::string endpoint,
                                                                    Deadline deadline);

  // Gives up the connection to that node, if there is one: the next call dials.
  void HangUp(const std::string& endpoint);
  // "" until a node has answered.
  const std::string& cluster_id() const { return options_.cluster_id; }
  // Ends all calls with CANCELLED. To be called before destruction.
  Task<void> Stop();

 private:
  struct Slot {
    std::shared_ptr<NodeConnection> connection;
    // One dial at a time; the others wait for it.
    std::unique_ptr<Semaphore> dialling;
  };
  Task<absl::Status> Dial(std::string endpoint, Deadline deadline);
  Task<absl::Status> Prove(NodeConnection& node, Deadline deadline);

  Net& net_;
  Random& random_;
  Options options_;
  RpcClient rpc_;
  absl::flat_hash_map<std::string, Slot> slots_;
};

}  // namespace cairn
