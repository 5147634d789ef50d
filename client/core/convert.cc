#include "client/core/convert.h"

#include "absl/container/flat_hash_map.h"

namespace cairn::client_internal {

EntryType ToEntryType(wire::EntryType type) {
  switch (type) {
    case wire::ENTRY_DIRECTORY:
      return EntryType::kDirectory;
    case wire::ENTRY_CHECKPOINT:
      return EntryType::kCheckpoint;
    case wire::ENTRY_SYMLINK:
      return EntryType::kSymlink;
    case wire::ENTRY_FIFO:
    case wire::ENTRY_SOCKET:
    case wire::ENTRY_CHARACTER_DEVICE:
    case wire::ENTRY_BLOCK_DEVICE:
      return EntryType::kSpecial;
    default:
      return EntryType::kFile;
  }
}

Entry ToEntry(const wire::Entry& entry) {
  Entry result;
  result.name = entry.name();
  result.type = ToEntryType(entry.type());
  result.size_bytes = entry.size_bytes();
  result.modified = absl::FromUnixNanos(entry.modified_at_ns());
  result.mode = entry.mode();
  result.inode = entry.inode();
  result.crc32c = entry.crc32c();
  result.crc32c_known = !entry.changed_in_place();
  return result;
}

CheckpointInfo ToCheckpointInfo(const wire::CheckpointInfo& info) {
  CheckpointInfo result;
  result.path = info.path();
  result.committed = info.state() == wire::COMMITTED;
  if (info.has_step()) result.step = info.step();
  result.attempt = info.attempt();
  result.world_size = info.world_size();
  result.ranks_done = info.ranks_done();
  result.shard_count = info.shard_count();
  result.size_bytes = info.size_bytes();
  result.begun = absl::FromUnixNanos(info.begun_at_ns());
  result.committed_at = absl::FromUnixNanos(info.committed_at_ns());
  result.pinned = info.pinned();
  result.job = info.job();
  result.attributes.insert(info.attributes().begin(), info.attributes().end());
  result.missing_ranks.assign(info.missing_ranks().begin(), info.missing_ranks().end());
  return result;
}

ShardInfo ToShardInfo(const wire::ShardInfo& shard) {
  return {shard.name(), shard.size_bytes(), shard.crc32c(), shard.rank(),
          !shard.changed_in_place()};
}

RetentionPolicy ToRetentionPolicy(const wire::RetentionPolicy& policy) {
  return {policy.keep_last(), policy.keep_every_steps(),
          absl::Seconds(static_cast<int64_t>(policy.keep_newer_than_seconds()))};
}

wire::RetentionPolicy FromRetentionPolicy(const RetentionPolicy& policy) {
  wire::RetentionPolicy result;
  result.set_keep_last(policy.keep_last);
  result.set_keep_every_steps(policy.keep_every_steps);
  const int64_t seconds = absl::ToInt64Seconds(policy.keep_newer_than);
  result.set_keep_newer_than_seconds(seconds > 0 ? static_cast<uint64_t>(seconds) : 0);
  return result;
}

void CompleteStatus(const wire::ClusterMap& map, wire::StatusReply* status) {
  absl::flat_hash_map<uint32_t, wire::TargetInfo> said;
  for (const wire::TargetInfo& target : status->map().targets()) said.emplace(target.id(), target);
  *status->mutable_map()->mutable_nodes() = map.nodes();
  *status->mutable_map()->mutable_targets() = map.targets();
  for (wire::TargetInfo& target : *status->mutable_map()->mutable_targets()) {
    const auto found = said.find(target.id());
    if (found == said.end()) continue;
    target.set_state(found->second.state());
    target.set_used_bytes(found->second.used_bytes());
  }
  status->set_shortened(false);
}

}  // namespace cairn::client_internal
