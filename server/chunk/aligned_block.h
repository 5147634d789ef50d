// Memory that direct I/O can use, where there is no slab.
#pragma once

#include <cstddef>
#include <memory>
#include <new>

#include "common/base/units.h"
#include "server/chunk/fragment.h"

namespace cairn {

// One unit, zeroed: for superblocks. Placed on the heap through its alignment, also inside a
// coroutine's frame, which knows only small alignments.
struct alignas(kUnitBytes) AlignedBlock {
  std::byte data[kUnitBytes] = {};
  MutableBytes bytes() { return data; }
};

// Whole units, as many as `bytes` take; not initialized.
class AlignedBuffer {
 public:
  explicit AlignedBuffer(uint64_t bytes)
      : size_(AlignUp(bytes, kUnitBytes)),
        memory_(static_cast<std::byte*>(::operator new[](size_, std::align_val_t(kUnitBytes)))) {}
  MutableBytes bytes() const { return {memory_.get(), size_}; }

 private:
  struct Delete {
    void operator()(std::byte* memory) const {
      ::operator delete[](memory, std::align_val_t(kUnitBytes));
    }
  };
  uint64_t size_;
  std::unique_ptr<std::byte[], Delete> memory_;
};

}  // namespace cairn
