// Pure: how nodes and targets are named to people.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "proto/wire/meta.pb.h"

namespace cairn {

// "1 node", "2 nodes".
std::string Counted(uint64_t count, const char* noun);

// "nodes 1, 2 and 7 more"; the first word is "node" for one.
std::string Listed(const char* noun, const std::vector<std::string>& members);
std::string Listed(const char* noun, const std::set<uint32_t>& ids);

// "node 3 (host3, 10.0.0.3:7440)", as far as it is known.
std::string Describe(const wire::NodeInfo& node);
// "target 3 (/data/t3)".
std::string Describe(const wire::TargetInfo& target);

}  // namespace cairn
