// What a checkpoint or file consists of, as those who copy, release and fetch it need it: its
// files, their runs of stripes, and where these lie in cold tiers; in pages.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/ids.h"
#include "proto/disk/meta.pb.h"
#include "proto/wire/meta.pb.h"
#include "server/meta/transaction.h"

namespace cairn {

struct TierRun {
  uint64_t offset_bytes = 0;  // in the file
  uint64_t first_stripe = 0;
  disk::StripeRunRecord record;
  disk::ColdRunRecord cold;             // without parts: nothing of it lies in a cold tier
  std::vector<wire::ColdPlace> places;  // of the parts
};

// An extent without stripes: it carries its bytes, or is a hole.
struct TierBytes {
  uint64_t offset_bytes = 0;
  uint64_t length_bytes = 0;
  std::string data;  // "": a hole
};

struct TierFile {
  std::string path;  // in the checkpoint; "": the subject is the file
  InodeId inode;
  disk::InodeRecord record;
  std::vector<TierRun> runs;     // those of them that are on this page
  std::vector<TierBytes> bytes;  // as well
};

// Where a page begins: in the file after `after`, or in the midst of `inode`.
struct TierCursor {
  std::string after = {};
  InodeId inode = {};
  uint64_t offset_bytes = 0;
};

struct TierPage {
  std::vector<TierFile> files;
  TierCursor next;
  bool last = false;
};

// About `runs_max` runs from `from` on. Runs of which a cold copy has many parts count as many.
// NOT_FOUND: the subject has gone. FAILED_PRECONDITION: a file of it consists of parts of runs.
absl::StatusOr<TierPage> ReadTierFiles(const Transaction& txn, InodeId subject,
                                       const TierCursor& from, size_t runs_max);

// A subject for which a step waits.
struct TierTask {
  InodeId subject;
  disk::TierSubjectRecord record;
};
// Which are passed by: those under way, and what tiers cannot or may not do now.
struct TierTaskFilter {
  std::set<uint64_t> subjects = {};
  std::set<std::string> no_archive = {};
  std::set<std::string> no_recall = {};
  bool Passes(const TierTask& task) const;
};
struct TierTaskPage {
  std::vector<TierTask> tasks;
  std::string next;  // where to go on, if steps are waiting behind those that were looked at
};
// The first `limit` by priority and time that pass, of some from `from` on; "": from the first on.
absl::StatusOr<TierTaskPage> NextTierTasks(const Transaction& txn, const TierTaskFilter& filter,
                                           const std::string& from, size_t limit);

}  // namespace cairn
