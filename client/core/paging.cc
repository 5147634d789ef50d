#include "client/core/paging.h"

#include <utility>

namespace cairn::client_internal {

std::vector<wire::ShardRecord> SplitShard(wire::ShardRecord shard) {
  std::vector<wire::ShardRecord> pages;
  if (shard.ByteSizeLong() <= kPageBytes) {
    pages.push_back(std::move(shard));
    return pages;
  }
  wire::ShardRecord empty = shard;
  empty.clear_extents();
  pages.push_back(empty);
  size_t page_bytes = empty.ByteSizeLong();
  for (wire::ExtentRun& run : *shard.mutable_extents()) {
    // Tag and length of the field take at most 4 bytes.
    const size_t run_bytes = run.ByteSizeLong() + 4;
    if (page_bytes + run_bytes > kPageBytes) {
      pages.push_back(empty);
      page_bytes = empty.ByteSizeLong();
    }
    page_bytes += run_bytes;
    *pages.back().add_extents() = std::move(run);
  }
  return pages;
}

}  // namespace cairn::client_internal
