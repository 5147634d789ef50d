// What must be in the tree, in memory that all processes of the hammer share: slots, each with what
// was last there, and with what an operation under way leads to. One process at a time changes a
// slot, and has to hold it alone; many may look at it. Who is killed holds nothing any more, and
// what it was doing is in doubt until somebody has looked.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::hammer {

inline constexpr uint32_t kSlots = 96;
inline constexpr uint32_t kDirectories = 6;
inline constexpr uint32_t kBlocksMax = 256;
inline constexpr uint32_t kWorkersMax = 32;
inline constexpr uint32_t kPlaces = 2;

// What may be done with a slot follows from its number.
enum class SlotKind {
  kAtomic,   // a file that is only replaced as a whole
  kInPlace,  // a file that is overwritten, extended and truncated, too
  kDirectory,
};
SlotKind KindOf(uint32_t slot);
// The path in the tree by the one or the other of its two names, of which it has one at a time.
std::string PathOf(uint32_t slot, uint32_t place);
std::string DirectoryPath(uint32_t directory);
// Of a slot, and by which name, an entry of a directory is; nullopt: of none.
struct SlotName {
  uint32_t slot = 0;
  uint32_t place = 0;
};
std::optional<SlotName> ParseName(std::string_view name);
uint32_t DirectoryOf(uint32_t slot, uint32_t place);

// What is there, or what must be.
struct State {
  bool exists = false;
  uint32_t place = 0;
  uint32_t blocks = 0;                           // of a file
  std::array<uint64_t, kBlocksMax> generations;  // of its blocks

  bool operator==(const State& other) const;
};
std::string Describe(const State& state);

enum class Operation : uint32_t {
  kNone,
  kReplace,
  kCreate,
  kOverwrite,
  kExtend,
  kTruncate,
  kUnlink,
  kMove,
  kMakeDirectory,
  kRemoveDirectory,
};
std::string_view NameOf(Operation operation);

// Whether `found` can be what an operation leaves that nobody knows the end of: a part of what it
// writes where it writes in place, else all or nothing.
bool MayBe(const State& before, const State& after, Operation operation, const State& found);

// One slot. What is not atomic is for who holds it alone; `states` also for who finds the same even
// `sequence` before and after.
struct Slot {
  std::atomic<uint64_t> holders;  // one bit for each who looks; the upper half: who changes it, + 1
  std::atomic<uint64_t> sequence;      // odd while it is being changed
  std::atomic<uint32_t> current;       // which of the states holds
  std::atomic<uint32_t> operation;     // under way, or in doubt
  std::atomic<int64_t> doubted_at_ns;  // 0: not in doubt
  std::atomic<int64_t> named_at_ns;    // its names were changed last
  std::atomic<uint32_t> named_by;      // by which view
  std::atomic<uint64_t> next_generation;
  std::array<State, 2> states;

  const State& now() const { return states[current.load()]; }
  State& next() { return states[1 - current.load()]; }
};

// Of one who appends to the log: who fails, or is killed, goes on as another one.
struct Appender {
  std::atomic<uint64_t> acknowledged;  // so many records are in the log
  std::atomic<uint64_t> gone;          // of those, so many went with an earlier log
};
inline constexpr uint32_t kAppendersMax = 4096;

struct Worker {
  std::atomic<int> pid;
  std::atomic<uint64_t> done;       // operations
  std::atomic<uint32_t> appending;  // to the log, now
  std::atomic<uint32_t> resting;    // between operations, and sees that all are to rest
  std::array<char, 128> doing;      // for people
};

struct Board {
  std::array<Slot, kSlots> slots;
  std::atomic<uint64_t> log_holders;  // as those of a slot; appending is a way of looking
  std::atomic<uint32_t> log_renewal;  // it is about to be removed, or nobody knows whether it was
  std::array<Appender, kAppendersMax> appenders;
  std::atomic<uint64_t> appends;  // begun so far
  std::atomic<uint32_t> next_appender;
  std::array<Worker, kWorkersMax> workers;
  // Of each view: it is not there now, and how often it has gone.
  std::array<std::atomic<uint32_t>, 8> down;
  std::array<std::atomic<uint32_t>, 8> downs;
  std::atomic<uint32_t> pause;
  std::atomic<uint32_t> stop;
  std::atomic<uint32_t> failed;
  std::array<char, 4096> failure;  // the first

  // Notes what is wrong, unless something has been before, and has all stop.
  void Fail(const std::string& what);
};

// In memory that children share; ends with the process.
Board* MakeBoard();

bool TryHold(std::atomic<uint64_t>& holders, uint32_t worker);
void LetGo(std::atomic<uint64_t>& holders, uint32_t worker);
bool TryLook(std::atomic<uint64_t>& holders, uint32_t worker);
void LookAway(std::atomic<uint64_t>& holders, uint32_t worker);
// Of a worker that was killed: it holds nothing, and what it was changing is in doubt.
void Bury(Board& board, uint32_t worker);

int64_t NowNs();

}  // namespace cairn::hammer
