// What a node does when the one with the metadata asks it to move bytes between targets and cold
// tiers: as a client of its own cluster, so that reads are verified and go around what is lost, and
// writes go elsewhere when a target does not take them. Next: tier_loop.h, who asks.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "client/io/session.h"
#include "common/task/blocking.h"
#include "common/task/deadline.h"
#include "common/task/semaphore.h"
#include "common/task/stop.h"
#include "common/task/task.h"
#include "proto/wire/tier.pb.h"
#include "server/tier/cold_stores.h"
#include "server/tiering/cold_reader.h"

namespace cairn {

// Bytes of one tier that a node has moved, since its start.
struct TierTraffic {
  uint64_t archived_bytes = 0;
  uint64_t recalled_bytes = 0;
  uint64_t read_bytes = 0;  // by clients, through this node
  uint64_t failures = 0;
};

// Lives on one executor.
class Mover {
 public:
  // All outlive it. `busy` says whether clients are being served, which comes first; the runner's
  // threads wait for stores.
  Mover(Session& session, ColdStores& stores, ColdReader& reader, BlockingRunner& runner,
        std::function<bool()> busy, std::string own_cluster, const std::atomic<bool>& stop);

  // Durable when it returns OK. ABORTED: a source is not there any more. DATA_LOSS: it
  // cannot be read. Other errors are the store's (cold_store.h). After an error the object may be
  // in the store, or come there: its id must not be used again.
  Task<absl::StatusOr<wire::PutColdReply>> Put(wire::PutColdRequest request, Deadline deadline);
  // Errors are the store's.
  Task<absl::StatusOr<wire::CheckColdReply>> Check(wire::CheckColdRequest request,
                                                   Deadline deadline);
  Task<absl::StatusOr<wire::DeleteColdReply>> Delete(wire::DeleteColdRequest request,
                                                     Deadline deadline);
  // The bytes are sealed when it returns OK, under the lease of the request. RESOURCE_EXHAUSTED:
  // the targets are full.
  Task<absl::StatusOr<wire::RecallColdReply>> Recall(wire::RecallColdRequest request,
                                                     Deadline deadline);

  // Waiting ends with CANCELLED. What is under way ends when the session stops.
  void RequestStop();
  const std::map<std::string, TierTraffic>& traffic() const { return traffic_; }
  TierTraffic& TrafficOf(const std::string& tier) { return traffic_[tier]; }

 private:
  struct Memory;
  Task<absl::StatusOr<wire::PutColdReply>> PutNow(const wire::PutColdRequest& request,
                                                  Deadline deadline);
  Task<absl::Status> Fill(const wire::PutColdRequest& request, MutableBytes into,
                          Deadline deadline);
  Task<absl::Status> FillFromTargets(const wire::PutColdRequest& request, MutableBytes into);
  Task<absl::Status> ReadCold(const wire::TierSpec& tier, wire::ColdPlace place, MutableBytes into,
                              Deadline deadline);
  Task<absl::StatusOr<wire::RecallColdReply>> RecallNow(const wire::RecallColdRequest& request,
                                                        Deadline deadline);
  // While clients are served, but not for ever.
  Task<absl::Status> GiveWay();

  Session& session_;
  ColdStores& stores_;
  ColdReader& reader_;
  BlockingRunner& runner_;
  const std::function<bool()> busy_;
  const std::string own_cluster_;
  const std::atomic<bool>& stop_flag_;
  Semaphore turns_;
  StopSource stop_;
  std::map<std::string, TierTraffic> traffic_;
};

}  // namespace cairn
