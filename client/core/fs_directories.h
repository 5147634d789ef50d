// Leases of directories: of which of them the service tells when others change what is in them, so
// that whoever has seen that may keep it until then. Asks for news all the time; without an answer
// nothing is kept.
#pragma once

#include <cstdint>
#include <functional>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "client/core/fs_context.h"

namespace cairn::client_internal {

// Lives on the session's executor.
class HeldDirectories {
 public:
  // Where the news are in their order. An answer that was asked for at one mark holds nothing that
  // there has been news of since, however late it comes.
  using Mark = uint64_t;

  explicit HeldDirectories(FsContext& context) : context_(context) {}

  // From now on leases are asked for, and `tell` is called with each directory that is not held any
  // more.
  void Start(std::function<void(uint64_t)> tell);
  // Nobody is told any more.
  void Forget() { tell_ = nullptr; }
  // The service lets go, too, so that who waits for news comes back.
  Task<void> End();

  // Requests should ask for leases.
  bool wanted() const { return hears_ && tell_ != nullptr; }
  Mark mark() const { return mark_; }
  void Granted(uint64_t directory, Mark asked_at);
  // What was answered about things in it stays true until it is told.
  bool Holds(uint64_t directory, Mark asked_at) const;

 private:
  static Task<void> Run(HeldDirectories* self);
  Task<absl::StatusOr<wire::WatchDirectoriesReply>> Ask();
  bool HasNews(uint64_t directory, Mark since) const;
  void Lose(uint64_t directory);
  void LoseAll();

  FsContext& context_;
  std::function<void(uint64_t)> tell_;
  bool running_ = false;
  bool hears_ = false;
  Mark mark_ = 1;
  Mark all_news_at_ = 0;  // of every directory
  absl::flat_hash_map<uint64_t, Mark> news_at_;
  absl::flat_hash_set<uint64_t> held_;
};

}  // namespace cairn::client_internal
