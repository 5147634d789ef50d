// The TCP sockets that a provider keeps to itself. libfabric gives neither their descriptors nor
// any say in their options, so they are found among the descriptors of the process, by address.
// Used by libfabric_endpoint.cc and fork_guard.cc.
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <compare>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string_view>

#include "absl/time/time.h"

namespace cairn {

// An IP address and port, comparable whatever fills the rest of a sockaddr.
struct SocketKey {
  uint16_t family = 0;
  uint16_t port = 0;
  std::array<uint8_t, 16> host = {};
  friend auto operator<=>(const SocketKey&, const SocketKey&) = default;
};

// Of a sockaddr's bytes; nothing for other families and short ones.
std::optional<SocketKey> ParseSocketKey(std::string_view sockaddr_bytes);
// Of a descriptor's own and of its peer's address; nothing when it is no IP socket or has no peer.
std::optional<SocketKey> LocalKey(int fd);
std::optional<SocketKey> PeerKey(int fd);

// The descriptor that listens at `address` (a sockaddr's bytes, as an endpoint names itself), or
// -1.
int FindListeningSocket(std::string_view address);

// Of connections accepted from now on, which inherit them: a host that is gone without a word is
// noticed, and with `buffer_bytes` the socket buffers have that size (0: the kernel's choice).
void SetAcceptedOptions(int listening_fd, int buffer_bytes);

// Whether two endpoints, named by their addresses' bytes, are surely on one machine.
bool AreOnOneHost(std::string_view address, std::string_view other);
// Of the connections that this process has made to `address`, which is on this machine: bytes go
// there without congestion control's pacing. Accepted ones inherit the same from a listening socket
// that only this machine reaches.
void SetSameHostOptionsTo(std::string_view address);

// Ends those connections between the endpoint at `own`, whoever made them, and the host of the
// endpoint at `peer` on which no byte has moved for `idle`. An accepted connection does not tell
// which process is at its other end, so that others of the host may lose theirs too; whoever needs
// one makes it again.
void EndIdleConnections(std::string_view own, std::string_view peer, absl::Duration idle);

// Calls `visit(fd)` for every descriptor of the process, which it may close. Allocates nothing:
// also for a child right after fork().
template <class Visitor>
void ForEachDescriptor(Visitor visit) {
  // readdir() would take memory from the heap, whose lock a forked child may find taken.
  const int directory = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return;
  alignas(dirent64) char entries[4096];
  for (;;) {
    const long bytes = syscall(SYS_getdents64, directory, entries, sizeof entries);
    if (bytes <= 0) break;
    for (long at = 0; at < bytes;) {
      const auto* entry = reinterpret_cast<const dirent64*>(entries + at);
      at += entry->d_reclen;
      if (entry->d_name[0] < '0' || entry->d_name[0] > '9') continue;
      const int fd = std::atoi(entry->d_name);
      if (fd != directory) visit(fd);
    }
  }
  close(directory);
}

}  // namespace cairn
