#include "client/core/fs_readahead.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace cairn::client_internal {
namespace {

// Reads of one reader come out of order, by as much as the kernel asks for at once: what it reads
// ahead, and one request.
constexpr uint64_t kRequestBytes = 1 * kMiB;
// Who has read less in order is not read ahead of.
constexpr uint64_t kInOrderMin = 256 * kKiB;
constexpr uint64_t kBlockBytesMax = 4 * kMiB;
// Blocks of one file that are on their way at once. More share what bandwidth there is, so that all
// come late; in order, the first can be used while the others come.
constexpr int kLoadingMax = 6;
// Of all files; many readers at once get less each.
constexpr uint64_t kTotalBytesMax = 512 * kMiB;

}  // namespace

uint64_t ReadPattern::Note(uint64_t offset, uint64_t length, uint64_t ahead_max) {
  const uint64_t distance = offset > next_ ? offset - next_ : next_ - offset;
  if (distance <= ahead_max + kRequestBytes) {
    in_order_ += length;
    next_ = std::max(next_, offset + length);
  } else {
    in_order_ = length;
    next_ = offset + length;
  }
  return in_order_ < kInOrderMin ? 0 : std::min(ahead_max, 2 * in_order_);
}

ReadAhead::~ReadAhead() { Drop(); }

uint64_t ReadAhead::DisorderBytes() const {
  return context_.options.readahead_bytes + kRequestBytes;
}

uint64_t ReadAhead::BlockBytes() const { return std::min(context_.stripe_bytes, kBlockBytesMax); }

ReadAhead::Blocks::const_iterator ReadAhead::BlockAt(uint64_t offset) const {
  const auto found = blocks_.find(offset / BlockBytes());
  if (found == blocks_.end()) return blocks_.end();
  return offset < found->second->begin + found->second->length ? found : blocks_.end();
}

std::optional<FileView> ReadAhead::ViewOf(uint64_t offset, uint64_t length) const {
  const auto found = BlockAt(offset);
  if (found == blocks_.end() || found->second->state != Block::State::kReady) return std::nullopt;
  const std::shared_ptr<Block>& block = found->second;
  const uint64_t in_block = offset - block->begin;
  if (length > block->length - in_block) return std::nullopt;
  block->used_at = context_.clock().Now();
  context_.stats.readahead_hit_bytes += length;
  return FileView{ConstBytes(block->bytes.get() + in_block, length), block};
}

uint64_t ReadAhead::CopyTo(uint64_t offset, MutableBytes destination) {
  uint64_t done = 0;
  while (done < destination.size()) {
    const auto found = BlockAt(offset + done);
    if (found == blocks_.end() || found->second->state != Block::State::kReady) break;
    Block& block = *found->second;
    block.used_at = context_.clock().Now();
    const uint64_t in_block = offset + done - block.begin;
    const uint64_t length = std::min<uint64_t>(block.length - in_block, destination.size() - done);
    std::memcpy(destination.data() + done, block.bytes.get() + in_block, length);
    done += length;
  }
  context_.stats.readahead_hit_bytes += done;
  return done;
}

bool ReadAhead::IsLoading(uint64_t offset) const {
  const auto found = BlockAt(offset);
  return found != blocks_.end() && found->second->state == Block::State::kLoading;
}

Task<void> ReadAhead::WaitFor(uint64_t offset) {
  const auto found = BlockAt(offset);
  if (found == blocks_.end()) co_return;
  const std::shared_ptr<Block> block = found->second;
  co_await block->ended;
}

void ReadAhead::Want(uint64_t begin, uint64_t end, uint64_t size) {
  const uint64_t block_bytes = BlockBytes();
  end = std::min(end, size);
  for (uint64_t i = begin / block_bytes; i * block_bytes < end; ++i) {
    if (blocks_.contains(i)) continue;
    const uint64_t length = std::min(block_bytes, size - i * block_bytes);
    if (context_.readahead_bytes + length > kTotalBytesMax || context_.stop.stop_requested())
      return;
    auto block = std::make_shared<Block>();
    block->begin = i * block_bytes;
    block->length = length;
    block->bytes.reset(new std::byte[length]);
    block->used_at = context_.clock().Now();
    context_.readahead_bytes += length;
    blocks_[i] = block;
    waiting_.push_back(std::move(block));
  }
  LoadSome();
}

void ReadAhead::LoadSome() {
  if (context_.stop.stop_requested()) return GiveUpWaiting();
  while (loading_ < kLoadingMax && !waiting_.empty()) {
    std::shared_ptr<Block> block = std::move(waiting_.front());
    waiting_.pop_front();
    // It was erased, and nobody waits for it.
    if (block.use_count() == 1) continue;
    ++loading_;
    context_.scope.Spawn(Load(this, std::move(block), source_.Keep()));
  }
}

// Who has dropped the block meanwhile has taken it from `blocks_`.
Task<void> ReadAhead::Load(ReadAhead* self, std::shared_ptr<Block> block,
                           std::shared_ptr<void> /*keep*/) {
  const absl::Status read = co_await self->source_.ReadCommitted(
      block->begin, MutableBytes(block->bytes.get(), block->length));
  block->state = read.ok() ? Block::State::kReady : Block::State::kFailed;
  block->ended.Set();
  --self->loading_;
  self->LoadSome();
  if (read.ok()) co_return;
  // Who wants it now reads it, and hears of the error.
  const auto found = self->blocks_.find(block->begin / self->BlockBytes());
  if (found != self->blocks_.end() && found->second == block) self->Erase(found);
}

ReadAhead::Blocks::iterator ReadAhead::Erase(Blocks::iterator at) {
  context_.readahead_bytes -= at->second->length;
  return blocks_.erase(at);
}

void ReadAhead::DropBehind(uint64_t offset) {
  const uint64_t reach = 2 * DisorderBytes();
  const uint64_t from = offset > reach ? offset - reach : 0;
  for (auto at = blocks_.lower_bound(from / BlockBytes()); at != blocks_.end();) {
    const Block& block = *at->second;
    if (block.begin + block.length + DisorderBytes() > offset) break;
    at = Erase(at);
  }
}

void ReadAhead::DropIdle(MonoTime unused_since) {
  for (auto at = blocks_.begin(); at != blocks_.end();)
    at = at->second->used_at < unused_since ? Erase(at) : std::next(at);
}

void ReadAhead::Drop() {
  while (!blocks_.empty()) Erase(blocks_.begin());
  GiveUpWaiting();
}

// Who waits for one reads it itself.
void ReadAhead::GiveUpWaiting() {
  for (const std::shared_ptr<Block>& block : std::exchange(waiting_, {})) {
    block->state = Block::State::kFailed;
    block->ended.Set();
  }
}

}  // namespace cairn::client_internal
