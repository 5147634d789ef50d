// An entry gets another place in the tree: what every kind of rename does once it is allowed.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/ids.h"
#include "server/meta/facts.h"
#include "server/meta/transaction.h"
#include "server/meta/tree.h"

namespace cairn {

struct Movement {
  Node node;
  InodeId from;
  std::string_view from_name;
  Place to;  // nothing has that name
};
// Moves it with all that is kept of it elsewhere: usage, pins, checkpoints, tiers.
absl::Status MoveEntry(Transaction& txn, const Movement& movement, const CommandFacts& facts);

// A directory that plain tools have written under a temporary name, and have just moved to its own,
// becomes a committed checkpoint, if it looks like one: the name it had begins with "." or "_", or
// ends as temporary ones do; its new name ends with digits, and says "step", "ckpt" or the like, or
// there are checkpoints next to it; and it holds files and directories only, with one name each.
// False: it stays a directory.
absl::StatusOr<bool> CommitIfCheckpoint(Transaction& txn, const Movement& movement,
                                        const CommandFacts& facts);

// Pure. A name that tools give to what is not complete yet.
bool IsTemporaryName(std::string_view name);
// Pure. "step-100", "checkpoint_5", "iter0000100", "global_step7": of a checkpoint.
bool IsCheckpointName(std::string_view name);

}  // namespace cairn
