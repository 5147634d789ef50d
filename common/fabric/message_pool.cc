// Carves chunks into buffers. Chunks are never given back: their number is bounded by
// LibfabricNet's flow control.
#include "common/fabric/message_pool.h"

#include "common/base/check.h"
#include "common/base/status_macros.h"

namespace cairn {

size_t MessagePool::ClassOf(size_t size) {
  size_t size_class = 0;
  while (kClassBytes[size_class] < size) ++size_class;
  return size_class;
}

size_t MessagePool::Footprint(size_t size) {
  CAIRN_CHECK(size <= kMaxMessageBytes);
  return kClassBytes[ClassOf(size)];
}

absl::StatusOr<MessageBuffer> MessagePool::Take(size_t size) {
  CAIRN_CHECK(size <= kMaxMessageBytes);
  const size_t size_class = ClassOf(size);
  std::vector<MessageBuffer>& free = free_[size_class];
  if (free.empty()) {
    auto chunk = std::make_unique<std::byte[]>(kChunkBytes);
    ASSIGN_OR_RETURN(FabricMemory* const memory,
                     register_chunk_(MutableBytes(chunk.get(), kChunkBytes)));
    for (size_t at = 0; at < kChunkBytes; at += kClassBytes[size_class]) {
      free.push_back(MessageBuffer{chunk.get() + at, memory, size_class});
    }
    chunks_.push_back(std::move(chunk));
  }
  const MessageBuffer buffer = free.back();
  free.pop_back();
  return buffer;
}

void MessagePool::Give(MessageBuffer buffer) { free_[buffer.size_class].push_back(buffer); }

}  // namespace cairn
