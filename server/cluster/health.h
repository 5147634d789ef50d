// Pure: what is wrong in a cluster, since when, what it endangers and what to do. Made for people
// by `cairn health`; the codes are for programs and stay what they are.
//
//   code              severity  items               meaning
//   DATA_CROWDED      warning   one a redundancy    some groups have several fragments in a domain
//   DATA_DEGRADED     warning   one                 groups lack members and can still be read; an
//                                                   error when the next loss ends that
//   DATA_MOVING       warning   one                 members of groups are being made elsewhere
//   DATA_UNAVAILABLE  error     one                 groups lack more members than they may lose
//   METADATA_WARNING  warning   one a warning       what the metadata has to say
//   NODE_DOWN         error     one a node          silent for seconds
//   NODE_DRAINING     warning   one a node          is to be empty, or out of the cluster
//   NODE_OUT          error     one a node          down for minutes
//   NODE_SUSPECT      warning   one a node          has missed heartbeats
//   REBUILD_BLOCKED   error     one a redundancy    members of groups are to be elsewhere, and too
//                                                   few failure domains are there
//   TARGET_FAILED     error     one a target        takes and gives nothing
//   TARGET_FULL       error     one                 95 % of some targets is used, or more
//   TARGET_JOINING    warning   one a target        has no groups yet, though its node is up
//   TARGET_NEARFULL   warning   one                 85 % of some targets is used, or more
//   TIER_FULL         error     one a tier         it takes no more
//   TIER_HOT_FULL     warning   one                above a watermark, and nothing may be let go of
//   TIER_LATE         warning   one                a step of tiering has waited for over an hour
//   TIER_REFUSES      error     one a tier         credentials, rights, or the store itself
//   TIER_UNREACHABLE  error     one a tier         it does not answer
//   WRITES_CROWDED    warning   one a redundancy    written with several fragments in a domain
//   WRITES_REFUSED    error     one a redundancy    nowhere to write to
//
// A member of a group is missing when its target has failed or its node is DOWN or OUT. Groups, not
// files: whether any file lies in a group is not known here.
#pragma once

#include <string>
#include <vector>

#include "proto/wire/meta.pb.h"

namespace cairn {

// Empty when nothing is wrong; else errors first, then by code, then by node and target. `map` says
// what is used of each target, and may be wrong in any way. Groups of a redundancy that this
// release does not know are judged by whether they can be written to alone.
std::vector<wire::HealthItem> JudgeHealth(const wire::ClusterMap& map,
                                          const std::vector<std::string>& metadata_warnings = {});

}  // namespace cairn
