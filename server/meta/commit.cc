#include "server/meta/commit.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "server/meta/families.h"
#include "server/meta/keys.h"
#include "server/meta/state_machine.h"

namespace cairn {
namespace {

absl::Status StoreFailed(const absl::Status& cause) {
  return absl::UnavailableError(StrCat("metadata store failed: ", ToStd(cause.message())));
}

}  // namespace

GroupCommitter::GroupCommitter(Kv& kv, BlockingRunner& runner, OnCommitted on_committed)
    : kv_(kv), runner_(runner), on_committed_(std::move(on_committed)) {}

GroupCommitter::~GroupCommitter() { CAIRN_CHECK(queue_.empty()); }

Task<absl::StatusOr<std::string>> GroupCommitter::Execute(disk::Command command) {
  if (!failure_.ok()) co_return failure_;
  if (stopping_) co_return absl::UnavailableError("the metadata service is shutting down");
  Waiting waiting;
  waiting.bytes = command.ByteSizeLong();
  if (queue_.size() >= kMaxQueued || queued_bytes_ + waiting.bytes > kMaxQueuedBytes) {
    ++counters_.refused;
    co_return absl::UnavailableError(
        "the metadata service has too many commands waiting; try again");
  }
  waiting.command = std::move(command);
  waiting.reply = absl::InternalError("the command was not applied");
  queued_bytes_ += waiting.bytes;
  queue_.push_back(&waiting);
  work_.Set();
  co_await waiting.done;
  co_return std::move(waiting.reply);
}

Task<void> GroupCommitter::Run() {
  const Clock& clock = Executor::Current().clock();
  for (;;) {
    while (queue_.empty() && !stopping_) {
      work_.Reset();
      co_await work_;
    }
    if (queue_.empty()) co_return;
    Group group = TakeGroup();
    if (failure_.ok()) {
      absl::AnyInvocable<void()> apply = [this, &group] { ApplyAndWrite(group); };
      const MonoTime began = clock.Now();
      co_await runner_.Run(std::move(apply));
      counters_.group_ns.Record(
          static_cast<uint64_t>(absl::ToInt64Nanoseconds(clock.Now() - began)));
      counters_.group_commands.Record(group.members.size());
    }
    // A store without space refuses and goes on: nothing of this group has happened, and every
    // member has been told so.
    const bool refused = absl::IsResourceExhausted(group.written);
    if (failure_.ok() && !group.written.ok() && !refused) failure_ = StoreFailed(group.written);
    if (failure_.ok() && !refused) on_committed_(group.effects);
    for (Waiting* member : group.members) {
      if (!failure_.ok()) member->reply = failure_;
      member->done.Set();
    }
  }
}

void GroupCommitter::Stop() {
  stopping_ = true;
  work_.Set();
}

GroupCommitter::Group GroupCommitter::TakeGroup() {
  Group group;
  size_t bytes = 0;
  while (!queue_.empty() && group.members.size() < kMaxGroup) {
    if (bytes > 0 && bytes + queue_.front()->bytes > kMaxGroupBytes) break;
    bytes += queue_.front()->bytes;
    group.members.push_back(queue_.front());
    queue_.pop_front();
  }
  queued_bytes_ -= bytes;
  return group;
}

// A store without space for the group may still have some for those that make space.
void GroupCommitter::ApplyAndWrite(Group& group) {
  group.written = ApplyTo(group.members, &group.effects);
  if (!absl::IsResourceExhausted(group.written)) return;
  std::vector<Waiting*> freeing;
  for (Waiting* member : group.members) {
    member->reply = group.written;
    if (FreesSpace(member->command)) freeing.push_back(member);
  }
  if (freeing.empty() || freeing.size() == group.members.size()) return;
  const absl::Status refused = std::exchange(group.written, ApplyTo(freeing, &group.effects));
  if (!absl::IsResourceExhausted(group.written)) return;
  for (Waiting* member : freeing) member->reply = refused;
}

// All of them or, on any error, none.
absl::Status GroupCommitter::ApplyTo(const std::vector<Waiting*>& members, Effects* effects) {
  Transaction txn(kv_);
  for (Waiting* member : members) {
    member->reply = Apply(member->command, txn);
    RETURN_IF_ERROR(txn.store_error());
  }
  *effects = std::move(txn.effects());
  KvBatch batch = txn.TakeBatch();
  // Also one that changes nothing may answer by what is not durable yet.
  const bool all_buffered = std::all_of(members.begin(), members.end(), [](const Waiting* member) {
    return IsBuffered(member->command);
  });
  const bool all_free = std::all_of(members.begin(), members.end(), [](const Waiting* member) {
    return FreesSpace(member->command);
  });
  if (all_free) batch.set_frees_space();
  return Write(std::move(batch), all_buffered ? KvDurability::kUnsynced : KvDurability::kSynced);
}

absl::Status GroupCommitter::Write(KvBatch batch, KvDurability durability) {
  if (batch.empty()) {
    if (durability == KvDurability::kUnsynced || !unsynced_) return absl::OkStatus();
    // A log is synced by a write.
    batch.Put(kFamilySystem, SyncMarkKey(), "");
  }
  RETURN_IF_ERROR(kv_.Write(batch, durability));
  unsynced_ = durability == KvDurability::kUnsynced;
  return absl::OkStatus();
}

}  // namespace cairn
