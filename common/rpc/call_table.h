// The call table: which coroutine answers which method. Filled by server/main, read by RpcServer.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "common/base/ids.h"
#include "common/fabric/net.h"
#include "common/task/deadline.h"
#include "common/task/task.h"
#include "proto/wire/rpc.pb.h"

namespace cairn {

// Names a mutation across retries: the same id gets the first result again.
struct RequestId {
  uint64_t client = 0;
  uint64_t sequence = 0;
};

// What a handler knows of its call. Lives until the handler has returned.
class CallContext {
 public:
  CallContext(Net& net, PeerId peer, SessionId session, Deadline deadline, RequestId request,
              std::vector<BulkDescriptor> bulks)
      : net_(net),
        peer_(peer),
        session_(session),
        deadline_(deadline),
        request_(request),
        bulks_(std::move(bulks)) {}

  SessionId session() const { return session_; }
  Deadline deadline() const { return deadline_; }
  RequestId request() const { return request_; }
  // The sum of the caller's bulks. Checked against overflow when the header was parsed.
  uint64_t bulk_bytes() const;

  // Told of pulled bytes: each once, in order, as soon as it and all before it are there.
  using Arrived = absl::AnyInvocable<void(ConstBytes bytes)>;
  // Pull reads the concatenation of the caller's bulks into `into`; Push writes `from` to it. Both
  // in registered memory, several RMA calls side by side, one iov each. REQUIRES: the size is
  // bulk_bytes().
  Task<absl::Status> Pull(MutableBytes into, Arrived arrived);
  Task<absl::Status> Push(ConstBytes from);

 private:
  Net& net_;
  PeerId peer_;
  SessionId session_;
  Deadline deadline_;
  RequestId request_;
  std::vector<BulkDescriptor> bulks_;
};

// Answers one call: serialized request in, serialized reply out.
using RpcHandler = std::function<Task<absl::StatusOr<std::string>>(CallContext& context,
                                                                   std::string_view request)>;

class CallTable {
 public:
  // `service` outlives the table. REQUIRES: `method` is new.
  template <class Request, class Reply, class Service>
  void Add(wire::Method method, Service* service,
           Task<absl::StatusOr<Reply>> (Service::*handle)(CallContext&, const Request&)) {
    handlers_.emplace(method, [service, handle](CallContext& context, std::string_view body) {
      return Dispatch<Request, Reply, Service>(service, handle, context, body);
    });
  }
  // Null for an unknown method.
  const RpcHandler* Find(uint32_t method) const {
    const auto found = handlers_.find(static_cast<wire::Method>(method));
    return found == handlers_.end() ? nullptr : &found->second;
  }

 private:
  template <class Request, class Reply, class Service>
  static Task<absl::StatusOr<std::string>> Dispatch(
      Service* service,
      Task<absl::StatusOr<Reply>> (Service::*handle)(CallContext&, const Request&),
      CallContext& context, std::string_view body) {
    Request request;
    if (!request.ParseFromArray(body.data(), static_cast<int>(body.size()))) {
      co_return absl::InvalidArgumentError(
          "the request's body is not a valid message of its method");
    }
    absl::StatusOr<Reply> reply = co_await (service->*handle)(context, request);
    if (!reply.ok()) co_return reply.status();
    co_return reply->SerializeAsString();
  }

  absl::flat_hash_map<wire::Method, RpcHandler> handlers_;
};

}  // namespace cairn
