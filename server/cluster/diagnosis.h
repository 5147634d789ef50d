// Pure: what stands out in a cluster that has been examined: which disk, which link, which clock,
// which node. Made for people by `cairn doctor`; the codes are for programs and stay what they are.
//
//   code               severity  items       meaning
//   LINK_BROKEN        error     one a pair  two nodes do not reach each other; others do reach
//   them LINK_SLOW          warning   one a pair  much slower than the other links NODE_CLOCK_SKEW
//   warning   one a node  its clock is off those of the others NODE_FLAPPING      warning   one a
//   node  has come and gone again and again lately NODE_NETWORK_SLOW  warning   one a node  all its
//   links are slow; an error when they are broken NODE_SILENT        error     one a node  counts
//   as alive, and has not answered NODE_UNEXAMINED    warning   one a node  runs a release that
//   cannot be examined TARGET_SLOW        warning   one a       much slower than the other targets
//                                target
//   TARGET_STUCK       error     one a       its device has not answered a read for seconds
//                                target
//
// And what server/cluster/health.h says of nodes and targets alone, by its codes: down, failed,
// full. "Much slower" is by a factor and by an amount, because between a tenth of a millisecond and
// half of one there is nothing to see to.
#pragma once

#include <vector>

#include "absl/time/time.h"
#include "proto/wire/examine.pb.h"
#include "proto/wire/meta.pb.h"

namespace cairn {

// Errors first, then by code, node and target. `map` is the one of the end of the examination.
// `now` is for what is said to be so since a time.
std::vector<wire::ExamineFinding> Diagnose(const wire::ClusterMap& map,
                                           const std::vector<wire::NodeFacts>& facts,
                                           absl::Time now);

// Whom to examine once more before it is said: what was measured may have been bad luck. The nodes
// whose devices, links or clocks were found slow or off.
std::vector<uint32_t> NodesToTryAgain(const std::vector<wire::ExamineFinding>& findings);

// Of two examinations of a node, one after the other, the better of each measurement; of all else
// the later.
wire::NodeFacts BetterOf(const wire::NodeFacts& first, const wire::NodeFacts& second);

}  // namespace cairn
