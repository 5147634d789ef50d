// For operators: nodes and targets that come and go, cold tiers, how much is stored, the making
// again of what was lost, how evenly targets are filled, checks of what is stored, and what in the
// cluster is slow. Errors are absl::Status, as in client.h.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cairn/admin_types.h"
#include "cairn/client.h"
#include "cairn/load_types.h"
#include "cairn/tier_types.h"
#include "cairn/usage_types.h"

namespace cairn {

// Thread-safe. Its calls go to the node with the metadata, over the client's connections and within
// its timeout, retries included. Keeps what it needs of the client, which may end before it.
class Admin {
 public:
  explicit Admin(Client& client);
  ~Admin();

  // Says what is to become of a node. Returns when that is written down, durably; the moving goes
  // on by itself, see RebuildStatus(). Saying it again is harmless. NOT_FOUND: there is no such
  // node. FAILED_PRECONDITION: the node keeps the metadata and cannot be removed; or, without
  // `force`, what it holds would have nowhere to go, saying what is missing for that, or would be
  // lost with it.
  absl::StatusOr<Losses> SetNode(uint32_t node, NodeAction action,
                                 const SetNodeOptions& options = {});

  // As SetNode(), of one target. FAILED_PRECONDITION also when the others have too little space. A
  // removed one's device is let go when its node is started again.
  absl::StatusOr<Losses> SetTarget(uint32_t target, TargetAction action,
                                   const SetTargetOptions& options = {});

  // Has a running node make a target of a device or a file, which takes data a few seconds later
  // and is there after a restart, too. Again, it finds the target that it made. May take the
  // client's timeout or two minutes, whichever is longer. NOT_FOUND: there is no such node, or no
  // such device and no size. INVALID_ARGUMENT: the path or the size makes no sense.
  // FAILED_PRECONDITION: the node is down; or the device is in use, mounted, too small or, without
  // `wipe`, not blank, saying what is on it.
  absl::StatusOr<AddedTarget> AddTarget(uint32_t node, const NewTarget& target);

  // Adds a cold tier, once all nodes that are up have written, read, listed and deleted a probe in
  // it; an empty directory is made a store. The same once more is no error. Returns when that is
  // written down, durably; may take the client's timeout or two minutes, whichever is longer.
  // INVALID_ARGUMENT: the name, the location or an option. FAILED_PRECONDITION: nodes cannot use
  // it, saying which and why (not with `unchecked`). ALREADY_EXISTS: another tier has the name or
  // the location.
  absl::StatusOr<AddedTier> AddTier(const TierSpec& spec, const AddTierOptions& options = {});
  // By name.
  absl::StatusOr<std::vector<TierInfo>> Tiers();
  // Has all nodes that are up try the tier. What fails is in the result. May take the client's
  // timeout or two minutes, whichever is longer. NOT_FOUND: there is no such tier.
  absl::StatusOr<TierCheck> CheckTier(std::string_view name);
  // Forgets a tier, durably; what is in its store stays there. With `dry_run`: only says whether it
  // would be refused. NOT_FOUND: there is no such tier. FAILED_PRECONDITION: it holds parts of
  // files.
  absl::Status RemoveTier(std::string_view name, bool dry_run = false);

  // How much there is at a path and below it: of a directory from counts that are kept, so it costs
  // the same whatever is below. "": everything. NOT_FOUND.
  absl::StatusOr<UsageInfo> Usage(std::string_view path);
  // Where the bytes of the files at a path and below it are, some thousand files a call. Begins
  // with an empty `from`, and goes on with PlacesStep::next. While no cold tier holds anything, the
  // first step is the last. What comes and goes meanwhile is seen or not. NOT_FOUND;
  // INVALID_ARGUMENT: `from` is not of such a step.
  absl::StatusOr<PlacesStep> Places(std::string_view path, std::string_view from);

  // What all nodes that are up have moved, and their busiest clients: ask twice for rates. Nodes
  // that do not answer within two seconds are in it with why. UNIMPLEMENTED: the node with the
  // metadata runs a release without this.
  absl::StatusOr<std::vector<NodeLoad>> Load();

  // How full targets are, and what would be moved until none is more than so many percent of its
  // capacity fuller than another, as near as that can be got. 0: moves are not asked for.
  absl::StatusOr<BalanceInfo> Balance(uint32_t threshold_percent = 0);
  // Has that done: some moves at a time, going on by itself, after moves that are more urgent. As
  // ever, targets are evened out to 10 percent unasked. INVALID_ARGUMENT: not 1 to 99.
  absl::StatusOr<BalanceInfo> StartRebalance(uint32_t threshold_percent);
  // Ends that, and moves that only copy for it.
  absl::StatusOr<BalanceInfo> StopRebalance();

  // Whether these nodes may be stopped, all at once: every stripe stays readable and every
  // redundancy in use writable. Changes nothing, and promises nothing for later.
  absl::StatusOr<StopAdvice> OkToStop(const std::vector<uint32_t>& nodes);

  absl::StatusOr<RebuildInfo> RebuildStatus();

  // Compares the metadata with what the targets hold, both ways, for the stripes from `from_stripe`
  // on: a part of them, in a second or so, longer with `verify` and `repair`. To be called again
  // with `next` until `done`, from 0 on. May take the client's timeout or two minutes, whichever is
  // longer. What it repairs is durable when it returns; a call that has failed may have repaired
  // some, and can be made again.
  absl::StatusOr<StorageCheckStep> CheckStorage(uint64_t from_stripe,
                                                const CheckStorageOptions& options = {});

  // Examines all nodes, their devices, clocks and a few links of each, which costs each some
  // hundred KiB of traffic and a few reads. `examination` 0 begins it, or takes part in one that is
  // under way; returns after a second or so, to be called again with the number it was given until
  // `done`. ABORTED: another examination has begun and ended meanwhile; begin again.
  absl::StatusOr<ExaminationStep> Examine(uint64_t examination);

 private:
  absl::StatusOr<BalanceInfo> AskRebalance(int action, uint32_t threshold_percent);

  std::shared_ptr<client_internal::ClientImpl> impl_;
};

}  // namespace cairn
