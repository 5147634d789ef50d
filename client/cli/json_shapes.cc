// See json_shapes.h.
#include "client/cli/json_shapes.h"

#include "client/cli/format.h"

namespace cairn::cli {
namespace {

// null rather than "" for what has not happened yet.
Json TimeJson(absl::Time time) {
  std::string text = UtcTime(time);
  return text.empty() ? Json(nullptr) : Json(std::move(text));
}

}  // namespace

std::string EntryTypeName(EntryType type) {
  switch (type) {
    case EntryType::kFile:
      return "file";
    case EntryType::kDirectory:
      return "directory";
    case EntryType::kCheckpoint:
      return "checkpoint";
    case EntryType::kSymlink:
      return "symlink";
    case EntryType::kSpecial:
      return "special";
  }
  return "unknown";
}

Json EntryJson(const Entry& entry, std::string_view path) {
  Json json = {{"path", std::string(path)},
               {"type", EntryTypeName(entry.type)},
               {"size_bytes", entry.size_bytes},
               {"modified_at", TimeJson(entry.modified)},
               {"mode", entry.mode},
               {"inode", entry.inode}};
  json["crc32c"] = entry.type == EntryType::kFile ? Json(CrcText(entry.crc32c)) : Json(nullptr);
  return json;
}

Json CheckpointJson(const CheckpointInfo& info) {
  Json attributes = Json::object();
  for (const auto& [key, value] : info.attributes) attributes[key] = value;
  return {{"path", info.path},
          {"state", info.committed ? "committed" : "writing"},
          {"step", info.step.has_value() ? Json(*info.step) : Json(nullptr)},
          {"attempt", info.attempt},
          {"world_size", info.world_size},
          {"ranks_done", info.ranks_done},
          {"shard_count", info.shard_count},
          {"size_bytes", info.size_bytes},
          {"begun_at", TimeJson(info.begun)},
          {"committed_at", TimeJson(info.committed_at)},
          {"pinned", info.pinned},
          {"job", info.job},
          {"attributes", attributes},
          {"missing_ranks", info.missing_ranks}};
}

Json ShardJson(const ShardInfo& shard) {
  return {{"name", shard.name},
          {"rank", shard.rank},
          {"size_bytes", shard.size_bytes},
          {"crc32c", CrcText(shard.crc32c)}};
}

Json RetentionJson(const RetentionPolicy& policy) {
  return {{"keep_last", policy.keep_last},
          {"keep_every_steps", policy.keep_every_steps},
          {"keep_newer_than_seconds", absl::ToInt64Seconds(policy.keep_newer_than)}};
}

Json BucketJson(const BucketInfo& info) {
  return {{"name", info.name},
          {"redundancy", info.redundancy},
          {"size_bytes", info.size_bytes},
          {"files", info.files},
          {"checkpoints", info.checkpoints},
          {"quota_bytes", info.quota_bytes == 0 ? Json() : Json(info.quota_bytes)}};
}

}  // namespace cairn::cli
