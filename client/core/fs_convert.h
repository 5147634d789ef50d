// Between fs.proto's messages and the structs of cairn/filesystem.h.
#pragma once

#include "cairn/filesystem.h"
#include "proto/wire/fs.pb.h"

namespace cairn::client_internal {

NodeType ToNodeType(wire::EntryType type);
wire::EntryType FromNodeType(NodeType type);
NodeAttributes ToNodeAttributes(const wire::Attributes& attributes);
wire::MakeNodeRequest FromNewNode(InodeNumber parent, std::string_view name,
                                  const NewNodeOptions& options);
wire::SetAttributesRequest FromChanges(InodeNumber inode, const AttributeChanges& changes);
wire::FileLock FromLock(InodeNumber inode, const FileLockRequest& lock);
FileLockRequest ToLock(const wire::FileLock& lock);

}  // namespace cairn::client_internal
