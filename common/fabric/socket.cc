// Sockets of control connections on the reactor's readiness.
#include "common/fabric/socket.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <span>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/fabric/hello_frame.h"
#include "common/fabric/net.h"

namespace cairn {
namespace {

// A burst of 10,000 ranks dials at once; the kernel keeps them until the loop comes round.
constexpr int kListenBacklog = 4096;

absl::Status SocketError(int error, const std::string& doing) {
  return absl::UnavailableError(absl::StrCat(doing, ": ", std::strerror(error)));
}

void SetOption(int fd, int level, int name, int value) {
  // Refused options cost latency or late notice of a dead host, nothing else.
  (void)setsockopt(fd, level, name, &value, sizeof value);
}

std::string NameOf(int fd, int (*get)(int, sockaddr*, socklen_t*)) {
  SocketAddress address;
  address.length = sizeof address.storage;
  if (get(fd, reinterpret_cast<sockaddr*>(&address.storage), &address.length) != 0) {
    return "unknown address";
  }
  return FormatAddress(address);
}

}  // namespace

Socket::~Socket() {
  if (fd_ >= 0) close(fd_);
}

void Socket::HangUp() {
  if (fd_ >= 0) (void)shutdown(fd_, SHUT_RDWR);
}

void Socket::SetControlOptions() {
  SetOption(fd_, IPPROTO_TCP, TCP_NODELAY, 1);
  // A host that lost power sends no FIN: 10 s of silence, then 4 probes, 5 s apart.
  SetOption(fd_, SOL_SOCKET, SO_KEEPALIVE, 1);
  SetOption(fd_, IPPROTO_TCP, TCP_KEEPIDLE, 10);
  SetOption(fd_, IPPROTO_TCP, TCP_KEEPINTVL, 5);
  SetOption(fd_, IPPROTO_TCP, TCP_KEEPCNT, 4);
}

Task<absl::StatusOr<Socket>> ConnectSocket(Reactor& reactor, SocketAddress address,
                                           Deadline deadline) {
  const std::string name = FormatAddress(address);
  Socket made(socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (made.fd() < 0) co_return SocketError(errno, "opening a socket");
  if (connect(made.fd(), address.get(), address.length) != 0) {
    if (errno != EINPROGRESS) co_return SocketError(errno, absl::StrCat("connecting to ", name));
    const absl::Status writable = co_await reactor.WaitWritable(made.fd(), deadline);
    if (absl::IsDeadlineExceeded(writable)) {
      co_return absl::DeadlineExceededError(absl::StrCat("no answer from ", name, " in time"));
    }
    CO_RETURN_IF_ERROR(writable);
    int error = 0;
    socklen_t length = sizeof error;
    if (getsockopt(made.fd(), SOL_SOCKET, SO_ERROR, &error, &length) != 0) error = errno;
    if (error != 0) co_return SocketError(error, absl::StrCat("connecting to ", name));
  }
  made.SetControlOptions();
  co_return made;
}

absl::StatusOr<Socket> ListenSocket(const SocketAddress& address) {
  const std::string doing = absl::StrCat("listening on ", FormatAddress(address));
  Socket made(socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (made.fd() < 0) return absl::ErrnoToStatus(errno, doing);
  SetOption(made.fd(), SOL_SOCKET, SO_REUSEADDR, 1);
  if (bind(made.fd(), address.get(), address.length) != 0) return absl::ErrnoToStatus(errno, doing);
  if (listen(made.fd(), kListenBacklog) != 0) return absl::ErrnoToStatus(errno, doing);
  return made;
}

std::string LocalName(const Socket& socket) { return NameOf(socket.fd(), getsockname); }
std::string PeerName(const Socket& socket) { return NameOf(socket.fd(), getpeername); }

std::string SourceAddressTowards(const SocketAddress& address) {
  // Connecting a datagram socket sends nothing; it only asks the routing table.
  const Socket probe(socket(address.storage.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (probe.fd() < 0 || connect(probe.fd(), address.get(), address.length) != 0) return "";
  const absl::StatusOr<HostPort> source = ParseHostPort(LocalName(probe));
  return source.ok() ? source->host : "";
}

Task<absl::Status> SendAll(Reactor& reactor, Socket& socket, std::string_view bytes,
                           Deadline deadline) {
  while (!bytes.empty()) {
    const ssize_t sent = send(socket.fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) {
      bytes.remove_prefix(static_cast<size_t>(sent));
    } else if (errno == EAGAIN) {
      const absl::Status writable = co_await reactor.WaitWritable(socket.fd(), deadline);
      CO_RETURN_IF_ERROR(writable);
    } else if (errno != EINTR) {
      co_return SocketError(errno, "sending a hello");
    }
  }
  co_return absl::OkStatus();
}

Task<absl::StatusOr<std::string>> ReceiveHello(Reactor& reactor, Socket& socket,
                                               Deadline deadline) {
  // One byte more than the largest frame shows that something follows it.
  std::string frame(kHelloHeaderBytes + kMaxHelloBytes + 1, '\0');
  size_t received = 0;
  for (;;) {
    const ssize_t got =
        recv(socket.fd(), frame.data() + received, frame.size() - received, MSG_DONTWAIT);
    if (got == 0) co_return absl::UnavailableError("the other side hung up in its hello");
    if (got < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN) co_return SocketError(errno, "receiving a hello");
      const absl::Status readable = co_await reactor.WaitReadable(socket.fd(), deadline);
      CO_RETURN_IF_ERROR(readable);
      continue;
    }
    received += static_cast<size_t>(got);
    const absl::StatusOr<size_t> length =
        HelloFrameLength(std::as_bytes(std::span(frame)).first(received));
    if (!length.ok()) co_return length.status();
    if (*length == 0 || received < *length) continue;
    if (received > *length) co_return absl::InvalidArgumentError("bytes follow a hello");
    frame.resize(received);
    co_return frame;
  }
}

Task<void> WaitForHangUp(Reactor& reactor, Socket& socket) {
  for (;;) {
    // Infinite: bounded by the life of the two processes, which is what is waited for.
    const absl::Status readable = co_await reactor.WaitReadable(socket.fd(), Deadline::Infinite());
    if (!readable.ok()) co_return;
    char byte;
    const ssize_t got = recv(socket.fd(), &byte, 1, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    co_return;
  }
}

}  // namespace cairn
