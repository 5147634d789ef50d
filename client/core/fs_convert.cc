#include "client/core/fs_convert.h"

#include <algorithm>
#include <string>

namespace cairn::client_internal {
namespace {

// As fs.proto has it: what is more the service leaves out.
constexpr int kOperationsMax = 32;
constexpr size_t kOperationNameBytesMax = 15;

}  // namespace

NodeType ToNodeType(wire::EntryType type) {
  switch (type) {
    case wire::ENTRY_DIRECTORY:
    case wire::ENTRY_CHECKPOINT:
      return NodeType::kDirectory;
    case wire::ENTRY_SYMLINK:
      return NodeType::kSymlink;
    case wire::ENTRY_FIFO:
      return NodeType::kFifo;
    case wire::ENTRY_SOCKET:
      return NodeType::kSocket;
    case wire::ENTRY_CHARACTER_DEVICE:
      return NodeType::kCharacterDevice;
    case wire::ENTRY_BLOCK_DEVICE:
      return NodeType::kBlockDevice;
    default:
      return NodeType::kFile;
  }
}

wire::EntryType FromNodeType(NodeType type) {
  switch (type) {
    case NodeType::kFile:
      return wire::ENTRY_FILE;
    case NodeType::kDirectory:
      return wire::ENTRY_DIRECTORY;
    case NodeType::kSymlink:
      return wire::ENTRY_SYMLINK;
    case NodeType::kFifo:
      return wire::ENTRY_FIFO;
    case NodeType::kSocket:
      return wire::ENTRY_SOCKET;
    case NodeType::kCharacterDevice:
      return wire::ENTRY_CHARACTER_DEVICE;
    case NodeType::kBlockDevice:
      return wire::ENTRY_BLOCK_DEVICE;
  }
  return wire::ENTRY_TYPE_UNSPECIFIED;
}

NodeAttributes ToNodeAttributes(const wire::Attributes& attributes) {
  NodeAttributes node;
  node.inode = attributes.inode();
  node.type = ToNodeType(attributes.type());
  node.mode = attributes.mode();
  node.uid = attributes.uid();
  node.gid = attributes.gid();
  node.links = attributes.links();
  node.size_bytes = attributes.size_bytes();
  node.stored_bytes = attributes.stored_bytes();
  node.accessed = absl::FromUnixNanos(attributes.accessed_at_ns());
  node.modified = absl::FromUnixNanos(attributes.modified_at_ns());
  node.changed = absl::FromUnixNanos(attributes.changed_at_ns());
  node.device = attributes.device();
  node.version = attributes.version();
  node.symlink_target = attributes.symlink_target();
  node.fixed = attributes.fixed();
  return node;
}

wire::MakeNodeRequest FromNewNode(InodeNumber parent, std::string_view name,
                                  const NewNodeOptions& options) {
  wire::MakeNodeRequest request;
  request.set_parent(parent);
  request.set_name(std::string(name));
  request.set_type(FromNodeType(options.type));
  request.set_mode(options.mode);
  request.set_uid(options.uid);
  request.set_gid(options.gid);
  request.set_device(options.device);
  request.set_symlink_target(options.symlink_target);
  return request;
}

wire::SetAttributesRequest FromChanges(InodeNumber inode, const AttributeChanges& changes) {
  wire::SetAttributesRequest request;
  request.mutable_node()->set_inode(inode);
  if (changes.mode.has_value()) request.set_mode(*changes.mode);
  if (changes.uid.has_value()) request.set_uid(*changes.uid);
  if (changes.gid.has_value()) request.set_gid(*changes.gid);
  if (changes.size_bytes.has_value()) request.set_size_bytes(*changes.size_bytes);
  if (changes.accessed.has_value())
    request.set_accessed_at_ns(absl::ToUnixNanos(*changes.accessed));
  if (changes.modified.has_value())
    request.set_modified_at_ns(absl::ToUnixNanos(*changes.modified));
  request.set_accessed_now(changes.accessed_now);
  request.set_modified_now(changes.modified_now);
  request.set_kill_privileges(changes.kill_privileges);
  return request;
}

wire::FileLock FromLock(InodeNumber inode, const FileLockRequest& lock) {
  wire::FileLock request;
  request.set_inode(inode);
  request.set_kind(lock.kind == FileLockKind::kFlock ? wire::FILE_LOCK_FLOCK
                                                     : wire::FILE_LOCK_POSIX);
  switch (lock.type) {
    case FileLockType::kUnlock:
      request.set_type(wire::FILE_LOCK_UNLOCK);
      break;
    case FileLockType::kShared:
      request.set_type(wire::FILE_LOCK_SHARED);
      break;
    case FileLockType::kExclusive:
      request.set_type(wire::FILE_LOCK_EXCLUSIVE);
      break;
  }
  request.set_owner(lock.owner);
  request.set_begin_bytes(lock.begin_bytes);
  request.set_end_bytes(lock.end_bytes);
  request.set_process(lock.process);
  return request;
}

FileLockRequest ToLock(const wire::FileLock& lock) {
  FileLockRequest found;
  found.kind = lock.kind() == wire::FILE_LOCK_FLOCK ? FileLockKind::kFlock : FileLockKind::kPosix;
  found.type =
      lock.type() == wire::FILE_LOCK_EXCLUSIVE ? FileLockType::kExclusive : FileLockType::kShared;
  found.owner = lock.owner();
  found.begin_bytes = lock.begin_bytes();
  found.end_bytes = lock.end_bytes();
  found.process = lock.process();
  return found;
}

wire::MountCounts FromCounts(const FileSystemStats& stats,
                             const std::vector<OperationCount>& operations) {
  wire::MountCounts counts;
  counts.set_read_bytes(stats.bytes_read);
  counts.set_written_bytes(stats.bytes_written);
  for (const OperationCount& operation : operations) {
    if (operation.name.size() > kOperationNameBytesMax) continue;
    if (counts.operations_size() == kOperationsMax) break;
    wire::OperationCount* count = counts.add_operations();
    count->set_name(operation.name);
    count->set_calls(operation.calls);
    count->set_errors(operation.errors);
    const int64_t time_ns = absl::ToInt64Nanoseconds(operation.time);
    count->set_time_ns(static_cast<uint64_t>(std::max<int64_t>(time_ns, 0)));
  }
  return counts;
}

}  // namespace cairn::client_internal
