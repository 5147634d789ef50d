// Events in the order of their times: a wheel of buckets for what comes soon, a heap for the rest.
// Constant time for each of the hundreds of millions that a large run has.
#pragma once

#include <algorithm>
#include <cstdint>
#include <queue>
#include <vector>

namespace cairn::scale {

enum class EventKind : uint8_t {
  kEncoded,      // rank a has item b ready to send
  kAtServer,     // call a has arrived
  kStage,        // call a has left a resource
  kSlabFree,     // core a has one back
  kReply,        // call a is answered
  kVerified,     // call a is over
  kSealArrives,  // seal a
  kSealed,       // target a has committed a round
  kSealReply,    // rank a has one
  kMetaArrives,  // rank a's call of kind b
  kMetaQueued,   // the same, decoded
  kMetaGroup,    // a group is durable
  kMetaReply,    // rank a's call of kind b is answered
};

struct Event {
  double at = 0;  // seconds
  EventKind kind = EventKind::kEncoded;
  uint32_t a = 0;
  uint32_t b = 0;
};

// Events less than a bucket apart come in the order in which they were added: of no account for
// what takes tens of microseconds, and the same in every run.
class EventQueue {
 public:
  EventQueue() : wheel_(kBuckets) {}

  // REQUIRES: not before the event that Next() gave last.
  void Add(const Event& event) {
    ++size_;
    const uint64_t tick = std::max(Tick(event.at), tick_);
    if (tick - tick_ < kBuckets) {
      wheel_[tick % kBuckets].push_back(event);
    } else {
      later_.push(event);
    }
  }
  bool empty() const { return size_ == 0; }
  // REQUIRES: not empty.
  Event Next() {
    while (next_ == bucket().size()) Turn();
    --size_;
    return bucket()[next_++];
  }

 private:
  static constexpr uint64_t kBuckets = 1 << 16;
  static constexpr double kTicksPerSecond = 1e6;
  struct Later {
    bool operator()(const Event& x, const Event& y) const { return x.at > y.at; }
  };
  static uint64_t Tick(double at) { return static_cast<uint64_t>(at * kTicksPerSecond); }
  std::vector<Event>& bucket() { return wheel_[tick_ % kBuckets]; }

  void Turn() {
    bucket().clear();
    next_ = 0;
    ++tick_;
    while (!later_.empty() && Tick(later_.top().at) < tick_ + kBuckets) {
      const Event event = later_.top();
      later_.pop();
      wheel_[std::max(Tick(event.at), tick_) % kBuckets].push_back(event);
    }
  }

  std::vector<std::vector<Event>> wheel_;
  std::priority_queue<Event, std::vector<Event>, Later> later_;
  uint64_t tick_ = 0;
  size_t next_ = 0;
  size_t size_ = 0;
};

}  // namespace cairn::scale
