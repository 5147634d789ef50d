#include "client/io/parity_pool.h"

#include <algorithm>
#include <new>
#include <utility>

#include "common/base/check.h"
#include "common/base/crc32c.h"
#include "common/base/strings.h"

namespace cairn {

struct ParityPool::Chunk {
  std::unique_ptr<std::byte[]> memory;
  uint64_t capacity_bytes = 0;
  int64_t taken = 0;  // of the pool's room
  std::unique_ptr<MemoryRegion> region;
};

ParityPool::ParityPool(Net& net, uint64_t bytes_max)
    : net_(net), bytes_max_(static_cast<int64_t>(bytes_max)), room_(bytes_max_) {}

ParityPool::~ParityPool() = default;

ParityPool::Buffer::Buffer() = default;

ParityPool::Buffer::Buffer(Buffer&& other) noexcept
    : pool_(other.pool_), chunk_(std::move(other.chunk_)), length_bytes_(other.length_bytes_) {}

ParityPool::Buffer& ParityPool::Buffer::operator=(Buffer&& other) noexcept {
  if (this == &other) return *this;
  if (chunk_ != nullptr) pool_->Return(std::move(chunk_));
  pool_ = other.pool_;
  chunk_ = std::move(other.chunk_);
  length_bytes_ = other.length_bytes_;
  return *this;
}

ParityPool::Buffer::~Buffer() {
  if (chunk_ != nullptr) pool_->Return(std::move(chunk_));
}

MutableBytes ParityPool::Buffer::bytes() const { return {chunk_->memory.get(), length_bytes_}; }

BulkDescriptor ParityPool::Buffer::Describe(uint64_t offset_bytes, uint64_t length_bytes) const {
  CAIRN_CHECK(offset_bytes <= length_bytes_ && length_bytes <= length_bytes_ - offset_bytes);
  BulkDescriptor bulk = chunk_->region->descriptor();
  bulk.address += offset_bytes;
  bulk.length_bytes = length_bytes;
  return bulk;
}

Task<absl::StatusOr<ParityPool::Buffer>> ParityPool::Take(uint64_t length_bytes,
                                                          Deadline deadline) {
  CAIRN_CHECK(length_bytes > 0);
  const uint64_t capacity = AlignUp(length_bytes, kBlockBytes);
  const int64_t share = std::min(static_cast<int64_t>(capacity), bytes_max_);
  const absl::Status admitted = co_await room_.Acquire(share, deadline);
  if (!admitted.ok()) co_return admitted;
  Buffer buffer;
  buffer.pool_ = this;
  buffer.length_bytes_ = length_bytes;
  // Stripes of a shard are of one length but for the last: nearly always there is one that fits.
  const auto fits = std::find_if(free_.begin(), free_.end(), [capacity](const auto& chunk) {
    return chunk->capacity_bytes >= capacity && chunk->capacity_bytes <= 2 * capacity;
  });
  if (fits != free_.end()) {
    buffer.chunk_ = std::move(*fits);
    free_bytes_ -= buffer.chunk_->capacity_bytes;
    free_.erase(fits);
    buffer.chunk_->taken = share;
    co_return buffer;
  }
  // What lies around in other lengths would add to the bound.
  Drop();
  auto chunk = std::make_unique<Chunk>();
  chunk->taken = share;
  chunk->memory.reset(new (std::nothrow) std::byte[capacity]);
  absl::Status failed;
  if (chunk->memory == nullptr) {
    failed = absl::ResourceExhaustedError(StrCat("no memory for ", capacity, " bytes of parity"));
  } else {
    chunk->capacity_bytes = capacity;
    absl::StatusOr<std::unique_ptr<MemoryRegion>> region =
        net_.Register({chunk->memory.get(), capacity}, MemoryAccess::kRemoteRead);
    failed = region.status();
    if (region.ok()) chunk->region = *std::move(region);
  }
  if (!failed.ok()) {
    room_.Release(share);
    co_return failed;
  }
  buffer.chunk_ = std::move(chunk);
  co_return buffer;
}

void ParityPool::Drop() {
  free_.clear();
  free_bytes_ = 0;
}

void ParityPool::Return(std::unique_ptr<Chunk> chunk) {
  room_.Release(std::exchange(chunk->taken, 0));
  if (free_bytes_ + chunk->capacity_bytes > static_cast<uint64_t>(bytes_max_)) return;
  free_bytes_ += chunk->capacity_bytes;
  free_.push_back(std::move(chunk));
}

}  // namespace cairn
