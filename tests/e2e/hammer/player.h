// One process of the hammer: does to the tree what the dice say, by its view, and looks at what all
// have done. What it finds wrong it tells the board.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/random.h"
#include "tests/e2e/hammer/slots.h"
#include "tests/e2e/hammer/view.h"

namespace cairn::hammer {

enum class Syncing { kNever, kSometimes, kAlways };

struct PlayerOptions {
  uint32_t worker = 0;
  uint32_t view = 0;
  uint64_t seed = 0;
  Syncing syncing = Syncing::kSometimes;
  // What somebody who was killed had on its way has arrived after so long.
  int64_t settle_ns = 5'000'000'000;
};

class Player {
 public:
  Player(Board* board, View* view, const PlayerOptions& options);

  // Until the board says stop.
  void Play();
  // All of it, while nobody else is at work; waits until what is in doubt can be told. The first
  // thing that is wrong.
  absl::Status CheckAll();

 private:
  struct Plan {
    Operation operation = Operation::kNone;
    uint32_t first = 0, count = 0;  // blocks that are written
  };

  void PlayOnce();
  // Whether an error may be because the view was taken away since the operation began.
  bool Excused() const;
  // Tells the board, unless it is excused.
  void Report(const absl::Status& status, const std::string& what);
  void Doing(const std::string& what);

  // ---- slots
  void Change();
  std::optional<Plan> MakePlan(uint32_t number, const State& now);
  std::optional<Operation> ChooseOperation(SlotKind kind, const State& now);
  State After(const State& now, const Plan& plan, Slot* slot);
  absl::Status Perform(uint32_t number, const State& now, const State& after, const Plan& plan,
                       Durability durability);
  // What is there; an error also when it is nothing that could ever be.
  absl::StatusOr<State> Observe(uint32_t number);
  absl::StatusOr<State> ParseFile(uint32_t number, uint32_t place, const std::string& content);
  // Looks what an operation that nobody knows the end of has left. Holds the slot.
  absl::Status Resolve(uint32_t number);
  void CheckHeld();
  absl::Status CheckSlot(uint32_t number);
  void CheckUnheld();
  void CheckList();
  absl::Status CheckListOf(uint32_t directory);
  // Whether names of it may be remembered otherwise by the kernel of this view.
  bool NamesMayBeStale(const Slot& slot) const;

  // ---- the log
  void AppendToLog();
  void CheckLogHeld();
  absl::Status CheckLog();
  // Whether nobody has appended since `appends` had been begun.
  bool NobodyAppends(uint64_t appends) const;
  void RenewLog();

  Board& board_;
  View& view_;
  PlayerOptions options_;
  SeededRandom dice_;
  uint32_t appender_ = 0;
  uint32_t downs_ = 0;  // of the view, when the operation began
};

}  // namespace cairn::hammer
