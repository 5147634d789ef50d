// Goal: of a host's connections, those on which nothing moves are ended, the others go on, and
// nobody else's are touched. Method: plain sockets over loopback in place of a provider's, at two
// addresses of it.
#include "common/fabric/provider_sockets.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>

#include <string>

#include "absl/time/clock.h"

namespace cairn {
namespace {

constexpr absl::Duration kIdle = absl::Milliseconds(300);

sockaddr_in Loopback(const char* host) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  inet_pton(AF_INET, host, &address.sin_addr);
  return address;
}

std::string Bytes(const sockaddr_in& address) {
  return {reinterpret_cast<const char*>(&address), sizeof address};
}

// A listening socket, as an endpoint has one.
struct Endpoint {
  explicit Endpoint(const char* host) : address(Loopback(host)) {
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t length = sizeof address;
    EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), length), 0);
    EXPECT_EQ(listen(fd, 8), 0);
    EXPECT_EQ(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length), 0);
  }
  ~Endpoint() { close(fd); }
  std::string name() const { return Bytes(address); }

  int fd = -1;
  sockaddr_in address;
};

// One connection, both ends.
struct Connection {
  // From an address of its own to where `to` listens.
  Connection(const Endpoint& to, const char* from) {
    sockaddr_in source = Loopback(from);
    there = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT_EQ(bind(there, reinterpret_cast<sockaddr*>(&source), sizeof source), 0);
    EXPECT_EQ(connect(there, reinterpret_cast<const sockaddr*>(&to.address), sizeof to.address), 0);
    here = accept4(to.fd, nullptr, nullptr, SOCK_CLOEXEC);
    EXPECT_GE(here, 0);
  }
  ~Connection() {
    close(here);
    close(there);
  }
  void MoveByte() const {
    char byte = 'x';
    EXPECT_EQ(send(there, &byte, 1, MSG_NOSIGNAL), 1);
    EXPECT_EQ(recv(here, &byte, 1, MSG_WAITALL), 1);
  }
  bool ended() const {
    pollfd wanted = {there, POLLRDHUP, 0};
    EXPECT_GE(poll(&wanted, 1, 0), 0);
    return (wanted.revents & (POLLRDHUP | POLLHUP)) != 0;
  }

  int here = -1;
  int there = -1;
};

TEST(ProviderSocketsTest, IdleConnectionsOfOneHostAreEnded) {
  const Endpoint own("127.0.0.1"), peer("127.0.0.2"), stranger("127.0.0.1");
  const Connection idle(own, "127.0.0.2"), busy(own, "127.0.0.2"), other_host(own, "127.0.0.3");
  const Connection made(peer, "127.0.0.1"), unrelated(stranger, "127.0.0.2");
  // lint: allow sleep: the kernel's own clock tells how long a socket has been idle
  absl::SleepFor(kIdle + absl::Milliseconds(100));
  busy.MoveByte();
  EndIdleConnections(own.name(), peer.name(), kIdle);
  EXPECT_TRUE(idle.ended());
  EXPECT_TRUE(made.ended());
  EXPECT_FALSE(busy.ended());
  EXPECT_FALSE(other_host.ended());
  EXPECT_FALSE(unrelated.ended());
}

TEST(ProviderSocketsTest, WhatIsNoAddressEndsNothing) {
  const Endpoint own("127.0.0.1");
  const Connection idle(own, "127.0.0.2");
  EndIdleConnections(own.name(), "", absl::ZeroDuration());
  EndIdleConnections("no address", own.name(), absl::ZeroDuration());
  EXPECT_FALSE(idle.ended());
}

}  // namespace
}  // namespace cairn
