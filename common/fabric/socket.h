// A non-blocking TCP socket and the two things done with it: sending a whole buffer, receiving one
// hello. Used by control_plane.cc.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/fabric/host_port.h"
#include "common/reactor/reactor.h"
#include "common/task/deadline.h"
#include "common/task/task.h"

namespace cairn {

// Owns the descriptor. Not destroyed while a coroutine waits for it: HangUp() ends the waiting
// instead.
class Socket {
 public:
  Socket() = default;
  explicit Socket(int fd) : fd_(fd) {}
  Socket(Socket&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  Socket& operator=(Socket&&) = delete;
  ~Socket();

  int fd() const { return fd_; }
  // Ends both directions; whoever waits for the socket wakes up.
  void HangUp();
  // No delay for small messages; a dead host is noticed after about half a minute.
  void SetControlOptions();

 private:
  int fd_ = -1;
};

// UNAVAILABLE when refused or without a route; DEADLINE_EXCEEDED.
Task<absl::StatusOr<Socket>> ConnectSocket(Reactor& reactor, SocketAddress address,
                                           Deadline deadline);
// A listening socket, and the address it got. Errors name the address.
absl::StatusOr<Socket> ListenSocket(const SocketAddress& address);
std::string LocalName(const Socket& socket);
std::string PeerName(const Socket& socket);
// The numeric local address from which the kernel would reach `address`; "" without a route.
std::string SourceAddressTowards(const SocketAddress& address);

// Sends all of `bytes`, which stay the caller's. UNAVAILABLE, DEADLINE_EXCEEDED.
Task<absl::Status> SendAll(Reactor& reactor, Socket& socket, std::string_view bytes,
                           Deadline deadline);
// Receives exactly one hello frame, undecoded. Errors of HelloFrameLength(); INVALID_ARGUMENT when
// more bytes follow; UNAVAILABLE when the other side hangs up before its end; DEADLINE_EXCEEDED.
Task<absl::StatusOr<std::string>> ReceiveHello(Reactor& reactor, Socket& socket, Deadline deadline);
// Waits until the other side has hung up or is dead. A peer that speaks counts as gone: nothing may
// be said here.
Task<void> WaitForHangUp(Reactor& reactor, Socket& socket);

}  // namespace cairn
