// What a mount tells the kernel without being asked, as bytes for /dev/fuse. The library has
// functions for some of it, which write at once and from the thread that calls them; see
// notifier.h for why that must not be.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "client/fuse/node_table.h"

namespace cairn {

// What the kernel has cached of the file's content is not what it holds.
std::string DropPagesMessage(NodeNumber node);
// The name is gone, or leads elsewhere.
std::string DropNameMessage(NodeNumber parent, std::string_view name);
// The name is looked up anew, and whoever uses it meanwhile goes on. Since protocol 7.38.
std::string ExpireNameMessage(NodeNumber parent, std::string_view name);

}  // namespace cairn
