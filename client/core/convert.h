// Between wire messages and the public structs.
#pragma once

#include "cairn/client.h"
#include "proto/wire/meta.pb.h"

namespace cairn::client_internal {

EntryType ToEntryType(wire::EntryType type);
Entry ToEntry(const wire::Entry& entry);
CheckpointInfo ToCheckpointInfo(const wire::CheckpointInfo& info);
ShardInfo ToShardInfo(const wire::ShardInfo& shard);
RetentionPolicy ToRetentionPolicy(const wire::RetentionPolicy& policy);
wire::RetentionPolicy FromRetentionPolicy(const RetentionPolicy& policy);
// Of a status that was shortened: puts in what `map` says of nodes and targets.
void CompleteStatus(const wire::ClusterMap& map, wire::StatusReply* status);

}  // namespace cairn::client_internal
