// Memory that parity is made in and that servers pull it from: registered once and used again,
// since fresh memory costs as much as the encoding. Bounded, so that a rank needs little beyond its
// tensors however long its shard is.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/units.h"
#include "common/fabric/net.h"
#include "common/task/semaphore.h"

namespace cairn {

// Lives on the endpoint's executor; not thread-safe. Outlives what it has lent.
class ParityPool {
 public:
  // Holds up to about `bytes_max`; whoever wants more at once than that gets it alone.
  ParityPool(Net& net, uint64_t bytes_max);
  ~ParityPool();
  ParityPool(const ParityPool&) = delete;
  ParityPool& operator=(const ParityPool&) = delete;

 private:
  struct Chunk;

 public:
  // Lent until destroyed. Movable; empty by default.
  class Buffer {
   public:
    Buffer();
    Buffer(Buffer&& other) noexcept;
    Buffer& operator=(Buffer&& other) noexcept;
    ~Buffer();
    explicit operator bool() const { return chunk_ != nullptr; }
    MutableBytes bytes() const;
    // For a server to read bytes()[offset, offset + length). Asked anew at each try: a reset of the
    // endpoint changes the key.
    BulkDescriptor Describe(uint64_t offset_bytes, uint64_t length_bytes) const;

   private:
    friend class ParityPool;
    ParityPool* pool_ = nullptr;
    std::unique_ptr<Chunk> chunk_;
    uint64_t length_bytes_ = 0;
  };

  // Waits while too much is lent. DEADLINE_EXCEEDED; RESOURCE_EXHAUSTED when memory or keys are
  // short. REQUIRES: length_bytes > 0.
  Task<absl::StatusOr<Buffer>> Take(uint64_t length_bytes, Deadline deadline);
  // Gives back what is not lent: the endpoint may go away then.
  void Drop();

 private:
  void Return(std::unique_ptr<Chunk> chunk);

  Net& net_;
  const int64_t bytes_max_;
  Semaphore room_;
  std::vector<std::unique_ptr<Chunk>> free_;
  uint64_t free_bytes_ = 0;
};

}  // namespace cairn
