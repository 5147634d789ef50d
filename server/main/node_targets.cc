// Targets that a node is given, and that leave the cluster, while it runs. One at a time, on core
// 0; what blocks runs on a thread of its own, and each target is opened on the core that owns it.

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/task/call_on.h"
#include "common/telemetry/log.h"
#include "server/chunk/blank_device.h"
#include "server/cluster/membership.h"
#include "server/main/node.h"

namespace cairn {
namespace {

constexpr absl::Duration kGiveUpTimeout = absl::Seconds(10);

absl::Status MakeDirectory(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (!error) return absl::OkStatus();
  return absl::PermissionDeniedError(StrCat("cannot make ", path, ": ", error.message()));
}

Task<absl::Status> ClearDevice(Disk* disk, bool wipe) {
  if (wipe) co_return co_await WipeDevice(*disk);
  co_return co_await CheckBlank(*disk);
}

// On the target's core.
Task<absl::Status> OpenOn(Core* core, Core::OpenTarget* opened, Target::Options options,
                          Random* random, Target** target, uint64_t* capacity_bytes) {
  absl::StatusOr<std::unique_ptr<Target>> made = co_await Target::Open(
      std::move(options), *opened->disk, *opened->index, *opened->runner, *random);
  if (!made.ok()) co_return made.status();
  *target = made->get();
  *capacity_bytes = (*target)->usage().capacity;
  opened->target = *std::move(made);
  core->AddTarget(std::move(*opened));
  co_return absl::OkStatus();
}

}  // namespace

// One that is being made.
struct Node::NewTarget {
  uint32_t number = 0;
  TargetSlot slot;
  DiskOptions disk;
  Core* core = nullptr;
  Core::OpenTarget opened;
  Target* target = nullptr;
  uint64_t capacity_bytes = 0;
  bool made_file = false;
  bool noted = false;  // in the identity
};

Task<absl::StatusOr<wire::AddTargetReply>> Node::AddTargetTo(wire::NodeInfo node,
                                                             wire::AddTargetRequest request,
                                                             Deadline deadline) {
  if (node.id() == directory_->identity().node_id())
    co_return co_await AddTarget(std::move(request), deadline);
  co_return co_await peers_->CallNode<wire::AddTargetReply>(
      node.id(), node.endpoint(), wire::ADD_TARGET, std::move(request), deadline);
}

Task<absl::StatusOr<wire::AddTargetReply>> Node::AddTarget(wire::AddTargetRequest request,
                                                           Deadline deadline) {
  if (request.node() != directory_->identity().node_id())
    co_return absl::FailedPreconditionError(StrCat("this is not node ", request.node()));
  // Callers try again.
  if (std::exchange(changing_targets_, true))
    co_return absl::UnavailableError("another target of this node is being added or removed");
  absl::StatusOr<wire::AddTargetReply> added =
      co_await MakeTarget(std::move(*request.mutable_target()), deadline);
  changing_targets_ = false;
  co_return added;
}

Task<absl::StatusOr<wire::AddTargetReply>> Node::MakeTarget(wire::NewTarget request,
                                                            Deadline deadline) {
  wire::AddTargetReply reply;
  for (const OwnTarget& own : own_targets_) {
    if (request.path().empty() || own.info.path() != request.path()) continue;
    if (own.target == nullptr) {
      co_return absl::FailedPreconditionError(StrCat(
          "target ", own.info.id(), " is there, and could not be opened; take it out first: ",
          "cairn target replace ", own.info.id()));
    }
    reply.set_target(own.info.id());
    reply.set_existed(true);
    reply.set_path(own.info.path());
    co_return reply;
  }
  CO_ASSIGN_OR_RETURN(NewTarget added, DescribeNewTarget(request));
  absl::Status made = co_await TakeDevice(&added, request.wipe());
  // From here on a restart finishes what a crash interrupts.
  if (made.ok()) made = co_await GetTargetId(&added, deadline);
  if (made.ok()) made = co_await OpenNewTarget(&added);
  if (!made.ok()) {
    CAIRN_LOG_ERROR("no target could be made at {}: {}", added.disk.device.path, made);
    co_await GiveUpNewTarget(&added);
    co_return made;
  }
  OwnTarget own;
  own.info = InfoOf(added.number, added.slot);
  own.core = added.core;
  own.target = added.target;
  reply.set_target(added.slot.id);
  reply.set_path(own.info.path());
  reply.set_capacity_bytes(added.capacity_bytes);
  own_targets_.push_back(std::move(own));
  CAIRN_LOG_INFO("has target {} now, at {}", added.slot.id, reply.path());
  co_return reply;
}

absl::StatusOr<Node::NewTarget> Node::DescribeNewTarget(const wire::NewTarget& request) {
  const std::string& path = request.path();
  if (!path.empty() && !std::filesystem::path(path).is_absolute())
    return absl::InvalidArgumentError(StrCat("\"", path, "\" is not a path from the root"));
  if (path.empty() && request.size_bytes() == 0)
    return absl::InvalidArgumentError("a path, or the size of a file to be made, must be said");
  if (request.size_bytes() != 0 && request.size_bytes() < kTargetBytesMin) {
    return absl::InvalidArgumentError(StrCat("a target has at least ", kTargetBytesMin, " bytes; ",
                                             request.size_bytes(), " are asked for"));
  }
  NewTarget added;
  added.number = static_cast<uint32_t>(slots_.size());
  // One that has been noted, and whether the cluster has given it an id was not heard.
  for (uint32_t number = 0; number < slots_.size(); ++number) {
    const TargetSlot& slot = slots_[number];
    if (slot.added && !slot.removed && slot.id == 0 && slot.settings.path() == path)
      added.number = number;
  }
  added.slot.added = true;
  added.slot.settings.set_path(path.empty() ? TargetHome(added.number) + "/data" : path);
  ASSIGN_OR_RETURN(added.disk, DiskOptionsOf(added.number, added.slot));
  added.disk.device.size_bytes = request.size_bytes();
  added.core = &CoreOf(added.number);
  return added;
}

Task<absl::Status> Node::TakeDevice(NewTarget* added, bool wipe) {
  const std::string& path = added->disk.device.path;
  added->opened.runner = std::make_unique<BlockingPool>(kTargetThreads);
  absl::StatusOr<OpenedDisk> disk;
  absl::Status ready;
  co_await target_pool_->Run([&] {
    ready = MakeDirectory(TargetHome(added->number));
    if (!ready.ok()) return;
    const bool existed = std::filesystem::exists(path);
    disk = OpenDisk(added->disk, added->core->thread().reactor(), *added->opened.runner);
    added->made_file = disk.ok() && !existed;
  });
  if (!ready.ok()) co_return ready;
  if (absl::IsNotFound(disk.status()) && added->disk.device.size_bytes == 0) {
    co_return absl::NotFoundError(StrCat(ToStd(disk.status().message()),
                                         "; say how large it is to be (--size), and a file is "
                                         "made"));
  }
  if (!disk.ok()) co_return disk.status();
  for (const std::string& warning : disk->warnings)
    CAIRN_LOG_WARN("target {}: {}", added->number + 1, warning);
  added->opened.disk = std::move(disk->disk);
  Disk* device = added->opened.disk.get();
  absl::Status cleared =
      co_await CallOn<absl::Status>(added->core->executor(), added->core->scope(),
                                    [device, wipe] { return ClearDevice(device, wipe); });
  if (cleared.ok()) co_return cleared;
  co_return absl::Status(cleared.code(), StrCat(path, ": ", ToStd(cleared.message())));
}

// What this node will find again comes first: an id that only the cluster knows is not opened.
Task<absl::Status> Node::GetTargetId(NewTarget* added, Deadline deadline) {
  std::vector<TargetSlot> slots = slots_;
  slots.resize(std::max<size_t>(slots.size(), added->number + 1));
  slots[added->number] = added->slot;
  absl::Status stored = co_await StoreTargets(std::move(slots));
  if (!stored.ok()) co_return stored;
  added->noted = true;
  uint32_t id = 0;
  if (member_ == nullptr) {
    CO_ASSIGN_OR_RETURN(
        id, co_await map_keeper_->AddNodeTarget(directory_->identity().node_id(), added->number));
  } else {
    const absl::StatusOr<wire::JoinReply> joined =
        co_await member_->Join(OwnJoinRequest(slots_.size()), deadline);
    if (!joined.ok()) co_return joined.status();
    if (joined->targets_size() <= static_cast<int>(added->number))
      co_return absl::InternalError("the cluster has given the new target no id");
    id = joined->targets(static_cast<int>(added->number));
  }
  if (id == 0) co_return absl::FailedPreconditionError("the cluster has removed the new target");
  added->slot.id = id;
  slots = slots_;
  slots[added->number] = added->slot;
  co_return co_await StoreTargets(std::move(slots));
}

Task<absl::Status> Node::OpenNewTarget(NewTarget* added) {
  absl::StatusOr<std::unique_ptr<Kv>> index;
  co_await target_pool_->Run([&] { index = OpenIndex(added->number); });
  if (!index.ok()) co_return index.status();
  added->opened.index = *std::move(index);
  const Target::Options options = TargetOptions(added->slot.id);
  co_return co_await CallOn<absl::Status>(
      added->core->executor(), added->core->scope(), [this, added, &options] {
        return OpenOn(added->core, &added->opened, options, &random_, &added->target,
                      &added->capacity_bytes);
      });
}

// `slots` are the node's from now on.
Task<absl::Status> Node::StoreTargets(std::vector<TargetSlot> slots) {
  disk::NodeIdentity identity = directory_->identity();
  StoreSlots(slots, &identity);
  absl::Status stored;
  co_await target_pool_->Run([&] { stored = directory_->Store(identity); });
  if (!stored.ok()) co_return stored;
  directory_->Adopt(std::move(identity));
  slots_ = std::move(slots);
  co_return absl::OkStatus();
}

// As if nothing had been, where that is known: only the number of one that has an id is gone. Where
// it is not known whether it has one, a restart or another try goes on from here.
Task<void> Node::GiveUpNewTarget(NewTarget* added) {
  added->opened.disk.reset();
  if (added->noted && added->slot.id == 0) co_return;
  if (added->made_file) {
    co_await target_pool_->Run([added] { (void)unlink(added->disk.device.path.c_str()); });
  }
  if (!added->noted) co_return;
  std::vector<TargetSlot> slots = slots_;
  slots[added->number].removed = true;
  absl::Status stored = co_await StoreTargets(std::move(slots));
  if (!stored.ok()) {
    CAIRN_LOG_WARN("a restart will try again to make the target: {}", stored);
    co_return;
  }
  wire::SetTargetRequest remove;
  remove.set_target(added->slot.id);
  remove.set_action(wire::TARGET_REMOVE);
  remove.set_force(true);
  absl::Status removed;
  if (member_ == nullptr) {
    removed = co_await map_keeper_->SetTarget(std::move(remove), {}, {});
  } else {
    const absl::StatusOr<wire::SetTargetReply> reply = co_await peers_->Call<wire::SetTargetReply>(
        member_->metadata(), wire::SET_TARGET, std::move(remove),
        Deadline::After(clock_, kGiveUpTimeout));
    removed = reply.status();
  }
  if (!removed.ok()) {
    CAIRN_LOG_WARN("target {} is left joining; take it out with cairn target rm {}: {}",
                   added->slot.id, added->slot.id, removed);
  }
}

// At the founding node's start: a crash may have come between, and targets have left of which its
// directory does not know.
absl::Status Node::ForgetRemoved(const wire::ClusterMap& map) {
  wire::HeartbeatRequest told;
  told.set_node(directory_->identity().node_id());
  for (const OwnTarget& own : own_targets_) *told.add_targets() = own.info;
  const std::vector<uint32_t> removed = RemovedTargets(map, told);
  if (removed.empty()) return absl::OkStatus();
  const auto has_left = [&removed](uint32_t id) {
    return std::find(removed.begin(), removed.end(), id) != removed.end();
  };
  for (TargetSlot& slot : slots_) slot.removed = slot.removed || has_left(slot.id);
  std::erase_if(own_targets_, [&](const OwnTarget& own) { return has_left(own.info.id()); });
  disk::NodeIdentity identity = directory_->identity();
  StoreSlots(slots_, &identity);
  return directory_->SetIdentity(std::move(identity));
}

// They stay open until a restart: calls may be under way. But what they hold or fail at counts no
// more.
Task<void> Node::OnRemovedTargets(std::vector<uint32_t> ids) {
  // Heartbeats go on telling of them, and this is called again.
  if (std::exchange(changing_targets_, true)) co_return;
  const auto is_removed = [&ids](uint32_t id) {
    return std::find(ids.begin(), ids.end(), id) != ids.end();
  };
  std::vector<TargetSlot> slots = slots_;
  for (TargetSlot& slot : slots) slot.removed = slot.removed || is_removed(slot.id);
  absl::Status stored = co_await StoreTargets(std::move(slots));
  changing_targets_ = false;
  if (!stored.ok()) {
    CAIRN_LOG_WARN("that targets have left the cluster cannot be noted yet: {}", stored);
    co_return;
  }
  for (const OwnTarget& own : own_targets_) {
    if (!is_removed(own.info.id())) continue;
    CAIRN_LOG_INFO("target {} ({}) has left the cluster; its device is let go at the next start",
                   own.info.id(), own.info.path());
  }
  std::erase_if(own_targets_, [&](const OwnTarget& own) { return is_removed(own.info.id()); });
}

}  // namespace cairn
