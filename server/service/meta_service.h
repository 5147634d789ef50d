// The metadata RPCs, on core 0: mutations go to the metadata engine's log under the caller's
// request id, queries to its store. Next on the data path: server/meta/meta_engine.h.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "common/rpc/call_table.h"
#include "proto/wire/meta.pb.h"
#include "server/cluster/map_history.h"
#include "server/meta/meta_engine.h"

namespace cairn {

// Lives on core 0's reactor.
class MetaService {
 public:
  // Sees to it that the cluster map has groups for a redundancy that a bucket asks for.
  using MakeGroups = std::function<Task<absl::Status>(std::string redundancy, wire::DomainLevel)>;
  // `map` answers the cluster map of the moment, `history` how it came to be; both outlive the
  // service.
  MetaService(MetaEngine& engine, std::function<const wire::ClusterMap&()> map,
              const MapHistory& history, MakeGroups make_groups);
  // Told of each file that is opened for reading: of what subject of tiering, and whether some of
  // it is cold.
  using OnRead = std::function<void(InodeId subject, bool cold)>;
  void SetOnRead(OnRead on_read) { on_read_ = std::move(on_read); }

  void Register(CallTable& table);

  // Requests served since the start, for the status. Renewals and asking for the map are not
  // counted: they follow time, not work.
  struct Counters {
    uint64_t mutations = 0;
    uint64_t queries = 0;
  };
  const Counters& counters() const { return counters_; }

  // What has changed, to a caller for whom that is less; else the map whole where it fits a
  // message, else a part of it. INVALID_ARGUMENT for an offset past its end.
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
  Task<absl::StatusOr<wire::StatReply>> Stat(CallContext& call, const wire::StatRequest& request);
  template <class Request>
  Task<absl::StatusOr<QueryReply<Request>>> Query(CallContext& call, const Request& request) {
    ++counters_.queries;
    co_return co_await engine_.Query(Request(request));
  }

  // A bucket's redundancy, and groups for it first: a bucket without could not be written to.
  template <class Request>
  Task<absl::StatusOr<MutationReply<Request>>> MutateBucket(CallContext& call,
                                                            const Request& request) {
    bool needs_groups = true;
    if constexpr (requires { request.keep_redundancy(); })
      needs_groups = !request.keep_redundancy();
    if (needs_groups) {
      absl::Status made = co_await make_groups_(request.redundancy(), request.level());
      if (!made.ok()) co_return made;
    }
    co_return co_await Mutate<Request>(call, request);
  }

  const std::string& Serialized(const wire::ClusterMap& map);

  MetaEngine& engine_;
  std::function<const wire::ClusterMap&()> map_;
  const MapHistory& history_;
  MakeGroups make_groups_;
  OnRead on_read_;
  Counters counters_;
  // Of the map as it was asked for last: thousands of clients ask for each part of a new version.
  std::string serialized_;
  uint64_t serialized_version_ = 0;
};

}  // namespace cairn
