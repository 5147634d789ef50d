// The metadata of a cluster, as the service layer sees it: mutations, queries, leases, and what the
// reclaim loop asks. Wires the state machine, the group commit (commit.h, next on the data path),
// the queries (meta_store.h) and the lease table together, and runs the two background loops.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/task/blocking.h"
#include "common/task/scope.h"
#include "common/task/stop.h"
#include "common/task/task.h"
#include "server/kv/kv.h"
#include "server/meta/cold.h"
#include "server/meta/command_clock.h"
#include "server/meta/commands.h"
#include "server/meta/commit.h"
#include "server/meta/directory_leases.h"
#include "server/meta/lease.h"
#include "server/meta/meta_store.h"
#include "server/meta/mount_table.h"
#include "server/meta/save_log.h"
#include "server/meta/tier_files.h"

namespace cairn {

struct MetaOptions {
  // A lease that is not renewed for so long ends, and its attempt with it. Long enough for a rank
  // that swaps or stops for a while, short enough that a killed job's successor does not wait.
  absl::Duration lease_ttl = absl::Seconds(60);
  // How long the stripes of a removed file stay on the targets for readers that opened it before.
  absl::Duration reclaim_grace = absl::Seconds(60);
};

// What an operator should know of an engine.
struct MetaHealth {
  std::vector<std::string> warnings;  // what asks for somebody to look after it
  uint64_t clock_steps = 0;           // how often the wall clock has jumped
  uint64_t cleanup_failures = 0;      // of commands that do put-off work, and of tasks in them
  uint64_t cleanup_set_aside = 0;     // tasks that have failed, until a restart
};

// Lives on one executor; the runners outlive it. REQUIRES: `write_runner` has one thread.
class MetaEngine {
 public:
  // Queries that walk far run on `walk_runner`, so that those for one path and the reclaim loop do
  // not wait for them.
  MetaEngine(Kv& kv, BlockingRunner& write_runner, BlockingRunner& read_runner,
             BlockingRunner& walk_runner, const Clock& clock, MetaOptions options);
  ~MetaEngine();
  MetaEngine(const MetaEngine&) = delete;
  MetaEngine& operator=(const MetaEngine&) = delete;

  // Makes an empty store the store of `cluster_id`, with one bucket "default"; of a store with
  // content checks that it is (""  takes any). Gives every lease a full TTL and starts the loops.
  // FAILED_PRECONDITION: another cluster, or a format this build does not read; says which.
  Task<absl::Status> Start(std::string cluster_id);
  // Lets what was accepted finish, and ends the loops. Mutations after it are UNAVAILABLE.
  Task<void> Stop();
  // After Start().
  const std::string& cluster_id() const { return cluster_id_; }

  // Applies a mutation and makes it durable, together with all others that wait. With a nonzero id,
  // a repetition gets the first result and changes nothing. RESOURCE_EXHAUSTED: the store is full;
  // what frees space still goes. Any error means that nothing was changed, but for UNAVAILABLE
  // "metadata store failed", after which the outcome is unknown until a restart.
  template <class Request>
  Task<absl::StatusOr<MutationReply<Request>>> Mutate(Request request, MutationId id = {}) {
    disk::Command command;
    *meta_internal::Mutation<Request>::Body(command) = std::move(request);
    absl::StatusOr<std::string> bytes = co_await Execute(std::move(command), id);
    if (!bytes.ok()) co_return bytes.status();
    MutationReply<Request> reply;
    if (!reply.ParseFromString(*bytes))
      co_return absl::InternalError("a stored reply does not parse");
    if constexpr (requires { reply.set_lease_ttl_ms(0); }) {
      reply.set_lease_ttl_ms(static_cast<uint64_t>(absl::ToInt64Milliseconds(options_.lease_ttl)));
    }
    co_return reply;
  }

  // Answers from the store, without waiting for mutations under way. Sees every mutation that was
  // replied to. UNAVAILABLE: too many queries wait (come back), or the store has failed.
  template <class Request>
  Task<absl::StatusOr<QueryReply<Request>>> Query(Request request) {
    absl::StatusOr<QueryReply<Request>> reply = absl::InternalError("the query did not run");
    absl::AnyInvocable<void()> work = [this, &request, &reply] { reply = store_.Answer(request); };
    absl::Status ran = co_await RunQuery(kQueryWalks<Request> ? walks_ : reads_, std::move(work));
    if (!ran.ok()) co_return ran;
    co_return reply;
  }

  // Renews leases in memory; never blocks. Names those that have ended or are unknown.
  wire::RenewLeasesReply RenewLeases(const wire::RenewLeasesRequest& request);

  // False once a lease has ended or run out: nobody may refer to what was written under it any
  // more.
  bool LeaseIsLive(LeaseId lease) const { return leases_.IsLive(lease); }
  // False once its end has been applied, too: what was written under it and is not referred to is
  // queued for reclaim, or has been.
  bool LeaseIsKnown(LeaseId lease) const { return leases_.IsKnown(lease); }
  // Whether a lease below `bound` may still come to refer to something.
  bool AnyLeaseBelow(LeaseId bound) const { return leases_.AnyBelow(bound); }
  // Every lease that exists is below it.
  Task<absl::StatusOr<LeaseId>> LeaseBound();

  // -- mounts (fs.proto). What they have open and locked is in memory alone.
  Task<absl::StatusOr<wire::OpenNodeReply>> OpenNode(wire::OpenNodeRequest request);
  // Made just now, for a mount that has it open.
  void NoteOpen(uint64_t mount, InodeId inode) { (void)mounts_.Open(mount, inode.value()); }
  wire::RenewMountReply RenewMount(const wire::RenewMountRequest& request);
  absl::StatusOr<wire::LockFileReply> LockFile(const wire::LockFileRequest& request);
  const MountTable& mounts() const { return mounts_; }
  DirectoryLeases& directory_leases() { return directory_leases_; }
  std::vector<wire::MountLoad> BusiestMounts(size_t count) { return mounts_.Busiest(count); }

  // Counts of what there is, kept up to date by every mutation.
  Task<absl::StatusOr<MetaCounters>> Counters();

  MetaHealth Health() const;

  // For metrics: what has been committed, what waits, and how saves go.
  const GroupCommitter& committer() const { return committer_; }
  const SaveLog& saves() const { return saves_; }
  size_t leases() const { return leases_.size(); }
  size_t queries_waiting() const { return reads_.waiting + walks_.waiting; }

  // Up to about `limit` ranges of stripes that the targets may free now: whatever the entries hold
  // less what is referenced, once their grace has passed. Restartable: what is not reported done
  // comes again, unless `from` lies behind it.
  Task<absl::StatusOr<std::vector<ReclaimItem>>> NextReclaim(size_t limit,
                                                             ReclaimPosition from = {});
  // All targets have freed these durably (or never had them).
  Task<absl::Status> ReclaimDone(std::vector<ReclaimItem> items);

  // See stripe_walk.h.
  Task<absl::StatusOr<StripePage>> Stripes(uint64_t from, uint64_t stripes_max, bool with_pending);

  // See tier_files.h, cold.h and meta_store.h.
  Task<absl::StatusOr<TierPage>> TierFiles(InodeId subject, TierCursor from, size_t runs_max);
  Task<absl::StatusOr<TierTaskPage>> TierTasks(TierTaskFilter filter, std::string from,
                                               size_t limit);
  Task<absl::StatusOr<std::vector<ColdObjectFound>>> ColdObjects(ColdQueue queue, uint64_t from,
                                                                 size_t limit);
  Task<absl::StatusOr<std::vector<ColdPartOf>>> ColdParts(uint64_t object);
  Task<absl::StatusOr<std::string>> TierPath(InodeId subject);
  // Of the checkpoint or file at a path, or of the checkpoint that it is part of.
  Task<absl::StatusOr<InodeId>> TierSubjectAt(std::string path);
  // nullopt: nothing is known of it.
  Task<absl::StatusOr<std::optional<disk::TierSubjectRecord>>> TierSubject(InodeId subject);
  // Called when a checkpoint or file is due, or a step waits.
  void OnTieringWanted(std::function<void()> wake) { wake_tiering_ = std::move(wake); }
  // A lease of the service's own stays alive.
  bool RenewLease(LeaseId lease) { return leases_.Renew(lease); }
  // Writers find all targets full: for some seconds what nothing refers to is freed at once, at the
  // expense of readers that have opened it before.
  void HurryReclaim();
  CommandTime WallTime() { return LookAtClock(); }
  int64_t UnixNow() const { return absl::ToUnixNanos(clock_.WallNow()); }

  absl::Duration lease_ttl() const { return options_.lease_ttl; }

  // Clients decide how many queries come, and a pool's queue has an end that is not for them. Of
  // those that are a few reads, so many wait for a second at most; walks are a hundred times
  // slower, and there is one thread for them.
  static constexpr size_t kMaxQueries = 16384;
  static constexpr size_t kMaxWalks = 256;

 private:
  // The queries of one runner.
  struct Queries {
    BlockingRunner& runner;
    const size_t limit;
    size_t waiting = 0;
  };
  Task<absl::Status> RunQuery(Queries& queries, absl::AnyInvocable<void()> work);
  Task<absl::StatusOr<std::string>> Execute(disk::Command command, MutationId id);
  Task<void> RunLeaseLoop();
  Task<void> RunCleanupLoop();
  // Makes durable what was replied to before it was.
  Task<void> RunSyncLoop();
  // Lets files go that no name leads to, once no mount has them open.
  Task<void> RunOrphanLoop();
  Task<absl::Status> ReapSome(bool* more);
  Task<absl::StatusOr<bool>> CleanUpSome();
  void OnCommitted(const Effects& effects);
  CommandTime LookAtClock();
  uint64_t ReclaimableBelow(uint64_t next_sequence);

  static constexpr size_t kGraceMarks = 16;

  Kv& kv_;
  BlockingRunner& write_runner_;
  Queries reads_;
  Queries walks_;
  const Clock& clock_;
  const MetaOptions options_;
  MetaStore store_;
  CommandClock command_clock_;
  LeaseTable leases_;
  SaveLog saves_;
  GroupCommitter committer_;
  std::string cluster_id_;
  std::function<void()> wake_tiering_;
  MonoTime hurry_until_;

  bool started_ = false;
  StopSource stop_;
  Event cleanup_wanted_;
  Event sync_wanted_;
  Event orphans_wanted_;
  MountTable mounts_;
  DirectoryLeases directory_leases_;
  uint64_t cleanup_failures_ = 0;
  // Sequences of put-off tasks that have failed. A damaged record does not heal, and the tasks
  // behind it must not wait for it.
  std::vector<uint64_t> cleanup_set_aside_;
  Scope scope_;
  // Pending-free entries below `sequence` existed at `at`. Grace is measured on the monotonic clock
  // since this process has known an entry, so steps of the wall clock and restarts never shorten
  // it.
  struct GraceMark {
    MonoTime at;
    uint64_t sequence;
  };
  std::vector<GraceMark> grace_marks_;  // oldest first, some kGraceMarks a grace
};

}  // namespace cairn
