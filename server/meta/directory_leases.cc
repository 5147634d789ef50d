#include "server/meta/directory_leases.h"

#include <algorithm>

namespace cairn {
namespace {

constexpr absl::Duration kLookInterval = absl::Seconds(1);

}  // namespace

void DirectoryLeases::Stop() {
  stopped_ = true;
  for (auto& [client, watcher] : watchers_)
    if (watcher->waiting != nullptr) watcher->waiting->Break();
}

bool DirectoryLeases::Grant(uint64_t client, InodeId directory) {
  const auto found = watchers_.find(client);
  if (found == watchers_.end()) return false;
  Watcher& watcher = *found->second;
  if (watcher.held.contains(directory.value())) return true;
  if (watcher.held.size() >= kDirectoriesOfClientMax || leases_ >= kDirectoriesMax) return false;
  if (!Rests(client, directory)) return false;
  watcher.held.insert(directory.value());
  holders_[directory.value()].push_back(client);
  ++leases_;
  return true;
}

bool DirectoryLeases::Rests(uint64_t client, InodeId directory) const {
  const auto found = changes_.find(directory.value());
  if (found == changes_.end()) return true;
  const Change& change = found->second;
  const MonoTime now = clock_->Now();
  if (change.client != client) return now - change.at >= kRest;
  return !change.by_others || now - change.by_others_at >= kRest;
}

void DirectoryLeases::Break(InodeId directory, uint64_t client) {
  if (watchers_.empty()) return;
  NoteChange(directory, client);
  const auto found = holders_.find(directory.value());
  if (found == holders_.end()) return;
  std::vector<uint64_t> kept;
  for (const uint64_t holder : found->second) {
    if (holder == client) {
      kept.push_back(holder);
      continue;
    }
    Watcher& watcher = *watchers_.at(holder);
    watcher.held.erase(directory.value());
    --leases_;
    watcher.news.push_back(directory.value());
    if (watcher.waiting != nullptr && watcher.news.size() == 1) watcher.waiting->Release(1);
  }
  if (kept.empty()) {
    holders_.erase(found);
  } else {
    found->second = std::move(kept);
  }
}

void DirectoryLeases::NoteChange(InodeId directory, uint64_t client) {
  const MonoTime now = clock_->Now();
  while (!by_time_.empty() && now - by_time_.front().first >= kRest) {
    const auto oldest = changes_.find(by_time_.front().second);
    if (oldest != changes_.end() && oldest->second.at == by_time_.front().first)
      changes_.erase(oldest);
    by_time_.pop_front();
  }
  const auto [entry, is_first] = changes_.try_emplace(directory.value());
  Change& change = entry->second;
  if (!is_first && change.client != client) {
    change.by_others = true;
    change.by_others_at = change.at;
  }
  if (is_first || change.at != now) by_time_.emplace_back(now, directory.value());
  change.client = client;
  change.at = now;
}

Task<absl::StatusOr<wire::WatchDirectoriesReply>> DirectoryLeases::Watch(
    uint64_t client, const wire::WatchDirectoriesRequest& request) {
  DropSilent();
  wire::WatchDirectoriesReply reply;
  if (stopped_) co_return absl::UnavailableError("the metadata service stops");
  if (request.bye()) {
    Drop(client);
    co_return reply;
  }
  if (request.anew() || !watchers_.contains(client)) {
    Drop(client);
    auto fresh = std::make_shared<Watcher>();
    fresh->heard_at = clock_->Now();
    watchers_.emplace(client, std::move(fresh));
    reply.set_anew(true);
    co_return reply;
  }
  const std::shared_ptr<Watcher> watcher = watchers_.at(client);
  watcher->heard_at = clock_->Now();
  if (watcher->waiting != nullptr) watcher->waiting->Break();
  const auto waiting = std::make_shared<Semaphore>(watcher->news.empty() ? 0 : 1);
  watcher->waiting = waiting;
  const absl::Duration wait = std::min(kWaitMax, absl::Milliseconds(int64_t{request.wait_ms()}));
  absl::Status told = co_await waiting->Acquire(1, Deadline::After(*clock_, wait));
  if (absl::IsCancelled(told)) {
    if (stopped_) co_return absl::UnavailableError("the metadata service stops");
    co_return reply;
  }
  if (watcher->waiting != waiting) co_return reply;  // the client has asked again: news is for that
  watcher->waiting = nullptr;
  watcher->heard_at = clock_->Now();
  const size_t count = std::min(watcher->news.size(), kNewsMax);
  const auto end = watcher->news.begin() + static_cast<ptrdiff_t>(count);
  for (auto changed = watcher->news.begin(); changed != end; ++changed) reply.add_changed(*changed);
  watcher->news.erase(watcher->news.begin(), end);
  co_return reply;
}

void DirectoryLeases::Drop(uint64_t client) {
  const auto found = watchers_.find(client);
  if (found == watchers_.end()) return;
  Watcher& watcher = *found->second;
  if (watcher.waiting != nullptr) watcher.waiting->Break();
  for (const uint64_t directory : watcher.held) {
    const auto holders = holders_.find(directory);
    std::erase(holders->second, client);
    if (holders->second.empty()) holders_.erase(holders);
  }
  leases_ -= watcher.held.size();
  watchers_.erase(found);
}

void DirectoryLeases::DropSilent() {
  const MonoTime now = clock_->Now();
  if (now - looked_at_ < kLookInterval) return;
  looked_at_ = now;
  std::vector<uint64_t> silent;
  for (const auto& [client, watcher] : watchers_) {
    if (watcher->waiting == nullptr && now - watcher->heard_at > kTtl) silent.push_back(client);
  }
  for (const uint64_t client : silent) Drop(client);
}

}  // namespace cairn
