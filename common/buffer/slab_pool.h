// Slabs: the fixed, page-aligned, registered memory that bulk bytes pass through on a server. One
// slab holds one fragment between the NIC and the disk. Their number is the server's flow control:
// a server never queues more bytes than it has slabs.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/units.h"
#include "common/task/semaphore.h"

namespace cairn {

class SlabPool;

// Little beside the 20 s after which a writer takes a silent call for a fault, and long enough that
// saves of about a second end rank by rank.
inline constexpr absl::Duration kOvertakenFor = absl::Seconds(1);

// One slab, owned until destroyed. Movable. Destroy it on the pool's executor only.
class Slab {
 public:
  Slab() = default;
  Slab(Slab&& other) noexcept;
  Slab& operator=(Slab&& other) noexcept;
  ~Slab();

  explicit operator bool() const { return pool_ != nullptr; }
  // The whole slab. Contents are what the last owner left.
  MutableBytes bytes() const;

 private:
  friend class SlabPool;
  Slab(SlabPool* pool, size_t index) : pool_(pool), index_(index) {}
  SlabPool* pool_ = nullptr;
  size_t index_ = 0;
};

// Lives on one executor. Memory is mapped and populated once; huge pages are asked for.
class SlabPool {
 public:
  struct Options {
    size_t slab_bytes = 4 * kMiB;
    size_t slab_count = 32;
  };
  static absl::StatusOr<std::unique_ptr<SlabPool>> Create(Options options);
  ~SlabPool();
  SlabPool(const SlabPool&) = delete;
  SlabPool& operator=(const SlabPool&) = delete;

  // Waits for a free slab; with a `place`, in front of those with a higher one (Semaphore).
  // DEADLINE_EXCEEDED, or CANCELLED after Break().
  Task<absl::StatusOr<Slab>> Acquire(Deadline deadline, std::optional<uint64_t> place = {});
  void Break() { free_count_.Break(); }

  // All slabs as one range, for registration with the fabric and the ring.
  MutableBytes memory() const { return memory_; }
  size_t slab_bytes() const { return options_.slab_bytes; }
  size_t slab_count() const { return options_.slab_count; }
  size_t free_slabs() const { return free_.size(); }
  // Calls that wait for one.
  size_t waiting() const { return free_count_.waiting(); }

 private:
  friend class Slab;
  SlabPool(Options options, MutableBytes memory);
  void Return(size_t index);

  Options options_;
  MutableBytes memory_;
  std::vector<size_t> free_;
  Semaphore free_count_;
};

}  // namespace cairn
