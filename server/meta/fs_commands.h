// Which request is which command, and what answers it, of the namespace by inode; commands.h has
// the others.
#pragma once

#include "proto/disk/meta_log.pb.h"
#include "proto/wire/fs.pb.h"
#include "server/meta/command_types.h"

namespace cairn::meta_internal {

template <>
struct Mutation<wire::MakeNodeRequest> : Answer<wire::MakeNodeReply> {
  static auto* Body(disk::Command& command) { return command.mutable_make_node(); }
};
template <>
struct Mutation<wire::LinkNodeRequest> : Answer<wire::LinkNodeReply> {
  static auto* Body(disk::Command& command) { return command.mutable_link_node(); }
};
template <>
struct Mutation<wire::UnlinkNodeRequest> : Answer<wire::UnlinkNodeReply> {
  static auto* Body(disk::Command& command) { return command.mutable_unlink_node(); }
};
template <>
struct Mutation<wire::RenameNodeRequest> : Answer<wire::RenameNodeReply> {
  static auto* Body(disk::Command& command) { return command.mutable_rename_node(); }
};
template <>
struct Mutation<wire::SetAttributesRequest> : Answer<wire::SetAttributesReply> {
  static auto* Body(disk::Command& command) { return command.mutable_set_attributes(); }
};
template <>
struct Mutation<wire::SetXattrRequest> : Answer<wire::SetXattrReply> {
  static auto* Body(disk::Command& command) { return command.mutable_set_xattr(); }
};
template <>
struct Mutation<wire::BeginWritesRequest> : Answer<wire::BeginWritesReply> {
  static auto* Body(disk::Command& command) { return command.mutable_begin_writes(); }
};
template <>
struct Mutation<wire::EndWritesRequest> : Answer<wire::EndWritesReply> {
  static auto* Body(disk::Command& command) { return command.mutable_end_writes(); }
};
template <>
struct Mutation<wire::WriteExtentsRequest> : Answer<wire::WriteExtentsReply> {
  static auto* Body(disk::Command& command) { return command.mutable_write_extents(); }
};
template <>
struct Mutation<wire::SyncNamespaceRequest> : Answer<wire::SyncNamespaceReply> {
  static auto* Body(disk::Command& command) { return command.mutable_sync_namespace(); }
};
template <>
struct Mutation<disk::ReapOrphans> : Answer<disk::ReapOrphansReply> {
  static auto* Body(disk::Command& command) { return command.mutable_reap_orphans(); }
};
template <>
struct Mutation<disk::NoteStart> : Answer<disk::NoteStartReply> {
  static auto* Body(disk::Command& command) { return command.mutable_note_start(); }
};

template <>
struct Query<wire::LookupRequest> : Answer<wire::LookupReply> {};
template <>
struct Query<wire::LookupPathRequest> : Answer<wire::LookupReply> {};
template <>
struct Query<wire::GetAttributesRequest> : Answer<wire::GetAttributesReply> {};
template <>
struct Query<wire::ReadDirectoryRequest> : Answer<wire::ReadDirectoryReply> {};
template <>
struct Query<wire::GetXattrsRequest> : Answer<wire::GetXattrsReply> {};
template <>
struct Query<wire::StatFsRequest> : Answer<wire::StatFsReply> {};
template <>
struct Query<wire::OpenNodeRequest> : Answer<wire::OpenNodeReply> {};

}  // namespace cairn::meta_internal
