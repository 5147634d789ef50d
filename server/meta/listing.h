// Walks over the tree for listings: in key order, resumable, bounded.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/ids.h"
#include "proto/wire/meta.pb.h"
#include "server/meta/transaction.h"
#include "server/meta/tree.h"

namespace cairn {

// One entry of a walk; `path` is relative to where the walk began.
struct WalkEntry {
  std::string path;
  InodeId parent;
  Node node;
  // A checkpoint's name under which an attempt is open; `node` is then empty if none is committed.
  bool being_written = false;
};

enum class Visit {
  kNext,
  kDescend,  // into this directory
  kStop,     // before this entry
};
using Visitor = absl::FunctionRef<absl::StatusOr<Visit>(const WalkEntry& entry)>;

// A walk that looks at more entries than this ends with RESOURCE_EXHAUSTED: a question must not
// hold a thread of the runner for long.
inline constexpr int kMaxVisited = 200'000;

// Visits the entries below `directory` that come after the path `after` (relative, "" for all),
// parents before their content, siblings in key order. Names under which a checkpoint is being
// written are visited too.
absl::Status Walk(const Transaction& txn, InodeId directory, std::string_view after, Visitor visit);

}  // namespace cairn
