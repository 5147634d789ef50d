#include "client/core/fs_listings.h"

namespace cairn::client_internal {

std::shared_ptr<const ChangeCount> Listings::Count(uint64_t directory) {
  std::weak_ptr<ChangeCount>& counted = counted_[directory];
  std::shared_ptr<ChangeCount> count = counted.lock();
  if (count == nullptr) {
    count = std::make_shared<ChangeCount>(0);
    counted = count;
  }
  if (counted_.size() > sweep_at_) Sweep();
  return count;
}

void Listings::NoteChange(uint64_t directory) {
  const auto found = counted_.find(directory);
  if (found == counted_.end()) return;
  if (const std::shared_ptr<ChangeCount> count = found->second.lock(); count != nullptr) {
    count->fetch_add(1);
  } else {
    counted_.erase(found);
  }
}

void Listings::Sweep() {
  absl::erase_if(counted_, [](const auto& each) { return each.second.expired(); });
  sweep_at_ = 2 * counted_.size();
}

}  // namespace cairn::client_internal
