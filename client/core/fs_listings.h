// Directories that are being listed: whether what was read of one, a page at a time, may still be
// told by the time that somebody asks for it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/container/flat_hash_map.h"

namespace cairn::client_internal {

// Changes of a directory, and of what is in it, since somebody began to count. Any thread may read
// it.
using ChangeCount = std::atomic<uint64_t>;

// Lives on the session's executor.
class Listings {
 public:
  // Counts as long as somebody keeps it.
  std::shared_ptr<const ChangeCount> Count(uint64_t directory);
  // Nobody lists anything: nothing needs to be noted.
  bool empty() const { return counted_.empty(); }
  void NoteChange(uint64_t directory);

 private:
  void Sweep();

  absl::flat_hash_map<uint64_t, std::weak_ptr<ChangeCount>> counted_;
  size_t sweep_at_ = 0;
};

}  // namespace cairn::client_internal
