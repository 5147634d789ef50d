// See convert.h.
#include "client/python/bindings/convert.h"

#include <pybind11/stl.h>

#include "absl/time/time.h"

namespace py = pybind11;
using namespace py::literals;  // NOLINT: pybind11's keyword arguments

namespace cairn::python {
namespace {

double UnixSeconds(absl::Time time) { return absl::ToDoubleSeconds(time - absl::UnixEpoch()); }

const char* TypeName(EntryType type) {
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
  return "file";
}

}  // namespace

py::dict ToDict(const Entry& entry) {
  return py::dict("name"_a = entry.name, "type"_a = TypeName(entry.type),
                  "size_bytes"_a = entry.size_bytes, "modified"_a = UnixSeconds(entry.modified),
                  "mode"_a = entry.mode, "inode"_a = entry.inode, "crc32c"_a = entry.crc32c);
}

py::dict ToDict(const CheckpointInfo& info) {
  return py::dict("path"_a = info.path, "committed"_a = info.committed, "step"_a = info.step,
                  "attempt"_a = info.attempt, "world_size"_a = info.world_size,
                  "ranks_done"_a = info.ranks_done, "shard_count"_a = info.shard_count,
                  "size_bytes"_a = info.size_bytes, "begun"_a = UnixSeconds(info.begun),
                  "committed_at"_a = UnixSeconds(info.committed_at), "pinned"_a = info.pinned,
                  "job"_a = info.job, "attributes"_a = info.attributes,
                  "missing_ranks"_a = info.missing_ranks);
}

py::dict ToDict(const ShardInfo& shard) {
  return py::dict("name"_a = shard.name, "size_bytes"_a = shard.size_bytes,
                  "crc32c"_a = shard.crc32c, "rank"_a = shard.rank);
}

py::dict ToDict(const RetentionPolicy& policy) {
  return py::dict("keep_last"_a = policy.keep_last, "keep_every_steps"_a = policy.keep_every_steps,
                  "keep_newer_than"_a = absl::ToDoubleSeconds(policy.keep_newer_than));
}

RetentionPolicy ToRetention(uint32_t keep_last, uint64_t keep_every_steps,
                            double keep_newer_than_s) {
  return {keep_last, keep_every_steps, absl::Seconds(keep_newer_than_s)};
}

}  // namespace cairn::python
