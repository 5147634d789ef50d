// The tree of names: finding, linking and unlinking entries. The commands on it are in namespace.h,
// checkpoint.h and file.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/ids.h"
#include "proto/disk/meta.pb.h"
#include "server/meta/transaction.h"

namespace cairn {

// The directory of the buckets. The first inode that a new store gives out.
inline constexpr InodeId kRootInode{1};

struct Node {
  InodeId inode;
  disk::InodeType type = disk::INODE_TYPE_UNSPECIFIED;
  // It has entries below it.
  bool is_directory() const {
    return type == disk::INODE_DIRECTORY || type == disk::INODE_CHECKPOINT;
  }
};

struct Resolved {
  Node node;
  InodeId parent;
  std::string path;                // as given, but for "latest" where it stood for a checkpoint
  bool inside_checkpoint = false;  // some directory above is a checkpoint
  std::string_view name() const { return std::string_view(path).substr(path.rfind('/') + 1); }
};

enum class LatestAlias {
  kFollow,  // "latest" stands for the newest checkpoint of its directory, unless an entry has that
            // name
  kIgnore,
};

absl::StatusOr<std::optional<Node>> FindEntry(const Transaction& txn, InodeId parent,
                                              std::string_view name);
// What carries the name, or NOT_FOUND naming the part of the path that is missing and, for a
// bucket, how to make it.
absl::StatusOr<Resolved> Resolve(const Transaction& txn, std::string_view path, LatestAlias alias);
// As Resolve(); also takes "" for the root.
absl::StatusOr<Resolved> ResolveDirectory(const Transaction& txn, std::string_view path,
                                          LatestAlias alias);

struct Place {
  InodeId parent;
  std::string_view name;  // into the path
};
enum class Missing { kCreate, kRefuse };
// Where an entry of that path lives or would live: its parent is an existing plain directory, or is
// made now, below an existing bucket. FAILED_PRECONDITION: in a committed checkpoint, whose content
// is fixed. INVALID_ARGUMENT: the path names a bucket. With kRefuse it changes nothing.
absl::StatusOr<Place> ResolvePlace(Transaction& txn, std::string_view path, Missing missing,
                                   int64_t now_ns);

// OK when nothing has the name and no checkpoint of that name is being written; else ALREADY_EXISTS
// saying what.
absl::Status CheckFree(const Transaction& txn, const Place& place, std::string_view path);
// FAILED_PRECONDITION when a checkpoint of that name is being written.
absl::Status CheckNotBeingWritten(const Transaction& txn, const Place& place,
                                  std::string_view path);

struct NewNode {
  InodeId id;
  disk::InodeRecord record;  // not stored yet
};
// Takes an id; times are now, mode is the usual one of the type.
absl::StatusOr<NewNode> NewInode(Transaction& txn, disk::InodeType type, int64_t now_ns);
void StoreInode(Transaction& txn, InodeId inode, const disk::InodeRecord& record);
absl::StatusOr<disk::InodeRecord> LoadInode(const Transaction& txn, InodeId inode);

// Of a directory, its parent counts one more or less.
absl::Status Link(Transaction& txn, InodeId parent, std::string_view name, Node node);
absl::Status Unlink(Transaction& txn, InodeId parent, std::string_view name, Node node);
// Makes a directory and links it. REQUIRES: CheckFree().
absl::StatusOr<InodeId> LinkNewDirectory(Transaction& txn, InodeId parent, std::string_view name,
                                         int64_t now_ns);
// Notes in a directory where it lies now. The caller links it there.
absl::Status MoveDirectory(Transaction& txn, InodeId directory, InodeId parent,
                           std::string_view name);
// An entry of the directory came, went or was replaced.
absl::Status TouchDirectory(Transaction& txn, InodeId directory, int64_t now_ns);

// The newest checkpoint that is committed directly in `directory`. One seek.
absl::StatusOr<std::optional<disk::CheckpointIndexRecord>> FindNewestCheckpoint(
    const Transaction& txn, InodeId directory);

// "a file", "a directory", "a checkpoint", "a symbolic link".
std::string_view Describe(disk::InodeType type);

}  // namespace cairn
