// See slots.h.
#include "tests/e2e/hammer/slots.h"

#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

#include "absl/strings/numbers.h"
#include "common/base/strings.h"
#include "tests/e2e/hammer/blocks.h"

namespace cairn::hammer {
namespace {

constexpr int kOwnerShift = 32;

uint64_t BitOf(uint32_t worker) { return uint64_t{1} << worker; }
uint64_t OwnerOf(uint32_t worker) { return uint64_t{worker + 1} << kOwnerShift; }

// Of an operation that writes in place.
bool IsPartly(const State& before, const State& after, const State& found) {
  if (!found.exists) return !before.exists;
  if (found.place != after.place) return false;
  const uint32_t before_blocks = before.exists ? before.blocks : 0;
  if (found.blocks < std::min(before_blocks, after.blocks) ||
      found.blocks > std::max(before_blocks, after.blocks))
    return false;
  for (uint32_t i = 0; i < found.blocks; ++i) {
    const uint64_t generation = found.generations[i];
    const bool old = i < before_blocks && generation == before.generations[i];
    const bool now = i < after.blocks && generation == after.generations[i];
    // The length may grow before what is in it comes.
    const bool hole = i >= before_blocks && generation == kNoGeneration;
    if (!old && !now && !hole) return false;
  }
  return true;
}

}  // namespace

SlotKind KindOf(uint32_t slot) {
  switch (slot % 8) {
    case 0:
      return SlotKind::kDirectory;
    case 1:
    case 2:
    case 3:
      return SlotKind::kAtomic;
    default:
      return SlotKind::kInPlace;
  }
}

uint32_t DirectoryOf(uint32_t slot, uint32_t place) { return (slot + place) % kDirectories; }

std::string DirectoryPath(uint32_t directory) { return StrCat("d", directory); }

std::string PathOf(uint32_t slot, uint32_t place) {
  return StrCat(DirectoryPath(DirectoryOf(slot, place)), "/", place == 0 ? "s" : "m", slot);
}

std::optional<SlotName> ParseName(std::string_view name) {
  if (name.size() < 2 || (name[0] != 's' && name[0] != 'm')) return std::nullopt;
  uint32_t slot = 0;
  if (!absl::SimpleAtoi(ToAbsl(name.substr(1)), &slot) || slot >= kSlots) return std::nullopt;
  return SlotName{slot, name[0] == 's' ? 0u : 1u};
}

bool State::operator==(const State& other) const {
  if (exists != other.exists) return false;
  if (!exists) return true;
  return place == other.place && blocks == other.blocks &&
         std::equal(generations.begin(), generations.begin() + blocks, other.generations.begin());
}

std::string Describe(const State& state) {
  if (!state.exists) return "nothing";
  std::string text = StrCat("name ", state.place, ", ", state.blocks, " blocks:");
  for (uint32_t i = 0; i < state.blocks;) {
    uint32_t end = i;
    while (end < state.blocks && state.generations[end] == state.generations[i]) ++end;
    text += StrCat(" ", state.generations[i], " (", end - i, ")");
    i = end;
  }
  return text;
}

std::string_view NameOf(Operation operation) {
  constexpr std::string_view kNames[] = {"nothing",  "replace", "create", "overwrite", "extend",
                                         "truncate", "unlink",  "move",   "mkdir",     "rmdir"};
  return kNames[static_cast<uint32_t>(operation)];
}

bool MayBe(const State& before, const State& after, Operation operation, const State& found) {
  if (found == before || found == after) return true;
  switch (operation) {
    case Operation::kCreate:
    case Operation::kOverwrite:
    case Operation::kExtend:
      return IsPartly(before, after, found);
    default:
      return false;
  }
}

void Board::Fail(const std::string& what) {
  if (failed.exchange(1) == 0) snprintf(failure.data(), failure.size(), "%s", what.c_str());
  stop = 1;
}

Board* MakeBoard() {
  void* memory =
      mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    perror("mmap");
    std::exit(2);
  }
  // All zeros is how it begins: nothing is there, and nobody holds anything.
  return new (memory) Board();
}

bool TryHold(std::atomic<uint64_t>& holders, uint32_t worker) {
  uint64_t nobody = 0;
  return holders.compare_exchange_strong(nobody, OwnerOf(worker));
}

void LetGo(std::atomic<uint64_t>& holders, uint32_t worker) { holders.fetch_sub(OwnerOf(worker)); }

bool TryLook(std::atomic<uint64_t>& holders, uint32_t worker) {
  uint64_t seen = holders.load();
  while (seen >> kOwnerShift == 0) {
    if (holders.compare_exchange_weak(seen, seen | BitOf(worker))) return true;
  }
  return false;
}

void LookAway(std::atomic<uint64_t>& holders, uint32_t worker) {
  holders.fetch_and(~BitOf(worker));
}

void Bury(Board& board, uint32_t worker) {
  board.workers[worker].appending = 0;
  LookAway(board.log_holders, worker);
  uint64_t owned = OwnerOf(worker);
  board.log_holders.compare_exchange_strong(owned, 0);
  for (Slot& slot : board.slots) {
    LookAway(slot.holders, worker);
    if (slot.holders.load() >> kOwnerShift != worker + 1) continue;
    if (slot.sequence % 2 == 1) {
      slot.doubted_at_ns = NowNs();
      ++slot.sequence;
    }
    LetGo(slot.holders, worker);
  }
}

int64_t NowNs() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace cairn::hammer
