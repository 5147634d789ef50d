#include "server/meta/mount_table.h"

#include <utility>

namespace cairn {
namespace {

// Silence need not be noticed sooner, and every command asks.
constexpr absl::Duration kLookInterval = absl::Seconds(1);

}  // namespace

void MountTable::Start(const Clock& clock, bool any_before) {
  clock_ = &clock;
  looked_at_ = clock.Now();
  grace_until_ = clock.Now();
  if (any_before) grace_until_ = grace_until_ + kTtl;
}

bool MountTable::InGrace() const { return clock_->Now() < grace_until_; }

MountTable::Mount& MountTable::Touch(uint64_t mount) {
  DropSilent();
  Mount& entry = mounts_[mount];
  entry.heard_at = clock_->Now();
  return entry;
}

wire::RenewMountReply MountTable::Renew(const wire::RenewMountRequest& request) {
  wire::RenewMountReply reply;
  reply.set_ttl_ms(static_cast<uint64_t>(absl::ToInt64Milliseconds(kTtl)));
  if (request.bye()) {
    Drop(request.mount());
    reply.set_known(true);
    return reply;
  }
  {
    Mount& mount = Touch(request.mount());
    mount.known |= request.all();
    if (!request.name().empty()) mount.name = request.name();
    reply.set_known(mount.known);
  }
  for (const uint64_t inode : request.closed()) Close(request.mount(), inode);
  for (const uint64_t inode : request.open()) Open(request.mount(), inode);
  for (const wire::FileLock& lock : request.locks()) {
    if (!locks_.Set(request.mount(), lock).granted) *reply.add_lost() = lock;
  }
  return reply;
}

bool MountTable::Open(uint64_t mount, uint64_t inode) {
  const bool opened = Touch(mount).open.insert(inode).second;
  if (opened) ++opens_[inode];
  return opened;
}

void MountTable::Close(uint64_t mount, uint64_t inode) {
  const auto entry = mounts_.find(mount);
  if (entry == mounts_.end() || entry->second.open.erase(inode) == 0) return;
  const auto count = opens_.find(inode);
  if (--count->second == 0) opens_.erase(count);
}

bool MountTable::MayBeOpen(uint64_t inode) {
  DropSilent();
  return InGrace() || opens_.contains(inode);
}

bool MountTable::AnyLive() {
  DropSilent();
  return InGrace() || !mounts_.empty();
}

std::vector<std::string> MountTable::Names() const {
  std::vector<std::string> names;
  for (const auto& [id, mount] : mounts_) names.push_back(mount.name);
  return names;
}

void MountTable::Drop(uint64_t mount) {
  const auto entry = mounts_.find(mount);
  if (entry == mounts_.end()) return;
  for (const uint64_t inode : entry->second.open) {
    const auto count = opens_.find(inode);
    if (--count->second == 0) opens_.erase(count);
  }
  mounts_.erase(entry);
  locks_.DropMount(mount);
}

// A long time between two looks (a stopped process) is nobody's silence.
void MountTable::DropSilent() {
  const MonoTime now = clock_->Now();
  const absl::Duration gap = now - looked_at_;
  if (gap < kLookInterval) return;
  looked_at_ = now;
  std::vector<uint64_t> silent;
  for (auto& [id, mount] : mounts_) {
    if (gap > kTtl / 2) mount.heard_at = mount.heard_at + gap;
    if (now - mount.heard_at > kTtl) silent.push_back(id);
  }
  for (const uint64_t id : silent) Drop(id);
}

}  // namespace cairn
