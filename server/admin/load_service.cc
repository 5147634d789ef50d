#include "server/admin/load_service.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "common/task/executor.h"
#include "common/task/when_all.h"
#include "server/cluster/map_domains.h"

namespace cairn {
namespace {

// A node with eight targets and all of its busiest clients tells some 3 KB: so many fit a page. Of
// the one with the metadata come up to 48 KiB of mounts; then some are asked again for the next.
constexpr size_t kNodesAtOnce = 16;
// Whoever watches wants the others' numbers, not to wait for one that hangs.
constexpr absl::Duration kNodeTimeout = absl::Seconds(2);

std::vector<wire::NodeInfo> AliveFrom(const wire::ClusterMap& map, uint32_t from) {
  std::vector<wire::NodeInfo> nodes;
  for (const wire::NodeInfo& node : map.nodes())
    if (node.id() >= from && IsAlive(node)) nodes.push_back(node);
  std::sort(nodes.begin(), nodes.end(),
            [](const auto& a, const auto& b) { return a.id() < b.id(); });
  return nodes;
}

}  // namespace

Task<absl::StatusOr<wire::ClusterLoadReply>> LoadService::ClusterLoad(
    CallContext& call, const wire::ClusterLoadRequest& request) {
  const std::vector<wire::NodeInfo> nodes = AliveFrom(cluster_.map(), request.from_node());
  const size_t count = std::min(nodes.size(), kNodesAtOnce);
  const Deadline deadline =
      Earlier(call.deadline(), Deadline::After(Executor::Current().clock(), kNodeTimeout));
  std::vector<Task<wire::ClusterLoadReply::Node>> asked;
  for (size_t i = 0; i < count; ++i) asked.push_back(Ask(nodes[i], deadline));
  std::vector<wire::ClusterLoadReply::Node> told = co_await WhenAll(std::move(asked));
  wire::ClusterLoadReply reply;
  if (count < nodes.size()) reply.set_next_node(nodes[count].id());
  for (wire::ClusterLoadReply::Node& node : told) {
    const bool fits = reply.ByteSizeLong() + node.ByteSizeLong() <= cluster_.page_bytes_max;
    if (!fits && reply.nodes_size() > 0) {
      reply.set_next_node(node.node());
      break;
    }
    *reply.add_nodes() = std::move(node);
  }
  co_return reply;
}

Task<wire::ClusterLoadReply::Node> LoadService::Ask(wire::NodeInfo node, Deadline deadline) {
  wire::ClusterLoadReply::Node told;
  told.set_node(node.id());
  absl::StatusOr<wire::NodeLoadReply> load = co_await cluster_.ask(node, deadline);
  if (load.ok()) {
    *told.mutable_load() = *std::move(load);
  } else {
    told.set_code(static_cast<uint32_t>(load.status().code()));
    told.set_error(std::string(load.status().message()));
  }
  co_return told;
}

}  // namespace cairn
