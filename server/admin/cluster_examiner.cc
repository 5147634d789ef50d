#include "server/admin/cluster_examiner.h"

#include <algorithm>
#include <map>
#include <utility>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/task/when_all.h"
#include "server/cluster/diagnosis.h"
#include "server/cluster/link_ring.h"
#include "server/cluster/map_domains.h"

namespace cairn {
namespace {

// How long a caller waits before it is told how far it is.
constexpr absl::Duration kLook = absl::Seconds(1);
constexpr absl::Duration kNodeTimeout = absl::Seconds(4);
// A node that does not answer so little in so long is silent.
constexpr absl::Duration kTimeTimeout = absl::Seconds(2);
// Nodes examined side by side: 256 in a few rounds, and few enough that they do not crowd the links
// that are measured.
constexpr int64_t kAtOnce = 64;
// The least round trip of so many bounds the error of the clock.
constexpr int kTimeCalls = 4;

const wire::NodeInfo* FindNode(const wire::ClusterMap& map, uint32_t id) {
  for (const wire::NodeInfo& node : map.nodes())
    if (node.id() == id) return &node;
  return nullptr;
}

// Whom `node` is to try, among those that are alive.
wire::ExamineNodeRequest RequestFor(const wire::ClusterMap& map, uint32_t node) {
  std::map<uint32_t, const wire::NodeInfo*> alive;
  for (const wire::NodeInfo& each : map.nodes())
    if (IsAlive(each)) alive[each.id()] = &each;
  const std::vector<std::pair<uint32_t, const wire::NodeInfo*>> ring(alive.begin(), alive.end());
  wire::ExamineNodeRequest request;
  request.set_targets(true);
  for (size_t i = 0; i < ring.size(); ++i) {
    if (ring[i].first != node) continue;
    for (size_t peer : LinksOf(i, ring.size())) {
      auto* added = request.add_peers();
      added->set_node(ring[peer].first);
      added->set_endpoint(ring[peer].second->endpoint());
    }
  }
  return request;
}

}  // namespace

struct ClusterExaminer::Examination {
  uint64_t number = 0;
  uint32_t nodes = 0;
  uint32_t nodes_done = 0;
  std::vector<wire::ExamineFinding> findings;
  std::vector<wire::NodeFacts> facts;
  // Has a unit once it has ended.
  Semaphore ended{0};

  void Tell(uint32_t offset, size_t bytes_max, wire::ExamineClusterReply* reply) const;
};

// At least one, however large it is.
void ClusterExaminer::Examination::Tell(uint32_t offset, size_t bytes_max,
                                        wire::ExamineClusterReply* reply) const {
  const size_t all = findings.size() + facts.size();
  size_t bytes = 0;
  for (size_t at = offset; at < all; ++at) {
    const bool is_finding = at < findings.size();
    bytes += is_finding ? findings[at].ByteSizeLong() + 8
                        : facts[at - findings.size()].ByteSizeLong() + 8;
    if (bytes > bytes_max && at > offset) {
      reply->set_next(static_cast<uint32_t>(at));
      return;
    }
    if (is_finding) {
      *reply->add_findings() = findings[at];
    } else {
      *reply->add_facts() = facts[at - findings.size()];
    }
  }
}

ClusterExaminer::ClusterExaminer(Peers& peers, Cluster cluster)
    : peers_(peers), cluster_(std::move(cluster)) {}
ClusterExaminer::~ClusterExaminer() = default;

Task<absl::StatusOr<wire::ExamineClusterReply>> ClusterExaminer::ExamineCluster(
    CallContext& call, const wire::ExamineClusterRequest& request) {
  if (stopping_) co_return absl::UnavailableError("this node is stopping");
  if (request.examination() == 0 && running_ == nullptr) {
    running_ = std::make_shared<Examination>();
    running_->number = next_number_++;
    running_->nodes = static_cast<uint32_t>(cluster_.map().nodes_size());
    scope_.Spawn(Run(running_));
  }
  std::shared_ptr<Examination> examination = running_;
  if (request.examination() != 0) {
    for (const auto& known : {running_, last_}) {
      examination = known;
      if (known != nullptr && known->number == request.examination()) break;
    }
    if (examination == nullptr || examination->number != request.examination())
      co_return absl::AbortedError("another examination has begun since; begin again");
  }
  const Deadline look = Deadline::After(Executor::Current().clock(), kLook);
  const absl::Status ended = co_await examination->ended.Acquire(1, Earlier(look, call.deadline()));
  // For whoever waits, too.
  if (ended.ok()) examination->ended.Release(1);
  if (!ended.ok() && !absl::IsDeadlineExceeded(ended)) co_return ended;
  wire::ExamineClusterReply reply;
  reply.set_examination(examination->number);
  reply.set_done(ended.ok());
  reply.set_nodes(examination->nodes);
  reply.set_nodes_done(examination->nodes_done);
  if (reply.done()) examination->Tell(request.offset(), cluster_.part_bytes_max, &reply);
  co_return reply;
}

Task<void> ClusterExaminer::Run(std::shared_ptr<Examination> examination) {
  std::vector<uint32_t> nodes;
  for (const wire::NodeInfo& node : cluster_.map().nodes()) nodes.push_back(node.id());
  examination->facts = co_await AskAll(std::move(nodes), examination.get());
  examination->findings = Diagnose(cluster_.map(), examination->facts, cluster_.wall_now());
  const std::vector<uint32_t> again = NodesToTryAgain(examination->findings);
  if (!again.empty() && !stopping_) {
    const std::vector<wire::NodeFacts> second = co_await AskAll(again, nullptr);
    for (wire::NodeFacts& facts : examination->facts) {
      for (const wire::NodeFacts& each : second)
        if (each.node() == facts.node()) facts = BetterOf(facts, each);
    }
    examination->findings = Diagnose(cluster_.map(), examination->facts, cluster_.wall_now());
  }
  last_ = examination;
  running_ = nullptr;
  examination->ended.Release(1);
}

// In the order of `nodes`. `examination`, unless null, is told how far it is.
Task<std::vector<wire::NodeFacts>> ClusterExaminer::AskAll(std::vector<uint32_t> nodes,
                                                           Examination* examination) {
  Semaphore turns(kAtOnce);
  std::vector<Task<wire::NodeFacts>> asked;
  for (uint32_t node : nodes) asked.push_back(AskInTurn(node, &turns, examination));
  co_return co_await WhenAll(std::move(asked));
}

Task<wire::NodeFacts> ClusterExaminer::AskInTurn(uint32_t node, Semaphore* turns,
                                                 Examination* examination) {
  wire::NodeFacts facts;
  facts.set_node(node);
  // Bounded by the turns of the others, which end in kNodeTimeout each.
  absl::Status asked = co_await turns->Acquire(1, Deadline::Infinite());
  if (asked.ok()) {
    asked = co_await Ask(node, &facts);
    turns->Release(1);
  }
  facts.set_code(static_cast<uint32_t>(asked.code()));
  facts.set_error(std::string(asked.message()));
  FillHistory(&facts);
  if (examination != nullptr) ++examination->nodes_done;
  co_return facts;
}

Task<absl::Status> ClusterExaminer::Ask(uint32_t node, wire::NodeFacts* facts) {
  if (stopping_) co_return absl::CancelledError("this node is stopping");
  const wire::NodeInfo* found = FindNode(cluster_.map(), node);
  if (found == nullptr) co_return absl::NotFoundError("it has left the cluster");
  if (!IsAlive(*found)) {
    co_return absl::FailedPreconditionError(
        StrCat("not asked: it counts as ", wire::NodeState_Name(found->state())));
  }
  const wire::NodeInfo info = *found;
  const wire::ExamineNodeRequest request = RequestFor(cluster_.map(), node);
  const Deadline deadline = Deadline::After(Executor::Current().clock(), kNodeTimeout);
  absl::Status timed = co_await AskTime(info, deadline, facts);
  if (!timed.ok()) co_return timed;
  absl::StatusOr<wire::ExamineNodeReply> reply = co_await peers_.CallNode<wire::ExamineNodeReply>(
      node, info.endpoint(), wire::EXAMINE_NODE, request, deadline);
  if (!reply.ok()) co_return reply.status();
  *facts->mutable_reply() = *std::move(reply);
  co_return absl::OkStatus();
}

// Its clock read in the middle of the round trip, as well as that can be known.
Task<absl::Status> ClusterExaminer::AskTime(const wire::NodeInfo& node, Deadline deadline,
                                            wire::NodeFacts* facts) {
  const Clock& clock = Executor::Current().clock();
  const Deadline until = Earlier(deadline, Deadline::After(clock, kTimeTimeout));
  const auto connected = co_await peers_.ConnectNode(node.id(), node.endpoint(), until);
  if (!connected.ok()) co_return connected.status();
  absl::Duration best = absl::InfiniteDuration();
  for (int i = 0; i < kTimeCalls; ++i) {
    const MonoTime began = clock.Now();
    const absl::Time wall_began = cluster_.wall_now();
    const auto reply =
        co_await (*connected)
            ->Call<wire::ExamineNodeReply>(0, wire::EXAMINE_NODE, wire::ExamineNodeRequest(),
                                           CallOptions{until, {}, {}});
    if (!reply.ok()) co_return reply.status();
    const absl::Duration took = clock.Now() - began;
    if (took >= best) continue;
    best = took;
    const absl::Duration ahead = absl::FromUnixNanos(reply->wall_ns()) - (wall_began + took / 2);
    facts->set_rtt_us(static_cast<uint64_t>(absl::ToInt64Microseconds(took)));
    facts->set_clock_ahead_us(absl::ToInt64Microseconds(ahead));
    facts->set_clock_error_us(static_cast<uint64_t>(absl::ToInt64Microseconds(took / 2)));
  }
  co_return absl::OkStatus();
}

void ClusterExaminer::FillHistory(wire::NodeFacts* facts) const {
  const NodeHistory::Counts counts =
      cluster_.history().Count(facts->node(), Executor::Current().clock().Now());
  facts->set_window_s(static_cast<uint64_t>(absl::ToInt64Seconds(NodeHistory::kWindow)));
  facts->set_downs(counts.downs);
  facts->set_suspects(counts.suspects);
  facts->set_restarts(counts.restarts);
  if (counts.since > absl::ZeroDuration())
    facts->set_unrest_since_ns(absl::ToUnixNanos(cluster_.wall_now() - counts.since));
}

void ClusterExaminer::RequestStop() {
  stopping_ = true;
  if (running_ != nullptr) running_->ended.Break();
}

Task<void> ClusterExaminer::Stop() { co_await scope_.Join(); }

}  // namespace cairn
