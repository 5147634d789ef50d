// The metadata RPCs, on core 0: mutations go to the metadata engine's log under the caller's
// request id, queries to its store. Next on the data path: server/meta/meta_engine.h.
#pragma once

#include <cstdint>
#include <functional>

#include "common/rpc/call_table.h"
#include "proto/wire/meta.pb.h"
#include "server/meta/meta_engine.h"

namespace cairn {

// Lives on core 0's reactor.
class MetaService {
 public:
  // `map` answers the cluster map of the moment.
  MetaService(MetaEngine& engine, std::function<wire::ClusterMap()> map);

  void Register(CallTable& table);

  // Requests served since the start, for the status. Renewals and asking for the map are not
  // counted: they follow time, not work.
  struct Counters {
    uint64_t mutations = 0;
    uint64_t queries = 0;
  };
  const Counters& counters() const { return counters_; }

  Task<absl::StatusOr<wire::GetMapReply>> GetMap(CallContext& call,
                                                 const wire::GetMapRequest& request);
  Task<absl::StatusOr<wire::RenewLeasesReply>> RenewLeases(CallContext& call,
                                                           const wire::RenewLeasesRequest& request);

 private:
  template <class Request>
  Task<absl::StatusOr<MutationReply<Request>>> Mutate(CallContext& call, const Request& request) {
    ++counters_.mutations;
    const MutationId id{call.request().client, call.request().sequence};
    co_return co_await engine_.Mutate(Request(request), id);
  }
  template <class Request>
  Task<absl::StatusOr<QueryReply<Request>>> Query(CallContext& call, const Request& request) {
    ++counters_.queries;
    co_return co_await engine_.Query(Request(request));
  }

  MetaEngine& engine_;
  std::function<wire::ClusterMap()> map_;
  Counters counters_;
};

}  // namespace cairn
