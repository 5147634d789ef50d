#include "client/core/fs_mount.h"

#include <algorithm>
#include <cerrno>
#include <string>

#include "client/core/fs_convert.h"
#include "common/base/posix_error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/telemetry/log.h"

namespace cairn::client_internal {
namespace {

// So many fit a message: a lock takes 50 bytes, an inode 8.
constexpr size_t kInodesPerCall = 4096;
constexpr size_t kLocksPerCall = 512;

}  // namespace

Task<absl::Status> MountSession::Start() {
  told_.Set();
  CO_RETURN_IF_ERROR(co_await Renew());
  context_.scope.Spawn(Run());
  co_return absl::OkStatus();
}

Task<void> MountSession::Run() {
  bool renewed = true;
  while (!context_.stop.stop_requested()) {
    absl::Status slept = co_await SleepFor(renewed ? ttl_ / 4 : ttl_ / 20, context_.stop);
    if (!slept.ok()) break;
    absl::Status told = co_await Renew();
    if (renewed && !told.ok() && !absl::IsCancelled(told)) {
      CAIRN_LOG_WARN("the mount cannot be renewed, and what it has locked may go to others: {}",
                     told);
    }
    renewed = told.ok();
  }
}

Task<absl::Status> MountSession::Say(wire::RenewMountRequest request, bool* known) {
  request.set_mount(id_);
  request.set_name(context_.options.name);
  request.set_client(context_.session.name());
  request.set_path(context_.names.root_path());
  const Deadline deadline = Deadline::After(context_.clock(), std::min(ttl_, context_.timeout));
  const absl::StatusOr<wire::RenewMountReply> reply =
      co_await context_.session.Meta<wire::RenewMountReply>(wire::RENEW_MOUNT, std::move(request),
                                                            deadline);
  if (!reply.ok()) co_return reply.status();
  if (reply->ttl_ms() > 0) ttl_ = absl::Milliseconds(static_cast<int64_t>(reply->ttl_ms()));
  for (const wire::FileLock& lock : reply->lost()) NoteLost(lock);
  *known = reply->known();
  co_return absl::OkStatus();
}

Task<absl::Status> MountSession::Renew() {
  // One call at a time, so that who opens a file again knows when its close was told.
  while (!told_.is_set()) co_await told_;
  wire::RenewMountRequest request;
  while (!closed_.empty() && being_closed_.size() < kInodesPerCall) {
    request.add_closed(*closed_.begin());
    being_closed_.insert(closed_.extract(closed_.begin()));
  }
  *request.mutable_counts() = Counts();
  told_.Reset();
  bool known = false;
  absl::Status said = co_await Say(std::move(request), &known);
  if (!said.ok()) {
    for (const uint64_t inode : being_closed_)
      if (!open_.contains(inode)) closed_.insert(inode);
  }
  being_closed_.clear();
  if (said.ok() && !known) said = co_await Introduce();
  if (said.ok()) said = co_await PayOwed(std::nullopt);
  told_.Set();
  co_return said;
}

wire::MountCounts MountSession::Counts() const {
  std::vector<OperationCount> operations;
  if (context_.options.count_operations) operations = context_.options.count_operations();
  return FromCounts(context_.stats, operations);
}

Task<absl::Status> MountSession::Introduce() {
  std::vector<uint64_t> open;
  for (const auto& [inode, times] : open_) open.push_back(inode);
  const std::vector<wire::FileLock> locks = locks_.All();
  size_t next_open = 0, next_lock = 0;
  do {
    wire::RenewMountRequest request;
    for (size_t i = 0; i < kInodesPerCall / 2 && next_open < open.size(); ++i)
      request.add_open(open[next_open++]);
    for (size_t i = 0; i < kLocksPerCall && next_lock < locks.size(); ++i)
      *request.add_locks() = locks[next_lock++];
    request.set_all(next_open == open.size() && next_lock == locks.size());
    bool known = false;
    CO_RETURN_IF_ERROR(co_await Say(std::move(request), &known));
  } while (next_open < open.size() || next_lock < locks.size());
  co_return absl::OkStatus();
}

void MountSession::NoteLost(const wire::FileLock& lock) {
  CAIRN_LOG_WARN(
      "a lock of {} was lost while the service did not hear of this mount: process {} gets errors "
      "until it unlocks or closes the file",
      context_.names.PathOf(lock.inode()).value_or(StrCat("inode ", lock.inode())), lock.process());
  lost_.emplace(lock.inode(), lock.owner());
  wire::FileLock gone = lock;
  gone.set_type(wire::FILE_LOCK_UNLOCK);
  locks_.Apply(gone);
}

Task<void> MountSession::End() {
  while (!told_.is_set()) co_await told_;
  wire::RenewMountRequest request;
  request.set_bye(true);
  bool known = false;
  absl::Status said = co_await Say(std::move(request), &known);
  if (!said.ok()) CAIRN_LOG_INFO("the service has not heard that the mount ends: {}", said);
}

Task<absl::StatusOr<wire::OpenNodeReply>> MountSession::Open(uint64_t inode, bool for_reading) {
  ++open_[inode];
  closed_.erase(inode);
  while (being_closed_.contains(inode)) co_await told_;
  wire::OpenNodeRequest request;
  request.set_mount(id_);
  *request.mutable_node() = context_.names.Refer(inode);
  request.set_for_reading(for_reading);
  absl::StatusOr<wire::OpenNodeReply> reply =
      co_await context_.Ask<wire::OpenNodeReply>(wire::OPEN_NODE, std::move(request));
  // It may be open there without an answer having come.
  if (!reply.ok()) Close(inode);
  co_return reply;
}

void MountSession::Close(uint64_t inode) {
  const auto open = open_.find(inode);
  if (open == open_.end() || --open->second > 0) return;
  open_.erase(open);
  closed_.insert(inode);
  lost_.erase(lost_.lower_bound({inode, 0}), lost_.upper_bound({inode, UINT64_MAX}));
}

bool MountSession::HasLost(uint64_t inode) const {
  const auto lost = lost_.lower_bound({inode, 0});
  return lost != lost_.end() && lost->first == inode;
}

Task<absl::StatusOr<wire::LockFileReply>> MountSession::Lock(wire::FileLock lock, bool test) {
  const bool unlocks = lock.type() == wire::FILE_LOCK_UNLOCK;
  if (unlocks) {
    lost_.erase({lock.inode(), lock.owner()});
    // Every close of a file unlocks it for its process, which has locked it rarely.
    if (!locks_.Holds(lock.inode(), lock.kind(), lock.owner())) {
      wire::LockFileReply reply;
      reply.set_granted(true);
      co_return reply;
    }
  } else if (lost_.contains({lock.inode(), lock.owner()})) {
    co_return PosixError(EIO, "a lock of the file was lost; unlock it first");
  }
  CO_RETURN_IF_ERROR(co_await PayOwed(std::pair(lock.inode(), lock.owner())));
  absl::StatusOr<wire::LockFileReply> reply = co_await AskForLock(lock, test);
  if (test) co_return reply;
  const bool held_any = locks_.Holds(lock.inode(), lock.kind(), lock.owner());
  if (unlocks || (reply.ok() && reply->granted())) locks_.Apply(lock);
  // It may have been carried out, or not: nobody shall wait for a lock that nobody has.
  if (!reply.ok() && (unlocks || !held_any)) {
    lock.set_type(wire::FILE_LOCK_UNLOCK);
    owed_.push_back(std::move(lock));
  }
  co_return reply;
}

Task<absl::StatusOr<wire::LockFileReply>> MountSession::AskForLock(wire::FileLock lock, bool test) {
  wire::LockFileRequest request;
  request.set_mount(id_);
  *request.mutable_lock() = std::move(lock);
  request.set_test(test);
  co_return co_await context_.Ask<wire::LockFileReply>(wire::LOCK_FILE, std::move(request));
}

Task<absl::Status> MountSession::PayOwed(std::optional<std::pair<uint64_t, uint64_t>> of) {
  const auto is_meant = [&](const wire::FileLock& lock) {
    return !of.has_value() || *of == std::pair(lock.inode(), lock.owner());
  };
  while (true) {
    const auto owed = std::find_if(owed_.begin(), owed_.end(), is_meant);
    if (owed == owed_.end()) co_return absl::OkStatus();
    const wire::FileLock lock = *owed;
    owed_.erase(owed);
    const absl::StatusOr<wire::LockFileReply> reply = co_await AskForLock(lock, false);
    if (!reply.ok()) {
      owed_.push_back(lock);
      co_return reply.status();
    }
  }
}

}  // namespace cairn::client_internal
