#include "server/meta/meta_engine.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "common/base/check.h"
#include "common/base/posix_error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/task/when_all.h"
#include "common/telemetry/log.h"
#include "server/meta/format.h"

namespace cairn {
namespace {

// Leases ended at once; more wait for the next look.
constexpr size_t kExpiredAtOnce = 256;
// Records a cleanup command handles: about a millisecond, so that it does not hold up the group it
// is in.
constexpr uint32_t kCleanupItems = 256;
// What is refused is mostly a full queue, which is short soon, or a full disk, which is not.
constexpr absl::Duration kCleanupPause = absl::Seconds(5);
constexpr size_t kMaxSetAside = 1000;
// What is lost with the machine's power if nobody has asked for more (fs.proto says a second).
constexpr absl::Duration kUnsyncedMax = absl::Milliseconds(500);
// Mounts tell what they have closed as often.
constexpr absl::Duration kOrphanPause = absl::Seconds(2);
constexpr size_t kOrphansAtOnce = 1000;
constexpr size_t kLocksOfMountMax = 100'000;
// Writers in need ask again every second or so.
constexpr absl::Duration kHurry = absl::Seconds(10);

}  // namespace

MetaEngine::MetaEngine(Kv& kv, BlockingRunner& write_runner, BlockingRunner& read_runner,
                       BlockingRunner& walk_runner, const Clock& clock, MetaOptions options)
    : kv_(kv),
      write_runner_(write_runner),
      reads_{read_runner, kMaxQueries},
      walks_{walk_runner, kMaxWalks},
      clock_(clock),
      options_(options),
      store_(kv),
      command_clock_(clock),
      leases_(clock, options.lease_ttl),
      committer_(kv, write_runner, [this](const Effects& effects) { OnCommitted(effects); }) {}

MetaEngine::~MetaEngine() { CAIRN_CHECK(scope_.running() == 0); }

Task<absl::Status> MetaEngine::Start(std::string cluster_id) {
  CAIRN_CHECK(!started_);
  absl::StatusOr<std::string> opened;
  absl::StatusOr<std::vector<LeaseId>> leases;
  absl::StatusOr<std::vector<OpenAttempt>> attempts;
  absl::StatusOr<uint64_t> buffered, orphans;
  const int64_t now_ns = LookAtClock().unix_ns;
  absl::AnyInvocable<void()> open = [&, now_ns] {
    opened = OpenStore(kv_, cluster_id, now_ns);
    if (!opened.ok()) return;
    leases = store_.Leases();
    attempts = store_.OpenAttempts();
    buffered = store_.Count(Counter::kBuffered);
    orphans = store_.Count(Counter::kOrphans);
  };
  co_await write_runner_.Run(std::move(open));
  if (!opened.ok()) co_return opened.status();
  if (!leases.ok()) co_return leases.status();
  if (!buffered.ok()) co_return buffered.status();
  if (!orphans.ok()) co_return orphans.status();
  cluster_id_ = *opened;
  for (const LeaseId lease : *leases) leases_.Grant(lease);
  // Only metrics are the poorer for it: what is damaged says so to whoever needs it.
  if (attempts.ok()) saves_.Recover(*attempts);
  started_ = true;
  cleanup_wanted_.Set();
  scope_.Spawn(committer_.Run());
  scope_.Spawn(RunLeaseLoop());
  scope_.Spawn(RunCleanupLoop());
  scope_.Spawn(RunSyncLoop());
  scope_.Spawn(RunOrphanLoop());
  mounts_.Start(clock_, *buffered > 0);
  directory_leases_.Start(clock_);
  if (*orphans > 0) orphans_wanted_.Set();
  if (*buffered > 0) {
    absl::StatusOr<disk::NoteStartReply> noted = co_await Mutate(disk::NoteStart());
    if (!noted.ok()) co_return noted.status();
  }
  co_return absl::OkStatus();
}

Task<void> MetaEngine::Stop() {
  stop_.RequestStop();
  cleanup_wanted_.Set();
  sync_wanted_.Set();
  orphans_wanted_.Set();
  directory_leases_.Stop();
  committer_.Stop();
  co_await scope_.Join();
}

Task<absl::StatusOr<std::string>> MetaEngine::Execute(disk::Command command, MutationId id) {
  if (!started_) co_return absl::UnavailableError("the metadata service has not started");
  command.set_client(id.client);
  command.set_sequence(id.sequence);
  const CommandTime now = LookAtClock();
  command.set_time_ns(now.unix_ns);
  command.set_clock_in_doubt(now.in_doubt);
  if (mounts_.AnyLive()) command.set_mounts_are_live(true);
  if (command.has_begin_checkpoint()) {
    for (const LeaseId lease : leases_.Expired(kExpiredAtOnce))
      command.add_expired_leases(lease.value());
  }
  absl::StatusOr<std::string> reply = co_await committer_.Execute(std::move(command));
  co_return reply;
}

CommandTime MetaEngine::LookAtClock() {
  const bool was_in_doubt = command_clock_.in_doubt();
  const CommandTime now = command_clock_.Now();
  if (now.in_doubt && !was_in_doubt) {
    CAIRN_LOG_WARN(
        "the wall clock has jumped by {}: until it is back or cairnd is restarted, rules about the "
        "age of checkpoints remove nothing",
        absl::FormatDuration(command_clock_.wall_ahead()));
  }
  if (!now.in_doubt && was_in_doubt) CAIRN_LOG_WARN("the wall clock is back; ages count again");
  return now;
}

MetaHealth MetaEngine::Health() const {
  MetaHealth health;
  health.clock_steps = command_clock_.steps();
  health.cleanup_failures = cleanup_failures_;
  health.cleanup_set_aside = cleanup_set_aside_.size();
  if (!cleanup_set_aside_.empty()) {
    health.warnings.push_back(
        StrCat(cleanup_set_aside_.size(),
               " tasks of put-off work have failed, so some removed "
               "data keeps its space; the log says why, a restart tries them again"));
  }
  if (command_clock_.in_doubt()) {
    health.warnings.push_back(StrCat(
        "the wall clock has jumped by ", absl::FormatDuration(command_clock_.wall_ahead()),
        "; rules about the age of checkpoints remove nothing until it is back; if it is right "
        "now, restart cairnd"));
  }
  return health;
}

void MetaEngine::OnCommitted(const Effects& effects) {
  for (const LeaseId lease : effects.granted_leases) leases_.Grant(lease);
  for (const LeaseId lease : effects.ended_leases) leases_.End(lease);
  for (const SaveEvent& event : effects.saves) saves_.Note(event);
  for (const Effects::Touch& touch : effects.touches)
    directory_leases_.Break(touch.directory, touch.client);
  if (effects.cleanup_queued) cleanup_wanted_.Set();
  if (effects.orphans_made) orphans_wanted_.Set();
  if (committer_.has_unsynced()) sync_wanted_.Set();
  if (effects.tiering_wanted && wake_tiering_) wake_tiering_();
}

wire::RenewLeasesReply MetaEngine::RenewLeases(const wire::RenewLeasesRequest& request) {
  wire::RenewLeasesReply reply;
  for (const uint64_t lease : request.leases()) {
    if (!leases_.Renew(LeaseId(lease))) reply.add_ended(lease);
  }
  return reply;
}

Task<absl::Status> MetaEngine::RunQuery(Queries& queries, absl::AnyInvocable<void()> work) {
  if (absl::Status failed = committer_.failure(); !failed.ok()) co_return failed;
  if (queries.waiting >= queries.limit) {
    co_return absl::UnavailableError(
        "the metadata service has too many queries waiting; try again");
  }
  ++queries.waiting;
  co_await queries.runner.Run(std::move(work));
  --queries.waiting;
  co_return absl::OkStatus();
}

Task<absl::StatusOr<MetaCounters>> MetaEngine::Counters() {
  absl::StatusOr<MetaCounters> counters;
  absl::AnyInvocable<void()> work = [this, &counters] { counters = store_.Counters(); };
  absl::Status ran = co_await RunQuery(reads_, std::move(work));
  if (!ran.ok()) co_return ran;
  co_return counters;
}

Task<absl::StatusOr<std::vector<ReclaimItem>>> MetaEngine::NextReclaim(size_t limit,
                                                                       ReclaimPosition from) {
  // What is freed on the targets does not come back with a power cut.
  if (committer_.has_unsynced()) {
    absl::StatusOr<wire::SyncNamespaceReply> synced = co_await Mutate(wire::SyncNamespaceRequest());
    if (!synced.ok()) co_return synced.status();
  }
  absl::StatusOr<MetaCounters> counters = co_await Counters();
  if (!counters.ok()) co_return counters.status();
  const uint64_t below = ReclaimableBelow(counters->next_pending_sequence);
  absl::StatusOr<std::vector<ReclaimItem>> items;
  absl::AnyInvocable<void()> work = [this, &items, from, below, limit] {
    items = store_.Reclaimable(from, below, limit);
  };
  absl::Status ran = co_await RunQuery(reads_, std::move(work));
  if (!ran.ok()) co_return ran;
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

Task<absl::StatusOr<StripePage>> MetaEngine::Stripes(uint64_t from, uint64_t stripes_max,
                                                     bool with_pending) {
  absl::StatusOr<StripePage> page;
  absl::AnyInvocable<void()> work = [this, &page, from, stripes_max, with_pending] {
    page = store_.Stripes(from, stripes_max, with_pending);
  };
  absl::Status ran = co_await RunQuery(walks_, std::move(work));
  if (!ran.ok()) co_return ran;
  co_return page;
}

Task<absl::StatusOr<LeaseId>> MetaEngine::LeaseBound() {
  absl::StatusOr<LeaseId> bound;
  absl::AnyInvocable<void()> work = [this, &bound] { bound = store_.NextLease(); };
  absl::Status ran = co_await RunQuery(reads_, std::move(work));
  if (!ran.ok()) co_return ran;
  co_return bound;
}

Task<absl::StatusOr<TierPage>> MetaEngine::TierFiles(InodeId subject, TierCursor from,
                                                     size_t runs_max) {
  absl::StatusOr<TierPage> page;
  absl::AnyInvocable<void()> work = [this, &page, &from, subject, runs_max] {
    page = store_.TierFiles(subject, from, runs_max);
  };
  absl::Status ran = co_await RunQuery(walks_, std::move(work));
  if (!ran.ok()) co_return ran;
  co_return page;
}

Task<absl::StatusOr<TierTaskPage>> MetaEngine::TierTasks(TierTaskFilter filter, std::string from,
                                                         size_t limit) {
  absl::StatusOr<TierTaskPage> tasks;
  absl::AnyInvocable<void()> work = [this, &tasks, &filter, &from, limit] {
    tasks = store_.TierTasks(filter, from, limit);
  };
  absl::Status ran = co_await RunQuery(reads_, std::move(work));
  if (!ran.ok()) co_return ran;
  co_return tasks;
}

Task<absl::StatusOr<std::vector<ColdObjectFound>>> MetaEngine::ColdObjects(ColdQueue queue,
                                                                           uint64_t from,
                                                                           size_t limit) {
  absl::StatusOr<std::vector<ColdObjectFound>> found;
  absl::AnyInvocable<void()> work = [this, &found, queue, from, limit] {
    found = store_.ColdObjects(queue, from, limit);
  };
  absl::Status ran = co_await RunQuery(reads_, std::move(work));
  if (!ran.ok()) co_return ran;
  co_return found;
}

Task<absl::StatusOr<std::vector<ColdPartOf>>> MetaEngine::ColdParts(uint64_t object) {
  absl::StatusOr<std::vector<ColdPartOf>> parts;
  absl::AnyInvocable<void()> work = [this, &parts, object] { parts = store_.ColdParts(object); };
  absl::Status ran = co_await RunQuery(reads_, std::move(work));
  if (!ran.ok()) co_return ran;
  co_return parts;
}

Task<absl::StatusOr<InodeId>> MetaEngine::TierSubjectAt(std::string path) {
  absl::StatusOr<InodeId> subject;
  absl::AnyInvocable<void()> work = [this, &subject, &path] {
    subject = store_.TierSubjectAt(path);
  };
  absl::Status ran = co_await RunQuery(reads_, std::move(work));
  if (!ran.ok()) co_return ran;
  co_return subject;
}

Task<absl::StatusOr<std::optional<disk::TierSubjectRecord>>> MetaEngine::TierSubject(
    InodeId subject) {
  absl::StatusOr<std::optional<disk::TierSubjectRecord>> record;
  absl::AnyInvocable<void()> work = [this, &record, subject] {
    record = store_.TierSubject(subject);
  };
  absl::Status ran = co_await RunQuery(reads_, std::move(work));
  if (!ran.ok()) co_return ran;
  co_return record;
}

Task<absl::StatusOr<std::string>> MetaEngine::TierPath(InodeId subject) {
  absl::StatusOr<std::string> path;
  absl::AnyInvocable<void()> work = [this, &path, subject] { path = store_.TierPath(subject); };
  absl::Status ran = co_await RunQuery(reads_, std::move(work));
  if (!ran.ok()) co_return ran;
  co_return path;
}

void MetaEngine::HurryReclaim() { hurry_until_ = clock_.Now() + kHurry; }

uint64_t MetaEngine::ReclaimableBelow(uint64_t next_sequence) {
  const MonoTime now = clock_.Now();
  if (now < hurry_until_) return next_sequence;
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
  for (;;) {
    absl::Status slept = co_await SleepFor(leases_.look_interval(), stop_);
    if (!slept.ok()) co_return;
    LookAtClock();
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
      absl::StatusOr<bool> done = co_await CleanUpSome();
      if (done.ok()) {
        more = *done;
        continue;
      }
      // A store that has failed does nothing more until the restart.
      if (stop_.stop_requested() || !committer_.failure().ok()) co_return;
      ++cleanup_failures_;
      CAIRN_LOG_WARN("put-off work of the metadata waits, will be tried again: {}", done.status());
      absl::Status slept = co_await SleepFor(kCleanupPause, stop_);
      if (!slept.ok()) co_return;
    }
  }
}

Task<void> MetaEngine::RunSyncLoop() {
  for (;;) {
    co_await sync_wanted_;
    if (stop_.stop_requested()) co_return;
    sync_wanted_.Reset();
    absl::Status slept = co_await SleepFor(kUnsyncedMax, stop_);
    if (!slept.ok()) co_return;
    if (!committer_.has_unsynced()) continue;
    absl::StatusOr<wire::SyncNamespaceReply> synced = co_await Mutate(wire::SyncNamespaceRequest());
    // A full store, or a full queue: the next look tries again, and a failed store tells everybody.
    if (!synced.ok() && committer_.failure().ok()) sync_wanted_.Set();
  }
}

Task<void> MetaEngine::RunOrphanLoop() {
  for (;;) {
    co_await orphans_wanted_;
    if (stop_.stop_requested()) co_return;
    orphans_wanted_.Reset();
    for (bool more = true; more;) {
      absl::Status slept = co_await SleepFor(kOrphanPause, stop_);
      if (!slept.ok()) co_return;
      absl::Status reaped = co_await ReapSome(&more);
      if (reaped.ok()) continue;
      if (!committer_.failure().ok()) co_return;
      CAIRN_LOG_WARN("files without a name wait, will be tried again: {}", reaped);
      more = true;
    }
  }
}

Task<absl::Status> MetaEngine::ReapSome(bool* more) {
  *more = false;
  InodeId after;
  for (bool last = false; !last;) {
    absl::StatusOr<std::vector<InodeId>> orphans;
    absl::AnyInvocable<void()> work = [this, &orphans, after] {
      orphans = store_.Orphans(after, kOrphansAtOnce);
    };
    absl::Status ran = co_await RunQuery(reads_, std::move(work));
    if (!ran.ok()) co_return ran;
    if (!orphans.ok()) co_return orphans.status();
    last = orphans->size() < kOrphansAtOnce;
    disk::ReapOrphans reap;
    for (const InodeId inode : *orphans) {
      after = inode;
      if (mounts_.MayBeOpen(inode.value())) {
        *more = true;
      } else {
        reap.add_inodes(inode.value());
      }
    }
    if (reap.inodes().empty()) continue;
    absl::StatusOr<disk::ReapOrphansReply> reaped = co_await Mutate(std::move(reap));
    if (!reaped.ok()) co_return reaped.status();
  }
  co_return absl::OkStatus();
}

Task<absl::StatusOr<wire::OpenNodeReply>> MetaEngine::OpenNode(wire::OpenNodeRequest request) {
  const uint64_t mount = request.mount(), inode = request.node().inode();
  // First: from here on it is not let go of.
  const bool is_first = mounts_.Open(mount, inode);
  absl::StatusOr<wire::OpenNodeReply> reply = co_await Query(std::move(request));
  if (!reply.ok() && is_first) mounts_.Close(mount, inode);
  co_return reply;
}

wire::RenewMountReply MetaEngine::RenewMount(const wire::RenewMountRequest& request) {
  return mounts_.Renew(request);
}

absl::StatusOr<wire::LockFileReply> MetaEngine::LockFile(const wire::LockFileRequest& request) {
  FileLocks& locks = mounts_.locks();
  wire::LockFileReply reply;
  const bool unlocks = request.lock().type() == wire::FILE_LOCK_UNLOCK;
  if (mounts_.InGrace() && !unlocks) {
    // Others may have it, who have not had the time to say so.
    reply.set_granted(false);
    return reply;
  }
  if (!request.test() && !unlocks && locks.SizeOf(request.mount()) >= kLocksOfMountMax)
    return PosixError(ENOLCK, "this mount holds too many locks");
  const FileLocks::Result result = request.test() ? locks.Test(request.mount(), request.lock())
                                                  : locks.Set(request.mount(), request.lock());
  reply.set_granted(result.granted);
  if (result.conflict.has_value()) {
    *reply.mutable_conflict() = *result.conflict;
    reply.set_conflict_is_elsewhere(result.conflict_mount != request.mount());
  }
  return reply;
}

// Whether there is more to do.
Task<absl::StatusOr<bool>> MetaEngine::CleanUpSome() {
  disk::RunCleanup request;
  request.set_max_items(kCleanupItems);
  request.mutable_skip()->Add(cleanup_set_aside_.begin(), cleanup_set_aside_.end());
  absl::StatusOr<disk::RunCleanupReply> reply = co_await Mutate(std::move(request));
  if (!reply.ok()) co_return reply.status();
  if (reply->failed() == 0) co_return reply->more();
  ++cleanup_failures_;
  CAIRN_LOG_ERROR("task {} of the metadata's put-off work failed and is left until a restart: {}",
                  reply->failed(), reply->failure());
  // Many damaged records are a damaged store: the rest waits for somebody to look at it.
  if (cleanup_set_aside_.size() == kMaxSetAside) co_return false;
  cleanup_set_aside_.push_back(reply->failed());
  co_return reply->more();
}

}  // namespace cairn
