// Pure: which targets a node has, by number: those of its configuration, those that were added
// while it ran, and the places of those that have left the cluster, whose numbers are never used
// again.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/config/server.pb.h"
#include "proto/disk/identity.pb.h"

namespace cairn {

struct TargetSlot {
  config::Target settings;
  uint32_t id = 0;       // of the cluster; 0: not known yet
  bool added = false;    // while the node ran: the configuration need not name it
  bool removed = false;  // it is not opened
};

// By number. Targets of the configuration take the numbers between the others, in their order. One
// that was added may be named in the configuration, too, and one that has left may still be.
// FAILED_PRECONDITION: a target of the node is not configured any more.
absl::StatusOr<std::vector<TargetSlot>> TargetSlots(const config::Server& config,
                                                    const disk::NodeIdentity& identity);

// Writes the slots into the identity, so that TargetSlots() finds them again.
void StoreSlots(const std::vector<TargetSlot>& slots, disk::NodeIdentity* identity);

}  // namespace cairn
