// How much fits one reply: an RPC frame holds 64 KiB, envelope included.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "google/protobuf/message_lite.h"

namespace cairn {

inline constexpr size_t kMaxReplyBytes = 60 << 10;
// What a reply spends on its lists; the rest is for the entry they belong to.
inline constexpr size_t kMaxPageBytes = 48 << 10;

// Counts the elements of a page.
class ReplyBudget {
 public:
  // `limit` 0: as many as fit.
  explicit ReplyBudget(uint32_t limit = 0) : elements_left_(limit == 0 ? SIZE_MAX : limit) {}

  // False when `element` does not fit any more; the first always fits.
  bool Take(const google::protobuf::MessageLite& element) {
    // A tag and a length of up to three bytes come with each element.
    const size_t bytes = element.ByteSizeLong() + 4;
    if (elements_left_ == 0 || (used_ > 0 && used_ + bytes > kMaxPageBytes)) return false;
    --elements_left_;
    used_ += bytes;
    return true;
  }

 private:
  size_t elements_left_;
  size_t used_ = 0;
};

}  // namespace cairn
