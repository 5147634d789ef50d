#include "server/meta/mount_table.h"

#include <algorithm>
#include <functional>
#include <string_view>
#include <utility>

namespace cairn {
namespace {

// Silence need not be noticed sooner, and every command asks.
constexpr absl::Duration kLookInterval = absl::Seconds(1);

// Valid UTF-8, as texts of messages are, stays that.
std::string Cut(std::string_view text) {
  size_t size = std::min(text.size(), MountTable::kTextBytesMax);
  const auto is_inside = [](char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; };
  while (size > 0 && size < text.size() && is_inside(text[size])) --size;
  return std::string(text.substr(0, size));
}

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
    Describe(request, clock_->Now(), &mount);
    reply.set_known(mount.known);
  }
  for (const uint64_t inode : request.closed()) Close(request.mount(), inode);
  for (const uint64_t inode : request.open()) Open(request.mount(), inode);
  for (const wire::FileLock& lock : request.locks()) {
    if (!locks_.Set(request.mount(), lock).granted) *reply.add_lost() = lock;
  }
  return reply;
}

void MountTable::Describe(const wire::RenewMountRequest& request, MonoTime now, Mount* mount) {
  if (!request.name().empty()) mount->name = Cut(request.name());
  if (!request.client().empty()) mount->client = Cut(request.client());
  if (!request.path().empty()) mount->path = Cut(request.path());
  if (request.has_counts()) mount->reports.Add(request.counts(), now);
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

std::vector<wire::MountLoad> MountTable::Busiest(size_t count) {
  DropSilent();
  const MonoTime now = clock_->Now();
  std::vector<std::pair<double, uint64_t>> order;  // work, mount
  for (const auto& [id, mount] : mounts_) order.emplace_back(mount.reports.Work(now), id);
  const auto end = order.begin() + static_cast<ptrdiff_t>(std::min(count, order.size()));
  std::partial_sort(order.begin(), end, order.end(), std::greater<>());
  std::vector<wire::MountLoad> loads;
  for (auto at = order.begin(); at != end; ++at) {
    const Mount& mount = mounts_.at(at->second);
    wire::MountLoad& load = loads.emplace_back();
    load.set_name(mount.name);
    load.set_client(mount.client);
    load.set_path(mount.path);
    load.set_open_files(mount.open.size());
    load.set_locks(locks_.SizeOf(at->second));
    mount.reports.Tell(now, &load);
  }
  return loads;
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
