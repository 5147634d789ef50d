// Pure: what of a node's status goes to the caller, so that it fits a message however large the
// cluster is. To be used once its health has been judged by the whole map.
#pragma once

#include <cstddef>

#include "proto/wire/meta.pb.h"
#include "server/meta/reply_size.h"

namespace cairn {

// Like any reply's.
inline constexpr size_t kStatusBytesMax = kMaxReplyBytes;

// Replaces the map's groups by their number. A status over `bytes_max` is shortened then, by as
// little of this as will do, in this order: what GET_MAP says, too, which the reply marks as left
// out; what is used of the targets; the least of what is wrong; counters. The last three are said
// in its warnings.
void FitStatus(size_t bytes_max, wire::StatusReply* reply);

}  // namespace cairn
