#include "server/tiering/slots.h"

#include <algorithm>

namespace cairn {

bool Slots::HasRoom() const { return used_ < std::max<size_t>(limit_(), 1); }

Task<absl::Status> Slots::Take(Class of) {
  if (stopped_) co_return absl::CancelledError("tiering is stopping");
  std::deque<Waiter*>& line = of == Class::kRecall ? recalls_ : archives_;
  const bool first = recalls_.empty() && (of == Class::kRecall || archives_.empty());
  if (first && HasRoom()) {
    ++used_;
    co_return absl::OkStatus();
  }
  Waiter waiter;
  line.push_back(&waiter);
  co_await waiter.granted;
  // Who was granted one when all ended gives it back.
  if (stopped_) co_return absl::CancelledError("tiering is stopping");
  co_return absl::OkStatus();
}

void Slots::Give() {
  --used_;
  Grant();
}

void Slots::Grant() {
  while (!stopped_ && HasRoom() && !(recalls_.empty() && archives_.empty())) {
    std::deque<Waiter*>& line = recalls_.empty() ? archives_ : recalls_;
    Waiter* next = line.front();
    line.pop_front();
    ++used_;
    next->granted.Set();
  }
}

void Slots::Stop() {
  stopped_ = true;
  for (std::deque<Waiter*>* line : {&recalls_, &archives_}) {
    for (Waiter* waiter : *line) waiter->granted.Set();
    line->clear();
  }
}

}  // namespace cairn
