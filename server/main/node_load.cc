// What moves through a node at this moment: its part of `cairn top`, and on the node with the
// metadata role the asking of all.
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/task/call_on.h"
#include "server/main/node.h"
#include "server/meta/reply_size.h"

namespace cairn {
namespace {

// The busiest are what an operator looks for, and the answers of some nodes share a message.
constexpr size_t kClientsTold = 32;
constexpr size_t kMountsTold = 32;
// Clients choose their names.
constexpr size_t kNameBytesMax = 64;

// Whole characters only, however it is cut.
std::string ShortName(std::string_view name) {
  std::string text(name.substr(0, kNameBytesMax));
  for (char& c : text)
    if (c < ' ' || c > '~') c = '?';
  return text;
}

}  // namespace

void Node::ServeLoad() {
  LoadService::Cluster cluster;
  cluster.map = [this]() -> const wire::ClusterMap& { return map_; };
  cluster.ask = [this](wire::NodeInfo node, Deadline deadline) {
    return AskLoad(std::move(node), deadline);
  };
  load_service_ = std::make_unique<LoadService>(std::move(cluster));
  load_service_->Register(cores_[0]->table());
}

Task<absl::StatusOr<wire::NodeLoadReply>> Node::AskLoad(wire::NodeInfo node, Deadline deadline) {
  if (node.id() == directory_->identity().node_id()) co_return co_await CollectLoad();
  co_return co_await peers_->CallNode<wire::NodeLoadReply>(
      node.id(), node.endpoint(), wire::NODE_LOAD, wire::NodeLoadRequest(), deadline);
}

Task<absl::StatusOr<wire::NodeLoadReply>> Node::CollectLoad() {
  wire::NodeLoadReply reply;
  reply.set_node(directory_->identity().node_id());
  reply.set_incarnation(static_cast<uint64_t>(absl::ToUnixNanos(started_at_wall_)));
  reply.set_at_us(static_cast<uint64_t>(absl::ToInt64Microseconds(clock_.Now() - started_at_)));
  reply.set_sessions(sessions_->size());
  std::vector<ClientLoads::Rate> rates;
  for (const auto& core : cores_) {
    Core* asked = core.get();
    const CoreStatus status = co_await CallOn<CoreStatus>(
        core->executor(), core->scope(), [asked] { return asked->CollectStatus(); });
    for (const TargetStatus& target : status.targets) {
      wire::TargetLoad* load = reply.add_targets();
      load->set_id(target.id.value());
      load->set_written_bytes(static_cast<uint64_t>(target.counters.written_bytes));
      load->set_read_bytes(static_cast<uint64_t>(target.counters.read_bytes));
      load->set_writes(static_cast<uint64_t>(target.counters.writes));
      load->set_reads(static_cast<uint64_t>(target.counters.reads));
    }
    const auto more = co_await CallOn<std::vector<ClientLoads::Rate>>(
        core->executor(), core->scope(), [asked] { return asked->ClientRates(); });
    rates.insert(rates.end(), more.begin(), more.end());
  }
  TellClients(rates, &reply);
  if (meta_ != nullptr) TellMounts(&reply);
  for (const auto& [name, traffic] : co_await TierTraffics()) {
    wire::TierLoad* load = reply.add_tiers();
    load->set_name(name);
    load->set_archived_bytes(traffic.archived_bytes);
    load->set_recalled_bytes(traffic.recalled_bytes);
    load->set_read_bytes(traffic.read_bytes);
  }
  co_return reply;
}

// With names and operations as long as they may be, the busiest 32 would not fit.
void Node::TellMounts(wire::NodeLoadReply* reply) {
  ReplyBudget budget;
  for (wire::MountLoad& load : meta_->BusiestMounts(kMountsTold)) {
    if (!budget.Take(load)) break;
    *reply->add_mounts() = std::move(load);
  }
  reply->set_mount_count(meta_->mounts().mounts());
}

void Node::TellClients(const std::vector<ClientLoads::Rate>& rates,
                       wire::NodeLoadReply* reply) const {
  for (const ClientLoads::Rate& rate : Busiest(rates, kClientsTold)) {
    const std::optional<SessionInfo> session = sessions_->Find(rate.session);
    if (!session.has_value()) continue;  // it has ended since
    wire::ClientLoad* load = reply->add_clients();
    load->set_name(ShortName(session->client_name));
    load->set_written_bytes_per_second(rate.written_bytes_per_second);
    load->set_read_bytes_per_second(rate.read_bytes_per_second);
  }
}

}  // namespace cairn
