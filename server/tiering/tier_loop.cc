#include "server/tiering/tier_loop.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/telemetry/log.h"
#include "server/cluster/health_item.h"
#include "server/tiering/archive.h"
#include "server/tiering/fetch.h"
#include "server/tiering/release.h"

namespace cairn {
namespace {

// Nothing but time makes it look again so soon.
constexpr absl::Duration kRound = absl::Seconds(1);
constexpr absl::Duration kPauseAfterError = absl::Seconds(5);
// Others change tiers and policies through this node, which wakes it; this is for what wakes
// nobody.
constexpr absl::Duration kLearn = absl::Seconds(10);
constexpr absl::Duration kCollect = absl::Seconds(10);
constexpr absl::Duration kFlushReads = absl::Seconds(10);
constexpr size_t kReadsMax = 65'536;
constexpr int kReadsPerCommand = 1000;
constexpr uint32_t kItemsPerCommand = 256;
// How often space is looked at, and how much of it is let go of at once: what it gives shows only
// when the targets have freed it.
constexpr absl::Duration kPress = absl::Seconds(2);
constexpr uint64_t kPressPercent = 5;
constexpr absl::Duration kStarving = absl::Seconds(10);
// Jobs of a kind side by side. Slots bound the bytes they move; this, what they keep in mind.
constexpr size_t kJobsOfAKind = 4;
constexpr size_t kTasksLookedAt = 512;
// Smaller ones are archived together.
constexpr uint64_t kSmallBytes = 64 * kMiB;
constexpr uint64_t kBatchBytes = kGiB;
constexpr size_t kBatchTasks = 500;
// A step that waits for longer, though nothing holds it up, is late.
constexpr absl::Duration kLate = absl::Hours(1);

}  // namespace

struct TierLoop::Job {
  std::vector<TierTask> tasks;
  TierProgress progress;
};

TierLoop::TierLoop(MetaEngine& meta, TierNodes& nodes)
    : meta_(meta), nodes_(nodes), shared_(meta, nodes), collector_(shared_), importer_(shared_) {}

TierLoop::~TierLoop() { CAIRN_CHECK(scope_.running() == 0); }

void TierLoop::Start() {
  meta_.OnTieringWanted([this] { Wake(); });
  scope_.Spawn(Run());
}

void TierLoop::Wake() {
  woken_ = true;
  if (nap_ != nullptr) nap_->RequestStop();
}

void TierLoop::RequestStop() {
  meta_.OnTieringWanted(nullptr);
  shared_.RequestStop();
  for (Job& job : jobs_) job.progress.cancelled = true;
  Wake();
}

Task<void> TierLoop::Stop() {
  RequestStop();
  co_await importer_.Stop();
  co_await scope_.Join();
}

Task<void> TierLoop::Nap(absl::Duration duration) {
  if (woken_ || shared_.stop().stop_requested()) co_return;
  nap_ = std::make_unique<StopSource>();
  (void)co_await SleepFor(duration, *nap_);
  nap_.reset();
}

Task<void> TierLoop::Run() {
  while (!shared_.stop().stop_requested()) {
    const absl::Status prepared = co_await Prepare();
    if (prepared.ok()) break;
    (void)co_await SleepFor(kPauseAfterError, shared_.stop());
  }
  while (!shared_.stop().stop_requested()) {
    const absl::Status round = co_await Round();
    if (!round.ok() && !shared_.stop().stop_requested()) {
      woken_ = true;  // what it was woken for is still to be done
      CAIRN_LOG_WARN("tiering waits, and is tried again: {}", round.ToString());
      (void)co_await SleepFor(kPauseAfterError, shared_.stop());
      continue;
    }
    co_await Nap(kRound);
  }
}

// What the last life of this process has left.
Task<absl::Status> TierLoop::Prepare() {
  CO_RETURN_IF_ERROR(co_await collector_.AbandonPlanned());
  disk::ImportCold give_up;
  give_up.set_give_up(true);
  const absl::StatusOr<disk::ImportColdReply> given_up = co_await meta_.Mutate(std::move(give_up));
  co_return given_up.status();
}

Task<absl::Status> TierLoop::Round() {
  const MonoTime now = Executor::Current().clock().Now();
  const bool woken = std::exchange(woken_, false);
  if (woken || now - learned_at_ >= kLearn) {
    learned_at_ = now;
    CO_RETURN_IF_ERROR(co_await LearnTiers());
  }
  // Without tiers there is nothing that anything could be done with.
  if (shared_.tiers().empty() && policies_.empty()) co_return absl::OkStatus();
  const int64_t wall_ns = meta_.WallTime().unix_ns;
  const bool due = next_due_ns_ != 0 && next_due_ns_ <= wall_ns;
  const bool press = now - pressed_at_ >= kPress && (!draining_.empty() || !policies_.empty());
  if (woken || due || press) CO_RETURN_IF_ERROR(co_await Evaluate());
  if (woken || steps_wait_ || due) CO_RETURN_IF_ERROR(co_await BeginSteps());
  if (now - reads_flushed_at_ >= kFlushReads) CO_RETURN_IF_ERROR(co_await FlushReads());
  if (now - collected_at_ >= kCollect && !std::exchange(collecting_, true))
    scope_.Spawn(CollectAll());
  co_return absl::OkStatus();
}

// Beside the rounds: it waits for stores, and for the moves that come first.
Task<void> TierLoop::CollectAll() {
  bool more = true;
  while (more && !shared_.stop().stop_requested()) more = co_await collector_.Collect();
  collected_at_ = Executor::Current().clock().Now();
  collecting_ = false;
}

Task<absl::Status> TierLoop::LearnTiers() {
  const absl::StatusOr<wire::ListTiersReply> tiers = co_await meta_.Query(wire::ListTiersRequest());
  if (!tiers.ok()) co_return tiers.status();
  shared_.SetTiers(*tiers);
  std::vector<wire::ListTierPoliciesReply::Entry> policies;
  wire::ListTierPoliciesRequest request;
  for (bool more = true; more;) {
    const absl::StatusOr<wire::ListTierPoliciesReply> page =
        co_await meta_.Query(wire::ListTierPoliciesRequest(request));
    if (!page.ok()) co_return page.status();
    policies.insert(policies.end(), page->policies().begin(), page->policies().end());
    more = page->more() && page->policies_size() > 0;
    if (more) request.set_start_after(policies.back().path());
  }
  policies_ = std::move(policies);
  std::erase_if(draining_, [this](const std::string& path) {
    return std::none_of(policies_.begin(), policies_.end(),
                        [&path](const auto& policy) { return policy.path() == path; });
  });
  co_return absl::OkStatus();
}

bool TierLoop::IsFull(const wire::ListTierPoliciesReply::Entry& policy,
                      const TierNodes::Fill& fill) {
  if (policy.policy().high_percent() == 0 || fill.capacity_bytes == 0) return false;
  const uint64_t percent = fill.used_bytes * 100 / fill.capacity_bytes;
  if (percent >= policy.policy().high_percent()) draining_.insert(policy.path());
  if (percent <= policy.policy().low_percent()) draining_.erase(policy.path());
  return draining_.contains(policy.path());
}

Task<absl::Status> TierLoop::WritePressures(disk::RunTiering* run) {
  const MonoTime now = Executor::Current().clock().Now();
  if (now - pressed_at_ < kPress) co_return absl::OkStatus();
  pressed_at_ = now;
  const TierNodes::Fill fill = nodes_.HotFill();
  const absl::StatusOr<MetaCounters> counters = co_await meta_.Counters();
  if (!counters.ok()) co_return counters.status();
  const uint64_t at_once = fill.capacity_bytes / 100 * kPressPercent;
  if (now < starving_until_) {
    run->add_pressures()->set_bytes(std::max(at_once, uint64_t{1}));
    co_return absl::OkStatus();
  }
  for (const wire::ListTierPoliciesReply::Entry& policy : policies_) {
    if (!IsFull(policy, fill)) continue;
    const uint64_t kept = fill.capacity_bytes / 100 * policy.policy().low_percent();
    // What is on its way out counts as gone.
    const uint64_t coming = counters->pending_free_bytes;
    if (fill.used_bytes <= kept + coming) continue;
    disk::RunTiering::Pressure* pressure = run->add_pressures();
    pressure->set_policy(policy.directory());
    pressure->set_bytes(std::min(fill.used_bytes - kept - coming, at_once));
  }
  co_return absl::OkStatus();
}

Task<absl::Status> TierLoop::Evaluate() {
  disk::RunTiering run;
  CO_RETURN_IF_ERROR(co_await WritePressures(&run));
  for (bool more = true; more && !shared_.stop().stop_requested();) {
    run.set_max_items(kItemsPerCommand);
    const bool pressed = run.pressures_size() > 0;
    const absl::StatusOr<disk::RunTieringReply> reply =
        co_await meta_.Mutate(disk::RunTiering(run));
    if (!reply.ok()) co_return reply.status();
    if (pressed) {
      spared_bytes_ = reply->spared_bytes();
      const bool waits = RunningOf(wire::TIER_STEP_RELEASE) > 0 || spared_bytes_ > 0;
      hot_is_stuck_ = !waits;
    } else if (draining_.empty()) {
      hot_is_stuck_ = false;
    }
    run.clear_pressures();
    counters_.looked_at += reply->looked_at();
    next_due_ns_ = reply->next_due_ns();
    more = reply->more();
  }
  steps_wait_ = true;
  co_return absl::OkStatus();
}

size_t TierLoop::RunningOf(wire::TierStep step) const {
  return static_cast<size_t>(std::count_if(
      jobs_.begin(), jobs_.end(), [step](const Job& job) { return job.progress.step == step; }));
}

// With those that tiers may not do now in front, however many, what waits behind them is found in
// a few rounds.
Task<absl::StatusOr<std::vector<TierTask>>> TierLoop::FindSteps(TierTaskFilter filter) {
  absl::StatusOr<TierTaskPage> page = co_await meta_.TierTasks(filter, "", kTasksLookedAt);
  if (!page.ok()) co_return page.status();
  steps_wait_ = !page->tasks.empty() || !page->next.empty();
  if (!page->tasks.empty() || page->next.empty()) co_return std::move(page->tasks);
  const std::string from = passed_by_.empty() ? page->next : passed_by_;
  page = co_await meta_.TierTasks(std::move(filter), from, kTasksLookedAt);
  if (!page.ok()) co_return page.status();
  if (page->tasks.empty()) {
    passed_by_ = page->next;
    // All have been looked at: what changes for one of them wakes this loop.
    steps_wait_ = !passed_by_.empty();
  }
  co_return std::move(page->tasks);
}

Task<absl::Status> TierLoop::BeginSteps() {
  TierTaskFilter filter;
  for (const auto& [subject, progress] : running_) filter.subjects.insert(subject);
  for (const auto& [name, tier] : shared_.tiers()) {
    const bool held = shared_.IsHeld(name);
    if (held || tier.control().archive_paused()) filter.no_archive.insert(name);
    if (held || tier.control().recall_paused()) filter.no_recall.insert(name);
  }
  absl::StatusOr<std::vector<TierTask>> tasks = co_await FindSteps(std::move(filter));
  if (!tasks.ok()) co_return tasks.status();
  counters_.waiting = tasks->size();
  counters_.oldest_waiting_ns = 0;
  for (const TierTask& task : *tasks) {
    const int64_t since = task.record.step_since_ns();
    if (counters_.oldest_waiting_ns == 0 || since < counters_.oldest_waiting_ns)
      counters_.oldest_waiting_ns = since;
  }
  // By tier, those that are archived together.
  std::map<std::string, std::vector<TierTask>> small;
  for (TierTask& task : *tasks) {
    const wire::TierStep step = task.record.step();
    const bool alone = step != wire::TIER_STEP_ARCHIVE || task.record.size_bytes() >= kSmallBytes ||
                       task.record.failures() > 0;
    if (!alone) {
      std::vector<TierTask>& batch = small[task.record.tier()];
      if (batch.size() < kBatchTasks) batch.push_back(std::move(task));
    } else if (RunningOf(step) < kJobsOfAKind) {
      std::vector<TierTask> one;
      one.push_back(std::move(task));
      Begin(std::move(one));
    }
  }
  for (auto& [tier, batch] : small) {
    if (RunningOf(wire::TIER_STEP_ARCHIVE) >= kJobsOfAKind) break;
    uint64_t bytes = 0;
    size_t count = 0;
    while (count < batch.size() && bytes < kBatchBytes) bytes += batch[count++].record.size_bytes();
    batch.resize(count);
    Begin(std::move(batch));
  }
  co_return absl::OkStatus();
}

void TierLoop::Begin(std::vector<TierTask> tasks) {
  Job& job = jobs_.emplace_back();
  job.progress.step = tasks.front().record.step();
  for (const TierTask& task : tasks) running_[task.subject.value()] = &job.progress;
  job.tasks = std::move(tasks);
  counters_.steps_begun += job.tasks.size();
  scope_.Spawn(RunJob(&job));
}

Task<void> TierLoop::RunJob(Job* job) {
  switch (job->progress.step) {
    case wire::TIER_STEP_ARCHIVE:
      co_await Archive(&shared_, job->tasks, &job->progress);
      break;
    case wire::TIER_STEP_RELEASE:
      co_await Release(&shared_, job->tasks.front(), &job->progress);
      break;
    case wire::TIER_STEP_RECALL:
      co_await Fetch(&shared_, job->tasks.front(), &job->progress);
      break;
    default:
      break;
  }
  for (const TierTask& task : job->tasks) running_.erase(task.subject.value());
  jobs_.remove_if([job](const Job& each) { return &each == job; });
  Wake();
}

Task<void> TierLoop::CancelUnwanted() {
  std::vector<uint64_t> subjects;
  for (const auto& [subject, progress] : running_) subjects.push_back(subject);
  for (const uint64_t subject : subjects) {
    const absl::StatusOr<std::optional<disk::TierSubjectRecord>> record =
        co_await meta_.TierSubject(InodeId(subject));
    const auto running = running_.find(subject);
    if (!record.ok() || running == running_.end()) continue;
    const bool wanted = record->has_value() && (*record)->step() == running->second->step;
    if (!wanted) running->second->cancelled = true;
  }
}

void TierLoop::NoteRead(InodeId subject, bool cold) {
  if (subject.value() == 0) return;
  if (reads_.size() >= kReadsMax && !reads_.contains(subject.value())) return;
  Read& read = reads_[subject.value()];
  read.at_ns = meta_.WallTime().unix_ns;
  read.cold = read.cold || cold;
}

Task<absl::Status> TierLoop::FlushReads() {
  reads_flushed_at_ = Executor::Current().clock().Now();
  while (!reads_.empty()) {
    disk::NoteReads note;
    while (!reads_.empty() && note.reads_size() < kReadsPerCommand) {
      const auto first = reads_.begin();
      disk::NoteReads::Read& read = *note.add_reads();
      read.set_inode(first->first);
      read.set_at_ns(first->second.at_ns);
      read.set_cold(first->second.cold);
      reads_.erase(first);
    }
    const absl::StatusOr<disk::NoteReadsReply> noted = co_await meta_.Mutate(std::move(note));
    if (!noted.ok()) co_return noted.status();
  }
  co_return absl::OkStatus();
}

Task<absl::StatusOr<wire::AskForSpaceReply>> TierLoop::AskForSpace() {
  meta_.HurryReclaim();
  if (!policies_.empty()) {
    starving_until_ = Executor::Current().clock().Now() + kStarving;
    Wake();
  }
  const absl::StatusOr<MetaCounters> counters = co_await meta_.Counters();
  if (!counters.ok()) co_return counters.status();
  wire::AskForSpaceReply reply;
  reply.set_pending_bytes(counters->pending_free_bytes + spared_bytes_);
  const bool works =
      !jobs_.empty() || spared_bytes_ > 0 || (counters_.waiting > 0 && HoldsBack().empty());
  reply.set_coming(counters->pending_free_bytes > 0 || counters->cleanup_backlog > 0 || works);
  co_return reply;
}

std::string TierLoop::HoldsBack() const {
  std::string why;
  for (const auto& [name, tier] : shared_.tiers()) {
    const auto add = [&why](const std::string& text) { why += (why.empty() ? "" : "; ") + text; };
    if (tier.control().archive_paused()) add(StrCat("tier ", name, " takes nothing: paused"));
    if (tier.control().recall_paused()) add(StrCat("tier ", name, " gives nothing: paused"));
    const auto state = shared_.states().find(name);
    if (state != shared_.states().end())
      add(StrCat("tier ", name, ": ", ToStd(state->second.error.message())));
  }
  return why;
}

std::vector<wire::HealthItem> TierLoop::Health() const {
  std::vector<wire::HealthItem> items;
  for (const auto& [name, state] : shared_.states()) {
    const bool full = absl::IsResourceExhausted(state.error);
    wire::HealthItem item = MakeHealthItem(full                      ? "TIER_FULL"
                                           : MayRecover(state.error) ? "TIER_UNREACHABLE"
                                                                     : "TIER_REFUSES",
                                           wire::HEALTH_ERROR);
    item.set_summary(StrCat("tier ", name, ": ", ToStd(state.error.message())));
    item.set_endangers(
        "nothing is copied there or fetched from there, and what lies there alone "
        "may not be readable");
    item.set_todo(full ? "give it more space, or have another tier take what follows; see `cairn "
                         "tier show`"
                       : StrCat("see what nodes say of it: cairn tier check ", name));
    item.set_since_ns(absl::ToUnixNanos(state.failing_since));
    items.push_back(std::move(item));
  }
  if (hot_is_stuck_) {
    wire::HealthItem item = MakeHealthItem("TIER_HOT_FULL", wire::HEALTH_WARNING);
    item.set_summary("targets are above a policy's high watermark, and nothing may be let go of");
    item.set_endangers("saves, once the targets are full");
    item.set_todo(
        "what is pinned or among the newest stays hot: unpin some, keep fewer hot, or add "
        "targets; see `cairn tier policy test PATH`");
    items.push_back(std::move(item));
  }
  const int64_t oldest = counters_.oldest_waiting_ns;
  const absl::Duration waits = absl::Nanoseconds(meta_.UnixNow() - oldest);
  if (oldest > 0 && waits > kLate) {
    wire::HealthItem item = MakeHealthItem("TIER_LATE", wire::HEALTH_WARNING);
    item.set_summary(StrCat("a step of tiering has waited for ",
                            absl::FormatDuration(absl::Floor(waits, absl::Minutes(1)))));
    item.set_endangers(
        "what is not copied is on the targets alone, and its space is not let go of");
    item.set_todo("see what is under way: cairn tier queue; a limit of bandwidth may be too low");
    item.set_since_ns(oldest);
    items.push_back(std::move(item));
  }
  return items;
}

TierLoop::Counters TierLoop::counters() const {
  Counters counters = counters_;
  counters.deleted_objects = collector_.deleted_objects();
  counters.compacted_bytes = collector_.compacted_bytes();
  return counters;
}

}  // namespace cairn
