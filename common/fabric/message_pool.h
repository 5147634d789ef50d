// Buffers for messages on their way out: three sizes, carved from registered chunks, reused. A
// message is copied into one, so that the sender's bytes are its own again at once. Owned by
// LibfabricNet.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/units.h"
#include "common/fabric/net.h"

namespace cairn {

// What the pool asks its owner for: registered memory.
struct FabricMemory;

struct MessageBuffer {
  std::byte* data = nullptr;
  FabricMemory* memory = nullptr;
  size_t size_class = 0;
};

// Not thread-safe.
class MessagePool {
 public:
  // Registers a chunk for local use; the result stays valid as long as the pool.
  using RegisterChunk = std::function<absl::StatusOr<FabricMemory*>(MutableBytes chunk)>;

  explicit MessagePool(RegisterChunk register_chunk) : register_chunk_(std::move(register_chunk)) {}

  // The bytes that a message of `size` takes: what flow control counts.
  static size_t Footprint(size_t size);
  // A buffer for `size` bytes, at most kMaxMessageBytes. RESOURCE_EXHAUSTED when no chunk can be
  // registered.
  absl::StatusOr<MessageBuffer> Take(size_t size);
  void Give(MessageBuffer buffer);

 private:
  // Most RPCs fit the first, those with block checksums the second, pages of listings the third.
  static constexpr std::array<size_t, 3> kClassBytes = {1 * kKiB, 8 * kKiB, kMaxMessageBytes};
  static constexpr size_t kChunkBytes = 256 * kKiB;
  static size_t ClassOf(size_t size);

  RegisterChunk register_chunk_;
  std::vector<std::unique_ptr<std::byte[]>> chunks_;
  std::array<std::vector<MessageBuffer>, kClassBytes.size()> free_;
};

}  // namespace cairn
