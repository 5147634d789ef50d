// Maps the slabs once, on huge pages where the kernel has them, and hands them out. A slab's life:
// acquired by a chunk handler, filled by the fabric (or the disk), drained by the disk (or the
// fabric), returned.
#include "common/buffer/slab_pool.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/status_macros.h"

namespace cairn {
namespace {

constexpr size_t kPageBytes = 4 * kKiB;
constexpr size_t kHugePageBytes = 2 * kMiB;

// MADV_POPULATE_WRITE came with Linux 5.14; C libraries learned of it later.
constexpr int kPopulateWrite = 23;

// Address space of `length_bytes` that starts on a huge page: transparent huge pages need the
// alignment.
absl::StatusOr<std::byte*> MapAligned(size_t length_bytes) {
  const size_t padded = length_bytes + kHugePageBytes;
  void* const mapped =
      mmap(nullptr, padded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) {
    return absl::ErrnoToStatus(errno, absl::StrCat("mapping ", padded, " bytes of slabs"));
  }
  const auto begin = reinterpret_cast<uintptr_t>(mapped);
  const uintptr_t aligned = AlignUp(begin, kHugePageBytes);
  if (aligned > begin) munmap(mapped, aligned - begin);
  const uintptr_t end = aligned + length_bytes;
  if (begin + padded > end) munmap(reinterpret_cast<void*>(end), begin + padded - end);
  return reinterpret_cast<std::byte*>(aligned);
}

// Pages exist from here on: a fault in the middle of a save costs more than the memory saves, and a
// server short of memory should fail when it starts.
absl::Status Populate(std::byte* memory, size_t length_bytes) {
  // Without huge pages everything still works; the advice may be refused.
  (void)madvise(memory, length_bytes, MADV_HUGEPAGE);
  if (madvise(memory, length_bytes, kPopulateWrite) == 0) return absl::OkStatus();
  if (errno == ENOMEM || errno == EFAULT) {
    return absl::ResourceExhaustedError(absl::StrCat("not enough memory for ", length_bytes,
                                                     " bytes of slabs: lower their number"));
  }
  for (size_t at = 0; at < length_bytes; at += kPageBytes) {
    reinterpret_cast<volatile std::byte&>(memory[at]) = std::byte{0};
  }
  return absl::OkStatus();
}

}  // namespace

Slab::Slab(Slab&& other) noexcept
    : pool_(std::exchange(other.pool_, nullptr)), index_(other.index_) {}

Slab& Slab::operator=(Slab&& other) noexcept {
  if (this == &other) return *this;
  if (pool_ != nullptr) pool_->Return(index_);
  pool_ = std::exchange(other.pool_, nullptr);
  index_ = other.index_;
  return *this;
}

Slab::~Slab() {
  if (pool_ != nullptr) pool_->Return(index_);
}

MutableBytes Slab::bytes() const {
  CAIRN_CHECK(pool_ != nullptr);
  return pool_->memory_.subspan(index_ * pool_->options_.slab_bytes, pool_->options_.slab_bytes);
}

absl::StatusOr<std::unique_ptr<SlabPool>> SlabPool::Create(Options options) {
  if (options.slab_count == 0 || options.slab_bytes == 0 || options.slab_bytes % kPageBytes != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("slabs of ", options.slab_bytes, " bytes times ", options.slab_count,
                     ": wanted one or more of a multiple of 4096 bytes"));
  }
  if (options.slab_count > SIZE_MAX / 2 / options.slab_bytes) {
    return absl::InvalidArgumentError("the slabs do not fit the address space");
  }
  const size_t length_bytes = options.slab_bytes * options.slab_count;
  ASSIGN_OR_RETURN(std::byte* const memory, MapAligned(length_bytes));
  if (absl::Status populated = Populate(memory, length_bytes); !populated.ok()) {
    munmap(memory, length_bytes);
    return populated;
  }
  return std::unique_ptr<SlabPool>(new SlabPool(options, MutableBytes(memory, length_bytes)));
}

SlabPool::SlabPool(Options options, MutableBytes memory)
    : options_(options),
      memory_(memory),
      free_count_(static_cast<int64_t>(options.slab_count), kOvertakenFor) {
  free_.reserve(options.slab_count);
  // The lowest slab is taken first: a lightly loaded server keeps to few, cached slabs.
  for (size_t index = options.slab_count; index > 0; --index) free_.push_back(index - 1);
}

SlabPool::~SlabPool() {
  CAIRN_CHECK(free_.size() == options_.slab_count);
  munmap(memory_.data(), memory_.size());
}

Task<absl::StatusOr<Slab>> SlabPool::Acquire(Deadline deadline, std::optional<uint64_t> place) {
  const absl::Status acquired = co_await free_count_.Acquire(1, deadline, place);
  if (!acquired.ok()) co_return acquired;
  CAIRN_CHECK(!free_.empty());
  const size_t index = free_.back();
  free_.pop_back();
  co_return Slab(this, index);
}

void SlabPool::Return(size_t index) {
  free_.push_back(index);
  free_count_.Release(1);
}

}  // namespace cairn
