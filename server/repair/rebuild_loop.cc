#include "server/repair/rebuild_loop.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/task/when_all.h"
#include "common/telemetry/log.h"
#include "server/cluster/group_members.h"
#include "server/cluster/target_intent.h"

namespace cairn {
namespace {

constexpr absl::Duration kPause = absl::Seconds(1);
constexpr absl::Duration kPauseAfterFailures = absl::Seconds(5);
constexpr absl::Duration kPatienceMax = absl::Minutes(5);
constexpr absl::Duration kFirstSweep = absl::Seconds(60);
constexpr absl::Duration kSweepInterval = absl::Seconds(10);
constexpr int kSweepsTrusted = 3;
// What no map version tells of, how full targets are, is looked at so often.
constexpr absl::Duration kPlanInterval = absl::Seconds(10);
constexpr uint64_t kStripesPerPage = 16'384;
constexpr int kStripesPerBatch = 64;
// The node makes a few at once; the second call is there when the first one ends.
constexpr int64_t kCallsPerNode = 2;
constexpr absl::Duration kCallTimeout = absl::Minutes(2);
constexpr int kMovesTold = 256;
constexpr absl::Duration kRateWindow = absl::Seconds(10);

bool IsGivenUp(const MapView& view, uint32_t target) {
  return view.NodeOf(target) == nullptr || view.IsLost(target);
}

// Whether one that cannot be asked now may be back, and with it what could not be made.
bool AnyMayComeBack(const MapView& view, const google::protobuf::RepeatedField<uint32_t>& targets) {
  return std::any_of(targets.begin(), targets.end(), [&view](uint32_t target) {
    return !view.IsReachable(target) && !IsGivenUp(view, target);
  });
}

}  // namespace

// Stripes of one move, to be sent in one call.
struct RebuildLoop::Batch {
  MoveKey key;
  wire::RestoreFragmentsRequest request;
  uint32_t node = 0;
  std::string endpoint;
};

// One walk over all stripes. Lives in RunPass()'s frame.
struct RebuildLoop::Pass {
  explicit Pass(wire::ClusterMap map) : view(std::move(map)) {}

  const MapView view;
  // By group, and so found fast for each stripe.
  absl::flat_hash_map<uint32_t, std::vector<MoveKey>> by_group;
  std::map<MoveKey, uint64_t> failed;
  std::map<MoveKey, uint64_t> lost;  // of these
  uint64_t restored = 0;
  uint32_t turn = 0;
  Scope scope;
};

RebuildLoop::RebuildLoop(MetaEngine& meta, Peers& peers, Map map, Options options)
    : meta_(meta),
      peers_(peers),
      map_(std::move(map)),
      options_(options),
      check_(meta, peers, map_.get,
             {[this] { return SweepIsExpected(); }, [this] { WantSweep(); }}) {}

RebuildLoop::~RebuildLoop() = default;

Task<void> RebuildLoop::Run() {
  bool said = false;
  // What was left to sweep is not known after a restart. Not before the nodes are back.
  first_sweep_ = Executor::Current().clock().Now() + kFirstSweep;
  while (!stop_.stop_requested()) {
    absl::Status done = co_await Plan();
    if (done.ok()) done = co_await FenceSettling();
    const std::vector<MoveKey> due = Due();
    const MonoTime now = Executor::Current().clock().Now();
    // What has failed is tried again later and later, unless there is something new to do.
    const bool try_now = !due.empty() && (due != failed_due_ || now >= next_try_ ||
                                          map_.get().version() != tried_version_);
    if (done.ok() && try_now) done = co_await RunPass(due);
    if (done.ok() && try_now) NoteTry(due);
    if (done.ok() && due.empty() && SweepIsDue()) done = co_await Sweep();
    if (stop_.stop_requested()) break;
    if (!done.ok() && !std::exchange(said, true))
      CAIRN_LOG_WARN("rebuild waits, will be tried again: {}", done);
    if (done.ok()) said = false;
    absl::Status slept = co_await SleepFor(done.ok() ? kPause : kPauseAfterFailures, stop_);
    if (!slept.ok()) break;
  }
}

void RebuildLoop::NoteTry(const std::vector<MoveKey>& due) {
  if (status_.failed_fragments() == 0) {
    failed_due_.clear();
    patience_ = kPauseAfterFailures;
    return;
  }
  patience_ = due == failed_due_ ? std::min(patience_ * 2, kPatienceMax) : kPauseAfterFailures;
  failed_due_ = due;
  tried_version_ = map_.get().version();
  next_try_ = Executor::Current().clock().Now() + patience_;
}

bool RebuildLoop::SweepIsDue() {
  const MonoTime now = Executor::Current().clock().Now();
  if (now < next_sweep_) return false;
  if (now >= first_sweep_) {
    first_sweep_ = MonoTime::Never();
    sweep_wanted_ = sweep_wanted_ || map_.get().nodes_size() > 1;
  }
  sweep_wanted_ = sweep_wanted_ || CanSweepMore();
  return sweep_wanted_;
}

void RebuildLoop::WantSweep() {
  sweep_wanted_ = true;
  ++wishes_;
}

// Whether a target can be asked again that the last sweep has missed.
bool RebuildLoop::CanSweepMore() const {
  if (unswept_.empty()) return false;
  const MapDomains domains(map_.get());
  return std::any_of(unswept_.begin(), unswept_.end(),
                     [&domains](uint32_t target) { return domains.IsReachable(target); });
}

// Moves leave something behind, and so does what ended before the metadata has started again. What
// several sweeps could not free is for people.
bool RebuildLoop::SweepIsExpected() const {
  if (sweeps_failed_ >= kSweepsTrusted) return false;
  if (sweep_wanted_ || !copying_.empty() || !fences_.empty()) return true;
  if (first_sweep_ != MonoTime::Never() && map_.get().nodes_size() > 1) return true;
  return CanSweepMore();
}

// Whether something has changed that no version of the map tells of.
bool RebuildLoop::NotePlanFacts() {
  const MonoTime now = Executor::Current().clock().Now();
  std::map<uint32_t, MonoTime> failed;
  std::set<uint32_t> given_up;
  for (const wire::TargetInfo& target : map_.get().targets()) {
    if (target.state() != wire::TARGET_FAILED) continue;
    const auto known = failed_since_.find(target.id());
    const MonoTime since = known == failed_since_.end() ? now : known->second;
    failed.emplace(target.id(), since);
    if (now - since >= options_.give_up_after) given_up.insert(target.id());
  }
  failed_since_ = std::move(failed);
  const bool changed = given_up != facts_.given_up;
  facts_.given_up = std::move(given_up);
  return changed;
}

Task<absl::Status> RebuildLoop::Plan() {
  const MonoTime now = Executor::Current().clock().Now();
  const bool changed = NotePlanFacts();
  if (!changed && map_.get().version() == planned_version_ && now < plan_again_)
    co_return absl::OkStatus();
  plan_again_ = now + kPlanInterval;
  facts_ = Facts();
  std::vector<uint32_t> removed;
  std::vector<uint32_t> removed_targets;
  const auto change = [this, &removed, &removed_targets](wire::ClusterMap* map) {
    const bool planned = PlanMoves(map, facts_);
    removed = RemoveEmptyNodes(map);
    removed_targets = RemoveEmptyTargets(map);
    return planned || !removed.empty() || !removed_targets.empty();
  };
  CO_RETURN_IF_ERROR(co_await ApplyPlan(change));
  planned_version_ = map_.get().version();
  for (uint32_t node : removed) CAIRN_LOG_INFO("node {} has left the cluster", node);
  for (uint32_t target : removed_targets) CAIRN_LOG_INFO("target {} has left the cluster", target);
  co_return absl::OkStatus();
}

// While nothing is freed: what is planned to be held is not what is being freed.
Task<absl::Status> RebuildLoop::ApplyPlan(std::function<bool(wire::ClusterMap*)> change) {
  CO_RETURN_IF_ERROR(co_await check_.freeing().Acquire(1, Deadline::Infinite()));
  absl::Status applied = co_await map_.apply(std::move(change));
  check_.freeing().Release(1);
  co_return applied;
}

// From the first sight of a settling move on, only leases that there are now can still refer to
// what the former member was given: whoever gets one later knows the map in which it is none.
Task<absl::Status> RebuildLoop::FenceSettling() {
  std::set<MoveKey> settling;
  std::set<MoveKey> copying;
  for (const wire::PlacementGroup& group : map_.get().groups()) {
    for (const wire::GroupMove& move : group.moves())
      (move.settling() ? settling : copying).insert({group.id(), move.index(), move.to()});
  }
  // Called off: what has been copied is nobody's.
  for (const MoveKey& key : copying_)
    sweep_wanted_ = sweep_wanted_ || !(copying.contains(key) || settling.contains(key));
  copying_ = std::move(copying);
  std::erase_if(fences_, [&settling](const auto& each) { return !settling.contains(each.first); });
  if (settling.size() == fences_.size()) co_return absl::OkStatus();
  const absl::StatusOr<LeaseId> bound = co_await meta_.LeaseBound();
  if (!bound.ok()) co_return bound.status();
  for (const MoveKey& key : settling) fences_.emplace(key, *bound);
  co_return absl::OkStatus();
}

// Moves that a pass can bring further.
std::vector<RebuildLoop::MoveKey> RebuildLoop::Due() const {
  std::vector<MoveKey> due;
  for (const wire::PlacementGroup& group : map_.get().groups()) {
    for (const wire::GroupMove& move : group.moves()) {
      const MoveKey key{group.id(), move.index(), move.to()};
      const auto fence = fences_.find(key);
      const bool waits =
          move.settling() && (fence == fences_.end() || meta_.AnyLeaseBelow(fence->second));
      if (!waits) due.push_back(key);
    }
  }
  return due;
}

Task<absl::Status> RebuildLoop::RunPass(std::vector<MoveKey> due) {
  Pass pass(map_.get());
  for (const MoveKey& key : due) {
    pass.by_group[std::get<0>(key)].push_back(key);
    pass.failed[key] = 0;
    pass.lost[key] = 0;
  }
  status_.set_pass_stripes_done(0);
  absl::Status result;
  uint64_t from = 0;
  while (result.ok() && !stop_.stop_requested()) {
    const absl::StatusOr<StripePage> page = co_await meta_.Stripes(from, kStripesPerPage, false);
    if (!page.ok()) co_return page.status();
    status_.set_pass_stripes(page->next_unused);
    result = co_await RestorePage(pass, *page);
    if (result.ok() && pass.restored > 0) result = co_await FreeGone(pass, *page, from);
    status_.set_pass_stripes_done(page->end);
    if (page->last) break;
    from = page->end;
  }
  if (!result.ok()) co_return result;
  if (stop_.stop_requested()) co_return absl::OkStatus();
  status_.set_passes(status_.passes() + 1);
  co_return co_await EndPass(pass);
}

Task<absl::Status> RebuildLoop::RestorePage(Pass& pass, const StripePage& page) {
  std::map<MoveKey, Batch> open;
  const auto send = [this, &pass](Batch batch) {
    pass.scope.Spawn(RestoreBatch(&pass, std::move(batch)));
  };
  for (const StripeRunPart& run : page.parts) {
    for (uint64_t stripe = run.part.first; stripe < run.part.end(); ++stripe) {
      const auto moves = pass.by_group.find(run.GroupOf(stripe));
      if (moves == pass.by_group.end()) continue;
      for (const MoveKey& key : moves->second) {
        Batch& batch = open[key];
        batch.key = key;
        auto* wanted = batch.request.add_stripes();
        wanted->set_id(stripe);
        wanted->set_length_bytes(run.LengthOf(stripe));
        if (batch.request.stripes_size() == kStripesPerBatch) send(std::exchange(batch, {}));
      }
    }
  }
  for (auto& [key, batch] : open) {
    if (batch.request.stripes_size() > 0) send(std::move(batch));
  }
  co_await pass.scope.Join();
  co_return absl::OkStatus();
}

Task<void> RebuildLoop::RestoreBatch(Pass* pass, Batch batch) {
  const auto [group_id, index, to] = batch.key;
  const auto count = static_cast<size_t>(batch.request.stripes_size());
  const wire::PlacementGroup* group = pass->view.FindGroup(group_id);
  const wire::GroupMove* move = MapView::FindMove(*group, index);
  const wire::NodeInfo* node = pass->view.NodeOf(to);
  if (move == nullptr || node == nullptr) {
    co_return NoteReply(*pass, batch.key, absl::UnavailableError("it is not in the map"), count);
  }
  wire::RestoreFragmentsRequest request =
      pass->view.RestoreRequest(*group, index, to, HoldersBefore(*move), pass->turn++);
  *request.mutable_stripes() = std::move(*batch.request.mutable_stripes());
  std::unique_ptr<Semaphore>& calls = calls_[node->id()];
  if (calls == nullptr) calls = std::make_unique<Semaphore>(kCallsPerNode);
  Semaphore& turns = *calls;
  absl::Status admitted = co_await turns.Acquire(1, Deadline::Infinite());
  if (!admitted.ok()) co_return NoteReply(*pass, batch.key, admitted, count);
  absl::StatusOr<wire::RestoreFragmentsReply> reply =
      absl::CancelledError("the rebuild has been stopped");
  if (!stop_.stop_requested()) {
    reply = co_await peers_.CallNode<wire::RestoreFragmentsReply>(
        node->id(), node->endpoint(), wire::RESTORE_FRAGMENTS, std::move(request),
        Deadline::After(Executor::Current().clock(), kCallTimeout));
  }
  turns.Release(1);
  NoteReply(*pass, batch.key, reply, count);
}

void RebuildLoop::NoteReply(Pass& pass, const MoveKey& key,
                            const absl::StatusOr<wire::RestoreFragmentsReply>& reply,
                            size_t stripes) {
  if (!reply.ok()) {
    // It may have been done all the same, of stripes that are removed meanwhile.
    sweep_wanted_ = true;
    pass.failed[key] += stripes;
    status_.set_last_failure(
        StrCat("target ", std::get<2>(key), ": ", ToStd(reply.status().message())));
    return;
  }
  pass.restored += reply->restored();
  pass.failed[key] += reply->failed();
  pass.lost[key] += reply->lost();
  status_.set_restored_fragments(status_.restored_fragments() + reply->restored());
  status_.set_restored_bytes(status_.restored_bytes() + reply->restored_bytes());
  if (!reply->failures().empty()) {
    const auto& first = reply->failures(0);
    status_.set_last_failure(
        StrCat("stripe ", first.stripe(), ", for target ", std::get<2>(key), ": ", first.reason()));
  }
  const MonoTime now = Executor::Current().clock().Now();
  marks_.push_back({now, status_.restored_bytes()});
  std::erase_if(marks_, [now](const RateMark& mark) { return now - mark.at > kRateWindow; });
}

// What was removed while it was made again is not on the list of what is to be freed any more,
// perhaps: it goes here.
Task<absl::Status> RebuildLoop::FreeGone(Pass& pass, const StripePage& page, uint64_t from) {
  const absl::StatusOr<StripePage> now = co_await meta_.Stripes(from, kStripesPerPage * 2, false);
  if (!now.ok()) co_return now.status();
  std::vector<StripeSpan> live;
  for (const StripeRunPart& part : now->parts) live.push_back(part.part);
  std::map<uint32_t, wire::FreeFragmentsRequest> by_node;
  // Beyond that nothing has been looked at.
  const uint64_t known_below = now->last ? UINT64_MAX : now->end;
  for (const StripeRunPart& run : page.parts) {
    if (run.part.end() > known_below) sweep_wanted_ = true;
    const uint64_t end = std::min(run.part.end(), known_below);
    if (end <= run.part.first) continue;
    for (const StripeSpan& gone : SubtractLive({run.part.first, end - run.part.first}, live)) {
      for (uint64_t stripe = gone.first; stripe < gone.end(); ++stripe) {
        const auto moves = pass.by_group.find(run.GroupOf(stripe));
        if (moves == pass.by_group.end()) continue;
        for (const auto& [group, index, to] : moves->second) {
          const wire::NodeInfo* node = pass.view.NodeOf(to);
          if (node == nullptr) continue;
          auto* fragment = by_node[node->id()].add_fragments();
          fragment->set_target(to);
          fragment->set_stripe(stripe);
          fragment->set_index(index);
        }
      }
    }
  }
  // Left behind where it does not get through: for the sweep.
  for (auto& [id, request] : by_node) {
    const auto node = std::find_if(pass.view.map().nodes().begin(), pass.view.map().nodes().end(),
                                   [id = id](const auto& each) { return each.id() == id; });
    constexpr int kPerCall = 1024;
    for (int at = 0; at < request.fragments_size(); at += kPerCall) {
      wire::FreeFragmentsRequest part;
      const int end = std::min(request.fragments_size(), at + kPerCall);
      for (int i = at; i < end; ++i) *part.add_fragments() = request.fragments(i);
      const absl::StatusOr<wire::FreeFragmentsReply> freed =
          co_await peers_.CallNode<wire::FreeFragmentsReply>(
              id, node->endpoint(), wire::FREE_FRAGMENTS, std::move(part),
              Deadline::After(Executor::Current().clock(), kCallTimeout));
      if (!freed.ok()) sweep_wanted_ = true;
    }
  }
  co_return absl::OkStatus();
}

Task<absl::Status> RebuildLoop::EndPass(const Pass& pass) {
  uint64_t failed = 0;
  for (const auto& [key, count] : pass.failed) failed += count;
  status_.set_failed_fragments(failed);
  if (failed == 0) status_.clear_last_failure();
  size_t switched = 0, finished = 0;
  // What comes next is planned in the same step: who looks in between must not think that it is all
  // done. Not to even out what is still to be swept.
  MoveFacts facts = Facts();
  facts.may_balance = false;
  const auto change = [&](wire::ClusterMap* map) {
    switched = finished = 0;
    for (const auto& [key, count] : pass.failed) {
      const auto [group, index, to] = key;
      const wire::PlacementGroup* before = pass.view.FindGroup(group);
      const wire::GroupMove* move = before == nullptr ? nullptr : MapView::FindMove(*before, index);
      if (move == nullptr) continue;
      // What is lost does not come back from a node that an operator has given up.
      const bool is_lost = IsGivenUp(pass.view, move->from()) &&
                           !AnyMayComeBack(pass.view, before->targets()) &&
                           !AnyMayComeBack(pass.view, move->former());
      if (count > (is_lost ? pass.lost.at(key) : 0)) continue;
      if (move->settling()) {
        finished += FinishMove(map, group, index, to) ? 1 : 0;
      } else {
        switched += SwitchMember(map, group, index, to) ? 1 : 0;
      }
    }
    if (switched + finished == 0) return false;
    PlanMoves(map, facts);
    return true;
  };
  CO_RETURN_IF_ERROR(co_await ApplyPlan(change));
  if (switched > 0) CAIRN_LOG_INFO("{} members of placement groups have been replaced", switched);
  sweep_wanted_ = sweep_wanted_ || finished > 0;
  co_return absl::OkStatus();
}

// Frees what former members still hold.
Task<absl::Status> RebuildLoop::Sweep() {
  uint64_t from = 0;
  uint64_t freed = 0;
  bool all = true;
  // One that comes meanwhile may be about what has been gone past already.
  const uint64_t wishes = wishes_;
  unswept_.clear();
  next_sweep_ = Executor::Current().clock().Now() + kSweepInterval;
  while (!stop_.stop_requested()) {
    wire::CheckStorageRequest request;
    request.set_from(from);
    absl::StatusOr<wire::CheckStorageReply> found = co_await check_.FreeOrphans(request);
    if (!found.ok()) co_return found.status();
    for (const wire::StorageFinding& finding : found->findings()) {
      if (finding.fault() != wire::FRAGMENT_ORPHAN) continue;
      if (finding.repaired()) ++freed;
      all = all && finding.repaired();
    }
    unswept_.insert(found->unreachable_targets().begin(), found->unreachable_targets().end());
    if (found->done()) break;
    from = found->next();
    // Moves come first.
    if (!Due().empty()) co_return absl::OkStatus();
  }
  if (freed > 0) CAIRN_LOG_INFO("freed {} fragments that no placement group has any more", freed);
  sweep_wanted_ = !all || wishes_ != wishes;
  sweeps_failed_ = all ? 0 : sweeps_failed_ + 1;
  co_return absl::OkStatus();
}

MoveFacts RebuildLoop::Facts() const {
  MoveFacts facts;
  facts.given_up = facts_.given_up;
  facts.usage = map_.usage();
  facts.keep_crowded = map_.keep_crowded();
  // What former members still hold is not theirs any more: how full targets are shows after the
  // sweep.
  facts.may_balance = !sweep_wanted_;
  return facts;
}

wire::RebuildStatusReply RebuildLoop::Status() const {
  wire::RebuildStatusReply status = status_;
  status.set_members_lost(CountStuck(map_.get(), facts_));
  status.set_sweep_due(SweepIsExpected());
  const MapDomains domains(map_.get());
  std::set<uint32_t> waiting;
  for (const wire::PlacementGroup& group : map_.get().groups()) {
    for (const wire::GroupMove& move : group.moves()) {
      if (move.settling()) {
        status.set_moves_settling(status.moves_settling() + 1);
      } else {
        status.set_moves_copying(status.moves_copying() + 1);
      }
      const wire::NodeInfo* node = domains.NodeOf(move.to());
      if (node != nullptr && !domains.IsReachable(move.to())) waiting.insert(node->id());
      if (status.moves_size() == kMovesTold) continue;
      auto* told = status.add_moves();
      told->set_group(group.id());
      told->set_index(move.index());
      told->set_from(move.from());
      told->set_to(move.to());
      told->set_settling(move.settling());
    }
  }
  status.mutable_waiting_nodes()->Add(waiting.begin(), waiting.end());
  const MonoTime now = Executor::Current().clock().Now();
  if (marks_.size() > 1 && now - marks_.back().at < kRateWindow) {
    const double seconds = absl::ToDoubleSeconds(now - marks_.front().at);
    const auto bytes = static_cast<double>(marks_.back().bytes - marks_.front().bytes);
    if (seconds > 0) status.set_bytes_per_second(static_cast<uint64_t>(bytes / seconds));
  }
  return status;
}

Task<void> RebuildLoop::Stop() {
  stop_.RequestStop();
  for (auto& [node, calls] : calls_) calls->Break();
  co_await scope_.Join();
}

}  // namespace cairn
