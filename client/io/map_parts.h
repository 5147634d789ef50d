// Puts a cluster map together that comes in parts, because it does not fit a message. Pure:
// session.cc asks for the parts. Nothing here trusts the service.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/units.h"
#include "proto/wire/meta.pb.h"

namespace cairn {

class MapParts {
 public:
  // Of a serialized map: several times what the service lets a map grow to (server/service/
  // map_keeper.cc), and still no burden for a host that saves checkpoints.
  static constexpr uint64_t kTotalBytesMax = 64 * kMiB;

  // The next part of what has begun to come, or the first part of whatever is newer than
  // `known_version`.
  wire::GetMapRequest Next(uint64_t known_version) const;

  struct Taken {
    bool more = false;  // ask for Next()
    // Absent without `more`: there is no newer map.
    std::optional<wire::ClusterMap> map;
  };
  // `reply` answers Next(known_version). A newer map than the one that has begun takes its place.
  // Versions only grow, so parts that never come to an end do so by newer maps alone: the caller
  // bounds that by time. DATA_LOSS for what no service says; it begins anew then.
  absl::StatusOr<Taken> Take(wire::GetMapReply reply, uint64_t known_version);

 private:
  absl::StatusOr<Taken> TakeChecked(wire::GetMapReply& reply, uint64_t known_version);
  absl::Status TakePart(const wire::GetMapReply& reply, uint64_t known_version);
  void Drop();

  // Of the map that has begun to come; 0 and empty when none has.
  uint64_t version_ = 0;
  uint64_t total_bytes_ = 0;
  std::string bytes_;
};

}  // namespace cairn
