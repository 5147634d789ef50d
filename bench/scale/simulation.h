// A save or a restore, event by event: windows, slabs, queues and the metadata node as Cairn has
// them, over the resources of a Topology. Which calls are made is Work's.
#pragma once

#include <cstdint>
#include <vector>

#include "bench/scale/event_queue.h"
#include "bench/scale/hardware.h"
#include "bench/scale/topology.h"
#include "bench/scale/work.h"
#include "cairn/client.h"
#include "common/buffer/slab_pool.h"
#include "common/rpc/session_table.h"
#include "common/task/turn_line.h"

namespace cairn::scale {

// Of the software, where it is not a constant of the code.
struct Software {
  uint32_t window = static_cast<uint32_t>(ClientOptions().window);
  uint32_t credits_max = SessionTable::Options().credits_max;
};

struct Outcome {
  double seconds = 0;          // until the commit is acknowledged, or the last byte verified
  double begun_seconds = 0;    // the last rank knows where to write or read
  double moved_seconds = 0;    // the last byte is on its disk or in its memory
  double sealed_seconds = 0;   // the last shard is durable
  uint64_t bytes_on_disk = 0;  // written or read
  uint64_t meta_commands = 0;  // calls to the node with the metadata
  double meta_seconds = 0;     // its thread of mutations, or its readers', at work
  uint32_t sessions_max = 0;   // of the node with most
  double sessions_mean = 0;
  uint32_t credits_min = 0;        // of a session, on the fullest node
  uint32_t calls_in_line_max = 0;  // for a slab, on one core
  uint64_t events = 0;
  std::vector<Resource> resources;

  // Seconds of the busiest of a kind, and of the mean.
  double BusiestOf(ResourceKind kind) const;
  double MeanOf(ResourceKind kind) const;
  // Bytes of the fullest disk over the mean: what placement leaves uneven.
  double DiskSpread() const;
};

class Simulation {
 public:
  Simulation(const Hardware& hardware, const Software& software, const Work& work);
  Outcome Run();

 private:
  enum MetaCall : uint32_t { kBegin, kRankDone, kStat, kCommit };
  static constexpr uint32_t kNone = UINT32_MAX;
  // First in, first out, linked through the calls.
  struct Line {
    uint32_t head = kNone;
    uint32_t tail = kNone;
  };
  struct Call {
    PlannedCall planned;
    uint32_t rank = 0;
    uint32_t next = kNone;
    uint8_t slot = 0;  // in the rank's window
    uint8_t stage = 0;
  };
  struct Slot {
    uint32_t item = 0;
    uint32_t calls_left = 0;
  };
  struct Rank {
    uint64_t free_slots = 0;  // a bit each
    uint32_t next_item = 0;
    uint32_t items_left = 0;
    uint32_t seals_left = 0;
  };
  // Of a rank to a node.
  struct Window {
    uint32_t left = 0;
    Line waiting;
  };
  struct Core {
    uint32_t slabs_free = 0;
    TurnLine<uint32_t> waiting{absl::ToInt64Nanoseconds(kOvertakenFor)};
  };
  struct Seal {
    uint32_t rank = 0;
    uint32_t target = 0;
    uint32_t fragments = 0;
  };
  struct Target {
    bool committing = false;
    std::vector<uint32_t> waiting;  // seals
    std::vector<uint32_t> round;
  };
  struct MetaRequest {
    uint32_t rank = 0;
    MetaCall call = kBegin;
  };

  void CountSessions();
  void Handle(const Event& event);
  void Add(double at, EventKind kind, uint32_t a, uint32_t b = 0) { events_.Add({at, kind, a, b}); }
  void Push(Line* line, uint32_t call);
  uint32_t Pop(Line* line);
  Resource& CpuOf(uint32_t rank) { return topology_.resources()[topology_.RankCpu(rank)]; }
  double cpu_share() const { return hardware_.one_machine ? 1 / hardware_.cores : 1; }

  // The client.
  void Launch(uint32_t rank);
  void OnEncoded(uint32_t rank, uint32_t slot);
  void Send(uint32_t call);
  void OnReply(uint32_t call);
  void EndCall(uint32_t call);
  void OnMoved(uint32_t rank);
  // The server.
  void OnAtServer(uint32_t call);
  void EnterStage(uint32_t call, double at);
  void OnStage(uint32_t call);
  void FreeSlab(uint32_t core);
  int64_t now_ns() const { return static_cast<int64_t>(now_ * 1e9); }
  void OnSealArrives(uint32_t seal);
  void StartRound(uint32_t target);
  void OnSealed(uint32_t target);
  void OnSealReply(uint32_t rank);
  // The metadata.
  void AskMeta(uint32_t rank, MetaCall call);
  void OnMetaArrives(uint32_t rank, MetaCall call);
  void OnMetaQueued(uint32_t rank, MetaCall call);
  void StartGroup();
  void OnMetaGroup();
  void OnMetaReply(uint32_t rank, MetaCall call);

  const Hardware hardware_;
  const Software software_;
  const Work& work_;
  const bool save_;
  Topology topology_;
  EventQueue events_;
  double now_ = 0;
  Outcome outcome_;
  std::vector<Rank> ranks_;
  std::vector<Slot> slots_;      // of rank r from r * window on
  std::vector<Window> windows_;  // of rank r to node n at r * nodes + n
  std::vector<Core> cores_;
  std::vector<Target> targets_;
  std::vector<Call> calls_;
  std::vector<uint32_t> free_calls_;
  std::vector<Seal> seals_;
  std::vector<uint32_t> seal_fragments_;  // scratch, by target
  std::vector<MetaRequest> meta_waiting_;
  std::vector<MetaRequest> meta_group_;
  std::vector<double> readers_free_at_;
  bool meta_writing_ = false;
  uint32_t ranks_left_ = 0;
};

}  // namespace cairn::scale
