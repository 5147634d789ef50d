// What a command knows besides the store and its request: the time and the leases that have run
// out, both stamped before the command is logged, so that applying it anywhere gives the same
// result.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include "common/base/ids.h"
#include "proto/disk/meta_log.pb.h"

namespace cairn {

class CommandFacts {
 public:
  explicit CommandFacts(const disk::Command& command) : command_(command) {}
  int64_t now_ns() const { return command_.time_ns(); }
  // What ages are measured by; nullopt when the clock of the node that stamped it is in doubt.
  std::optional<int64_t> age_now_ns() const {
    if (command_.clock_in_doubt()) return std::nullopt;
    return command_.time_ns();
  }
  // Some mount may have files open that lose their last name.
  bool mounts_are_live() const { return command_.mounts_are_live(); }
  bool HasExpired(LeaseId lease) const {
    const auto& expired = command_.expired_leases();
    return std::find(expired.begin(), expired.end(), lease.value()) != expired.end();
  }

 private:
  const disk::Command& command_;
};

}  // namespace cairn
