// What admin.h asks for and answers.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace cairn {

// ---- nodes ----

enum class NodeAction {
  kDrain,    // moves away what the node's targets hold; new stripes go elsewhere
  kUndrain,  // takes that back
  // Drains; then the node leaves the cluster for good. One that is down counts as lost at once:
  // what it holds is made again from the other fragments.
  kRemove,
};

struct SetNodeOptions {
  // Also if what the node holds cannot all be moved, because too few other failure domains are
  // there; and if data would be lost with a node that is down.
  bool force = false;
  // Changes nothing: only says whether it would be refused, and what would be lost.
  bool dry_run = false;
};

// Data that is lost with what is removed, for people: "4 placement groups of replica:1". Empty:
// nothing is.
using Losses = std::vector<std::string>;

struct StopAdvice {
  bool ok = false;
  std::vector<std::string> reasons;  // why not, for people; empty when `ok`
};

// ---- targets ----

enum class TargetAction {
  kDrain,    // moves away what the target holds; new stripes go elsewhere
  kUndrain,  // takes that back, and a removal that has not come to its end
  // Drains; then the target leaves the cluster for good. What cannot be read counts as lost, and is
  // made again from the other fragments.
  kRemove,
  // As kRemove, also where a part has nowhere to go yet: another device is about to come.
  kReplace,
};

struct SetTargetOptions {
  // Also if what the target holds cannot all be moved; and if data would be lost with a target that
  // cannot be read.
  bool force = false;
  bool dry_run = false;  // as in SetNodeOptions
};

// On a node: a block device, or a file.
struct NewTarget {
  std::string path;         // from the root; "": a file in the node's data directory
  uint64_t size_bytes = 0;  // of a file that is to be made; a device has its own
  bool wipe = false;        // also if there is something on it, which is lost
};

struct AddedTarget {
  uint32_t target = 0;
  std::string path;
  uint64_t capacity_bytes = 0;
  bool existed = false;  // the node had it already
};

// ---- balance ----

// How evenly the targets that take data are filled, and what would be moved to have them more even.
struct BalanceInfo {
  struct Fill {
    uint32_t target = 0;
    uint32_t node = 0;
    uint64_t used_bytes = 0;
    uint64_t capacity_bytes = 0;
  };
  struct Move {
    uint32_t group = 0;
    uint32_t index = 0;
    uint32_t from_target = 0;
    uint32_t to_target = 0;
    uint64_t bytes = 0;  // about: an equal share of what `from_target` holds
  };

  uint32_t targets = 0;  // 0: the three say nothing
  Fill emptiest;
  Fill median;
  Fill fullest;
  uint32_t threshold_percent = 0;  // of a rebalance that is under way; 0: none is
  std::vector<Move> moves;         // that would be made, the first 256
  uint32_t moves_planned = 0;      // all of them
  uint64_t bytes_planned = 0;
  uint32_t moves_under_way = 0;  // for whatever reason: no others are planned before they end
  bool waits_for_sweep = false;  // what has been moved is still to be freed where it was
};

// ---- rebuild ----

// Of the check that goes on by itself: it reads every fragment, and mends what it finds.
struct ScrubInfo {
  bool running = false;
  // Unix time in nanoseconds. 0: none since the node with the metadata has started.
  int64_t began_at_ns = 0;    // of the pass under way, or else of the last
  int64_t ended_at_ns = 0;    // of the last that has ended
  uint64_t stripes_done = 0;  // these and the next four: of the pass under way, or else of the last
  uint64_t stripes = 0;       // about so many in all
  uint64_t verified_bytes = 0;
  uint64_t findings = 0;
  uint64_t repaired = 0;  // of these
  uint64_t reported = 0;  // stripes that clients had to read around, since the start
};

// What is being made again or moved.
struct RebuildInfo {
  // Of one member of a placement group, from a target to another.
  struct Move {
    uint32_t group = 0;
    uint32_t index = 0;  // of the fragments, in their stripes
    uint32_t from_target = 0;
    uint32_t to_target = 0;
    // The new target is the member already; what is still being written is waited for.
    bool settling = false;
  };

  // At this moment.
  uint32_t moves_copying = 0;
  uint32_t moves_settling = 0;
  uint32_t members_lost = 0;  // members that have to move, and have nowhere to go
  // Since the node with the metadata has started.
  uint64_t restored_fragments = 0;
  uint64_t restored_bytes = 0;
  uint64_t failed_fragments = 0;  // in the last pass
  std::string last_failure;       // for people; empty: none yet
  uint64_t bytes_per_second = 0;  // over the last ten seconds or so
  // A pass looks once at every stripe that is referred to.
  uint64_t pass_stripes_done = 0;
  uint64_t pass_stripes = 0;            // about so many in all
  uint64_t passes = 0;                  // that have ended
  std::vector<Move> moves;              // the first 256
  std::vector<uint32_t> waiting_nodes;  // that must answer before it goes on
  // Fragments may be left where no placement group has them: they are looked for and freed soon.
  bool sweep_due = false;
  ScrubInfo scrub;
};

// ---- checks ----

enum class StorageFault {
  kUnknown,              // of a later release
  kFragmentMissing,      // referred to, and not held by its target
  kFragmentDamaged,      // held, and not what was written
  kFragmentWrongLength,  // held, and too long or too short
  kFragmentOrphan,       // held, and nothing refers to it
  kStripeLost,           // referred to, with fewer fragments than it takes to read it
  kGroupUnknown,         // referred to in a placement group that is none
};

struct StorageFinding {
  StorageFault fault = StorageFault::kUnknown;
  uint64_t stripe = 0;
  uint32_t group = 0;   // 0: of an orphan that no stripe has
  uint32_t target = 0;  // 0 where the fault is the stripe's: kStripeLost, kGroupUnknown
  uint32_t index = 0;   // of the fragment, in its stripe; as `target`
  bool repaired = false;
  std::string detail;  // for people: why a repair has failed, say
};

struct CheckStorageOptions {
  // Also read every fragment and compare it with its checksums.
  bool verify = false;
  // Make again what is missing or damaged, free what nothing refers to.
  bool repair = false;
};

// What one step has found.
struct StorageCheckStep {
  uint64_t next = 0;       // the stripe to go on from
  bool done = false;       // there is nothing from there on
  uint64_t stripes = 0;    // looked at: those that are referred to
  uint64_t fragments = 0;  // that targets hold of the stripes looked at
  uint64_t verified_bytes = 0;
  std::vector<StorageFinding> findings;
  // Targets that could not be asked: what is missing there is not known.
  std::vector<uint32_t> unreachable_targets;
  uint64_t last_stripe = 0;  // the highest id that was ever given out: how far there is to go
  // Fragments that nothing refers to, and no findings: moves have left them, and the rebuild frees
  // them when it is through. 0 with `repair`: it frees them itself.
  uint64_t leftovers = 0;
};

// ---- examinations ----

// Something that stands out.
struct ExamineFinding {
  std::string code;  // stable: "TARGET_SLOW"; client/cli/README.md lists them
  bool is_error = false;
  std::string summary;  // these three for people
  std::string endangers;
  std::string todo;
  absl::Time since = absl::UnixEpoch();  // the epoch: not known
  std::vector<uint32_t> nodes;
  std::vector<uint32_t> targets;
  bool is_link = false;  // of the link from the first of `nodes` to the second
  double measured = 0;   // in `unit`
  double usual = 0;      // of its peers; 0: there are none to compare with
  std::string unit;      // "ms", "MB/s", "times"; empty: nothing was measured
};

// All 0 without samples.
struct LatencyInfo {
  uint64_t samples = 0;
  absl::Duration p50;
  absl::Duration p99;
  absl::Duration max;
};

struct ExaminedTarget {
  uint32_t target = 0;
  uint64_t used_bytes = 0;
  uint64_t capacity_bytes = 0;
  std::string failure;  // empty while it works
  // Of the last minutes, whoever caused them.
  LatencyInfo write;
  LatencyInfo read;
  LatencyInfo flush;
  // Reads of 64 KiB to try the device; and how long one had not returned.
  LatencyInfo probe;
  absl::Duration probe_pending;
  std::string probe_error;
};

// To another node; the way back is in that one's links.
struct ExaminedLink {
  uint32_t to_node = 0;
  absl::Duration round_trip;      // the least of a few
  uint64_t bytes_per_second = 0;  // of one connection, a message after the other; 0: not measured
  std::string error;              // empty: the link works
};

struct ExaminedNode {
  uint32_t node = 0;
  std::string error;  // why it was not examined; empty: it was
  std::string software_version;
  absl::Duration uptime;
  absl::Duration round_trip;   // from the node with the metadata
  absl::Duration clock_ahead;  // of that node's clock; negative: behind
  absl::Duration clock_error;  // at most so much off
  // Within `window` up to now.
  absl::Duration window;
  uint32_t downs = 0;
  uint32_t suspects = 0;
  uint32_t restarts = 0;
  std::vector<ExaminedTarget> targets;
  std::vector<ExaminedLink> links;  // a few
};

struct ExaminationStep {
  uint64_t examination = 0;  // to be asked after
  bool done = false;
  uint32_t nodes = 0;
  uint32_t nodes_done = 0;  // that have answered, or have not in time
  // Once done. Findings: errors first.
  std::vector<ExamineFinding> findings;
  std::vector<ExaminedNode> examined;
};

}  // namespace cairn
