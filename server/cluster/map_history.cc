#include "server/cluster/map_history.h"

#include <string>
#include <utility>

#include "absl/container/flat_hash_set.h"

namespace cairn {
namespace {

// False when it cannot be said so.
template <class Entries, class Removed>
bool Compare(const Entries& from, const Entries& to, Entries* different, Removed* removed) {
  absl::flat_hash_set<uint32_t> left;
  for (const auto& entry : to) left.insert(entry.id());
  if (left.size() != static_cast<size_t>(to.size())) return false;
  auto next = to.begin();
  for (const auto& entry : from) {
    if (!left.contains(entry.id())) {
      removed->Add(entry.id());
      continue;
    }
    if (next->id() != entry.id()) return false;
    if (next->SerializeAsString() != entry.SerializeAsString()) *different->Add() = *next;
    ++next;
  }
  for (; next != to.end(); ++next) *different->Add() = *next;
  return true;
}

}  // namespace

std::optional<wire::MapChange> MapChangeBetween(const wire::ClusterMap& from,
                                                const wire::ClusterMap& to) {
  wire::MapChange change;
  wire::ClusterMap& entries = *change.mutable_entries();
  entries.set_version(to.version());
  entries.set_cluster_id(to.cluster_id());
  entries.set_stripe_bytes(to.stripe_bytes());
  entries.set_last_removed_node(to.last_removed_node());
  entries.set_last_removed_target(to.last_removed_target());
  const bool sayable =
      Compare(from.nodes(), to.nodes(), entries.mutable_nodes(), change.mutable_removed_nodes()) &&
      Compare(from.targets(), to.targets(), entries.mutable_targets(),
              change.mutable_removed_targets()) &&
      Compare(from.groups(), to.groups(), entries.mutable_groups(),
              change.mutable_removed_groups());
  if (!sayable) return std::nullopt;
  return change;
}

void MapHistory::Note(const wire::ClusterMap& from, const wire::ClusterMap& to) {
  std::optional<wire::MapChange> change = MapChangeBetween(from, to);
  const bool follows = steps_.empty() || steps_.back().change.entries().version() == from.version();
  if (!change.has_value() || !follows || to.version() != from.version() + 1) {
    steps_.clear();
    bytes_ = 0;
  }
  if (!change.has_value() || to.version() != from.version() + 1) return;
  const size_t bytes = change->ByteSizeLong();
  steps_.push_back({*std::move(change), bytes});
  bytes_ += bytes;
  while (steps_.size() > kChangesMax || bytes_ > kBytesMax) {
    bytes_ -= steps_.front().bytes;
    steps_.pop_front();
  }
}

std::optional<std::vector<wire::MapChange>> MapHistory::Since(uint64_t version,
                                                              size_t bytes_max) const {
  if (steps_.empty()) return std::nullopt;
  const uint64_t newest = steps_.back().change.entries().version();
  if (version >= newest || newest - version > steps_.size()) return std::nullopt;
  std::vector<wire::MapChange> changes;
  size_t bytes = 0;
  for (size_t i = steps_.size() - (newest - version); i < steps_.size(); ++i) {
    // Each is a field of the reply: its tag and length, too.
    bytes += steps_[i].bytes + 8;
    if (bytes > bytes_max) return std::nullopt;
    changes.push_back(steps_[i].change);
  }
  return changes;
}

}  // namespace cairn
