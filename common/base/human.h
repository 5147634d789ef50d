// Sizes as people read them, for the board, the log and errors.
#pragma once

#include <cstdint>
#include <string>

namespace cairn {

// "1.5 GiB", in units of 1024.
std::string HumanBytes(uint64_t bytes);

}  // namespace cairn
