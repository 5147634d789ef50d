#include "bench/scale/simulation.h"

#include <algorithm>
#include <bit>
#include <optional>
#include <utility>

#include "common/base/check.h"
#include "common/base/units.h"
#include "common/rpc/credits.h"
#include "server/chunk/seal_batch.h"
#include "server/main/sizes.h"
#include "server/meta/commit.h"

namespace cairn::scale {

double Outcome::BusiestOf(ResourceKind kind) const {
  double most = 0;
  for (const Resource& resource : resources)
    if (resource.kind == kind) most = std::max(most, resource.busy);
  return most;
}

double Outcome::MeanOf(ResourceKind kind) const {
  double sum = 0;
  size_t count = 0;
  for (const Resource& resource : resources) {
    if (resource.kind != kind) continue;
    sum += resource.busy;
    ++count;
  }
  return count == 0 ? 0 : sum / static_cast<double>(count);
}

double Outcome::DiskSpread() const {
  const double mean = MeanOf(ResourceKind::kDisk);
  return mean == 0 ? 1 : BusiestOf(ResourceKind::kDisk) / mean;
}

Simulation::Simulation(const Hardware& hardware, const Software& software, const Work& work)
    : hardware_(hardware),
      software_(software),
      work_(work),
      save_(work.direction == Direction::kSave),
      topology_(hardware, work.ranks(), work.direction),
      ranks_(work.ranks()),
      slots_(work.ranks() * software.window),
      windows_(size_t{work.ranks()} * hardware.nodes),
      cores_(topology_.cores()),
      targets_(hardware.targets()),
      seal_fragments_(hardware.targets()),
      readers_free_at_(kMetaReaders),
      ranks_left_(work.ranks()) {
  CAIRN_CHECK(software.window >= 1 && software.window <= 64);
  const uint64_t slabs = hardware.slab_memory / kSlabBytes / hardware.reactors_per_node;
  CAIRN_CHECK(slabs >= kSlabsPerCoreMin);
  for (Core& core : cores_) core.slabs_free = static_cast<uint32_t>(slabs);
  for (uint32_t i = 0; i < work.ranks(); ++i) {
    Rank& rank = ranks_[i];
    rank.free_slots = software.window == 64 ? ~uint64_t{0} : (uint64_t{1} << software.window) - 1;
    rank.next_item = work.first_item[i];
    rank.items_left = work.first_item[i + 1] - work.first_item[i];
  }
  CountSessions();
}

// A session for each rank on each node that it calls; each node's credits are shared by its own.
void Simulation::CountSessions() {
  std::vector<uint32_t> sessions(hardware_.nodes);
  std::vector<uint32_t> seen(hardware_.nodes, kNone);
  for (uint32_t rank = 0; rank < work_.ranks(); ++rank) {
    for (const PlannedCall& call : work_.CallsOfRank(rank)) {
      const uint32_t node = topology_.NodeOf(call.target);
      if (std::exchange(seen[node], rank) != rank) ++sessions[node];
    }
  }
  const auto slabs = static_cast<uint32_t>(cores_[0].slabs_free * hardware_.reactors_per_node);
  outcome_.credits_min = kNone;
  for (uint32_t node = 0; node < hardware_.nodes; ++node) {
    const uint32_t credits =
        FairCredits(slabs, sessions[node], sessions[node], software_.credits_max);
    outcome_.sessions_max = std::max(outcome_.sessions_max, sessions[node]);
    outcome_.sessions_mean += static_cast<double>(sessions[node]) / hardware_.nodes;
    outcome_.credits_min = std::min(outcome_.credits_min, credits);
    for (uint32_t rank = 0; rank < work_.ranks(); ++rank)
      windows_[size_t{rank} * hardware_.nodes + node].left = credits;
  }
}

Outcome Simulation::Run() {
  for (uint32_t rank = 0; rank < work_.ranks(); ++rank) AskMeta(rank, save_ ? kBegin : kStat);
  while (!events_.empty()) {
    const Event event = events_.Next();
    now_ = event.at;
    ++outcome_.events;
    Handle(event);
  }
  CAIRN_CHECK(ranks_left_ == 0);
  outcome_.resources = topology_.resources();
  for (const Resource& resource : outcome_.resources)
    if (resource.kind == ResourceKind::kDisk) outcome_.bytes_on_disk += resource.bytes;
  return std::move(outcome_);
}

void Simulation::Handle(const Event& event) {
  switch (event.kind) {
    case EventKind::kEncoded:
      return OnEncoded(event.a, event.b);
    case EventKind::kAtServer:
      return OnAtServer(event.a);
    case EventKind::kStage:
      return OnStage(event.a);
    case EventKind::kSlabFree:
      return FreeSlab(event.a);
    case EventKind::kReply:
      return OnReply(event.a);
    case EventKind::kVerified:
      return EndCall(event.a);
    case EventKind::kSealArrives:
      return OnSealArrives(event.a);
    case EventKind::kSealed:
      return OnSealed(event.a);
    case EventKind::kSealReply:
      return OnSealReply(event.a);
    case EventKind::kMetaArrives:
      return OnMetaArrives(event.a, MetaCall{event.b});
    case EventKind::kMetaQueued:
      return OnMetaQueued(event.a, MetaCall{event.b});
    case EventKind::kMetaGroup:
      return OnMetaGroup();
    case EventKind::kMetaReply:
      return OnMetaReply(event.a, MetaCall{event.b});
  }
}

void Simulation::Push(Line* line, uint32_t call) {
  calls_[call].next = kNone;
  if (line->head == kNone) {
    line->head = call;
  } else {
    calls_[line->tail].next = call;
  }
  line->tail = call;
}

uint32_t Simulation::Pop(Line* line) {
  const uint32_t call = line->head;
  line->head = calls_[call].next;
  return call;
}

// --- The client: client/io/write_path.cc and read_path.cc ---

// Items take a place in the session's window in their order; then, of a save, checksums and parity.
void Simulation::Launch(uint32_t index) {
  Rank& rank = ranks_[index];
  while (rank.free_slots != 0 && rank.next_item < work_.first_item[index + 1]) {
    const auto slot = static_cast<uint32_t>(std::countr_zero(rank.free_slots));
    rank.free_slots &= rank.free_slots - 1;
    const uint32_t item = rank.next_item++;
    const std::span<const PlannedCall> calls = work_.CallsOf(item);
    slots_[index * software_.window + slot] = {item, static_cast<uint32_t>(calls.size())};
    double seconds = static_cast<double>(calls.size()) * hardware_.rank_call;
    uint64_t bytes = 0;
    if (save_) {
      bytes = work_.ContentOf(item);
      seconds += static_cast<double>(bytes) / hardware_.rank_encode;
    }
    Add(CpuOf(index).Take(now_, seconds * cpu_share(), bytes), EventKind::kEncoded, index, slot);
  }
}

void Simulation::OnEncoded(uint32_t rank, uint32_t slot) {
  for (const PlannedCall& planned : work_.CallsOf(slots_[rank * software_.window + slot].item)) {
    uint32_t call = static_cast<uint32_t>(calls_.size());
    if (free_calls_.empty()) {
      calls_.emplace_back();
    } else {
      call = free_calls_.back();
      free_calls_.pop_back();
    }
    calls_[call] = {planned, rank, kNone, static_cast<uint8_t>(slot), 0};
    Window& window = windows_[size_t{rank} * hardware_.nodes + topology_.NodeOf(planned.target)];
    if (window.left > 0) {
      --window.left;
      Send(call);
    } else {
      Push(&window.waiting, call);
    }
  }
}

void Simulation::Send(uint32_t call) { Add(now_ + hardware_.latency, EventKind::kAtServer, call); }

void Simulation::OnReply(uint32_t index) {
  const Call& call = calls_[index];
  Window& window =
      windows_[size_t{call.rank} * hardware_.nodes + topology_.NodeOf(call.planned.target)];
  if (window.waiting.head == kNone) {
    ++window.left;
  } else {
    Send(Pop(&window.waiting));
  }
  if (save_) return EndCall(index);
  const double seconds = call.planned.length_bytes / hardware_.rank_copies * cpu_share();
  Add(CpuOf(call.rank).Take(now_, seconds, call.planned.length_bytes), EventKind::kVerified, index);
}

void Simulation::EndCall(uint32_t index) {
  const Call call = calls_[index];
  free_calls_.push_back(index);
  if (--slots_[call.rank * software_.window + call.slot].calls_left > 0) return;
  Rank& rank = ranks_[call.rank];
  rank.free_slots |= uint64_t{1} << call.slot;
  if (--rank.items_left > 0) return Launch(call.rank);
  OnMoved(call.rank);
}

// Of a save, all targets touched are asked to seal, side by side.
void Simulation::OnMoved(uint32_t rank) {
  outcome_.moved_seconds = now_;
  if (!save_) {
    outcome_.seconds = now_;
    --ranks_left_;
    return;
  }
  for (const PlannedCall& call : work_.CallsOfRank(rank)) ++seal_fragments_[call.target];
  for (const PlannedCall& call : work_.CallsOfRank(rank)) {
    const uint32_t fragments = std::exchange(seal_fragments_[call.target], 0);
    if (fragments == 0) continue;
    ++ranks_[rank].seals_left;
    Add(now_ + hardware_.latency, EventKind::kSealArrives, static_cast<uint32_t>(seals_.size()));
    seals_.push_back({rank, call.target, fragments});
  }
}

void Simulation::OnSealReply(uint32_t rank) {
  if (--ranks_[rank].seals_left > 0) return;
  outcome_.sealed_seconds = now_;
  AskMeta(rank, kRankDone);
}

// --- The server: server/service/chunk_service.cc and server/chunk ---

void Simulation::OnAtServer(uint32_t call) {
  Core& core = cores_[topology_.CoreOf(calls_[call].planned.target)];
  if (core.slabs_free == 0) {
    // Items are numbered as stripes are: rank by rank.
    std::optional<uint64_t> place;
    if (save_) place = slots_[calls_[call].rank * software_.window + calls_[call].slot].item;
    core.waiting.Push(call, place, now_ns());
    outcome_.calls_in_line_max =
        std::max(outcome_.calls_in_line_max, static_cast<uint32_t>(core.waiting.size()));
    return;
  }
  --core.slabs_free;
  // Of a save, the request for the bytes has to go to the client first.
  EnterStage(call, save_ ? now_ + hardware_.latency : now_);
}

void Simulation::EnterStage(uint32_t index, double at) {
  Call& call = calls_[index];
  const Topology::Path path = topology_.PathOf(call.rank, call.planned.target);
  while (call.stage < Topology::kStages) {
    const Stage& stage = path[call.stage++];
    const double seconds = stage.fixed + call.planned.length_bytes * stage.seconds_per_byte;
    if (seconds == 0) continue;
    Resource& resource = topology_.resources()[stage.resource];
    const double done = resource.Take(at, seconds, call.planned.length_bytes) + stage.delay;
    return Add(done, EventKind::kStage, index);
  }
  CAIRN_CHECK(false);  // the last stage of either direction takes time
}

void Simulation::OnStage(uint32_t index) {
  const Call& call = calls_[index];
  if (call.stage < Topology::kStages) return EnterStage(index, now_);
  const uint32_t core = topology_.CoreOf(call.planned.target);
  if (save_) {
    FreeSlab(core);
    return Add(now_ + hardware_.latency, EventKind::kReply, index);
  }
  // The delivery is acknowledged, then the reply sent.
  Add(now_ + hardware_.latency, EventKind::kSlabFree, core);
  Add(now_ + 2 * hardware_.latency, EventKind::kReply, index);
}

void Simulation::FreeSlab(uint32_t index) {
  Core& core = cores_[index];
  if (core.waiting.empty()) {
    ++core.slabs_free;
    return;
  }
  const auto ticket = core.waiting.Next(now_ns());
  const uint32_t next = core.waiting.Of(ticket);
  core.waiting.Remove(ticket);
  EnterStage(next, save_ ? now_ + hardware_.latency : now_);
}

void Simulation::OnSealArrives(uint32_t seal) {
  const uint32_t index = seals_[seal].target;
  targets_[index].waiting.push_back(seal);
  if (!targets_[index].committing) StartRound(index);
}

// One flush and one index batch for all that wait. A flush does not keep writes of others from the
// disk, but where one disk is everybody's.
void Simulation::StartRound(uint32_t index) {
  Target& target = targets_[index];
  target.committing = true;
  target.round = std::exchange(target.waiting, {});
  size_t fragments = 0;
  for (uint32_t seal : target.round) fragments += seals_[seal].fragments;
  const auto batches = static_cast<double>(DivideUp(fragments, kSealBatchFragmentsMax));
  const double handling =
      static_cast<double>(target.round.size()) * hardware_.reactor_call * cpu_share();
  const double seconds = handling + hardware_.disk_flush + batches * hardware_.index_sync +
                         static_cast<double>(fragments) * hardware_.index_record;
  const double done =
      hardware_.one_machine ? topology_.resources()[1].Take(now_, seconds, 0) : now_ + seconds;
  Add(done, EventKind::kSealed, index);
}

void Simulation::OnSealed(uint32_t index) {
  Target& target = targets_[index];
  for (uint32_t seal : std::exchange(target.round, {}))
    Add(now_ + hardware_.latency, EventKind::kSealReply, seals_[seal].rank);
  target.committing = false;
  if (!target.waiting.empty()) StartRound(index);
}

// --- The metadata: server/service/meta_service.cc and server/meta/commit.cc ---

void Simulation::AskMeta(uint32_t rank, MetaCall call) {
  ++outcome_.meta_commands;
  Add(now_ + hardware_.latency, EventKind::kMetaArrives, rank, call);
}

void Simulation::OnMetaArrives(uint32_t rank, MetaCall call) {
  Resource& core = topology_.resources()[topology_.MetaCore()];
  Add(core.Take(now_, hardware_.meta_call * cpu_share(), 0), EventKind::kMetaQueued, rank, call);
}

void Simulation::OnMetaQueued(uint32_t rank, MetaCall call) {
  if (call != kStat) {
    meta_waiting_.push_back({rank, call});
    if (!meta_writing_) StartGroup();
    return;
  }
  double& free_at = *std::min_element(readers_free_at_.begin(), readers_free_at_.end());
  free_at = std::max(free_at, now_) + hardware_.meta_query;
  outcome_.meta_seconds += hardware_.meta_query / kMetaReaders;
  Add(free_at + hardware_.latency, EventKind::kMetaReply, rank, call);
}

void Simulation::StartGroup() {
  meta_writing_ = true;
  const size_t count = std::min(meta_waiting_.size(), GroupCommitter::kMaxGroup);
  const auto end = meta_waiting_.begin() + static_cast<ptrdiff_t>(count);
  meta_group_.assign(meta_waiting_.begin(), end);
  meta_waiting_.erase(meta_waiting_.begin(), end);
  double seconds = hardware_.meta_sync;
  for (const MetaRequest& request : meta_group_)
    seconds += request.call == kBegin ? hardware_.meta_begin : hardware_.meta_done;
  outcome_.meta_seconds += seconds;
  Add(now_ + seconds, EventKind::kMetaGroup, 0);
}

void Simulation::OnMetaGroup() {
  for (const MetaRequest& request : meta_group_)
    Add(now_ + hardware_.latency, EventKind::kMetaReply, request.rank, request.call);
  meta_writing_ = false;
  if (!meta_waiting_.empty()) StartGroup();
}

void Simulation::OnMetaReply(uint32_t rank, MetaCall call) {
  if (call == kBegin || call == kStat) {
    outcome_.begun_seconds = now_;
    return Launch(rank);
  }
  // The coordinator hears of the last rank from its job, and commits then.
  if (call == kRankDone && --ranks_left_ == 0) AskMeta(0, kCommit);
  if (call == kCommit) outcome_.seconds = now_;
}

}  // namespace cairn::scale
