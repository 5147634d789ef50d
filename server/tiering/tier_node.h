// What every node has of tiering, on its last core: moves of bytes that it is asked to make, and
// reads of cold bytes for clients. The node is a client of its own cluster for that.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "common/base/random.h"
#include "common/rpc/call_table.h"
#include "server/tiering/cold_reader.h"
#include "server/tiering/cold_service.h"
#include "server/tiering/mover.h"
#include "server/tiering/tier_directory.h"

namespace cairn {

// Lives on one executor.
class TierNode {
 public:
  struct Options {
    std::string endpoint;  // of this node, for clients
    std::string name;      // shown to operators: "host:pid"
    std::string cluster_id;
  };
  // Blocking work: reads for clients do not wait for moves.
  struct Runners {
    BlockingRunner& moves;
    BlockingRunner& reads;
  };
  // `net` is an endpoint of its own, `core_net` the one by which clients are answered. All outlive
  // it, but for `net`, which it takes. `busy`: clients are being served.
  TierNode(std::unique_ptr<Net> net, Net& core_net, Random& random, ColdStores& stores,
           Runners runners, std::function<bool()> busy, Options options);
  ~TierNode();

  // Of the core that `core_net` is of.
  void Register(CallTable& table) { service_->Register(table); }
  Mover& mover() { return *mover_; }
  // By tier, since the start.
  std::map<std::string, TierTraffic> traffic() const { return mover_->traffic(); }

  // Nothing is begun any more, and what waits ends soon.
  void RequestStop();
  // After the calls of the core have ended.
  Task<void> Stop();

 private:
  Task<absl::StatusOr<wire::ListTiersReply>> AskTiers(Deadline deadline);

  std::atomic<bool> stop_flag_ = false;
  std::unique_ptr<Net> net_;
  std::unique_ptr<Session> session_;
  ColdReader reader_;       // for clients
  ColdReader move_reader_;  // for moves
  std::unique_ptr<Mover> mover_;
  TierDirectory directory_;
  std::unique_ptr<ColdService> service_;
};

}  // namespace cairn
