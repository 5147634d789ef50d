#include "client/core/client_impl.h"

#include <algorithm>
#include <cstdlib>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/fabric/libfabric_net.h"

namespace cairn::client_internal {
namespace {

constexpr char kDefaultEndpoint[] = "127.0.0.1:7440";

std::string ClientName() {
  char host[256] = "unknown";
  gethostname(host, sizeof(host) - 1);
  return StrCat(host, ":", getpid());
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ParseEndpoints(std::string_view endpoints) {
  std::vector<std::string> parsed;
  for (absl::string_view part : absl::StrSplit(ToAbsl(endpoints), ',', absl::SkipWhitespace())) {
    part = absl::StripAsciiWhitespace(part);
    const size_t colon = part.rfind(':');
    int port = 0;
    if (colon == absl::string_view::npos || colon == 0 ||
        !absl::SimpleAtoi(part.substr(colon + 1), &port) || port < 1 || port > 65535) {
      return absl::InvalidArgumentError(
          StrCat("\"", part, "\" is not an endpoint: write HOST:PORT[,HOST:PORT...]"));
    }
    parsed.emplace_back(part);
  }
  if (parsed.empty()) {
    return absl::InvalidArgumentError("the endpoint is empty: write HOST:PORT[,HOST:PORT...]");
  }
  return parsed;
}

absl::StatusOr<std::shared_ptr<ClientImpl>> ClientImpl::Connect(ClientOptions options) {
  if (options.endpoint.empty()) {
    const char* environment = std::getenv("CAIRN_ENDPOINT");
    options.endpoint =
        environment != nullptr && *environment != '\0' ? environment : kDefaultEndpoint;
  }
  if (options.window < 1 || options.timeout <= absl::ZeroDuration() ||
      options.connect_timeout <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError(
        "the window must be 1 or more and the timeouts longer than zero");
  }
  ASSIGN_OR_RETURN(std::vector<std::string> endpoints, ParseEndpoints(options.endpoint));
  // On this thread, because a resolver may take its time: a machine with several networks has its
  // fabric on the one that leads to the node, which only the node's address tells.
  std::string bind_host = LibfabricNet::LocalAddressTowards(endpoints.front());
  std::shared_ptr<ClientImpl> impl(new ClientImpl(std::move(options)));
  ASSIGN_OR_RETURN(impl->thread_, ReactorThread::Start(Reactor::Options{}, "cairn-client"));
  RETURN_IF_ERROR(impl->Run<absl::Status>(
      [&] { return impl->Open(std::move(endpoints), std::move(bind_host)); }));
  return impl;
}

Task<absl::Status> ClientImpl::Open(std::vector<std::string> endpoints, std::string bind_host) {
  LibfabricNet::Options net_options;
  net_options.bind_host = std::move(bind_host);
  absl::StatusOr<std::unique_ptr<LibfabricNet>> net =
      LibfabricNet::Create(thread_->reactor(), std::move(net_options));
  if (!net.ok()) co_return net.status();
  net_ = *std::move(net);
  session_ = std::make_unique<Session>(
      *net_, random_, Session::Options{std::move(endpoints), ClientName(), options_.window});
  Session* session = session_.get();
  net_->SetReceiver([session](ConstBytes message) { session->OnMessage(message); });
  const Deadline deadline = Deadline::After(Executor::Current().clock(),
                                            std::min(options_.timeout, options_.connect_timeout));
  const absl::StatusOr<std::shared_ptr<const MapIndex>> map = co_await session_->Map(deadline);
  co_return map.status();
}

ClientImpl::~ClientImpl() {
  if (thread_ == nullptr) return;
  if (getpid() != pid_) {
    // The thread and its sockets belong to the parent: touching them here would harm it. This
    // process's copies of the sockets were closed by fork() itself (common/fabric/fork_guard.h).
    (void)thread_.release();
    (void)net_.release();
    (void)session_.release();
    return;
  }
  (void)Run<absl::Status>([this] { return Close(); });
}

Task<absl::Status> ClientImpl::Close() {
  if (session_ != nullptr) co_await session_->Stop();
  if (net_ != nullptr) co_await net_->Stop();
  net_.reset();
  // After the net, which hands late replies to it until the end.
  session_.reset();
  co_return absl::OkStatus();
}

absl::Status ClientImpl::CheckUsable() const {
  if (getpid() == pid_) return absl::OkStatus();
  return absl::FailedPreconditionError(
      "this client was connected before fork(); connect a new one in the child process");
}

}  // namespace cairn::client_internal
