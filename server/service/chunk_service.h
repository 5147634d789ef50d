// The chunk RPCs of one core: validate, take a slab, move bytes between the client's memory and the
// target. Each handler is the data path in a handful of awaits. Next on the data path:
// server/chunk/target.h.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "common/buffer/slab_pool.h"
#include "common/rpc/call_table.h"
#include "proto/wire/chunk.pb.h"
#include "server/chunk/target.h"
#include "server/service/client_loads.h"

namespace cairn {

// Lives on one reactor; the targets are those the core owns.
class ChunkService {
 public:
  // Whether what is written under a lease may still come to be referred to; an error when that
  // cannot be known now. May hop to another core, or ask another node.
  using LeaseCheck = std::function<Task<absl::StatusOr<bool>>(LeaseId)>;
  // Of the core's targets that could not be opened, why.
  using Unopened = std::map<uint32_t, absl::Status>;
  ChunkService(SlabPool& slabs, std::vector<Target*> targets, LeaseCheck lease_is_live,
               Unopened unopened = {});

  void Register(CallTable& table);
  // One more, which is there until the end.
  void AddTarget(Target* target) { targets_.emplace(target->id().value(), target); }
  // What each session moves at this moment. On the core's thread.
  std::vector<ClientLoads::Rate> ClientRates() const;
  // When a client was served last. From any thread.
  MonoTime served_at() const { return MonoTime(served_at_ns_.load(std::memory_order_relaxed)); }

  Task<absl::StatusOr<wire::WriteFragmentReply>> Write(CallContext& call,
                                                       const wire::WriteFragmentRequest& request);
  Task<absl::StatusOr<wire::ReadFragmentReply>> Read(CallContext& call,
                                                     const wire::ReadFragmentRequest& request);
  Task<absl::StatusOr<wire::SealReply>> Seal(CallContext& call, const wire::SealRequest& request);
  Task<absl::StatusOr<wire::DiscardReply>> Discard(CallContext& call,
                                                   const wire::DiscardRequest& request);

 private:
  absl::StatusOr<Target*> Find(uint32_t target) const;
  void NoteClient();

  SlabPool& slabs_;
  absl::flat_hash_map<uint32_t, Target*> targets_;
  LeaseCheck lease_is_live_;
  Unopened unopened_;
  ClientLoads loads_;
  std::atomic<int64_t> served_at_ns_ = 0;
};

}  // namespace cairn
