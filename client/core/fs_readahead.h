// Reading ahead of who reads a file from front to back: whole stripes come into buffers before they
// are asked for, and once for all requests of the kernel that want a part of them. Next:
// fs_content.h.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>

#include "client/core/fs_context.h"

namespace cairn::client_internal {

// Bytes where they lie in memory, as long as this is kept.
struct FileView {
  ConstBytes bytes;
  std::shared_ptr<const void> keeps;
};

// Pure: whether reads go from front to back.
class ReadPattern {
 public:
  // A read of so many bytes from `offset` on: how many bytes behind next() are likely to be wanted,
  // at most `ahead_max`, which is also how far the kernel reads ahead, in requests of any order.
  uint64_t Note(uint64_t offset, uint64_t length, uint64_t ahead_max);
  // Behind everything read in order.
  uint64_t next() const { return next_; }

 private:
  uint64_t next_ = 0;
  uint64_t in_order_ = 0;
};

// Who fetches bytes of the file as it is at the service.
class ReadAheadSource {
 public:
  virtual ~ReadAheadSource() = default;
  virtual Task<absl::Status> ReadCommitted(uint64_t offset, MutableBytes destination) = 0;
  // What keeps this alive.
  virtual std::shared_ptr<void> Keep() = 0;
};

// The buffers of one file. Lives on the session's executor.
class ReadAhead {
 public:
  ReadAhead(FsContext& context, ReadAheadSource& source) : context_(context), source_(source) {}
  ~ReadAhead();

  // The range, if all of it is here in one block. Keeps it.
  std::optional<FileView> ViewOf(uint64_t offset, uint64_t length) const;
  // Copies bytes from the front of the range that are here. Returns how many.
  uint64_t CopyTo(uint64_t offset, MutableBytes destination);
  // They are on their way: waits until that has ended.
  bool IsLoading(uint64_t offset) const;
  Task<void> WaitFor(uint64_t offset);
  // Begins to fetch what is missing of the range, in a file of `size`.
  void Want(uint64_t begin, uint64_t end, uint64_t size);
  // What lies before `offset` is wanted no more, as far back as one reader reads ahead.
  void DropBehind(uint64_t offset);
  void DropIdle(MonoTime unused_since);
  // The content has changed.
  void Drop();

 private:
  struct Block {
    uint64_t begin = 0;
    uint64_t length = 0;
    std::unique_ptr<std::byte[]> bytes;
    enum class State { kLoading, kReady, kFailed } state = State::kLoading;
    Event ended;
    MonoTime used_at;
  };
  using Blocks = std::map<uint64_t, std::shared_ptr<Block>>;

  uint64_t BlockBytes() const;
  // How far requests of one reader may be from each other.
  uint64_t DisorderBytes() const;
  Blocks::const_iterator BlockAt(uint64_t offset) const;
  Blocks::iterator Erase(Blocks::iterator at);
  // Begins to fetch those that have waited longest.
  void LoadSome();
  void GiveUpWaiting();
  static Task<void> Load(ReadAhead* self, std::shared_ptr<Block> block, std::shared_ptr<void> keep);

  FsContext& context_;
  ReadAheadSource& source_;
  Blocks blocks_;
  std::deque<std::shared_ptr<Block>> waiting_;  // to be fetched, in the order in which they go
  int loading_ = 0;
};

}  // namespace cairn::client_internal
