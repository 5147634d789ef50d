// Which inodes the kernel knows. It calls them by node numbers: those of the cluster, but for the
// root of the mount, which has to be 1 and may be any directory. Each answer that names a node is a
// reference more, which the kernel gives back by FORGET; at the last one the file system may forget
// the inode, too.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>

#include "absl/container/flat_hash_map.h"
#include "cairn/filesystem.h"

namespace cairn {

using NodeNumber = uint64_t;

// FUSE_ROOT_ID.
inline constexpr NodeNumber kRootNode = 1;

// Thread-safe.
class NodeTable {
 public:
  explicit NodeTable(InodeNumber root) : root_(root) {}

  NodeNumber NodeOf(InodeNumber inode) const { return inode == root_ ? kRootNode : inode; }
  InodeNumber InodeOf(NodeNumber node) const { return node == kRootNode ? root_ : node; }
  InodeNumber root() const { return root_; }

  // The kernel has been told of it once more.
  void Refer(InodeNumber inode);
  // Gives `count` references back; whether those were the last. The root's never are.
  bool Release(InodeNumber inode, uint64_t count);
  // How many inodes the kernel refers to, the root left out.
  size_t size() const;

 private:
  // Look-ups of several threads rarely meet.
  static constexpr size_t kShards = 64;
  struct Shard {
    mutable std::mutex mutex;
    absl::flat_hash_map<InodeNumber, uint64_t> references;
  };

  Shard& ShardOf(InodeNumber inode) { return shards_[inode % kShards]; }

  const InodeNumber root_;
  std::array<Shard, kShards> shards_;
};

}  // namespace cairn
