// A target: one device, the index of what lies on it, and the space that is free. Fragments are
// written unsynced and stay pending in memory until a seal makes them durable: bytes durable →
// record durable → reply. The work is in chunk_write.cc, chunk_seal.cc, chunk_read.cc,
// target_open.cc and target_probe.cc.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/random.h"
#include "common/task/blocking.h"
#include "common/task/deadline.h"
#include "common/task/event.h"
#include "common/task/scope.h"
#include "common/task/task.h"
#include "common/telemetry/operation_times.h"
#include "server/chunk/chunk_index.h"
#include "server/chunk/extent_allocator.h"
#include "server/chunk/fragment.h"
#include "server/chunk/superblock.h"
#include "server/disk/disk.h"

namespace cairn {

// Lives on one executor. After the first failed flush or index write, and when its device is gone,
// it has failed: every call then answers FAILED_PRECONDITION that names the cause, because what is
// durable is unknown and a retry would lie. Buffers passed in belong to the target until the call
// returns.
class Target {
 public:
  struct Options {
    std::string cluster_id;
    TargetId id;
    // About 400 bytes each, with the checksums of 4 MiB: 1 TiB of stripes in 100 MiB of memory.
    size_t pending_fragments_max = 256 * 1024;
  };
  struct ReadResult {
    MutableBytes bytes;  // exactly what was asked for, inside the caller's slab
    std::vector<uint32_t> piece_crcs;
  };
  // In bytes of the data area, in whole units; the first five add up to the capacity.
  struct Usage {
    uint64_t used = 0;     // sealed
    uint64_t pending = 0;  // written or being written, not sealed
    uint64_t held = 0;     // removed, but a reader is still at it
    uint64_t bad = 0;      // the device refused to write there; out of use until restart
    uint64_t free = 0;
    uint64_t capacity = 0;
    uint64_t fragments = 0;  // sealed
    uint64_t pending_fragments = 0;
  };
  struct Counters {
    int64_t writes = 0;
    int64_t written_bytes = 0;
    int64_t reads = 0;
    int64_t read_bytes = 0;
    int64_t seals = 0;
    int64_t sealed_fragments = 0;
    int64_t freed_fragments = 0;
    int64_t flushes = 0;
    int64_t index_batches = 0;
    int64_t corrupt_blocks = 0;   // read, and not what was written
    int64_t media_errors = 0;     // the device said so itself
    int64_t damaged_records = 0;  // of the index, met by removals
    // Operations of the device that have failed, media errors included.
    int64_t write_errors = 0;
    int64_t read_errors = 0;
    int64_t flush_errors = 0;
  };

  // Of the device's operations, those that were retried elsewhere included; and of seals, from the
  // call to its answer.
  struct Latencies {
    OperationTimes write;
    OperationTimes read;
    OperationTimes flush;
    OperationTimes seal;
  };
  // Of a few reads of 64 KiB, made one after the other.
  struct ProbeResult {
    std::vector<absl::Duration> reads;  // that have returned, with an error too
    absl::Duration pending;             // how long one has not returned; zero: none
    absl::Status error;
  };

  // Opens the target on `disk` with the index in `index_store` (opened with
  // ChunkIndex::Families()), all of which outlive it. Makes a new target of a blank device with an
  // empty index; finishes a making that was interrupted. Errors: FAILED_PRECONDITION: the device or
  // the index belongs to something else (which is said), or has another version. DATA_LOSS:
  // damaged.
  static Task<absl::StatusOr<std::unique_ptr<Target>>> Open(Options options, Disk& disk,
                                                            Kv& index_store, BlockingRunner& runner,
                                                            Random& random);
  // REQUIRES: no call is under way, and Close() has returned.
  ~Target();
  Target(const Target&) = delete;
  Target& operator=(const Target&) = delete;

  // Waits for seals and removals under way. REQUIRES: no further calls.
  Task<void> Close();

  TargetId id() const { return options_.id; }
  // What was repaired at opening; for the log.
  const std::vector<std::string>& warnings() const { return warnings_; }

  // Whether Write() would refuse the fragment, as far as can be said without its bytes: so that
  // nobody moves them in vain. Errors: FAILED_PRECONDITION; RESOURCE_EXHAUSTED: no space.
  absl::Status CheckRoom(FragmentKey key, uint64_t length_bytes) const;
  // True when so many fragments are pending that writers must seal before they write another one
  // than those. Not enforced by Write(): what is under way when it becomes true still fits.
  bool WantsSeal(FragmentKey key) const;

  // Writes a fragment of `length_bytes`, which the caller has checked against `block_crcs` (one per
  // 64 KiB) and padded with zeros to whole units in `data`. On OK it is pending: not durable, not
  // readable, gone at a restart. The same fragment again, pending or sealed, is OK and changes
  // nothing. Errors: FAILED_PRECONDITION: the key has other content, or the device cannot write it
  // in several places or at all. RESOURCE_EXHAUSTED: no space. ABORTED: discarded meanwhile.
  Task<absl::Status> Write(FragmentKey key, LeaseId lease, ConstBytes data, uint64_t length_bytes,
                           std::vector<uint32_t> block_crcs);

  // Makes the fragments that `lease` wrote durable and readable, in one flush and one synced index
  // batch that all seals waiting at that moment share. Those it does not hold are returned (at most
  // 1,000 of them); then nothing was sealed. Sealing twice is OK. Errors: RESOURCE_EXHAUSTED: too
  // much waits already, or the index has no space; nothing is lost, try again.
  Task<absl::StatusOr<std::vector<StripeId>>> Seal(LeaseId lease, std::vector<FragmentRun> runs);

  // A seal from before the check that allows it until its end. The check takes a while, and what it
  // allowed must not be overtaken by a removal that found nothing to remove yet.
  class SealUnderWay {
   public:
    explicit SealUnderWay(Target* target);
    ~SealUnderWay();
    SealUnderWay(const SealUnderWay&) = delete;
    SealUnderWay& operator=(const SealUnderWay&) = delete;

   private:
    Target* target_;
    uint64_t number_;
  };
  // Waits until every SealUnderWay that there is now has ended.
  Task<void> SealsUnderWay();

  // Reads [offset, offset + length) of a sealed fragment, and of the disk only the blocks that this
  // touches, into `slab`, which holds whole blocks. Piece CRCs are those of ReadFragmentReply in
  // proto/wire/chunk.proto. The fragment may be freed meanwhile; its space is not reused before the
  // call returns. What a caller does with the bytes later is unprotected and needs none: they are a
  // copy. Errors: NOT_FOUND; OUT_OF_RANGE; DATA_LOSS: a partial block is not what was written, or
  // media.
  Task<absl::StatusOr<ReadResult>> Read(FragmentKey key, uint64_t offset_bytes,
                                        uint64_t length_bytes, MutableBytes slab);

  // Forgets fragments that are not sealed; others are ignored. One whose write is under way is
  // freed when that ends.
  void Discard(std::vector<FragmentRun> runs);
  // As Discard(), for all of a lease. One that is being sealed stays, for reclaim to find.
  void DropLease(LeaseId lease);
  // Those with fragments that are not sealed, but for kRestoreLease: whoever restores fragments
  // sees to his own.
  std::vector<LeaseId> PendingLeases() const;

  // Removes fragments, sealed or not; unknown ones are ignored, and one whose record is damaged
  // stays, is logged and counted. On OK the removal is durable; only then is the space used again,
  // so that no record ever names somebody else's bytes.
  Task<absl::Status> Free(std::vector<FragmentRun> runs);

  // Sealed fragments of stripes in [from, end), in the order of keys, at most `limit`. Damaged
  // records are listed too.
  Task<absl::StatusOr<std::vector<FragmentKey>>> ListFragments(FragmentKey from, StripeId end,
                                                               size_t limit);
  // As ListFragments(), with what the index says of them.
  Task<absl::StatusOr<std::vector<HeldFragment>>> ListHeld(FragmentKey from, StripeId end,
                                                           size_t limit);
  // Of `keys`, those that are sealed here.
  Task<absl::StatusOr<std::vector<HeldFragment>>> FindHeld(std::vector<FragmentKey> keys);

  // Tries the device, until `deadline` at most: a read that hangs goes on, alone, and is told of
  // by later calls. FAILED_PRECONDITION in the result: the target has failed. An error of a read
  // changes nothing.
  Task<ProbeResult> Probe(Deadline deadline);
  const Latencies& latencies() const { return latencies_; }

  Usage usage() const;
  const Counters& counters() const { return counters_; }
  // OK, or why the target has failed.
  const absl::Status& failure() const { return failure_; }

 private:
  struct Pending;
  struct CommitJob;
  struct Holds;
  struct ProbeUnderWay;
  class CallGuard;

  Target(Options options, Disk& disk, Kv& index_store, BlockingRunner& runner);
  // target_open.cc
  Task<absl::Status> Start(Random& random);
  Task<absl::Status> ReadSuperblocks();
  Task<absl::Status> Make(Random& random);
  Task<absl::Status> CheckIdentity();
  Task<absl::Status> WriteSuperblocks();
  Task<absl::Status> Rebuild();
  absl::Status LoadExtents();

  // OK unless the target has failed.
  absl::Status Refusal() const;
  // Fails the target, and returns the refusal.
  absl::Status Fail(const absl::Status& cause);
  // Fails the target, unless the error is about one record or the store had no space and goes on.
  absl::Status IndexError(const absl::Status& error);

  // chunk_write.cc
  absl::Status CheckWrite(const IndexRecord& record, ConstBytes data) const;
  absl::StatusOr<std::shared_ptr<Pending>> Admit(FragmentKey key, IndexRecord record);
  absl::Status NoRoom(uint64_t needed_bytes) const;
  Task<absl::Status> WriteSomewhere(Pending& pending, ConstBytes data);
  Task<void> FindInto(FragmentKey key, absl::StatusOr<std::optional<IndexRecord>>* result);
  void Forget(const std::shared_ptr<Pending>& pending);
  void Drop(const std::shared_ptr<Pending>& pending);
  void DropPending(FragmentKey key);
  void Release(uint64_t Usage::*from, Extent extent);

  // chunk_seal.cc
  Task<absl::StatusOr<std::vector<StripeId>>> SealHeld(LeaseId lease,
                                                       std::vector<FragmentRun> runs);
  absl::Status Collect(LeaseId lease, const std::vector<FragmentRun>& runs,
                       const absl::flat_hash_set<FragmentKey>& sealed, CommitJob* job,
                       std::vector<FragmentKey>* unknown);
  Task<absl::Status> Commit(CommitJob& job);
  Task<void> CommitWaiting();
  Task<void> CommitRound(const std::vector<CommitJob*>& round);
  Task<absl::Status> CommitSeals(const std::vector<CommitJob*>& round);
  Task<absl::Status> CommitFrees(const std::vector<CommitJob*>& round);

  // chunk_read.cc
  Task<absl::StatusOr<ReadResult>> ReadHeld(FragmentKey key, uint64_t offset_bytes,
                                            uint64_t length_bytes, MutableBytes slab);
  absl::StatusOr<std::vector<uint32_t>> PieceCrcs(FragmentKey key, const IndexRecord& record,
                                                  uint64_t offset_bytes, uint64_t length_bytes,
                                                  ConstBytes blocks);
  void Unhold(FragmentKey key);

  // target_probe.cc
  Task<void> RunProbe(std::shared_ptr<ProbeUnderWay> probe, Deadline deadline);
  uint64_t NextProbeOffset();

  const Options options_;
  Disk& disk_;
  ChunkIndex index_;
  BlockingRunner& runner_;
  Superblock superblock_;
  bool blank_ = false;
  std::vector<std::string> warnings_;
  absl::Status failure_;

  std::unique_ptr<ExtentAllocator> allocator_;
  // used, pending, held, bad and the counts; the rest is the allocator's.
  Usage usage_;
  Counters counters_;
  Latencies latencies_;
  std::shared_ptr<ProbeUnderWay> probe_;  // null: none is under way
  uint64_t probe_reads_ = 0;

  absl::flat_hash_map<FragmentKey, std::shared_ptr<Pending>> pending_;
  absl::flat_hash_map<LeaseId, absl::flat_hash_set<FragmentKey>> by_lease_;
  absl::flat_hash_map<FragmentKey, std::unique_ptr<Holds>> holds_;

  std::set<uint64_t> seals_under_way_;
  uint64_t next_seal_ = 0;
  Event seal_ended_;

  std::deque<CommitJob*> waiting_;
  size_t waiting_fragments_ = 0;
  bool committing_ = false;
  Scope background_;
  int64_t calls_ = 0;
};

}  // namespace cairn
