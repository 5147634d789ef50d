#include "client/core/load_convert.h"

namespace cairn::client_internal {
namespace {

MountLoad ToMountLoad(const wire::MountLoad& from) {
  MountLoad mount;
  mount.name = from.name();
  mount.client = from.client();
  mount.path = from.path();
  mount.open_files = from.open_files();
  mount.locks = from.locks();
  mount.interval = absl::Milliseconds(static_cast<int64_t>(from.interval_ms()));
  mount.written_bytes = from.counts().written_bytes();
  mount.read_bytes = from.counts().read_bytes();
  for (const wire::OperationCount& count : from.counts().operations()) {
    mount.operations.push_back({count.name(), count.calls(), count.errors(),
                                absl::Nanoseconds(static_cast<double>(count.time_ns()))});
  }
  return mount;
}

}  // namespace

NodeLoad ToNodeLoad(const wire::ClusterLoadReply::Node& from) {
  NodeLoad node;
  node.node = from.node();
  node.status = absl::Status(static_cast<absl::StatusCode>(from.code()), from.error());
  node.life = from.load().incarnation();
  node.uptime = absl::Microseconds(static_cast<int64_t>(from.load().at_us()));
  node.sessions = from.load().sessions();
  for (const wire::TargetLoad& target : from.load().targets())
    node.targets.push_back({target.id(), target.written_bytes(), target.read_bytes()});
  for (const wire::ClientLoad& client : from.load().clients()) {
    node.clients.push_back(
        {client.name(), client.written_bytes_per_second(), client.read_bytes_per_second()});
  }
  for (const wire::TierLoad& tier : from.load().tiers()) {
    node.tiers.push_back(
        {tier.name(), tier.archived_bytes(), tier.recalled_bytes(), tier.read_bytes()});
  }
  for (const wire::MountLoad& mount : from.load().mounts())
    node.mounts.push_back(ToMountLoad(mount));
  node.mount_count = from.load().mount_count();
  return node;
}

}  // namespace cairn::client_internal
