// What stands behind the public classes: one reactor thread with a fabric endpoint and a Session on
// it. Public calls hop onto that thread, run a coroutine there and block until it has ended.
#pragma once

#include <unistd.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "cairn/client.h"
#include "client/core/begin_nonces.h"
#include "client/io/session.h"
#include "common/base/random.h"
#include "common/reactor/reactor_thread.h"

namespace cairn::client_internal {

class ClientImpl : public std::enable_shared_from_this<ClientImpl> {
 public:
  static absl::StatusOr<std::shared_ptr<ClientImpl>> Connect(ClientOptions options);
  ~ClientImpl();

  const ClientOptions& options() const { return options_; }
  const std::string& endpoint() const { return options_.endpoint; }
  // REQUIRES: on the reactor thread.
  Session& session() { return *session_; }

  BeginNonces& begin_nonces() { return begin_nonces_; }

  // FAILED_PRECONDITION in a child process: threads do not survive fork().
  absl::Status CheckUsable() const;

  // Runs the coroutine that `make` returns on the reactor thread and waits for it. REQUIRES:
  // CheckUsable().
  template <class T>
  T Run(absl::AnyInvocable<Task<T>()> make) {
    return thread_->RunBlocking<T>(std::move(make));
  }

  // Renews `lease` in the background until the session forgets it.
  void KeepLease(LeaseId lease, absl::Duration ttl) {
    (void)Run<absl::Status>([&] { return KeepLeaseTask(lease, ttl); });
  }

  // One metadata call, under the client's timeout or one of its own.
  template <class Reply, class Request>
  absl::StatusOr<Reply> Meta(wire::Method method, const Request& request) {
    return Meta<Reply, Request>(method, request, options_.timeout, Session::kMetaTryTimeout);
  }
  template <class Reply, class Request>
  absl::StatusOr<Reply> Meta(wire::Method method, const Request& request, absl::Duration timeout,
                             absl::Duration try_timeout) {
    if (absl::Status usable = CheckUsable(); !usable.ok()) return usable;
    return Run<absl::StatusOr<Reply>>([this, method, &request, timeout, try_timeout] {
      const Deadline deadline = Deadline::After(Executor::Current().clock(), timeout);
      return session_->Meta<Reply, Request>(method, request, deadline, try_timeout);
    });
  }

 private:
  explicit ClientImpl(ClientOptions options) : options_(std::move(options)), pid_(getpid()) {}
  Task<absl::Status> Open(std::vector<std::string> endpoints, std::string bind_host);
  Task<absl::Status> Close();
  Task<absl::Status> KeepLeaseTask(LeaseId lease, absl::Duration ttl) {
    session_->KeepLease(lease, ttl);
    co_return absl::OkStatus();
  }

  ClientOptions options_;
  pid_t pid_;
  SystemRandom random_;
  BeginNonces begin_nonces_{random_};
  std::unique_ptr<ReactorThread> thread_;
  std::unique_ptr<Net> net_;
  std::unique_ptr<Session> session_;
};

// "a:1,b:2" → its parts. INVALID_ARGUMENT names the part that is not HOST:PORT.
absl::StatusOr<std::vector<std::string>> ParseEndpoints(std::string_view endpoints);

}  // namespace cairn::client_internal
