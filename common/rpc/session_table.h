// The sessions of a node: who said hello, where its endpoint is, how many credits it has. The
// HelloHandler of cairnd; checks protocol version and cluster and refuses in words.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "common/base/random.h"
#include "common/fabric/net.h"
#include "proto/wire/rpc.pb.h"

namespace cairn {

inline constexpr uint32_t kProtocolVersion = 1;

struct SessionInfo {
  SessionId id;
  std::string client_address;
  std::string client_name;
  uint64_t client_incarnation = 0;
};

// Shared by all cores: thread-safe. Hellos are handled on the executor of the endpoint that
// listens.
class SessionTable final : public HelloHandler {
 public:
  struct Options {
    // Everything of the reply but session and credits.
    wire::HelloReply identity;
    size_t sessions_max = 20'000;
    // Slabs of the node; credits are their fair share, between 1 and credits_max. Disks stand still
    // for tens of milliseconds now and then; sixteen stripes keep the network busy meanwhile, and
    // the disk afterwards.
    uint32_t slabs = 32;
    uint32_t credits_max = 16;
  };
  // Calls `on_ended` on the listening executor when a session is over (the client closed or died).
  SessionTable(Options options, Random& random, std::function<void(SessionId)> on_ended);
  ~SessionTable() override;

  std::optional<SessionInfo> Find(SessionId id) const;
  // Told to clients in every hello and reply, so that they fetch a newer map.
  void SetMapVersion(uint64_t version);
  uint64_t map_version() const;
  // The window of each session that moves bytes, at the moment: those that are idle leave theirs to
  // the others.
  uint32_t credits() const;
  size_t size() const;
  // Hangs up on everyone. On the listening executor.
  Task<void> Stop();

  // Runs `on_ended` on `executor` for every session that ends from now on, until Unsubscribe(). For
  // RpcServers.
  uint64_t Subscribe(Executor& executor, std::function<void(SessionId)> on_ended);
  // A message already on its way to the executor may still arrive.
  void Unsubscribe(uint64_t subscription);
  // How many sessions move bytes through the subscriber's core.
  void SetActive(uint64_t subscription, size_t sessions);

  absl::StatusOr<std::string> OnHello(std::string_view hello, std::string_view peer_name) override;
  void OnConnected(std::unique_ptr<ControlConnection> connection, std::string_view reply) override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace cairn
