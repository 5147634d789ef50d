// A simulated cluster that operators and accidents change: what they ask of it, and whether its
// books balance.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "proto/wire/cluster.pb.h"
#include "tests/unit/client/cluster_world.h"

namespace cairn {

class Rebuild : public Cluster {
 public:
  using Cluster::Cluster;

  absl::Status SetNode(uint32_t id, wire::NodeAction action, bool force = false) {
    wire::SetNodeRequest request;
    request.set_node(id);
    request.set_action(action);
    request.set_force(force);
    return executor
        .Run(session->Meta<wire::SetNodeReply>(wire::SET_NODE, std::move(request), Soon()))
        .status();
  }
  absl::Status SetTarget(uint32_t id, wire::TargetAction action, bool force = false) {
    wire::SetTargetRequest request;
    request.set_target(id);
    request.set_action(action);
    request.set_force(force);
    return executor
        .Run(session->Meta<wire::SetTargetReply>(wire::SET_TARGET, std::move(request), Soon()))
        .status();
  }
  // The id of the new one.
  absl::StatusOr<uint32_t> AddTarget(uint32_t node_id) {
    wire::SetTargetRequest request;
    request.set_node(node_id);
    request.set_action(wire::TARGET_ADD);
    const auto reply = executor.Run(
        session->Meta<wire::SetTargetReply>(wire::SET_TARGET, std::move(request), Soon()));
    if (!reply.ok()) return reply.status();
    return reply->added().target();
  }
  wire::RebalanceReply Rebalance(wire::RebalanceAction action, uint32_t threshold_percent) {
    wire::RebalanceRequest request;
    request.set_action(action);
    request.set_threshold_percent(threshold_percent);
    const auto reply = executor.Run(
        session->Meta<wire::RebalanceReply>(wire::REBALANCE, std::move(request), Soon()));
    EXPECT_TRUE(reply.ok()) << reply.status();
    return reply.ok() ? *reply : wire::RebalanceReply();
  }
  std::set<uint32_t> TargetsOf(uint32_t node_id) const {
    std::set<uint32_t> targets;
    for (const wire::TargetInfo& target : node.map().targets())
      if (target.node() == node_id) targets.insert(target.id());
    return targets;
  }
  // The oldest; 0 when it has none.
  uint32_t ATargetOf(uint32_t node_id) const {
    const std::set<uint32_t> targets = TargetsOf(node_id);
    return targets.empty() ? 0 : *targets.begin();
  }
  bool IsTarget(uint32_t id) const {
    const auto& targets = node.map().targets();
    return std::any_of(targets.begin(), targets.end(),
                       [id](const auto& target) { return target.id() == id; });
  }
  // By a client of its own, which can reach what another cannot.
  absl::Status SetNodeAsOperator(uint32_t id, wire::NodeAction action) {
    const std::unique_ptr<SimNet> own_net = fabric.MakeNet("operator");
    Session own(*own_net, random, Session::Options{{node.options().endpoint}, "operator:1", 8});
    own_net->SetReceiver([&own](ConstBytes message) { own.OnMessage(message); });
    wire::SetNodeRequest request;
    request.set_node(id);
    request.set_action(action);
    const auto set = executor.Run(own.Meta<wire::SetNodeReply>(wire::SET_NODE, request, Soon()));
    executor.Run(own.Stop());
    executor.Run(own_net->Stop());
    return set.status();
  }
  wire::RebuildStatusReply RebuildStatus() {
    const auto status = executor.Run(session->Meta<wire::RebuildStatusReply>(
        wire::REBUILD_STATUS, wire::RebuildStatusRequest(), Soon()));
    EXPECT_TRUE(status.ok()) << status.status();
    return status.ok() ? *status : wire::RebuildStatusReply();
  }
  // Until nothing is on the move.
  void LetMovesEnd() {
    for (int i = 0; i < 120; ++i) {
      executor.RunFor(absl::Seconds(10));
      if (i > 3 && RebuildStatus().moves().empty()) return;
    }
    ADD_FAILURE() << "moves go on: " << RebuildStatus().DebugString();
  }
  struct Checked {
    std::vector<wire::StorageFinding> findings;
    std::set<uint32_t> unreachable;
    uint64_t stripes = 0;
    uint64_t fragments = 0;
    uint64_t leftovers = 0;
  };
  Checked Check(bool repair = false, bool verify = false) {
    Checked all;
    uint64_t from = 0;
    for (int steps = 0; steps < 1000; ++steps) {
      wire::CheckStorageRequest request;
      request.set_from(from);
      request.set_repair(repair);
      request.set_verify(verify);
      const auto reply = executor.Run(
          session->Meta<wire::CheckStorageReply>(wire::CHECK_STORAGE, std::move(request), Soon()));
      EXPECT_TRUE(reply.ok()) << reply.status();
      if (!reply.ok()) return all;
      for (const auto& finding : reply->findings()) all.findings.push_back(finding);
      all.unreachable.insert(reply->unreachable_targets().begin(),
                             reply->unreachable_targets().end());
      all.stripes += reply->stripes();
      all.fragments += reply->fragments();
      all.leftovers += reply->leftovers();
      if (reply->done()) return all;
      EXPECT_GT(reply->next(), from);
      from = reply->next();
    }
    ADD_FAILURE() << "the check does not end";
    return all;
  }
  void ExpectClean() {
    const Checked checked = Check(false, true);
    for (const auto& finding : checked.findings) ADD_FAILURE() << finding.DebugString();
    EXPECT_THAT(checked.unreachable, ::testing::IsEmpty());
    EXPECT_EQ(checked.leftovers, 0u);
  }
  bool Names(uint32_t node_id) const {
    const std::set<uint32_t> targets = TargetsOf(node_id);
    for (const wire::PlacementGroup& group : node.map().groups()) {
      // Of what had one copy nothing is left to make another from.
      if (group.targets_size() == 1 && StateOf(node_id) == wire::NODE_OUT) continue;
      for (uint32_t target : group.targets())
        if (targets.contains(target)) return true;
    }
    return false;
  }
  bool IsMember(uint32_t node_id) const {
    for (const wire::NodeInfo& info : node.map().nodes())
      if (info.id() == node_id) return true;
    return false;
  }
  // That have a target, and neither are to be empty.
  size_t NodesThatStay() const {
    std::set<uint32_t> with_targets;
    for (const wire::TargetInfo& target : node.map().targets())
      if (!target.draining() && !target.removing()) with_targets.insert(target.node());
    return static_cast<size_t>(std::count_if(
        node.map().nodes().begin(), node.map().nodes().end(), [&with_targets](const auto& info) {
          return with_targets.contains(info.id()) && !info.draining() && !info.removing();
        }));
  }
  void KillForGood(size_t other) {
    others[other]->Kill(7);
    executor.Run(others[other]->Bury());
    gone.push_back(std::move(others[other]));
    others.erase(others.begin() + static_cast<ptrdiff_t>(other));
  }

  void AddOne() {
    SimNode::Options options = ShortLeases(Shape(next_++));
    options.join = node.options().endpoint;
    others.push_back(std::make_unique<SimNode>(executor, fabric, std::move(options)));
    EXPECT_EQ(executor.Run(others.back()->Start()), absl::OkStatus());
  }

  std::vector<std::unique_ptr<SimNode>> gone;

 private:
  uint32_t next_ = 100;
};

}  // namespace cairn
