#include "server/tiering/tier_node.h"

#include <utility>
#include <vector>

namespace cairn {
namespace {

// Fragments under way: of two objects, one being read and one being written.
constexpr int64_t kWindow = 16;

}  // namespace

TierNode::TierNode(std::unique_ptr<Net> net, Net& core_net, Random& random, ColdStores& stores,
                   Runners runners, std::function<bool()> busy, Options options)
    : net_(std::move(net)),
      reader_(stores, runners.reads, options.cluster_id, stop_flag_),
      move_reader_(stores, runners.moves, options.cluster_id, stop_flag_),
      directory_([this](Deadline deadline) { return AskTiers(deadline); }) {
  Session::Options session;
  session.endpoints = {options.endpoint};
  session.name = options.name + ":tiering";
  session.window = kWindow;
  session.background = true;
  session_ = std::make_unique<Session>(*net_, random, std::move(session));
  Session* receiver = session_.get();
  net_->SetReceiver([receiver](ConstBytes message) { receiver->OnMessage(message); });
  mover_ = std::make_unique<Mover>(*session_, stores, move_reader_, runners.moves, std::move(busy),
                                   options.cluster_id, stop_flag_);
  service_ = std::make_unique<ColdService>(
      core_net, reader_,
      [this](std::string name, Deadline deadline) {
        return directory_.Find(std::move(name), deadline);
      },
      [this](const std::string& tier, uint64_t bytes, bool ok) {
        TierTraffic& traffic = mover_->TrafficOf(tier);
        (ok ? traffic.read_bytes : traffic.failures) += ok ? bytes : 1;
      });
}

TierNode::~TierNode() = default;

Task<absl::StatusOr<wire::ListTiersReply>> TierNode::AskTiers(Deadline deadline) {
  return session_->Meta<wire::ListTiersReply>(wire::LIST_TIERS, wire::ListTiersRequest(), deadline);
}

void TierNode::RequestStop() {
  stop_flag_.store(true);
  mover_->RequestStop();
  service_->Stop();
}

Task<void> TierNode::Stop() {
  RequestStop();
  co_await session_->Stop();
  co_await net_->Stop();
  // The net first: it hands late messages on until its end.
  service_.reset();
  mover_.reset();
  net_.reset();
  session_.reset();
}

}  // namespace cairn
