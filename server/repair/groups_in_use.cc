// See groups_in_use.h.
#include "server/repair/groups_in_use.h"

#include <algorithm>

namespace cairn {

Task<absl::StatusOr<std::set<uint32_t>>> GroupsInUse(MetaEngine& meta, std::set<uint32_t> groups) {
  std::set<uint32_t> used;
  uint64_t from = 0;
  while (!groups.empty()) {
    // Whole runs: what they refer to is said once a run, however long it is.
    const absl::StatusOr<StripePage> page = co_await meta.Stripes(from, UINT64_MAX, false);
    if (!page.ok()) co_return page.status();
    for (const StripeRunPart& run : page->parts) {
      // A short run has not come to its last groups.
      const size_t count = std::min<size_t>(run.groups.size(), run.run_count);
      for (size_t i = 0; i < count; ++i)
        if (groups.erase(run.groups[i]) > 0) used.insert(run.groups[i]);
    }
    if (page->last) break;
    from = page->end;
  }
  co_return used;
}

}  // namespace cairn
