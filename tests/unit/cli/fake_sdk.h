// The SDK's public classes over a map in memory. Linked in the place of client/core, so that the
// commands and the C binding are tested without a server, and with the errors that a server rarely
// gives.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "cairn/admin.h"
#include "cairn/client.h"
#include "cairn/tiering.h"

namespace cairn::testing {

struct FakeFile {
  std::vector<std::byte> content;
  uint32_t crc32c = 0;
};

// What every Admin of the process has been asked, and what it is answered.
struct FakeAdmin {
  struct NodeChange {
    uint32_t node = 0;
    NodeAction action = NodeAction::kDrain;
    bool force = false;
  };
  std::vector<NodeChange> node_changes;  // dry runs are none
  Losses losses;
  struct TargetChange {
    uint32_t target = 0;
    TargetAction action = TargetAction::kDrain;
    bool force = false;
  };
  std::vector<TargetChange> target_changes;
  struct Addition {
    uint32_t node = 0;
    NewTarget target;
  };
  std::vector<Addition> additions;
  AddedTarget added = {7, "/dev/new", 1 << 30, false};
  std::map<std::string, TierInfo> tiers;
  std::vector<AddTierOptions> tier_options;  // of each addition
  TierCheck tier_check;
  std::vector<std::vector<NodeLoad>> loads = {{}};  // one after the other; the last stays
  size_t load_looks = 0;
  // What Tiering was asked for: "push a archive", "policy a"; and what it answers.
  std::vector<std::string> tiering_calls;
  std::map<std::string, TierPolicy> policies;
  TierVerdicts verdicts;
  TierAsked tier_asked = {1, false};
  std::vector<TierQueue> queues = {{}};  // of looks, one after the other; the last stays
  TierExplanation explanation;
  std::vector<TierProgress> tier_progress = {{}};
  std::vector<TierImport> imports = {{}};
  UsageInfo usage;                 // its path is that asked for
  std::vector<PlacesStep> places;  // by what they begin with: "" and the `next` of the one before
  std::vector<std::string> balance_calls;   // "show 0", "start 2", "stop"
  std::vector<BalanceInfo> balance = {{}};  // of looks, one after the other; the last stays
  size_t balance_looks = 0;
  std::vector<uint32_t> to_stop;
  StopAdvice advice = {true, {}};
  // One after the other; the last stays.
  std::vector<RebuildInfo> rebuild = {{}};
  size_t rebuild_looks = 0;
  // By the stripe they begin at; others are NOT_FOUND.
  std::map<uint64_t, StorageCheckStep> steps;
  std::vector<CheckStorageOptions> step_options;  // of each call
  // One after the other; the last stays. And the number each call gave.
  std::vector<absl::StatusOr<ExaminationStep>> examinations = {ExaminationStep{}};
  std::vector<uint64_t> examined;
};

// What every Client of the process sees. The mutex guards all; tests touch it between commands
// only.
struct FakeCluster {
  std::mutex mutex;
  std::map<std::string, FakeFile> files;
  std::map<std::string, BucketInfo> buckets;
  std::map<std::string, EntryType> directories;  // kDirectory or kCheckpoint
  std::map<std::string, CheckpointInfo> checkpoints;
  std::map<std::string, std::vector<ShardInfo>> shards;
  std::map<std::string, RetentionPolicy> retention;
  std::string status_json = "{}";
  FakeAdmin admin;
  // Errors to give: at Connect, and by path at any call on it ("read:PATH": at File::Read only;
  // "node:ID", "target:ID", "add:NODE", "tiers", "tier:NAME", "places:PATH", "load", "balance",
  // "stop", "rebuild", "check:STRIPE", "examine": at those of Admin).
  absl::Status connect_status;
  std::map<std::string, absl::Status> errors;
  // Called, once, as the second ShowCheckpoint() of a command begins: what another client does.
  std::function<void()> at_second_show;
  int shows = 0;
  ClientOptions last_options;
  absl::Duration last_commit_timeout;
  int flushes = 0;
  int aborts = 0;

  static FakeCluster& Get();
  // Empty again, with the bucket "b".
  void Reset();
  void AddFile(const std::string& path, std::string_view content);
  // Committed, with one shard "rank<i>.bin" a rank that holds `content`.
  void AddCheckpoint(const std::string& path, uint32_t ranks, std::string_view content);
};

}  // namespace cairn::testing
