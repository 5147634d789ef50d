// The cold stores that a node has open: one for each spec, for all who use it.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "absl/status/statusor.h"
#include "proto/wire/tier.pb.h"
#include "server/tier/cold_store.h"
#include "server/tier/cold_store_spec.h"

namespace cairn {

// Thread-safe.
class ColdStores {
 public:
  using Open = std::function<absl::StatusOr<std::unique_ptr<ColdStore>>(const ColdStoreSpec&)>;
  // `open` is called from any thread, and may block it.
  explicit ColdStores(Open open) : open_(std::move(open)) {}

  // Blocks. Errors are those of `open`, and INVALID_ARGUMENT for a spec that makes no sense to this
  // release; what could not be opened is tried again by the next who wants it.
  absl::StatusOr<std::shared_ptr<ColdStore>> Get(const wire::TierSpec& spec);

 private:
  const Open open_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<ColdStore>> stores_;
};

}  // namespace cairn
