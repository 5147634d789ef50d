// Answers calls that arrive on one endpoint: checks the frame, the session and the incarnation,
// runs the handler under the caller's deadline, sends the reply with the session's credits. Next on
// the data path: server/service.
#pragma once

#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "common/fabric/net.h"
#include "common/rpc/call_table.h"
#include "common/rpc/session_table.h"
#include "common/task/scope.h"

namespace cairn {

// Lives on the endpoint's executor. One a core; all share one SessionTable and one CallTable.
class RpcServer {
 public:
  struct Options {
    uint64_t node_incarnation = 0;
    // Calls of one session that may run at once on this core; above it they are refused with
    // RESOURCE_EXHAUSTED.
    size_t session_calls_max = 256;
  };
  RpcServer(Net& net, const CallTable& table, SessionTable& sessions, Options options);
  ~RpcServer();

  // For Net::SetReceiver, when the endpoint has no RpcClient beside it.
  void OnMessage(ConstBytes message);
  // Refuses new calls and waits for those under way; what comes later is dropped.
  Task<void> Stop();
  size_t calls_running() const { return scope_.running(); }

  // What happened since the start, for metrics.
  struct Counters {
    uint64_t calls = 0;       // handlers started
    uint64_t refused = 0;     // answered without starting a handler
    uint64_t malformed = 0;   // dropped without an answer
    uint64_t duplicates = 0;  // dropped: the call was started before
  };
  const Counters& counters() const;

 private:
  struct Impl;
  // Joined before anything that its coroutines use goes away.
  std::shared_ptr<Impl> impl_;
  Scope scope_;
};

}  // namespace cairn
