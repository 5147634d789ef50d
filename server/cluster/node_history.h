// Pure: how often nodes have come and gone lately. The cluster map only says how they are now.
#pragma once

#include <cstdint>
#include <deque>
#include <map>

#include "absl/time/time.h"
#include "common/base/clock.h"

namespace cairn {

// Lives on one core, in memory: it begins anew with the process.
class NodeHistory {
 public:
  enum class Event { kSuspect, kDown, kRestart };
  struct Counts {
    uint32_t suspects = 0;
    uint32_t downs = 0;
    uint32_t restarts = 0;
    absl::Duration since;  // how long ago the first of them was; zero: there are none
  };
  static constexpr absl::Duration kWindow = absl::Minutes(30);
  // Of a node. One that comes and goes every few seconds has had its say by then.
  static constexpr size_t kEventsMax = 128;

  void Note(uint32_t node, Event event, MonoTime now);
  // Those of the last kWindow.
  Counts Count(uint32_t node, MonoTime now) const;

 private:
  struct Entry {
    Event event;
    MonoTime at;
  };
  std::map<uint32_t, std::deque<Entry>> nodes_;
};

}  // namespace cairn
