// The host's name, for people.
#pragma once

#include <string>

namespace cairn {

std::string HostName();

}  // namespace cairn
