#include "server/meta/meta_engine.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/task/when_all.h"
#include "server/meta/format.h"

namespace cairn {
namespace {

// Leases ended at once; more wait for the next look.
constexpr size_t kExpiredAtOnce = 256;
// Records a cleanup command handles: about a millisecond, so that it does not hold up the group it
// is in.
constexpr uint32_t kCleanupItems = 256;

}  // namespace

MetaEngine::MetaEngine(Kv& kv, BlockingRunner& write_runner, BlockingRunner& read_runner,
                       const Clock& clock, MetaOptions options)
    : kv_(kv),
      write_runner_(write_runner),
      read_runner_(read_runner),
      clock_(clock),
      options_(options),
      store_(kv),
      leases_(clock, options.lease_ttl),
      committer_(kv, write_runner, [this](const Effects& effects) { OnCommitted(effects); }) {}

MetaEngine::~MetaEngine() { CAIRN_CHECK(scope_.running() == 0); }

Task<absl::Status> MetaEngine::Start(std::string cluster_id) {
  CAIRN_CHECK(!started_);
  absl::StatusOr<std::string> opened;
  absl::StatusOr<std::vector<LeaseId>> leases;
  const int64_t now_ns = absl::ToUnixNanos(clock_.WallNow());
  absl::AnyInvocable<void()> open = [this, &cluster_id, &opened, &leases, now_ns] {
    opened = OpenStore(kv_, cluster_id, now_ns);
    if (opened.ok()) leases = store_.Leases();
  };
  co_await write_runner_.Run(std::move(open));
  if (!opened.ok()) co_return opened.status();
  if (!leases.ok()) co_return leases.status();
  cluster_id_ = *opened;
  for (const LeaseId lease : *leases) leases_.Grant(lease);
  started_ = true;
  cleanup_wanted_.Set();
  scope_.Spawn(committer_.Run());
  scope_.Spawn(RunLeaseLoop());
  scope_.Spawn(RunCleanupLoop());
  co_return absl::OkStatus();
}

Task<void> MetaEngine::Stop() {
  stop_.RequestStop();
  cleanup_wanted_.Set();
  committer_.Stop();
  co_await scope_.Join();
}

Task<absl::StatusOr<std::string>> MetaEngine::Execute(disk::Command command, MutationId id) {
  if (!started_) co_return absl::UnavailableError("the metadata service has not started");
  command.set_client(id.client);
  command.set_sequence(id.sequence);
  command.set_time_ns(absl::ToUnixNanos(clock_.WallNow()));
  if (command.has_begin_checkpoint()) {
    for (const LeaseId lease : leases_.Expired(kExpiredAtOnce))
      command.add_expired_leases(lease.value());
  }
  absl::StatusOr<std::string> reply = co_await committer_.Execute(std::move(command));
  co_return reply;
}

void MetaEngine::OnCommitted(const Effects& effects) {
  for (const LeaseId lease : effects.granted_leases) leases_.Grant(lease);
  for (const LeaseId lease : effects.ended_leases) leases_.End(lease);
  if (effects.cleanup_queued) cleanup_wanted_.Set();
}

wire::RenewLeasesReply MetaEngine::RenewLeases(const wire::RenewLeasesRequest& request) {
  wire::RenewLeasesReply reply;
  for (const uint64_t lease : request.leases()) {
    if (!leases_.Renew(LeaseId(lease))) reply.add_ended(lease);
  }
  return reply;
}

Task<absl::StatusOr<MetaCounters>> MetaEngine::Counters() {
  absl::StatusOr<MetaCounters> counters;
  absl::AnyInvocable<void()> work = [this, &counters] { counters = store_.Counters(); };
  co_await read_runner_.Run(std::move(work));
  co_return counters;
}

Task<absl::StatusOr<std::vector<ReclaimItem>>> MetaEngine::NextReclaim(size_t limit,
                                                                       ReclaimPosition from) {
  absl::StatusOr<MetaCounters> counters = co_await Counters();
  if (!counters.ok()) co_return counters.status();
  const uint64_t below = ReclaimableBelow(counters->next_pending_sequence);
  absl::StatusOr<std::vector<ReclaimItem>> items;
  absl::AnyInvocable<void()> work = [this, &items, from, below, limit] {
    items = store_.Reclaimable(from, below, limit);
  };
  co_await read_runner_.Run(std::move(work));
  co_return items;
}

Task<absl::Status> MetaEngine::ReclaimDone(std::vector<ReclaimItem> items) {
  disk::FinishReclaim request;
  for (const ReclaimItem& item : items) {
    disk::FinishReclaim::Item& done = *request.add_items();
    done.set_sequence(item.sequence);
    done.set_next_stripe(item.next_stripe);
  }
  absl::StatusOr<disk::FinishReclaimReply> reply = co_await Mutate(std::move(request));
  co_return reply.status();
}

uint64_t MetaEngine::ReclaimableBelow(uint64_t next_sequence) {
  const MonoTime now = clock_.Now();
  if (grace_marks_.empty() ||
      now - grace_marks_.back().at >= options_.reclaim_grace / kGraceMarks) {
    grace_marks_.push_back({now, next_sequence});
  }
  uint64_t below = 0;
  size_t passed = 0;
  for (; passed < grace_marks_.size() && grace_marks_[passed].at + options_.reclaim_grace <= now;
       ++passed) {
    below = grace_marks_[passed].sequence;
  }
  // The newest mark whose grace has passed stays: it answers until the next one's has.
  if (passed > 1)
    grace_marks_.erase(grace_marks_.begin(),
                       grace_marks_.begin() + static_cast<ptrdiff_t>(passed) - 1);
  return below;
}

Task<void> MetaEngine::RunLeaseLoop() {
  const absl::Duration interval = options_.lease_ttl / 8;
  for (;;) {
    absl::Status slept = co_await SleepFor(interval, stop_);
    if (!slept.ok()) co_return;
    std::vector<Task<absl::StatusOr<disk::ExpireLeaseReply>>> endings;
    for (const LeaseId lease : leases_.Expired(kExpiredAtOnce)) {
      disk::ExpireLease request;
      request.set_lease(lease.value());
      endings.push_back(Mutate(std::move(request)));
    }
    // One that fails (a full queue) is tried again at the next look.
    auto replies = co_await WhenAll(std::move(endings));
  }
}

Task<void> MetaEngine::RunCleanupLoop() {
  for (;;) {
    co_await cleanup_wanted_;
    if (stop_.stop_requested()) co_return;
    cleanup_wanted_.Reset();
    for (bool more = true; more && !stop_.stop_requested();) {
      disk::RunCleanup request;
      request.set_max_items(kCleanupItems);
      absl::StatusOr<disk::RunCleanupReply> reply = co_await Mutate(std::move(request));
      // What failed is tried again when more is put off, and after a restart.
      more = reply.ok() && reply->more();
    }
  }
}

}  // namespace cairn
