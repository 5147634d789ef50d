// Between fs.proto's messages and the structs of cairn/filesystem.h.
#pragma once

#include <string_view>
#include <vector>

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
// What a mount tells of itself. Of `operations`, what a message has room for, and with names that
// the service takes.
wire::MountCounts FromCounts(const FileSystemStats& stats,
                             const std::vector<OperationCount>& operations);

}  // namespace cairn::client_internal
