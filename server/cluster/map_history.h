// Pure: the last changes of the cluster map, for clients that have one of the versions before. A
// node that dies changes a few bytes of a map of megabytes, which ten thousand clients hold.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "common/base/units.h"
#include "proto/wire/meta.pb.h"

namespace cairn {

class MapHistory {
 public:
  // `to` follows `from`. Forgets what was before when it cannot say how.
  void Note(const wire::ClusterMap& from, const wire::ClusterMap& to);
  // From `version` to the newest, at most `bytes_max` altogether; absent when that is not known.
  std::optional<std::vector<wire::MapChange>> Since(uint64_t version, size_t bytes_max) const;

 private:
  static constexpr size_t kChangesMax = 256;
  static constexpr size_t kBytesMax = kMiB;
  struct Step {
    wire::MapChange change;
    size_t bytes;
  };
  std::deque<Step> steps_;  // of consecutive versions
  size_t bytes_ = 0;
};

// What client/io/map_changes.h applies; absent when entries have changed their order, which no
// change says.
std::optional<wire::MapChange> MapChangeBetween(const wire::ClusterMap& from,
                                                const wire::ClusterMap& to);

}  // namespace cairn
