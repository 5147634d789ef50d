// The RPCs of file systems (fs.proto), on core 0: names, attributes and content by inode to the
// metadata engine, open files and locks to its table of mounts. Next on the data path:
// server/meta/meta_engine.h.
#pragma once

#include <cstdint>
#include <functional>

#include "common/rpc/call_table.h"
#include "proto/wire/fs.pb.h"
#include "server/meta/meta_engine.h"

namespace cairn {

// Lives on core 0's reactor.
class FsService {
 public:
  explicit FsService(MetaEngine& engine) : engine_(engine) {}
  // Told of each file that is opened for reading: of what subject of tiering, and whether some of
  // it is cold.
  using OnRead = std::function<void(InodeId subject, bool cold)>;
  void SetOnRead(OnRead on_read) { on_read_ = std::move(on_read); }
  // What the targets hold and have used, by the cluster map of the moment.
  struct Space {
    uint64_t capacity_bytes = 0;
    uint64_t used_bytes = 0;
  };
  void SetSpace(std::function<Space()> space) { space_ = std::move(space); }

  void Register(CallTable& table);

  // Requests served since the start, for metrics. Renewals are not counted.
  struct Counters {
    uint64_t mutations = 0;
    uint64_t queries = 0;
  };
  const Counters& counters() const { return counters_; }

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
  Task<absl::StatusOr<wire::LookupReply>> Lookup(CallContext& call,
                                                 const wire::LookupRequest& request);
  Task<absl::StatusOr<wire::ReadDirectoryReply>> ReadDirectory(
      CallContext& call, const wire::ReadDirectoryRequest& request);
  Task<absl::StatusOr<wire::StatFsReply>> StatFs(CallContext& call,
                                                 const wire::StatFsRequest& request);
  Task<absl::StatusOr<wire::MakeNodeReply>> MakeNode(CallContext& call,
                                                     const wire::MakeNodeRequest& request);
  Task<absl::StatusOr<wire::OpenNodeReply>> OpenNode(CallContext& call,
                                                     const wire::OpenNodeRequest& request);
  Task<absl::StatusOr<wire::RenewMountReply>> RenewMount(CallContext& call,
                                                         const wire::RenewMountRequest& request);
  Task<absl::StatusOr<wire::LockFileReply>> LockFile(CallContext& call,
                                                     const wire::LockFileRequest& request);

  Task<absl::StatusOr<wire::WatchDirectoriesReply>> WatchDirectories(
      CallContext& call, const wire::WatchDirectoriesRequest& request);

  MetaEngine& engine_;
  OnRead on_read_;
  std::function<Space()> space_;
  Counters counters_;
};

}  // namespace cairn
