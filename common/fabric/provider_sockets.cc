#include "common/fabric/provider_sockets.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <algorithm>
#include <cstring>

namespace cairn {
namespace {

// 10 s of silence, then a probe every 5 s; as of a control connection.
constexpr int kKeepIdleSeconds = 10;
constexpr int kKeepIntervalSeconds = 5;
constexpr int kKeepProbes = 4;
// Keepalive rests while bytes are on their way, and resending them goes on for a quarter of an
// hour. The limit also ends connections to a process that was stopped with bytes on their way to
// it, hence not shorter: people use debuggers.
constexpr int kUserTimeoutMs = 60'000;

// Within one machine there is no congestion to control. The system's choice may pace what it sends
// (BBR does), at an eighth of all CPU time of a save and a quarter of a restore's; this one does
// not, and every process may choose it.
constexpr std::string_view kSameHostCongestionControl = "reno";

void Set(int fd, int level, int name, int value) {
  // A kernel that refuses one notices a dead host later, nothing else.
  (void)setsockopt(fd, level, name, &value, sizeof value);
}

std::optional<SocketKey> KeyOf(int fd, int (*get)(int, sockaddr*, socklen_t*)) {
  sockaddr_storage storage = {};
  socklen_t length = sizeof storage;
  if (get(fd, reinterpret_cast<sockaddr*>(&storage), &length) != 0) return std::nullopt;
  return ParseSocketKey({reinterpret_cast<const char*>(&storage), length});
}

void SetSameHostOptions(int fd) {
  (void)setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, kSameHostCongestionControl.data(),
                   kSameHostCongestionControl.size());
}

bool IsLoopback(const SocketKey& key) {
  if (key.family == AF_INET) return key.host[0] == 127;
  SocketKey loopback;
  loopback.host.back() = 1;
  return key.host == loopback.host;
}

// How long ago a byte was sent or received; probes and acknowledgements do not count.
absl::Duration IdleFor(int fd) {
  tcp_info info = {};
  socklen_t length = sizeof info;
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) != 0) return absl::ZeroDuration();
  return absl::Milliseconds(std::min(info.tcpi_last_data_sent, info.tcpi_last_data_recv));
}

bool IsListening(int fd) {
  int listening = 0;
  socklen_t length = sizeof listening;
  return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) == 0 && listening != 0;
}

}  // namespace

std::optional<SocketKey> ParseSocketKey(std::string_view sockaddr_bytes) {
  SocketKey key;
  if (sockaddr_bytes.size() < sizeof key.family) return std::nullopt;
  std::memcpy(&key.family, sockaddr_bytes.data(), sizeof key.family);
  if (key.family == AF_INET && sockaddr_bytes.size() >= sizeof(sockaddr_in)) {
    sockaddr_in address;
    std::memcpy(&address, sockaddr_bytes.data(), sizeof address);
    key.port = address.sin_port;
    std::memcpy(key.host.data(), &address.sin_addr, sizeof address.sin_addr);
    return key;
  }
  if (key.family == AF_INET6 && sockaddr_bytes.size() >= sizeof(sockaddr_in6)) {
    sockaddr_in6 address;
    std::memcpy(&address, sockaddr_bytes.data(), sizeof address);
    key.port = address.sin6_port;
    std::memcpy(key.host.data(), &address.sin6_addr, sizeof address.sin6_addr);
    return key;
  }
  return std::nullopt;
}

std::optional<SocketKey> LocalKey(int fd) { return KeyOf(fd, getsockname); }
std::optional<SocketKey> PeerKey(int fd) { return KeyOf(fd, getpeername); }

int FindListeningSocket(std::string_view address) {
  const std::optional<SocketKey> wanted = ParseSocketKey(address);
  if (!wanted.has_value()) return -1;
  // Bound to every interface, it names itself by one of them.
  SocketKey wildcard = *wanted;
  wildcard.host = {};
  int found = -1;
  ForEachDescriptor([&](int fd) {
    const std::optional<SocketKey> own = LocalKey(fd);
    if (found < 0 && (own == wanted || own == wildcard) && IsListening(fd)) found = fd;
  });
  return found;
}

bool AreOnOneHost(std::string_view address, std::string_view other) {
  const std::optional<SocketKey> a = ParseSocketKey(address);
  const std::optional<SocketKey> b = ParseSocketKey(other);
  return a.has_value() && b.has_value() && a->family == b->family &&
         (a->host == b->host || IsLoopback(*b));
}

void SetSameHostOptionsTo(std::string_view address) {
  const std::optional<SocketKey> peer = ParseSocketKey(address);
  if (!peer.has_value()) return;
  ForEachDescriptor([&](int fd) {
    if (PeerKey(fd) == peer) SetSameHostOptions(fd);
  });
}

void EndIdleConnections(std::string_view own, std::string_view peer, absl::Duration idle) {
  const std::optional<SocketKey> own_key = ParseSocketKey(own);
  const std::optional<SocketKey> peer_key = ParseSocketKey(peer);
  if (!own_key.has_value() || !peer_key.has_value()) return;
  ForEachDescriptor([&](int fd) {
    const std::optional<SocketKey> there = PeerKey(fd);
    const std::optional<SocketKey> here = LocalKey(fd);
    if (!there.has_value() || !here.has_value() || there->host != peer_key->host) return;
    const bool accepted = here->port == own_key->port;
    const bool made = there->port == peer_key->port;
    if ((accepted || made) && IdleFor(fd) >= idle) (void)shutdown(fd, SHUT_RDWR);
  });
}

void SetAcceptedOptions(int listening_fd, int buffer_bytes) {
  if (const auto own = LocalKey(listening_fd); own.has_value() && IsLoopback(*own))
    SetSameHostOptions(listening_fd);
  Set(listening_fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  Set(listening_fd, IPPROTO_TCP, TCP_KEEPIDLE, kKeepIdleSeconds);
  Set(listening_fd, IPPROTO_TCP, TCP_KEEPINTVL, kKeepIntervalSeconds);
  Set(listening_fd, IPPROTO_TCP, TCP_KEEPCNT, kKeepProbes);
  Set(listening_fd, IPPROTO_TCP, TCP_USER_TIMEOUT, kUserTimeoutMs);
  if (buffer_bytes > 0) {
    Set(listening_fd, SOL_SOCKET, SO_RCVBUF, buffer_bytes);
    Set(listening_fd, SOL_SOCKET, SO_SNDBUF, buffer_bytes);
  }
}

}  // namespace cairn
