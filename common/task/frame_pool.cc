#include "common/task/frame_pool.h"

#include <array>
#include <new>
#include <utility>

#include "common/base/units.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CAIRN_POOL_FRAMES 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define CAIRN_POOL_FRAMES 0
#endif
#endif
#ifndef CAIRN_POOL_FRAMES
#define CAIRN_POOL_FRAMES 1
#endif

namespace cairn {
namespace {

constexpr size_t kClassBytes = 64;
// Larger frames are rare enough for malloc.
constexpr size_t kMaxPooledBytes = 4 * kKiB;
constexpr size_t kClasses = kMaxPooledBytes / kClassBytes;
// Of each size a thread keeps this much: the frames of some hundred requests in flight, and 8 MiB a
// thread if every size were in use.
constexpr size_t kMaxClassBytes = 128 * kKiB;

struct FreeFrameNode {
  FreeFrameNode* next;
};

struct SizeClass {
  FreeFrameNode* first = nullptr;
  size_t count = 0;
};

// Trivially destructible, because frames may be freed while thread-local objects are destroyed;
// hence the guard.
struct Pool {
  std::array<SizeClass, kClasses> classes{};
  bool closed = false;
};
thread_local Pool pool;

struct PoolGuard {
  ~PoolGuard() {
    pool.closed = true;
    for (SizeClass& size_class : pool.classes) {
      while (size_class.first != nullptr) {
        ::operator delete(std::exchange(size_class.first, size_class.first->next));
      }
    }
  }
};

constexpr size_t ClassOf(size_t bytes) { return (bytes - 1) / kClassBytes; }

}  // namespace

void* AllocateFrame(size_t bytes) {
  if (!CAIRN_POOL_FRAMES || bytes > kMaxPooledBytes) return ::operator new(bytes);
  const size_t index = ClassOf(bytes);
  SizeClass& size_class = pool.classes[index];
  if (size_class.first == nullptr) return ::operator new((index + 1) * kClassBytes);
  --size_class.count;
  return std::exchange(size_class.first, size_class.first->next);
}

void FreeFrame(void* frame, size_t bytes) noexcept {
  if (!CAIRN_POOL_FRAMES || bytes > kMaxPooledBytes) return ::operator delete(frame);
  thread_local PoolGuard guard;
  const size_t index = ClassOf(bytes);
  SizeClass& size_class = pool.classes[index];
  if (pool.closed || size_class.count * (index + 1) * kClassBytes >= kMaxClassBytes) {
    return ::operator delete(frame);
  }
  ++size_class.count;
  size_class.first = new (frame) FreeFrameNode{size_class.first};
}

}  // namespace cairn
