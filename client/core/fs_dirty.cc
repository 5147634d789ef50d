#include "client/core/fs_dirty.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "common/base/check.h"

namespace cairn::client_internal {
namespace {

constexpr uint64_t kBufferBytesMin = 4 * kKiB;
// A stripe from more pieces of memory than this is gathered first: each costs an RMA read on every
// target.
constexpr size_t kSlicesMax = 32;

}  // namespace

DirtyBuffer::DirtyBuffer(std::shared_ptr<MemoryMeter> meter, uint64_t capacity)
    : meter_(std::move(meter)),
      capacity_(capacity),
      // Not zeroed: only what was written is read.
      memory_(new std::byte[capacity]) {
  meter_->Add(capacity_);
}

DirtyBuffer::DirtyBuffer(std::shared_ptr<MemoryMeter> meter, std::unique_ptr<std::byte[]> memory,
                         uint64_t length)
    : used(length), meter_(std::move(meter)), capacity_(length), memory_(std::move(memory)) {
  meter_->Add(capacity_);
}

DirtyBuffer::~DirtyBuffer() { meter_->Subtract(capacity_); }

DirtyRanges::DirtyRanges(uint64_t stripe_bytes, std::shared_ptr<MemoryMeter> meter)
    : stripe_bytes_(stripe_bytes), meter_(std::move(meter)) {}

void DirtyRanges::CountUnsent(uint64_t offset, uint64_t bytes) {
  const uint64_t stripe = offset / stripe_bytes_;
  unsent_bytes_ += bytes;
  uint64_t& of_stripe = unsent_of_[stripe];
  of_stripe += bytes;
  CAIRN_CHECK(of_stripe <= stripe_bytes_);
  if (of_stripe == stripe_bytes_) full_.push_back(stripe);
}

void DirtyRanges::DiscountUnsent(uint64_t offset, uint64_t bytes) {
  const uint64_t stripe = offset / stripe_bytes_;
  unsent_bytes_ -= bytes;
  const auto of_stripe = unsent_of_.find(stripe);
  CAIRN_CHECK(of_stripe != unsent_of_.end() && of_stripe->second >= bytes);
  if (of_stripe->second == stripe_bytes_) std::erase(full_, stripe);
  of_stripe->second -= bytes;
  if (of_stripe->second == 0) unsent_of_.erase(of_stripe);
}

DirtyRanges::Ranges::const_iterator DirtyRanges::Behind(uint64_t at) const {
  auto found = ranges_.upper_bound(at);
  if (found != ranges_.begin()) {
    const auto before = std::prev(found);
    if (before->first + before->second.length > at) return before;
  }
  return found;
}

DirtyRanges::Ranges::iterator DirtyRanges::Erase(Ranges::iterator at) {
  if (at->second.carrier == 0) DiscountUnsent(at->first, at->second.length);
  return ranges_.erase(at);
}

void DirtyRanges::SplitAt(uint64_t at) {
  auto after = ranges_.upper_bound(at);
  if (after == ranges_.begin()) return;
  auto& [begin, range] = *std::prev(after);
  if (begin == at || begin + range.length <= at) return;
  Range rest = range;
  const uint64_t kept = at - begin;
  rest.skip += kept;
  rest.length -= kept;
  range.length = kept;
  ranges_.emplace_hint(after, at, std::move(rest));
}

void DirtyRanges::Drop(ByteRange range) {
  if (range.begin >= range.end) return;
  SplitAt(range.begin);
  SplitAt(range.end);
  for (auto at = ranges_.lower_bound(range.begin); at != ranges_.end() && at->first < range.end;) {
    CAIRN_CHECK(at->second.carrier == 0);
    at = Erase(at);
  }
}

DirtyRanges::Carrier DirtyRanges::Write(uint64_t offset_bytes, ConstBytes bytes) {
  if (bytes.empty()) return 0;
  const Carrier newest = MakeRoom(offset_bytes, offset_bytes + bytes.size());
  while (!bytes.empty()) {
    const uint64_t done = WriteSome(offset_bytes, bytes);
    offset_bytes += done;
    bytes = bytes.subspan(done);
  }
  return newest;
}

DirtyRanges::Carrier DirtyRanges::MakeRoom(uint64_t offset, uint64_t end) {
  for (const uint64_t edge : {offset, end}) {
    const auto over = Behind(edge);
    if (over != ranges_.end() && over->second.carrier != 0) SplitAt(edge);
  }
  Carrier newest = 0;
  for (auto at = ranges_.lower_bound(offset); at != ranges_.end() && at->first < end;) {
    newest = std::max(newest, at->second.carrier);
    at = at->second.carrier != 0 ? ranges_.erase(at) : std::next(at);
  }
  return newest;
}

DirtyRanges::Carrier DirtyRanges::WriteOwned(uint64_t offset_bytes,
                                             std::unique_ptr<std::byte[]> memory, uint64_t length) {
  const uint64_t end = offset_bytes + length;
  const Carrier newest = MakeRoom(offset_bytes, end);
  const auto there = Behind(offset_bytes);
  if (there != ranges_.end() && there->first < end) {
    static_cast<void>(Write(offset_bytes, ConstBytes(memory.get(), length)));
    return newest;
  }
  const auto buffer = std::make_shared<DirtyBuffer>(meter_, std::move(memory), length);
  for (uint64_t at = offset_bytes; at < end;) {
    const uint64_t in_one = std::min(end - at, stripe_bytes_ - at % stripe_bytes_);
    ranges_.emplace(at, Range{in_one, buffer, at - offset_bytes, 0});
    CountUnsent(at, in_one);
    at += in_one;
  }
  return newest;
}

// As far as one range or gap and one buffer take it. Returns how many bytes.
uint64_t DirtyRanges::WriteSome(uint64_t offset, ConstBytes bytes) {
  const auto after = ranges_.upper_bound(offset);
  const auto before = after == ranges_.begin() ? ranges_.end() : std::prev(after);
  const uint64_t in_stripe = offset % stripe_bytes_;
  uint64_t length = std::min<uint64_t>(bytes.size(), stripe_bytes_ - in_stripe);
  uint64_t capacity = std::max(length, std::min(kBufferBytesMin, stripe_bytes_ - in_stripe));
  if (before != ranges_.end()) {
    Range& range = before->second;
    const uint64_t end = before->first + range.length;
    if (offset < end) {
      length = std::min(length, end - offset);
      std::memcpy(range.buffer->data() + range.skip + (offset - before->first), bytes.data(),
                  length);
      return length;
    }
    if (after != ranges_.end()) length = std::min(length, after->first - offset);
    if (end == offset) {
      DirtyBuffer& buffer = *range.buffer;
      const bool is_last = range.carrier == 0 && range.skip + range.length == buffer.used;
      if (is_last && buffer.used < buffer.capacity() && in_stripe != 0) {
        length = std::min(length, buffer.capacity() - buffer.used);
        std::memcpy(buffer.data() + buffer.used, bytes.data(), length);
        buffer.used += length;
        range.length += length;
        CountUnsent(offset, length);
        return length;
      }
      // Somebody writes one after the other: few buffers a stripe then.
      capacity = std::clamp(2 * buffer.capacity(), capacity, stripe_bytes_ - in_stripe);
    }
  } else if (after != ranges_.end()) {
    length = std::min(length, after->first - offset);
  }
  auto buffer = std::make_shared<DirtyBuffer>(meter_, capacity);
  std::memcpy(buffer->data(), bytes.data(), length);
  buffer->used = length;
  ranges_.emplace_hint(after, offset, Range{length, std::move(buffer), 0, 0});
  CountUnsent(offset, length);
  return length;
}

std::vector<ByteRange> DirtyRanges::CopyTo(uint64_t offset_bytes, MutableBytes destination) const {
  std::vector<ByteRange> gaps;
  uint64_t at = offset_bytes;
  const uint64_t end = offset_bytes + destination.size();
  for (auto next = Behind(at); at < end && next != ranges_.end() && next->first < end; ++next) {
    const auto& [begin, range] = *next;
    if (begin > at) {
      gaps.push_back({at, begin});
      at = begin;
    }
    const uint64_t until = std::min(end, begin + range.length);
    std::memcpy(destination.data() + (at - offset_bytes),
                range.buffer->data() + range.skip + (at - begin), until - at);
    at = until;
  }
  if (at < end) gaps.push_back({at, end});
  return gaps;
}

uint64_t DirtyRanges::end_bytes() const {
  if (ranges_.empty()) return 0;
  const auto& [begin, range] = *ranges_.rbegin();
  return begin + range.length;
}

std::optional<DirtyPiece> DirtyRanges::TakeFullStripe(Carrier carrier) {
  if (full_.empty()) return std::nullopt;
  const uint64_t stripe = full_.front();
  return TakeNext(stripe * stripe_bytes_, carrier);
}

std::optional<DirtyPiece> DirtyRanges::TakeNext(uint64_t from, Carrier carrier) {
  CAIRN_CHECK(carrier != 0);
  SplitAt(from);
  auto at = ranges_.lower_bound(from);
  while (at != ranges_.end() && at->second.carrier != 0) ++at;
  if (at == ranges_.end()) return std::nullopt;
  DirtyPiece piece;
  piece.offset_bytes = at->first;
  const uint64_t stripe = at->first / stripe_bytes_;
  uint64_t end = at->first;
  for (; at != ranges_.end() && at->first == end && at->second.carrier == 0 &&
         at->first / stripe_bytes_ == stripe;
       ++at) {
    Range& range = at->second;
    DiscountUnsent(at->first, range.length);
    range.carrier = carrier;
    piece.slices.push_back({range.buffer, range.skip, range.length});
    end += range.length;
  }
  piece.length_bytes = end - piece.offset_bytes;
  if (piece.slices.size() > kSlicesMax) Gather(&piece);
  return piece;
}

void DirtyRanges::Gather(DirtyPiece* piece) {
  auto whole = std::make_shared<DirtyBuffer>(meter_, piece->length_bytes);
  for (const DirtyPiece::Slice& slice : piece->slices) {
    std::memcpy(whole->data() + whole->used, slice.bytes().data(), slice.length_bytes);
    whole->used += slice.length_bytes;
  }
  auto first = ranges_.find(piece->offset_bytes);
  const Carrier carrier = first->second.carrier;
  const auto last = ranges_.lower_bound(piece->offset_bytes + piece->length_bytes);
  ranges_.erase(first, last);
  ranges_.emplace_hint(last, piece->offset_bytes, Range{piece->length_bytes, whole, 0, carrier});
  piece->slices = {{std::move(whole), 0, piece->length_bytes}};
}

void DirtyRanges::Committed(ByteRange range, Carrier carrier) {
  for (auto at = ranges_.lower_bound(range.begin); at != ranges_.end() && at->first < range.end;) {
    at = at->second.carrier == carrier ? ranges_.erase(at) : std::next(at);
  }
}

void DirtyRanges::Failed(ByteRange range, Carrier carrier) {
  for (auto at = ranges_.lower_bound(range.begin); at != ranges_.end() && at->first < range.end;
       ++at) {
    if (at->second.carrier != carrier) continue;
    at->second.carrier = 0;
    CountUnsent(at->first, at->second.length);
  }
}

}  // namespace cairn::client_internal
