// What a node does with the cluster's cold tiers when it is asked: on threads of its own, as cold
// stores block.
#pragma once

#include <atomic>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/task/blocking.h"
#include "common/task/deadline.h"
#include "proto/wire/tier.pb.h"
#include "server/tier/cold_store_spec.h"
#include "server/tier/cold_stores.h"

namespace cairn {

// Lives on one executor.
class TierWorker {
 public:
  // All outlive it, and `clock` and `random` are thread-safe.
  TierWorker(BlockingRunner& runner, ColdStores& stores, const Clock& clock, Random& random)
      : runner_(runner), stores_(stores), clock_(clock), random_(random) {}

  // Tries everything that is needed of the tier's store (probe.h), within `deadline` but for some
  // seconds that are left for the answer; or makes an empty directory a store. A step that fails is
  // told in the reply. INVALID_ARGUMENT: the spec makes no sense, to this release at least.
  Task<absl::StatusOr<wire::ProbeTierReply>> Probe(wire::ProbeTierRequest request,
                                                   Deadline deadline);

  // An object that is a text, and listings: what is a matter of metadata. Errors as those of
  // ColdStore.
  Task<absl::Status> PutText(wire::TierSpec tier, std::string key, std::string text,
                             Deadline deadline);
  Task<absl::StatusOr<std::string>> GetText(wire::TierSpec tier, std::string key,
                                            uint64_t size_bytes, Deadline deadline);
  Task<absl::StatusOr<ColdListing>> List(wire::TierSpec tier, ColdListOptions options,
                                         Deadline deadline);

  // What is under way ends soon, with CANCELLED; nothing is begun any more.
  void RequestStop() { stop_.store(true); }

 private:
  wire::ProbeTierReply ProbeNow(const ColdStoreSpec& spec, bool prepare, Deadline deadline);

  BlockingRunner& runner_;
  ColdStores& stores_;
  const Clock& clock_;
  Random& random_;
  std::atomic<bool> stop_ = false;
};

}  // namespace cairn
