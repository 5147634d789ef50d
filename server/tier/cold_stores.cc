#include "server/tier/cold_stores.h"

#include <utility>

#include "common/base/status_macros.h"
#include "server/tier/tier_spec.h"

namespace cairn {

absl::StatusOr<std::shared_ptr<ColdStore>> ColdStores::Get(const wire::TierSpec& spec) {
  const std::string key = spec.SerializeAsString();
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (const auto found = stores_.find(key); found != stores_.end()) return found->second;
  }
  ASSIGN_OR_RETURN(const ColdStoreSpec parsed, ToColdStoreSpec(spec));
  // Not under the lock: a mount that does not answer holds up only who wants it.
  ASSIGN_OR_RETURN(std::unique_ptr<ColdStore> opened, open_(parsed));
  const std::lock_guard<std::mutex> lock(mutex_);
  return stores_.try_emplace(key, std::move(opened)).first->second;
}

}  // namespace cairn
