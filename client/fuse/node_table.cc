// See node_table.h.
#include "client/fuse/node_table.h"

namespace cairn {

void NodeTable::Refer(InodeNumber inode) {
  if (inode == root_) return;
  Shard& shard = ShardOf(inode);
  std::lock_guard lock(shard.mutex);
  ++shard.references[inode];
}

bool NodeTable::Release(InodeNumber inode, uint64_t count) {
  if (inode == root_) return false;
  Shard& shard = ShardOf(inode);
  std::lock_guard lock(shard.mutex);
  const auto at = shard.references.find(inode);
  if (at == shard.references.end()) return false;
  if (at->second > count) {
    at->second -= count;
    return false;
  }
  shard.references.erase(at);
  return true;
}

size_t NodeTable::size() const {
  size_t size = 0;
  for (const Shard& shard : shards_) {
    std::lock_guard lock(shard.mutex);
    size += shard.references.size();
  }
  return size;
}

}  // namespace cairn
