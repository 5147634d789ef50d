// How long the kernel takes each file that is open for. It shows what it has cached of a page up to
// that size, and zeros where the file ended when it read the page: before it hears that the file is
// longer it has to drop that page.
#pragma once

#include <cstdint>
#include <mutex>

#include "absl/container/flat_hash_map.h"
#include "cairn/filesystem.h"

namespace cairn {

// Thread-safe.
class OpenSizes {
 public:
  // Once more; Close() as often. The kernel has known its size when the first opened it.
  void Open(InodeNumber inode, uint64_t size_bytes);
  void Close(InodeNumber inode);
  bool IsOpen(InodeNumber inode) const;

  // The kernel hears that the file ends there.
  void Tell(InodeNumber inode, uint64_t size_bytes);
  // It has written up to there itself.
  void TellWritten(InodeNumber inode, uint64_t end_bytes);
  // The kernel has dropped what it had cached, and asks for the size before it reads again: what it
  // hears then is no growth.
  void Forget(InodeNumber inode);
  // Whether the file is open, and the kernel takes it for shorter than that.
  bool WouldGrow(InodeNumber inode, uint64_t size_bytes) const;

 private:
  struct File {
    uint64_t opens = 0;
    uint64_t size_bytes = 0;  // UINT64_MAX: forgotten
  };

  mutable std::mutex mutex_;
  absl::flat_hash_map<InodeNumber, File> files_;
};

}  // namespace cairn
