#include "server/admin/node_examiner.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/task/when_all.h"

namespace cairn {
namespace {

constexpr int kPeersMax = 8;
// Whatever the caller allows: an operator waits.
constexpr absl::Duration kBudget = absl::Seconds(3);
// For the answer's way back.
constexpr absl::Duration kReserve = absl::Milliseconds(300);
// Clients' operations of so long ago still tell how a device does.
constexpr absl::Duration kRecent = absl::Minutes(10);
constexpr int kRoundTrips = 5;
// 480 KiB in messages as large as they may be: tens of milliseconds of a link of 100 Mbit/s.
constexpr int kMessages = 8;
constexpr size_t kPaddingBytes = 60 * kKiB;
// On a link so slow that this is over, the first messages have said it all.
constexpr absl::Duration kSendingMax = absl::Milliseconds(500);

uint64_t Microseconds(absl::Duration duration) {
  return static_cast<uint64_t>(std::max<int64_t>(0, absl::ToInt64Microseconds(duration)));
}

// Of what was measured: 0 would say that it was not.
uint64_t Measured(absl::Duration duration) { return std::max<uint64_t>(1, Microseconds(duration)); }

wire::LatencyFacts Facts(const LatencyWindow::Summary& summary) {
  wire::LatencyFacts facts;
  if (summary.samples == 0) return facts;
  facts.set_samples(summary.samples);
  facts.set_p50_us(Measured(summary.p50));
  facts.set_p99_us(Measured(summary.p99));
  facts.set_max_us(Measured(summary.max));
  return facts;
}

wire::LatencyFacts Facts(std::vector<absl::Duration> reads) {
  wire::LatencyFacts facts;
  if (reads.empty()) return facts;
  std::sort(reads.begin(), reads.end());
  facts.set_samples(reads.size());
  facts.set_p50_us(Measured(reads[(reads.size() - 1) / 2]));
  facts.set_p99_us(Measured(reads.back()));
  facts.set_max_us(Measured(reads.back()));
  return facts;
}

// On the target's executor.
Task<absl::Status> Look(Target& target, Deadline deadline, wire::TargetFacts* facts) {
  const MonoTime now = Executor::Current().clock().Now();
  const Target::Latencies& latencies = target.latencies();
  *facts->mutable_write() = Facts(latencies.write.lately().Summarize(now, kRecent));
  *facts->mutable_read() = Facts(latencies.read.lately().Summarize(now, kRecent));
  *facts->mutable_flush() = Facts(latencies.flush.lately().Summarize(now, kRecent));
  if (!target.failure().ok()) co_return target.failure();
  Target::ProbeResult probe = co_await target.Probe(deadline);
  *facts->mutable_probe() = Facts(std::move(probe.reads));
  facts->set_probe_pending_us(Microseconds(probe.pending));
  if (!probe.error.ok()) facts->set_probe_error(std::string(probe.error.message()));
  co_return absl::OkStatus();
}

}  // namespace

NodeExaminer::NodeExaminer(Peers& peers, Options options)
    : peers_(peers), options_(std::move(options)) {}

Task<absl::StatusOr<wire::ExamineNodeReply>> NodeExaminer::Examine(wire::ExamineNodeRequest request,
                                                                   Deadline deadline) {
  if (request.peers_size() > kPeersMax) {
    co_return absl::InvalidArgumentError(
        StrCat("links to ", request.peers_size(), " nodes in a call; at most ", kPeersMax));
  }
  const Clock& clock = Executor::Current().clock();
  wire::ExamineNodeReply reply;
  if (request.targets() || request.peers_size() > 0) {
    const Deadline until =
        Earlier(Deadline(deadline.at() + -kReserve), Deadline::After(clock, kBudget));
    CO_RETURN_IF_ERROR(co_await turn_.Acquire(1, until));
    const absl::Status tried = co_await TryAll(request, until, &reply);
    turn_.Release(1);
    if (!tried.ok()) co_return tried;
  }
  reply.set_software_version(options_.software_version);
  reply.set_uptime_ms(Microseconds(clock.Now() - options_.started_at) / 1000);
  reply.set_wall_ns(absl::ToUnixNanos(options_.wall_now()));
  co_return reply;
}

Task<absl::Status> NodeExaminer::TryAll(const wire::ExamineNodeRequest& request, Deadline deadline,
                                        wire::ExamineNodeReply* reply) {
  const wire::HeartbeatRequest state = co_await options_.state();
  reply->set_node(state.node());
  if (request.targets()) {
    for (const wire::TargetInfo& target : state.targets())
      *reply->add_targets()->mutable_target() = target;
  }
  for (int i = 0; i < request.peers_size(); ++i) reply->add_links();
  std::vector<Task<absl::Status>> tries;
  tries.push_back(TryTargets(deadline, reply));
  for (int i = 0; i < request.peers_size(); ++i)
    tries.push_back(TryLink(request.peers(i), state.node(), deadline, reply->mutable_links(i)));
  co_return co_await WhenAllOk(std::move(tries));
}

Task<absl::Status> NodeExaminer::TryTargets(Deadline deadline, wire::ExamineNodeReply* reply) {
  std::vector<Task<absl::Status>> tries;
  for (wire::TargetFacts& facts : *reply->mutable_targets())
    tries.push_back(TryTarget(&facts, deadline));
  co_return co_await WhenAllOk(std::move(tries));
}

Task<absl::Status> NodeExaminer::TryTarget(wire::TargetFacts* facts, Deadline deadline) {
  const TargetWork work = [facts, deadline](Target& target) {
    return Look(target, deadline, facts);
  };
  const absl::Status looked = co_await options_.on_target(facts->target().id(), work);
  if (!looked.ok()) facts->set_failure(std::string(looked.message()));
  co_return absl::OkStatus();
}

Task<absl::Status> NodeExaminer::TryLink(wire::ExamineNodeRequest::Peer peer, uint32_t from,
                                         Deadline deadline, wire::LinkFacts* facts) {
  facts->set_from(from);
  facts->set_to(peer.node());
  absl::Status measured = co_await MeasureLink(peer, deadline, facts);
  // The connection may have been lost for what others did with it.
  if (absl::IsUnavailable(measured)) measured = co_await MeasureLink(peer, deadline, facts);
  facts->set_code(static_cast<uint32_t>(measured.code()));
  facts->set_error(std::string(measured.message()));
  co_return absl::OkStatus();
}

Task<absl::Status> NodeExaminer::MeasureLink(const wire::ExamineNodeRequest::Peer& peer,
                                             Deadline deadline, wire::LinkFacts* facts) {
  const Clock& clock = Executor::Current().clock();
  absl::StatusOr<std::shared_ptr<NodeConnection>> node =
      co_await peers_.ConnectNode(peer.node(), peer.endpoint(), deadline);
  if (!node.ok()) co_return node.status();
  wire::ExamineNodeRequest probe;
  absl::Duration best = absl::InfiniteDuration();
  for (int i = 0; i < kRoundTrips; ++i) {
    const MonoTime began = clock.Now();
    const auto reply = co_await (*node)->Call<wire::ExamineNodeReply>(
        0, wire::EXAMINE_NODE, probe, CallOptions{deadline, {}, {}});
    // What it has measured so far says enough of a link that is slow.
    if (!reply.ok()) co_return i == 0 ? reply.status() : absl::OkStatus();
    best = std::min(best, clock.Now() - began);
    facts->set_rtt_us(Measured(best));
  }
  probe.set_padding(std::string(kPaddingBytes, '\0'));
  const MonoTime began = clock.Now();
  for (int i = 0; i < kMessages && clock.Now() - began < kSendingMax; ++i) {
    const auto reply = co_await (*node)->Call<wire::ExamineNodeReply>(
        0, wire::EXAMINE_NODE, probe, CallOptions{deadline, {}, {}});
    if (!reply.ok()) {
      // As slow as that, or slower.
      if (i == 0) facts->set_sent_bytes(kPaddingBytes);
      facts->set_sent_us(Measured(clock.Now() - began));
      break;
    }
    facts->set_sent_bytes(facts->sent_bytes() + kPaddingBytes);
    facts->set_sent_us(Measured(clock.Now() - began));
  }
  co_return absl::OkStatus();
}

}  // namespace cairn
