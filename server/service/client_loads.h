// What each client moves through one core at this moment, for `cairn top`. Counting costs a look-up
// in a table of the core's own and two additions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/base/ids.h"

namespace cairn {

// Lives on one core.
class ClientLoads {
 public:
  struct Rate {
    SessionId session;
    uint64_t written_bytes_per_second = 0;
    uint64_t read_bytes_per_second = 0;
    uint64_t total() const { return written_bytes_per_second + read_bytes_per_second; }
  };

  void Wrote(SessionId session, uint64_t bytes, MonoTime now);
  void Read(SessionId session, uint64_t bytes, MonoTime now);
  // Of the last whole window, of all sessions that moved something in it.
  std::vector<Rate> Rates(MonoTime now) const;

  // Rates are of whole windows, so that whoever asks needs no answer from before: several may ask.
  // A fragment of 4 MiB is a small part of what a busy client moves in one.
  static constexpr absl::Duration kWindow = absl::Seconds(1);
  // Sessions end without a word to this table; idle ones make room when it is full. More busy ones
  // than this are not told apart by anyone, and the rest of them is not counted.
  static constexpr size_t kSessionsMax = 4096;

 private:
  struct Amounts {
    uint64_t written = 0;
    uint64_t read = 0;
  };
  struct Entry {
    int64_t window = 0;
    Amounts now;   // in `window`
    Amounts last;  // in the one before
  };
  // Null: the table is full.
  Entry* Find(SessionId session, MonoTime now);

  absl::flat_hash_map<SessionId, Entry> entries_;
};

// The busiest sessions, at most `limit`, of the rates of several cores.
std::vector<ClientLoads::Rate> Busiest(const std::vector<ClientLoads::Rate>& rates, size_t limit);

}  // namespace cairn
