// What a FileSystem does by itself: commits what has grown old or takes too much memory, ends
// leases that rest, and gathers the small pieces of files that nobody has open.
#include <algorithm>
#include <utility>
#include <vector>

#include "client/core/fs_core.h"
#include "common/telemetry/log.h"

namespace cairn::client_internal {
namespace {

constexpr absl::Duration kTick = absl::Milliseconds(250);
// A file that is open and at rest for so long is compacted, too.
constexpr absl::Duration kRest = absl::Seconds(30);
constexpr absl::Duration kReadAheadIdle = absl::Seconds(10);

// Trying again may help.
bool MayPass(const absl::Status& failure) {
  return absl::IsUnavailable(failure) || absl::IsDeadlineExceeded(failure) ||
         absl::IsAborted(failure);
}

}  // namespace

Task<void> FsCore::RunBackground(FsCore* self) {
  while (!self->context_.stop.stop_requested()) {
    absl::Status slept = co_await SleepFor(kTick, self->context_.stop);
    if (!slept.ok()) break;
    self->Tick();
  }
}

void FsCore::Tick() {
  const MonoTime now = context_.clock().Now();
  leases_.Sweep();
  context_.NoteRoom();
  std::vector<uint64_t> old;
  for (auto& [inode, open] : files_) {
    FsWriter& writer = open.file->writer();
    open.file->content().readahead().DropIdle(now + -kReadAheadIdle);
    if (writer.HasUncommitted()) open.used_at = now;
    const bool is_old = writer.HasUncommitted() && writer.dirty_since() != MonoTime::Never() &&
                        now - writer.dirty_since() >= context_.options.dirty_age_max;
    const bool is_left = writer.HasUncommitted() && open.opens == 0;
    if ((is_old || is_left) && now >= writer.retry_at()) old.push_back(inode);
  }
  for (const uint64_t inode : old) CommitSoon(inode);
  CompactSome();
}

void FsCore::Relieve() {
  // Those with the most first, until a half is free.
  const MonoTime now = context_.clock().Now();
  std::vector<std::pair<uint64_t, uint64_t>> by_bytes;
  for (const auto& [inode, open] : files_) {
    const FsWriter& writer = open.file->writer();
    if (!open.committing && writer.HasUncommitted() && now >= writer.retry_at())
      by_bytes.emplace_back(writer.bytes_in_memory(), inode);
  }
  std::sort(by_bytes.rbegin(), by_bytes.rend());
  uint64_t relieved = 0;
  for (const auto& [bytes, inode] : by_bytes) {
    if (relieved >= context_.options.dirty_bytes_max / 2) break;
    CommitSoon(inode);
    relieved += bytes;
  }
}

void FsCore::CommitSoon(uint64_t inode) {
  OpenInode& open = files_.at(inode);
  if (open.committing || context_.stop.stop_requested()) return;
  open.committing = true;
  context_.scope.Spawn(CommitOne(this, open.file));
}

Task<void> FsCore::CommitOne(FsCore* self, std::shared_ptr<FsFile> file) {
  const uint64_t inode = file->inode();
  absl::Status turn = co_await self->commits_.Acquire(1, Deadline::Infinite());
  if (turn.ok()) {
    absl::Status committed = co_await file->CommitInBackground();
    self->commits_.Release(1);
    // Nobody is there any more to hear of it.
    const auto open = self->files_.find(inode);
    const bool is_left = open != self->files_.end() && open->second.opens == 0;
    if (!committed.ok() && is_left && !MayPass(committed)) co_await file->writer().GiveUp();
  }
  const auto open = self->files_.find(inode);
  if (open == self->files_.end()) co_return;
  open->second.committing = false;
  self->Settle(inode);
}

void FsCore::CompactSome() {
  if (compacting_) return;
  const MonoTime now = context_.clock().Now();
  for (auto& [inode, open] : files_) {
    const bool rests = open.opens == 0 || now - open.used_at >= kRest;
    if (!rests || !open.file->WantsCompaction()) continue;
    compacting_ = true;
    open.used_at = now;
    context_.scope.Spawn(CompactOne(this, open.file));
    return;
  }
}

Task<void> FsCore::CompactOne(FsCore* self, std::shared_ptr<FsFile> file) {
  co_await file->Compact();
  self->compacting_ = false;
  self->Settle(file->inode());
}

}  // namespace cairn::client_internal
