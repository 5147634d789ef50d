// From a spec to the store itself.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/random.h"
#include "server/tier/cold_store.h"
#include "server/tier/cold_store_spec.h"

namespace cairn {

// A directory is looked at (errors: DirectoryStore::Open()); a bucket is not, before the first
// call. `clock` and `random` outlive the store and are thread-safe. Blocks the thread.
absl::StatusOr<std::unique_ptr<ColdStore>> OpenColdStore(const ColdStoreSpec& spec,
                                                         const Clock& clock, Random& random);

// What has to be done once before a store is opened for the first time: makes an empty directory
// one (errors: DirectoryStore::Prepare()). Nothing for a bucket, which its owner has made. Blocks
// the thread.
absl::Status PrepareColdStore(const ColdStoreSpec& spec, Random& random);

}  // namespace cairn
