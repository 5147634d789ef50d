// Names and addresses of hosts: "HOST:PORT" texts to socket addresses and back. Used by
// control_plane.cc.
#pragma once

#include <netdb.h>
#include <sys/socket.h>

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace cairn {

struct SocketAddress {
  sockaddr_storage storage = {};
  socklen_t length = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

struct HostPort {
  std::string host;  // without the brackets of IPv6
  std::string port;
};

// "HOST:PORT" or "[IPV6]:PORT"; an empty HOST is every local address. INVALID_ARGUMENT in words.
absl::StatusOr<HostPort> ParseHostPort(std::string_view text);

enum class NameLookup {
  kNumeric,   // never blocks; NOT_FOUND for names
  kBlocking,  // asks the system's resolver: for threads that may block
};
// The addresses of a host, best first. UNAVAILABLE when the name is unknown or the resolver is
// silent.
absl::StatusOr<std::vector<SocketAddress>> ResolveHost(const HostPort& where, NameLookup lookup);

// "1.2.3.4:5" or "[::1]:5".
std::string FormatAddress(const SocketAddress& address);

}  // namespace cairn
