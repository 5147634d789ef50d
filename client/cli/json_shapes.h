// The JSON of what is stored. Field names are part of the command's interface: they are added to,
// never renamed.
#pragma once

#include <string>
#include <string_view>

#include "cairn/client.h"
#include "client/cli/context.h"

namespace cairn::cli {

Json EntryJson(const Entry& entry, std::string_view path);
Json CheckpointJson(const CheckpointInfo& info);
Json ShardJson(const ShardInfo& shard);
Json RetentionJson(const RetentionPolicy& policy);

// "file", "directory", "checkpoint", "symlink", "special".
std::string EntryTypeName(EntryType type);
Json BucketJson(const BucketInfo& info);

}  // namespace cairn::cli
