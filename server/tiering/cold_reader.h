// Reads of cold bytes on a node, off its reactor: indexes of objects are kept, for each is asked
// many times while an object is read through.
#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/task/blocking.h"
#include "common/task/deadline.h"
#include "common/task/event.h"
#include "common/task/task.h"
#include "proto/wire/tier.pb.h"
#include "server/tier/cold_object_reader.h"
#include "server/tier/cold_stores.h"

namespace cairn {

// Lives on one executor.
class ColdReader {
 public:
  // So much is read at once, at most: a request costs a store as much as a MiB or so, and what is
  // wanted is mostly read on its way to memory.
  static constexpr uint64_t kBytesMax = 8 * kMiB;
  // What such a read takes as scratch.
  static constexpr uint64_t kScratchBytes = kBytesMax + 2 * kBlockBytes;

  // All outlive it. `own_cluster` is the cluster whose objects are meant by a place that names
  // none.
  ColdReader(ColdStores& stores, BlockingRunner& runner, std::string own_cluster,
             const std::atomic<bool>& stop)
      : stores_(stores), runner_(runner), own_cluster_(std::move(own_cluster)), stop_(stop) {}

  // The bytes from `place` on, verified, somewhere in `scratch`. Errors as ReadColdBytes().
  // REQUIRES: length_bytes <= kBytesMax, and `scratch` has kScratchBytes.
  Task<absl::StatusOr<ConstBytes>> Read(const wire::TierSpec& tier, const wire::ColdPlace& place,
                                        uint64_t length_bytes, MutableBytes scratch,
                                        Deadline deadline);

 private:
  using Index = std::shared_ptr<const disk::ColdIndex>;
  struct Entry {
    std::string key;
    Index index;
  };
  ColdObjectId IdOf(const wire::ColdPlace& place) const;
  Task<absl::StatusOr<Index>> FindIndex(const wire::TierSpec& tier, const ColdObjectId& object,
                                        Deadline deadline);
  void Keep(std::string key, Index index);

  ColdStores& stores_;
  BlockingRunner& runner_;
  const std::string own_cluster_;
  const std::atomic<bool>& stop_;
  std::list<Entry> recent_;  // first
  std::map<std::string, std::list<Entry>::iterator> indexes_;
  // One reads an index, the others wait for it.
  std::map<std::string, std::shared_ptr<Event>> loading_;
};

}  // namespace cairn
