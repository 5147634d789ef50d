// See open_sizes.h.
#include "client/fuse/open_sizes.h"

#include <algorithm>

namespace cairn {

void OpenSizes::Open(InodeNumber inode, uint64_t size_bytes) {
  std::lock_guard lock(mutex_);
  File& file = files_.try_emplace(inode, File{0, size_bytes}).first->second;
  ++file.opens;
}

void OpenSizes::Close(InodeNumber inode) {
  std::lock_guard lock(mutex_);
  const auto file = files_.find(inode);
  if (file != files_.end() && --file->second.opens == 0) files_.erase(file);
}

bool OpenSizes::IsOpen(InodeNumber inode) const {
  std::lock_guard lock(mutex_);
  return files_.contains(inode);
}

void OpenSizes::Tell(InodeNumber inode, uint64_t size_bytes) {
  std::lock_guard lock(mutex_);
  const auto file = files_.find(inode);
  if (file != files_.end()) file->second.size_bytes = size_bytes;
}

void OpenSizes::TellWritten(InodeNumber inode, uint64_t end_bytes) {
  std::lock_guard lock(mutex_);
  const auto file = files_.find(inode);
  if (file == files_.end()) return;
  file->second.size_bytes = std::max(file->second.size_bytes, end_bytes);
}

void OpenSizes::Forget(InodeNumber inode) { Tell(inode, UINT64_MAX); }

bool OpenSizes::WouldGrow(InodeNumber inode, uint64_t size_bytes) const {
  std::lock_guard lock(mutex_);
  const auto file = files_.find(inode);
  return file != files_.end() && size_bytes > file->second.size_bytes;
}

}  // namespace cairn
