// What the parts of Target share: pending fragments, commit jobs, and the holds of readers. Private
// to this folder.
#pragma once

#include <vector>

#include "common/task/event.h"
#include "server/chunk/target.h"

namespace cairn {

// A fragment that is on the device and not in the index. Shared, because a writer may outlive its
// place in the map.
struct Target::Pending {
  enum class State {
    kWriting,
    kWritten,
    kSealing,  // in a commit job: neither discarded nor dropped any more
  };
  ChunkIndex::Entry entry;
  State state = State::kWriting;
  // Nobody wants it any more; its writer frees the extent.
  bool dropped = false;
  // Set when the write has ended, either way.
  Event write_ended;
};

// One call's part of a group commit; lives in the call's frame.
struct Target::CommitJob {
  std::vector<std::shared_ptr<Pending>> seals;
  std::vector<FragmentKey> frees;
  // Set when its round has ended; earlier jobs have ended then too.
  Event done;
  // How the round's seals and removals ended. Apart, because either may go wrong alone: a seal
  // finds no space while a removal makes some.
  absl::Status sealed;
  absl::Status freed;

  size_t fragments() const { return seals.size() + frees.size(); }
};

// Readers of one fragment, and what was freed under them.
struct Target::Holds {
  int readers = 0;
  std::vector<Extent> freed;
};

// Counts a call for the destructor's check.
class Target::CallGuard {
 public:
  explicit CallGuard(Target* target) : target_(target) { ++target_->calls_; }
  ~CallGuard() { --target_->calls_; }
  CallGuard(const CallGuard&) = delete;
  CallGuard& operator=(const CallGuard&) = delete;

 private:
  Target* target_;
};

}  // namespace cairn
