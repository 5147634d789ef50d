#include "client/core/fs_directories.h"

#include <utility>
#include <vector>

#include "common/telemetry/log.h"

namespace cairn::client_internal {
namespace {

// What others change is told at once; this is how long nothing may come. Cut off, a client keeps
// what it has seen for as long as both together.
constexpr absl::Duration kWait = absl::Seconds(5);
constexpr absl::Duration kAnswerTakes = absl::Seconds(3);
constexpr absl::Duration kPause = absl::Seconds(1);
// What is in flight longer than so many news holds nothing.
constexpr size_t kNewsMax = 16'384;

}  // namespace

void HeldDirectories::Start(std::function<void(uint64_t)> tell) {
  tell_ = std::move(tell);
  if (std::exchange(running_, true)) return;
  context_.scope.Spawn(Run(this));
}

Task<absl::StatusOr<wire::WatchDirectoriesReply>> HeldDirectories::Ask() {
  wire::WatchDirectoriesRequest request;
  request.set_anew(!hears_);
  request.set_wait_ms(static_cast<uint32_t>(absl::ToInt64Milliseconds(kWait)));
  co_return co_await context_.session.Meta<wire::WatchDirectoriesReply>(
      wire::WATCH_DIRECTORIES, std::move(request),
      Deadline::After(context_.clock(), kWait + kAnswerTakes));
}

Task<void> HeldDirectories::Run(HeldDirectories* self) {
  while (!self->context_.stop.stop_requested()) {
    const absl::StatusOr<wire::WatchDirectoriesReply> reply = co_await self->Ask();
    if (!reply.ok() || reply->anew()) self->LoseAll();
    self->hears_ = reply.ok();
    if (reply.ok()) {
      for (const uint64_t directory : reply->changed()) self->Lose(directory);
      continue;
    }
    // A service of an earlier release has none.
    if (absl::IsUnimplemented(reply.status())) break;
    absl::Status slept = co_await SleepFor(kPause, self->context_.stop);
    if (!slept.ok()) break;
  }
  self->LoseAll();
  self->hears_ = false;
}

Task<void> HeldDirectories::End() {
  if (!running_ || !hears_) co_return;
  wire::WatchDirectoriesRequest request;
  request.set_bye(true);
  (void)co_await context_.session.Meta<wire::WatchDirectoriesReply>(
      wire::WATCH_DIRECTORIES, std::move(request), Deadline::After(context_.clock(), kAnswerTakes));
}

void HeldDirectories::Granted(uint64_t directory, Mark asked_at) {
  if (hears_ && !HasNews(directory, asked_at)) held_.insert(directory);
}

bool HeldDirectories::Holds(uint64_t directory, Mark asked_at) const {
  return held_.contains(directory) && !HasNews(directory, asked_at);
}

bool HeldDirectories::HasNews(uint64_t directory, Mark since) const {
  if (all_news_at_ > since) return true;
  const auto news = news_at_.find(directory);
  return news != news_at_.end() && news->second > since;
}

void HeldDirectories::Lose(uint64_t directory) {
  if (news_at_.size() >= kNewsMax) {
    news_at_.clear();
    all_news_at_ = mark_;
  }
  news_at_[directory] = ++mark_;
  if (held_.erase(directory) != 0 && tell_ != nullptr) tell_(directory);
}

void HeldDirectories::LoseAll() {
  all_news_at_ = ++mark_;
  news_at_.clear();
  for (const uint64_t directory : std::exchange(held_, {}))
    if (tell_ != nullptr) tell_(directory);
}

}  // namespace cairn::client_internal
