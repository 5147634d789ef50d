// What tiering.h asks for and answers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace cairn {

// What reading does that meets bytes which lie in a cold tier alone.
enum class RecallMode {
  kBlock,    // waits for the cold tier, and reads just what is wanted
  kFail,     // is refused: whoever wants it fetches it first
  kDelayed,  // has all of it fetched, and waits until it is there
};

// What becomes of what is written below a directory. The nearest directory above that has a policy
// counts, and that alone.
struct TierPolicy {
  std::string tier;                                     // where copies go
  absl::Duration archive_after = absl::ZeroDuration();  // a copy is made once it is so old
  uint64_t min_bytes = 0;                               // what is smaller stays hot alone
  // A copy lets go of its space on the targets once it is so old, or once nobody has read it for so
  // long; with neither, and with `keep_hot`, once it is not among the newest.
  std::optional<absl::Duration> release_after;
  std::optional<absl::Duration> release_unread;
  uint32_t keep_hot = 0;          // the newest so many checkpoints of each directory stay hot
  uint64_t keep_every_steps = 0;  // checkpoints of steps divisible by it are never deleted
  // Checkpoints that neither of these keeps are deleted once they are so old.
  std::optional<absl::Duration> delete_after;
  // Once targets are so full, copies let go of space, the least recently used first, until they are
  // as full as `low_percent`. 0: never.
  uint32_t high_percent = 0;
  uint32_t low_percent = 0;
  RecallMode recall = RecallMode::kBlock;
  uint32_t promote_reads = 0;  // what was opened so often while it was cold is fetched; 0: never
};

struct PathPolicy {
  std::string path;
  TierPolicy policy;
  absl::Time set_at;
};

// How fast a tier is used, all nodes together, at a time of day (UTC). The first limit that holds
// counts.
struct TierLimit {
  uint32_t from_minute = 0;       // of the day
  uint32_t to_minute = 0;         // the same: all day; before it: over midnight
  uint64_t bytes_per_second = 0;  // 0: without a limit
};
struct TierControl {
  bool archive_paused = false;  // nothing new is copied into it
  bool recall_paused = false;   // nothing is fetched from it; who reads what is cold still gets it
  std::vector<TierLimit> limits;
};
// What is left out stays as it is.
struct TierControlChange {
  std::optional<bool> archive_paused;
  std::optional<bool> recall_paused;
  std::optional<std::vector<TierLimit>> limits;
};

enum class TierStep { kNone, kArchive, kRelease, kRecall, kDelete };
enum class TierPlace {
  kHot,     // on the targets alone
  kCopied,  // there, and in the cold tier
  kCold,    // in the cold tier alone
  kPartly,  // some of it on the targets, the rest in the cold tier alone
};

// What a policy says of one checkpoint or file.
struct TierVerdict {
  std::string path;
  bool is_checkpoint = false;
  uint64_t size_bytes = 0;
  TierPlace place = TierPlace::kHot;
  TierStep now = TierStep::kNone;               // what is done at once
  std::string rule;                             // for people: why
  TierStep next = TierStep::kNone;              // what follows
  absl::Time next_at = absl::InfiniteFuture();  // when, if by time
};
struct TierVerdicts {
  std::vector<TierVerdict> verdicts;
  std::string next;  // where the next page begins
  bool more = false;
};

struct TierAsked {
  uint64_t subjects = 0;     // checkpoints and files that were asked for at once
  bool more_follow = false;  // of a directory: the others are found one after the other
};

struct TierQueueEntry {
  std::string path;
  TierStep step = TierStep::kNone;
  bool by_operator = false;
  bool running = false;
  absl::Time since;
  uint64_t size_bytes = 0;
  uint64_t done_bytes = 0;  // while it is running
  std::string tier;
  std::string error;  // of the last try; it is tried again
};
struct TierQueue {
  std::vector<TierQueueEntry> entries;  // in the order in which they begin
  std::string next;                     // where the next page begins
  bool more = false;
  uint64_t waiting = 0;    // of all, up to some 100,000; told with the first page
  std::string holds_back;  // for people: why nothing is begun; "": nothing does
};

struct TierExplanation {
  TierVerdict verdict;
  std::string policy_path;  // of the directory whose policy holds; "": none does
  std::string tier;         // that has the copy
  absl::Time written_at;
  absl::Time read_at;               // about; the epoch: not known
  TierStep step = TierStep::kNone;  // waits or is under way
  bool running = false;
  bool by_operator = false;
  uint64_t done_bytes = 0;
  uint32_t failures = 0;  // in a row
  std::string error;      // of the last
  absl::Time error_at;
  absl::Time try_again_at;
  bool held = false;     // an operator has cancelled it
  absl::Time hot_until;  // it was fetched, and stays until then
  uint64_t cold_bytes = 0;
};

// How far what was asked for has come, for all below a path.
struct TierProgress {
  uint64_t subjects = 0;
  uint64_t size_bytes = 0;
  uint64_t copied_bytes = 0;  // of those that have a copy in a cold tier
  uint64_t cold_bytes = 0;    // that are there alone
  uint64_t waiting = 0;       // subjects for which something waits or is under way
  uint64_t failed = 0;        // whose last try has failed
  std::string error;          // of one of them
};

struct TierImport {
  bool running = false;
  std::string tier;
  std::string cluster_id;  // whose data is imported
  bool dry_run = false;
  uint64_t steps = 0;  // manifests to be read, and then what they tell of
  uint64_t steps_done = 0;
  uint64_t subjects = 0;  // checkpoints and files that are there now, or would be
  uint64_t files = 0;
  uint64_t size_bytes = 0;
  uint64_t skipped = 0;  // there was something of the name already
  uint64_t failed = 0;
  std::vector<std::string> problems;  // some of them
  std::string error;                  // why it has ended early
};

}  // namespace cairn
