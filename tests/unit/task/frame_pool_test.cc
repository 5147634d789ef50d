// Frame memory: blocks never overlap, of whatever size and on whatever thread they are freed.
#include "common/task/frame_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <thread>
#include <vector>

#include "common/base/random.h"

namespace cairn {
namespace {

// A frame filled with one byte, which must still be there when it is freed.
struct Filled {
  explicit Filled(size_t bytes_in, unsigned char fill_in)
      : memory(static_cast<unsigned char*>(AllocateFrame(bytes_in))),
        bytes(bytes_in),
        fill(fill_in) {
    std::memset(memory, fill, bytes);
  }
  bool Intact() const {
    return std::all_of(memory, memory + bytes, [this](unsigned char byte) { return byte == fill; });
  }
  unsigned char* memory;
  size_t bytes;
  unsigned char fill;
};

void Churn(uint64_t seed, std::vector<Filled>* frames) {
  SeededRandom random(seed);
  for (int step = 0; step < 20'000; ++step) {
    if (frames->size() < 100 || random.Below(2) == 0) {
      frames->emplace_back(1 + random.Below(5000), static_cast<unsigned char>(step));
      ASSERT_EQ(reinterpret_cast<uintptr_t>(frames->back().memory) % alignof(std::max_align_t), 0u);
      continue;
    }
    std::swap((*frames)[random.Below(frames->size())], frames->back());
    ASSERT_TRUE(frames->back().Intact());
    FreeFrame(frames->back().memory, frames->back().bytes);
    frames->pop_back();
  }
}

void FreeAll(std::vector<Filled>* frames) {
  for (const Filled& frame : *frames) {
    ASSERT_TRUE(frame.Intact());
    FreeFrame(frame.memory, frame.bytes);
  }
  frames->clear();
}

TEST(FramePool, FramesNeverOverlap) {
  std::vector<Filled> frames;
  Churn(1, &frames);
  FreeAll(&frames);
}

TEST(FramePool, FramesMayBeFreedOnAnotherThread) {
  std::vector<Filled> frames;
  std::thread maker([&frames] { Churn(2, &frames); });
  maker.join();
  std::thread other([&frames] { FreeAll(&frames); });
  other.join();
}

}  // namespace
}  // namespace cairn
