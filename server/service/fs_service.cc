#include "server/service/fs_service.h"

#include <algorithm>

namespace cairn {

void FsService::Register(CallTable& table) {
  table.Add(wire::LOOKUP, this, &FsService::Lookup);
  table.Add(wire::LOOKUP_PATH, this, &FsService::Query<wire::LookupPathRequest>);
  table.Add(wire::GET_ATTRIBUTES, this, &FsService::Query<wire::GetAttributesRequest>);
  table.Add(wire::READ_DIRECTORY, this, &FsService::ReadDirectory);
  table.Add(wire::GET_XATTRS, this, &FsService::Query<wire::GetXattrsRequest>);
  table.Add(wire::STAT_FS, this, &FsService::StatFs);

  table.Add(wire::MAKE_NODE, this, &FsService::MakeNode);
  table.Add(wire::LINK_NODE, this, &FsService::Mutate<wire::LinkNodeRequest>);
  table.Add(wire::UNLINK_NODE, this, &FsService::Mutate<wire::UnlinkNodeRequest>);
  table.Add(wire::RENAME_NODE, this, &FsService::Mutate<wire::RenameNodeRequest>);
  table.Add(wire::SET_ATTRIBUTES, this, &FsService::Mutate<wire::SetAttributesRequest>);
  table.Add(wire::SET_XATTR, this, &FsService::Mutate<wire::SetXattrRequest>);
  table.Add(wire::BEGIN_WRITES, this, &FsService::Mutate<wire::BeginWritesRequest>);
  table.Add(wire::END_WRITES, this, &FsService::Mutate<wire::EndWritesRequest>);
  table.Add(wire::WRITE_EXTENTS, this, &FsService::Mutate<wire::WriteExtentsRequest>);
  table.Add(wire::SYNC_NAMESPACE, this, &FsService::Mutate<wire::SyncNamespaceRequest>);

  table.Add(wire::OPEN_NODE, this, &FsService::OpenNode);
  table.Add(wire::RENEW_MOUNT, this, &FsService::RenewMount);
  table.Add(wire::LOCK_FILE, this, &FsService::LockFile);
  table.Add(wire::WATCH_DIRECTORIES, this, &FsService::WatchDirectories);
}

// The lease comes first: what is changed after the look is told.
Task<absl::StatusOr<wire::LookupReply>> FsService::Lookup(CallContext& call,
                                                          const wire::LookupRequest& request) {
  DirectoryLeases& leases = engine_.directory_leases();
  const bool leased =
      request.lease() && leases.Grant(call.request().client, InodeId(request.parent()));
  absl::StatusOr<wire::LookupReply> reply = co_await Query(call, request);
  if (reply.ok()) reply->set_leased(leased);
  co_return reply;
}

Task<absl::StatusOr<wire::ReadDirectoryReply>> FsService::ReadDirectory(
    CallContext& call, const wire::ReadDirectoryRequest& request) {
  DirectoryLeases& leases = engine_.directory_leases();
  const bool leased =
      request.lease() && leases.Grant(call.request().client, InodeId(request.inode()));
  absl::StatusOr<wire::ReadDirectoryReply> reply = co_await Query(call, request);
  if (reply.ok()) reply->set_leased(leased);
  co_return reply;
}

Task<absl::StatusOr<wire::StatFsReply>> FsService::StatFs(CallContext& call,
                                                          const wire::StatFsRequest& request) {
  absl::StatusOr<wire::StatFsReply> reply = co_await Query(call, request);
  if (!reply.ok() || !space_) co_return reply;
  const Space space = space_();
  const uint64_t free = space.capacity_bytes - std::min(space.capacity_bytes, space.used_bytes);
  const bool has_quota = reply->total_bytes() > 0;
  reply->set_free_bytes(has_quota ? std::min(reply->free_bytes(), free) : free);
  reply->set_total_bytes(has_quota ? std::min(reply->total_bytes(), space.capacity_bytes)
                                   : space.capacity_bytes);
  co_return reply;
}

Task<absl::StatusOr<wire::MakeNodeReply>> FsService::MakeNode(
    CallContext& call, const wire::MakeNodeRequest& request) {
  wire::MakeNodeRequest logged = request;
  logged.clear_open_in_mount();
  absl::StatusOr<wire::MakeNodeReply> reply = co_await Mutate(call, logged);
  const bool opens = request.open_in_mount() != 0 && request.type() == wire::ENTRY_FILE;
  if (!reply.ok() || reply->existed() || !opens) co_return reply;
  engine_.NoteOpen(request.open_in_mount(), InodeId(reply->attributes().inode()));
  reply->set_opened(true);
  co_return reply;
}

Task<absl::StatusOr<wire::OpenNodeReply>> FsService::OpenNode(
    CallContext& call, const wire::OpenNodeRequest& request) {
  ++counters_.queries;
  absl::StatusOr<wire::OpenNodeReply> reply = co_await engine_.OpenNode(request);
  if (reply.ok() && request.for_reading() && on_read_)
    on_read_(InodeId(request.node().inode()), false);
  co_return reply;
}

Task<absl::StatusOr<wire::RenewMountReply>> FsService::RenewMount(
    CallContext& call, const wire::RenewMountRequest& request) {
  co_return engine_.RenewMount(request);
}

Task<absl::StatusOr<wire::LockFileReply>> FsService::LockFile(
    CallContext& call, const wire::LockFileRequest& request) {
  co_return engine_.LockFile(request);
}

Task<absl::StatusOr<wire::WatchDirectoriesReply>> FsService::WatchDirectories(
    CallContext& call, const wire::WatchDirectoriesRequest& request) {
  co_return co_await engine_.directory_leases().Watch(call.request().client, request);
}

}  // namespace cairn
