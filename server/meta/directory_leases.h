// Which clients keep what they know of a directory: the names in it, the attributes of what they
// lead to, and its own. A client that has a lease of it is told when another changes any of that,
// and has none any more. In memory only: who has not heard from here for a while keeps nothing.
// Owned by MetaEngine.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/task/semaphore.h"
#include "common/task/task.h"
#include "proto/wire/fs.pb.h"

namespace cairn {

// Lives on one executor.
class DirectoryLeases {
 public:
  // A client that asks for no news for so long has no leases any more.
  static constexpr absl::Duration kTtl = absl::Seconds(30);
  // Of a directory that others change, nobody is told again and again: each has a lease of it when
  // they have let it rest for so long.
  static constexpr absl::Duration kRest = absl::Seconds(2);
  // A directory takes some 60 bytes for each who has a lease of it.
  static constexpr size_t kDirectoriesOfClientMax = 65'536;
  static constexpr size_t kDirectoriesMax = 4'000'000;
  // In one answer.
  static constexpr size_t kNewsMax = 4096;
  static constexpr absl::Duration kWaitMax = absl::Seconds(20);

  void Start(const Clock& clock) { clock_ = &clock; }
  // Whoever waits for news is answered, and nobody waits any more.
  void Stop();

  // Whether the client is told of changes from now on. It has to have asked for news.
  bool Grant(uint64_t client, InodeId directory);
  // `client` has changed something in it; 0: the service itself has.
  void Break(InodeId directory, uint64_t client);
  // Comes back when there is news, when the client asks again, or when as long has passed as the
  // request says. UNAVAILABLE: the service stops.
  Task<absl::StatusOr<wire::WatchDirectoriesReply>> Watch(
      uint64_t client, const wire::WatchDirectoriesRequest& request);

  size_t clients() const { return watchers_.size(); }
  size_t leases() const { return leases_; }

 private:
  struct Watcher {
    absl::flat_hash_set<uint64_t> held;
    std::vector<uint64_t> news;
    std::shared_ptr<Semaphore> waiting;  // null: it does not ask just now
    MonoTime heard_at;
  };
  struct Change {
    uint64_t client = 0;
    MonoTime at;
    MonoTime by_others_at;  // than that client
    bool by_others = false;
  };

  bool Rests(uint64_t client, InodeId directory) const;
  void NoteChange(InodeId directory, uint64_t client);
  void Drop(uint64_t client);
  void DropSilent();

  const Clock* clock_ = nullptr;
  bool stopped_ = false;
  MonoTime looked_at_;
  size_t leases_ = 0;
  absl::flat_hash_map<uint64_t, std::shared_ptr<Watcher>> watchers_;
  absl::flat_hash_map<uint64_t, std::vector<uint64_t>> holders_;  // by directory
  absl::flat_hash_map<uint64_t, Change> changes_;      // the last of each, while it counts
  std::deque<std::pair<MonoTime, uint64_t>> by_time_;  // of `changes_`
};

}  // namespace cairn
