// The nonces by which the service tells a begin that is said again from that of a rank which has
// restarted. One a call; a call whose end nobody knows leaves its nonce to the next one for the
// same rank. Owned by ClientImpl.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "common/base/random.h"

namespace cairn::client_internal {

// Thread-safe.
class BeginNonces {
 public:
  explicit BeginNonces(Random& random) : random_(random) {}

  // For a call that begins now. Never 0, and never the nonce of another call under way.
  uint64_t Take(std::string_view path, uint32_t rank) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto left = left_.find({std::string(path), rank});
    if (left == left_.end()) return random_.Next() | 1;
    const uint64_t nonce = left->second;
    left_.erase(left);
    return nonce;
  }

  // The call has ended so. When it may have been carried out, the next one is its repetition.
  void Ended(std::string_view path, uint32_t rank, uint64_t nonce, const absl::Status& status) {
    if (!absl::IsUnavailable(status) && !absl::IsDeadlineExceeded(status)) return;
    const std::lock_guard<std::mutex> lock(mutex_);
    if (left_.size() < kMaxLeft) left_[{std::string(path), rank}] = nonce;
  }

 private:
  // Ranks of one process times the checkpoints it gave up on. What is beyond begins anew.
  static constexpr size_t kMaxLeft = 1024;

  Random& random_;
  std::mutex mutex_;
  std::map<std::pair<std::string, uint32_t>, uint64_t> left_;
};

}  // namespace cairn::client_internal
