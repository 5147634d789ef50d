// The one call by which clients read what lies in cold tiers alone, on the last core of every node:
// the node reads from the store, verifies, and pushes into the client's memory.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/buffer/slab_pool.h"
#include "common/rpc/call_table.h"
#include "proto/wire/tier.pb.h"
#include "server/tiering/cold_reader.h"

namespace cairn {

// Lives on the executor of the core that answers.
class ColdService {
 public:
  // A tier by its name. NOT_FOUND: there is none.
  using FindTier =
      std::function<Task<absl::StatusOr<wire::TierSpec>>(std::string name, Deadline deadline)>;
  // A read of so many bytes has ended.
  using Note = std::function<void(const std::string& tier, uint64_t bytes, bool ok)>;
  // `net` is the core's. All outlive it.
  ColdService(Net& net, ColdReader& reader, FindTier find_tier, Note note)
      : net_(net), reader_(reader), find_tier_(std::move(find_tier)), note_(std::move(note)) {}

  void Register(CallTable& table);
  // Calls that wait for memory end with CANCELLED.
  void Stop();

  // NOT_FOUND: the object is not there any more; its file's extents may name another by now.
  // DATA_LOSS: it is damaged. UNAVAILABLE and others: the store's. INVALID_ARGUMENT: too much at
  // once.
  Task<absl::StatusOr<wire::ReadColdReply>> Read(CallContext& call,
                                                 const wire::ReadColdRequest& request);

 private:
  absl::Status MakeMemory();

  Net& net_;
  ColdReader& reader_;
  const FindTier find_tier_;
  const Note note_;
  // Made for the first read: most nodes of most clusters never see one.
  std::unique_ptr<SlabPool> slabs_;
  std::unique_ptr<MemoryRegion> region_;
  bool stopped_ = false;
};

}  // namespace cairn
