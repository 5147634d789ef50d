#include "tests/unit/tier/fault_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>

#include "common/base/check.h"

namespace cairn {
namespace {

constexpr size_t kHeadBytesMax = 64 << 10;

std::string Lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

bool SendAll(int fd, const std::string& bytes) {
  size_t sent = 0;
  while (sent < bytes.size()) {
    const ssize_t n = send(fd, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (n <= 0) return false;
    sent += static_cast<size_t>(n);
  }
  return true;
}

}  // namespace

std::string SeenRequest::Query(const std::string& name) const {
  size_t begin = target.find('?');
  while (begin != std::string::npos) {
    const size_t end = target.find('&', ++begin);
    const std::string one = target.substr(begin, end - begin);
    if (one.starts_with(name + "=")) return one.substr(name.size() + 1);
    begin = end;
  }
  return "-";
}

Reply Reply::Of(int status, const std::string& body,
                const std::vector<std::pair<std::string, std::string>>& headers) {
  std::string bytes = "HTTP/1.1 " + std::to_string(status) + " Reason\r\n";
  bool length = false;
  for (const auto& [name, value] : headers) {
    bytes += name + ": " + value + "\r\n";
    length |= Lower(name) == "content-length";
  }
  if (!length) bytes += "Content-Length: " + std::to_string(body.size()) + "\r\n";
  return {.bytes = bytes + "\r\n" + body};
}

Reply Reply::Error(int status, const std::string& code, const std::string& extra) {
  return Of(status, "<Error><Code>" + code + "</Code><Message>m</Message>" + extra + "</Error>");
}

Reply Reply::CutBy(size_t count, Then next) const {
  return {.bytes = bytes.substr(0, bytes.size() - std::min(count, bytes.size())), .then = next};
}

FaultServer::FaultServer(Handler handler) : handler_(std::move(handler)) { Start(); }

FaultServer::FaultServer(std::vector<Reply> script)
    : FaultServer([script = std::move(script), next = size_t{0}](const SeenRequest&) mutable {
        const size_t at = std::min(next++, script.size() - 1);
        return script[at];
      }) {}

void FaultServer::Start() {
  CAIRN_CHECK(pipe(stop_) == 0);
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  CAIRN_CHECK(bind(listener_, reinterpret_cast<sockaddr*>(&address), length) == 0);
  CAIRN_CHECK(listen(listener_, 64) == 0);
  CAIRN_CHECK(getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length) == 0);
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { Accept(); });
}

FaultServer::~FaultServer() {
  close(stop_[1]);
  acceptor_.join();
  for (std::thread& thread : threads_) thread.join();
  close(stop_[0]);
  close(listener_);
}

std::vector<SeenRequest> FaultServer::seen() {
  std::lock_guard<std::mutex> lock(mutex_);
  return seen_;
}

void FaultServer::Accept() {
  for (int connection = 0;; ++connection) {
    pollfd fds[2] = {{listener_, POLLIN, 0}, {stop_[0], POLLIN, 0}};
    poll(fds, 2, -1);
    if (fds[1].revents != 0) return;
    const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) continue;
    std::lock_guard<std::mutex> lock(mutex_);
    threads_.emplace_back([this, fd, connection] { Serve(fd, connection); });
  }
}

// False at the end of the connection or of the server.
bool FaultServer::ReadMore(int fd, std::string* buffer) {
  pollfd fds[2] = {{fd, POLLIN, 0}, {stop_[0], POLLIN, 0}};
  poll(fds, 2, -1);
  if (fds[1].revents != 0) return false;
  char bytes[64 << 10];
  const ssize_t n = recv(fd, bytes, sizeof(bytes), 0);
  if (n <= 0) return false;
  buffer->append(bytes, static_cast<size_t>(n));
  return true;
}

bool FaultServer::ReadRequest(int fd, std::string* buffer, SeenRequest* request) {
  size_t end = 0;
  while ((end = buffer->find("\r\n\r\n")) == std::string::npos) {
    if (buffer->size() > kHeadBytesMax || !ReadMore(fd, buffer)) return false;
  }
  const std::string head = buffer->substr(0, end + 2);
  buffer->erase(0, end + 4);
  size_t line = head.find("\r\n");
  const std::string first = head.substr(0, line);
  request->method = first.substr(0, first.find(' '));
  const size_t target = first.find(' ') + 1;
  request->target = first.substr(target, first.rfind(' ') - target);
  for (line += 2; line < head.size();) {
    const size_t next = head.find("\r\n", line);
    const std::string header = head.substr(line, next - line);
    const size_t colon = header.find(':');
    request->headers[Lower(header.substr(0, colon))] =
        header.substr(std::min(header.find_first_not_of(' ', colon + 1), header.size()));
    line = next + 2;
  }
  if (Lower(request->Header("expect")) == "100-continue")
    SendAll(fd, "HTTP/1.1 100 Continue\r\n\r\n");
  const size_t length = std::strtoull(request->Header("content-length").c_str(), nullptr, 10);
  while (buffer->size() < length) {
    if (!ReadMore(fd, buffer)) return false;
  }
  request->body = buffer->substr(0, length);
  buffer->erase(0, length);
  return true;
}

void FaultServer::Serve(int fd, int connection) {
  std::string buffer;
  for (;;) {
    SeenRequest request;
    request.connection = connection;
    if (!ReadRequest(fd, &buffer, &request)) break;
    Reply reply;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      seen_.push_back(request);
      reply = handler_(request);
    }
    if (!SendAll(fd, reply.bytes)) break;
    if (reply.then == Reply::Then::kKeep) continue;
    if (reply.then == Reply::Then::kStall) {
      pollfd stop{stop_[0], POLLIN, 0};
      poll(&stop, 1, -1);
    } else if (reply.then == Reply::Then::kReset) {
      const linger now{1, 0};
      setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    }
    break;
  }
  close(fd);
}

}  // namespace cairn
