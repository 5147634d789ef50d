#include "server/repair/map_view.h"

#include <algorithm>
#include <string>
#include <utility>

namespace cairn {

MapView::MapView(wire::ClusterMap map) : map_(std::move(map)), domains_(map_) {
  for (const wire::PlacementGroup& group : map_.groups()) groups_.emplace(group.id(), &group);
}

const wire::PlacementGroup* MapView::FindGroup(uint32_t id) const {
  const auto found = groups_.find(id);
  return found == groups_.end() ? nullptr : found->second;
}

const wire::GroupMove* MapView::FindMove(const wire::PlacementGroup& group, uint32_t index) {
  const auto move = std::find_if(group.moves().begin(), group.moves().end(),
                                 [index](const auto& each) { return each.index() == index; });
  return move == group.moves().end() ? nullptr : &*move;
}

void MapView::AddSource(uint32_t index, uint32_t target,
                        wire::RestoreFragmentsRequest* request) const {
  if (!IsReachable(target)) return;
  const wire::NodeInfo* node = NodeOf(target);
  auto* source = request->add_sources();
  source->set_index(index);
  source->set_target(target);
  source->set_endpoint(node->endpoint());
  source->set_node(node->id());
  source->set_core(FindTarget(target)->core());
}

wire::RestoreFragmentsRequest MapView::RestoreRequest(const wire::PlacementGroup& group,
                                                      uint32_t index, uint32_t to,
                                                      const std::vector<uint32_t>& others,
                                                      uint32_t turn) const {
  wire::RestoreFragmentsRequest request;
  request.set_target(to);
  request.set_index(index);
  request.set_redundancy(RedundancyNameOf(group));
  for (uint32_t other : others) {
    if (other != to) AddSource(index, other, &request);
  }
  const auto width = static_cast<uint32_t>(group.targets_size());
  for (uint32_t i = 0; i < width; ++i) {
    const uint32_t member = (turn % width + i) % width;
    const uint32_t target = group.targets(static_cast<int>(member));
    const bool listed = std::find(others.begin(), others.end(), target) != others.end();
    // In a crowded group `to` may hold other fragments of the stripes.
    if (member == index && (listed || target == to)) continue;
    AddSource(member, target, &request);
  }
  return request;
}

}  // namespace cairn
