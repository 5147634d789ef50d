// What was written to a file here and is not the service's yet, and how it gets there: whole
// stripes go as soon as they are full, the rest when it is old, or asked for; then the metadata is
// told in one go. What could not be committed stays, and is tried again. Next: fs_commit.cc,
// client/io/write_path.h.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "client/core/fs_content.h"
#include "client/core/fs_dirty.h"
#include "client/core/fs_leases.h"
#include "client/io/write_path.h"
#include "common/task/semaphore.h"

namespace cairn::client_internal {

// Lives on the session's executor. Two kinds of bytes: written at an offset, and appended, of which
// the service decides where they lie; before one kind follows the other, the other is committed.
class FsWriter {
 public:
  FsWriter(FsContext& context, FsContent& content, ReadAheadSource& owner);
  ~FsWriter();

  // Takes a copy; waits while too much is in memory.
  Task<absl::Status> Write(uint64_t offset, ConstBytes bytes);
  // As Write(), and takes the memory.
  Task<absl::Status> WriteOwned(uint64_t offset, std::unique_ptr<std::byte[]> memory,
                                uint64_t length);
  // Where they lie unless others append, too. Never torn.
  Task<absl::StatusOr<uint64_t>> Append(ConstBytes bytes);
  // What was written before is at the service. Errors: RESOURCE_EXHAUSTED (ENOSPC, EDQUOT),
  // NOT_FOUND (ESTALE), or the service cannot be reached; the bytes stay, and are tried again.
  Task<absl::Status> Commit();
  // What was appended before does not wait any more: where it lies is known.
  Task<absl::Status> CommitAppends();

  // Commits nothing until Release(); what was under way has ended, well or not.
  Task<absl::Status> Hold();
  void Release() { launching_.Release(1); }
  // REQUIRES: held. The file has something else there.
  void Drop(ByteRange range) { written_.Drop(range); }
  // What cannot be committed is given up.
  Task<void> GiveUp();

  const DirtyRanges& written() const { return written_; }
  // The file's as seen here, without what was appended and waits.
  uint64_t size_bytes() const;
  bool IsClean() const { return written_.empty() && appended_.empty(); }
  bool HasUncommitted() const { return !IsClean() || !under_way_.empty() || open_ != nullptr; }
  bool HasAppends() const { return !appended_.empty(); }
  uint64_t appends_waiting_bytes() const { return append_end_ - append_done_; }
  uint64_t bytes_in_memory() const { return dirty_->bytes; }
  // Since when something has been waiting that is not on its way.
  MonoTime dirty_since() const { return dirty_since_; }
  // By the clock of this machine, when something was written that is not committed.
  absl::Time modified() const { return modified_; }
  // After commits that failed, the next is worth trying then.
  MonoTime retry_at() const { return retry_at_; }
  const absl::Status& last_failure() const { return last_failure_; }

 private:
  // Bytes that are committed together.
  struct Batch {
    uint64_t number = 0;
    bool appends = false;
    bool is_written_over = false;  // somewhere: takes no more, since extents must not overlap
    bool carries_all = false;      // of appended bytes: so few that no stripe is needed
    std::optional<WriteLeases::Use> lease;
    std::unique_ptr<WritePath> path;
    std::vector<DirtyPiece> striped;  // in the order in which the path has them
    std::vector<DirtyPiece> carried;  // with the metadata
    uint64_t bytes = 0;
    uint64_t carried_bytes = 0;
    absl::Status status;
    std::shared_ptr<Batch> before;  // is committed first
    Event ended;
  };

  Task<absl::Status> WaitForRoom();
  void NoteWritten(DirtyRanges::Carrier written_over, uint64_t bytes);
  // Sends what is full, in the background.
  void Kick();
  static Task<void> Pump(FsWriter* self, std::shared_ptr<void> keep);
  Task<absl::Status> CommitOnce();
  // REQUIRES: the caller holds `launching_`, as for those below.
  Task<absl::Status> LaunchRest();
  Task<absl::Status> LaunchAppends();
  Task<absl::Status> Launch(std::shared_ptr<Batch> batch, DirtyPiece piece);
  Task<absl::Status> SendPiece(Batch& batch, const DirtyPiece& piece);
  std::shared_ptr<Batch> NewBatch(bool appends);
  // That takes more, which may be a new one.
  Batch& OpenBatch();
  bool IsFull(const Batch& batch) const;
  bool IsCarried(const Batch& batch, const DirtyPiece& piece) const;
  void CloseOpen();
  void Close(std::shared_ptr<Batch> batch);
  static Task<void> Finish(FsWriter* self, std::shared_ptr<Batch> batch,
                           std::shared_ptr<void> keep);
  void Settle(Batch& batch);
  Task<absl::Status> TellMetadata(Batch& batch);
  Task<absl::Status> TellPage(Batch& batch, std::vector<wire::ExtentRun> page);
  static bool IsLeaseGone(const absl::Status& status);

  FsContext& context_;
  FsContent& content_;
  ReadAheadSource& owner_;
  // Of this file; what it counts is counted in the context's, too.
  std::shared_ptr<MemoryMeter> dirty_;
  DirtyRanges written_;
  DirtyRanges appended_;      // offsets count from when nothing waited last
  uint64_t append_end_ = 0;   // in it
  uint64_t append_done_ = 0;  // of it, committed
  Semaphore launching_{1};
  std::shared_ptr<Batch> open_;  // takes more; of written bytes
  std::deque<std::shared_ptr<Batch>> under_way_;
  uint64_t batches_ = 0;
  bool pumping_ = false;
  MonoTime dirty_since_ = MonoTime::Never();
  absl::Time modified_ = absl::InfinitePast();
  MonoTime retry_at_;
  int failures_ = 0;  // in a row
  absl::Status last_failure_;
};

}  // namespace cairn::client_internal
