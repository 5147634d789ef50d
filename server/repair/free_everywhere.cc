#include "server/repair/free_everywhere.h"

#include <algorithm>
#include <string>
#include <utility>

#include "common/base/strings.h"
#include "common/task/when_all.h"
#include "proto/wire/cluster.pb.h"

namespace cairn {
namespace {

constexpr absl::Duration kFreeTimeout = absl::Seconds(60);
// 20 bytes each at most: well below what a message holds.
constexpr size_t kSpansPerCall = 2000;

// A node that has joined and never said that its targets are open holds nothing.
bool HoldsAnything(const wire::ClusterMap& map, uint32_t node) {
  return std::any_of(map.targets().begin(), map.targets().end(), [node](const auto& target) {
    return target.node() == node && !target.joining();
  });
}

Task<absl::Status> FreeOnNode(Peers& peers, uint32_t node, std::string endpoint,
                              const std::vector<StripeSpan>& spans) {
  for (size_t at = 0; at < spans.size(); at += kSpansPerCall) {
    wire::FreeSpansRequest request;
    for (size_t i = at; i < std::min(spans.size(), at + kSpansPerCall); ++i) {
      wire::StripeRange* range = request.add_spans();
      range->set_first(spans[i].first);
      range->set_count(spans[i].count);
    }
    const Deadline deadline = Deadline::After(Executor::Current().clock(), kFreeTimeout);
    const absl::StatusOr<wire::FreeSpansReply> reply =
        co_await peers.CallNode<wire::FreeSpansReply>(node, endpoint, wire::FREE_SPANS,
                                                      std::move(request), deadline);
    if (!reply.ok()) {
      co_return absl::Status(reply.status().code(),
                             StrCat(endpoint, ": ", ToStd(reply.status().message())));
    }
  }
  co_return absl::OkStatus();
}

}  // namespace

Task<absl::Status> FreeEverywhere(
    Peers& peers, const wire::ClusterMap& map, uint32_t own_node, std::vector<StripeSpan> spans,
    const std::function<Task<absl::Status>(std::vector<StripeSpan>)>& here) {
  absl::Status result;
  std::vector<Task<absl::Status>> frees;
  for (const wire::NodeInfo& node : map.nodes()) {
    if (node.id() == own_node || !HoldsAnything(map, node.id())) continue;
    if (node.state() == wire::NODE_UP || node.state() == wire::NODE_SUSPECT) {
      frees.push_back(FreeOnNode(peers, node.id(), node.endpoint(), spans));
    } else {
      result.Update(absl::UnavailableError(StrCat("node ", node.id(), " is down")));
    }
  }
  frees.push_back(here(spans));
  absl::Status freed = co_await WhenAllOk(std::move(frees));
  result.Update(freed);
  co_return result;
}

}  // namespace cairn
