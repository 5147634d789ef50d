// What is lost with a node or a target that is removed, in words.
#pragma once

#include <string>
#include <vector>

namespace cairn::cli {

// "Lost with it: data in 4 placement groups of replica:1.\n"; "" when nothing is.
std::string LossesText(const std::vector<std::string>& losses);

}  // namespace cairn::cli
