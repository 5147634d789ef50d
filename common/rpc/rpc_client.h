// Calls nodes. One RpcClient an endpoint; one NodeConnection a node. Used by client/core (and, from
// node to node, by the servers). Who makes a client passes on what arrives: ConnectReceiver() of
// receiver.h.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/random.h"
#include "common/fabric/net.h"
#include "common/rpc/call_table.h"
#include "common/task/semaphore.h"
#include "proto/wire/rpc.pb.h"

namespace cairn {

class NodeConnection;

// Lives on the endpoint's executor.
class RpcClient {
 public:
  // `name` is shown to operators: "host:pid".
  RpcClient(Net& net, Random& random, std::string name);
  ~RpcClient();

  void OnMessage(ConstBytes message);
  Net& net();

  // Dials HOST:PORT, exchanges hellos and knows the node's endpoints. UNAVAILABLE,
  // DEADLINE_EXCEEDED, or the node's refusal (FAILED_PRECONDITION and the like, in words).
  Task<absl::StatusOr<std::unique_ptr<NodeConnection>>> Connect(std::string host_port,
                                                                std::string expected_cluster_id,
                                                                Deadline deadline);
  // Closes the endpoint and opens another: after it no server reads or writes memory that was
  // exposed. Every connection is lost. When no new endpoint can be opened, each later Connect()
  // tries again and fails with UNAVAILABLE until one can.
  void ResetEndpoint();
  // Fails all calls with CANCELLED, hangs up and waits for everything under way. To be called
  // before destruction.
  Task<void> Stop();

 private:
  friend class NodeConnection;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

struct CallOptions {
  Deadline deadline;
  // Memory for the node to pull from or push to. Registered by the caller for remote access.
  std::vector<BulkDescriptor> bulks;
  RequestId request;  // of a mutation
};

// One session with one node. Lives on the client's executor and not longer than the client.
class NodeConnection {
 public:
  ~NodeConnection();

  const wire::HelloReply& hello() const;
  const std::string& host_port() const;
  // True once the control connection broke, a request was lost with its fabric connection, the
  // node's incarnation changed or the endpoint was reset. Every call under way fails with
  // UNAVAILABLE at that moment, every later one at once: connect anew.
  bool lost() const;
  // Gives the connection up: as when it broke, with `why`.
  void HangUp(const absl::Status& why);
  // For how long the node has let calls wait and answered none; zero while none is under way.
  absl::Duration silence() const;
  // The newest map version seen in a reply.
  uint64_t map_version() const;
  // Chunk calls take one unit each; its size follows the credits that replies carry.
  Semaphore& window();

  // One call to the endpoint of `core`. The node is told a deadline a little before the caller's,
  // so that a call too slow for it ends with the node's own answer. When a call with bulks ends
  // without the node's reply (deadline, lost connection), the endpoint is reset before this
  // returns: the caller's memory is its own again in any case.
  template <class Reply, class Request>
  Task<absl::StatusOr<Reply>> Call(uint32_t core, wire::Method method, const Request& request,
                                   CallOptions options) {
    absl::StatusOr<std::string> body =
        co_await CallRaw(core, method, request.SerializeAsString(), std::move(options));
    if (!body.ok()) co_return body.status();
    Reply reply;
    if (!reply.ParseFromString(*body)) co_return absl::DataLossError("a reply could not be parsed");
    co_return reply;
  }
  Task<absl::StatusOr<std::string>> CallRaw(uint32_t core, wire::Method method, std::string request,
                                            CallOptions options);

  struct Impl;

 private:
  friend class RpcClient;
  explicit NodeConnection(std::shared_ptr<Impl> impl);
  // Shared with the calls under way and with the watcher of the control connection.
  std::shared_ptr<Impl> impl_;
};

}  // namespace cairn
