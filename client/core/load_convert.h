// Between load.proto's messages and the structs of cairn/load_types.h.
#pragma once

#include "cairn/load_types.h"
#include "proto/wire/load.pb.h"

namespace cairn::client_internal {

NodeLoad ToNodeLoad(const wire::ClusterLoadReply::Node& from);

}  // namespace cairn::client_internal
