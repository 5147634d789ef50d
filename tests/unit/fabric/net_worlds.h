// The worlds of worlds.h with a network: libfabric over loopback on both kinds of reactor, and the
// simulation. The same typed test runs on all of them.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/base/status_macros.h"
#include "common/fabric/libfabric_net.h"
#include "common/task/scope.h"
#include "common/task/stop.h"
#include "tests/sim/sim_net.h"
#include "tests/sim/worlds.h"

namespace cairn {

template <class World>
class NetWorld : public World {
 public:
  std::unique_ptr<Net> MakeNet(const std::string& process) {
    (void)process;
    auto made = LibfabricNet::Create(this->reactor(), {.bind_host = "127.0.0.1"});
    EXPECT_TRUE(made.ok()) << made.status();
    return *std::move(made);
  }
  // Where a listener of `process` may listen.
  static std::string ListenAddress(const std::string& process) {
    (void)process;
    return "127.0.0.1:0";
  }
};

template <>
class NetWorld<SimWorld> : public SimWorld {
 public:
  std::unique_ptr<Net> MakeNet(const std::string& process) { return fabric_.MakeNet(process); }
  static std::string ListenAddress(const std::string& process) { return process + ":0"; }
  SimFabric& fabric() { return fabric_; }

 private:
  SimFabric fabric_{executor()};
};

using NetWorlds = ::testing::Types<NetWorld<RingWorld>, NetWorld<PollWorld>, NetWorld<SimWorld>>;

inline Deadline InSeconds(double seconds) {
  return Deadline::After(Executor::Current().clock(), absl::Seconds(seconds));
}

inline ConstBytes BytesOf(const std::string& text) { return std::as_bytes(std::span(text)); }

// Collects what a net receives.
class Inbox {
 public:
  explicit Inbox(Net& net) {
    net.SetReceiver([this](ConstBytes message) {
      messages_.emplace_back(reinterpret_cast<const char*>(message.data()), message.size());
      arrived_.Set();
    });
  }
  // Waits until there are `count`.
  Task<void> WaitFor(size_t count) {
    while (messages_.size() < count) {
      arrived_.Reset();
      co_await arrived_;
    }
  }
  std::vector<std::string>& messages() { return messages_; }

 private:
  std::vector<std::string> messages_;
  Event arrived_;
};

// Lets `duration` pass.
inline Task<void> Pass(absl::Duration duration) {
  StopSource never;
  (void)co_await SleepFor(duration, never);
}

// Waits for what no event tells, because it happens on the other side of a network.
template <class Condition>
Task<void> Until(Condition condition) {
  while (!condition()) co_await Pass(absl::Milliseconds(1));
}

// Bytes that differ everywhere and with the seed.
inline std::vector<std::byte> Pattern(size_t size, uint64_t seed) {
  SeededRandom random(seed);
  std::vector<std::byte> bytes(size);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random.Next());
  return bytes;
}

}  // namespace cairn
