// What a child of fork() must let go of. A child has copies of its parent's sockets; as long as it
// lives, the other side takes the parent for alive: a dead trainer's session and its slabs would
// stay with its data loaders. Used by control_plane.cc and libfabric_net.cc.
#pragma once

#include <string>
#include <string_view>

namespace cairn {

// While it lives, a child closes its copy of `fd`, without a word to the other side. Thread-safe.
class ClosedInChild {
 public:
  explicit ClosedInChild(int fd);
  ~ClosedInChild();
  ClosedInChild(const ClosedInChild&) = delete;
  ClosedInChild& operator=(const ClosedInChild&) = delete;

 private:
  int fd_;
};

// While it lives, a child closes its copies of the IP sockets at `address` and of those connected
// to it; `address` is a sockaddr's bytes, and others do nothing. For sockets that a provider keeps
// to itself. Thread-safe.
class AddressClosedInChild {
 public:
  explicit AddressClosedInChild(std::string_view address);
  ~AddressClosedInChild();
  AddressClosedInChild(const AddressClosedInChild&) = delete;
  AddressClosedInChild& operator=(const AddressClosedInChild&) = delete;

 private:
  std::string address_;
};

}  // namespace cairn
