// Pure: slow and broken links, for diagnosis. Private to this folder.
#pragma once

#include <set>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "proto/wire/examine.pb.h"

namespace cairn {

// LINK_SLOW, LINK_BROKEN and NODE_NETWORK_SLOW. Links of `silent` nodes count for nothing.
void DiagnoseLinks(const absl::flat_hash_map<uint32_t, const wire::NodeInfo*>& nodes,
                   const std::vector<wire::NodeFacts>& facts, const std::set<uint32_t>& silent,
                   std::vector<wire::ExamineFinding>* findings);

}  // namespace cairn
