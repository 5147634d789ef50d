// Pure: the bytes of one file that were written here and are not the service's yet, as ranges of
// buffers. Ranges that are on their way to the service stay as they are: who writes over them gets
// other buffers. A range lies within one stripe of the file (a multiple of the stripe's length), so
// that whole stripes can go while the next are being filled. Next: fs_commit.cc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "common/base/units.h"

namespace cairn::client_internal {

// What buffers take: of one file, and, with `whole`, of all.
struct MemoryMeter {
  void Add(uint64_t more) {
    bytes += more;
    if (whole != nullptr) whole->Add(more);
  }
  void Subtract(uint64_t less) {
    bytes -= less;
    if (whole != nullptr) whole->Subtract(less);
  }
  uint64_t bytes = 0;
  std::shared_ptr<MemoryMeter> whole = nullptr;
};

// Memory that ranges lie in. Counted as long as it lives.
class DirtyBuffer {
 public:
  DirtyBuffer(std::shared_ptr<MemoryMeter> meter, uint64_t capacity);
  // All of it is used.
  DirtyBuffer(std::shared_ptr<MemoryMeter> meter, std::unique_ptr<std::byte[]> memory,
              uint64_t length);
  ~DirtyBuffer();
  DirtyBuffer(const DirtyBuffer&) = delete;
  DirtyBuffer& operator=(const DirtyBuffer&) = delete;

  std::byte* data() { return memory_.get(); }
  uint64_t capacity() const { return capacity_; }
  // From the front on; what is behind has never been written.
  uint64_t used = 0;

 private:
  std::shared_ptr<MemoryMeter> meter_;
  uint64_t capacity_;
  std::unique_ptr<std::byte[]> memory_;
};

struct ByteRange {
  uint64_t begin = 0;
  uint64_t end = 0;
  friend bool operator==(const ByteRange&, const ByteRange&) = default;
};

// Neighbouring bytes of a file on their way, in the pieces in which they lie in memory. Keeps it.
struct DirtyPiece {
  struct Slice {
    std::shared_ptr<DirtyBuffer> buffer;
    uint64_t skip_bytes = 0;
    uint64_t length_bytes = 0;
    ConstBytes bytes() const { return {buffer->data() + skip_bytes, length_bytes}; }
  };
  uint64_t offset_bytes = 0;
  uint64_t length_bytes = 0;
  std::vector<Slice> slices;
};

// Not thread-safe.
class DirtyRanges {
 public:
  // Names who carries ranges to the service. Never 0.
  using Carrier = uint64_t;

  DirtyRanges(uint64_t stripe_bytes, std::shared_ptr<MemoryMeter> meter);

  // Takes a copy. Returns the greatest of the carriers that have something else there on its way;
  // 0: none has. REQUIRES: the end is no more than INT64_MAX.
  Carrier Write(uint64_t offset_bytes, ConstBytes bytes);
  // As Write(), and takes the memory instead of a copy where nothing else waits there.
  Carrier WriteOwned(uint64_t offset_bytes, std::unique_ptr<std::byte[]> memory, uint64_t length);
  // The file has something else there by now. REQUIRES: nothing there is on its way.
  void Drop(ByteRange range);

  // Copies what lies in the range to where it belongs, and returns what does not, in order.
  std::vector<ByteRange> CopyTo(uint64_t offset_bytes, MutableBytes destination) const;

  bool empty() const { return ranges_.empty(); }
  // Behind the last byte; 0 when there is none.
  uint64_t end_bytes() const;
  // Not on their way.
  uint64_t unsent_bytes() const { return unsent_bytes_; }
  bool HasFullStripe() const { return !full_.empty(); }

  // One whole stripe that is not on its way is, from now on. nullopt: there is none.
  std::optional<DirtyPiece> TakeFullStripe(Carrier carrier);
  // The first bytes at or behind `from` that are not on their way are, as far as they are
  // neighbours and in one stripe. nullopt: there are none.
  std::optional<DirtyPiece> TakeNext(uint64_t from, Carrier carrier);
  // What the carrier has carried of the range is the service's.
  void Committed(ByteRange range, Carrier carrier);
  // It is not, and waits for another.
  void Failed(ByteRange range, Carrier carrier);

 private:
  struct Range {
    uint64_t length = 0;
    std::shared_ptr<DirtyBuffer> buffer;
    uint64_t skip = 0;
    Carrier carrier = 0;
  };
  using Ranges = std::map<uint64_t, Range>;

  // What is on its way there stays as it is for who carries it, and is the file's no more. Returns
  // the greatest carrier.
  Carrier MakeRoom(uint64_t offset, uint64_t end);
  uint64_t WriteSome(uint64_t offset, ConstBytes bytes);
  // There is a range that begins at `at`, if any lies over it.
  void SplitAt(uint64_t at);
  // The first range that ends behind `at`.
  Ranges::const_iterator Behind(uint64_t at) const;
  void CountUnsent(uint64_t offset, uint64_t bytes);
  void DiscountUnsent(uint64_t offset, uint64_t bytes);
  Ranges::iterator Erase(Ranges::iterator at);
  // One buffer instead of many that are small.
  void Gather(DirtyPiece* piece);

  const uint64_t stripe_bytes_;
  std::shared_ptr<MemoryMeter> meter_;
  Ranges ranges_;
  uint64_t unsent_bytes_ = 0;
  std::map<uint64_t, uint64_t> unsent_of_;  // by stripe
  std::vector<uint64_t> full_;              // stripes that nothing is on its way of
};

}  // namespace cairn::client_internal
