// Reads of cold objects, verified: the index first, which says what each block must be, then any
// range of bytes.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/disk/cold.pb.h"
#include "server/tier/cold_object.h"
#include "server/tier/cold_store.h"

namespace cairn {

// An object as the metadata knows it.
struct ColdObjectId {
  ColdHeader header;
  uint64_t size_bytes = 0;
  std::string key() const { return ColdObjectKey(header.cluster_id, header.object); }
};

// Both block the thread. Errors are those of ColdStore; NOT_FOUND: the object is gone. DATA_LOSS:
// it is another object, or damaged.
absl::StatusOr<disk::ColdIndex> ReadColdIndex(ColdStore& store, const ColdObjectId& object,
                                              const CallBounds& bounds);

// Bytes [offset_bytes, offset_bytes + length_bytes) of the object, which lie in one piece. They are
// in `scratch`, which must have room for two blocks more: whole blocks are read. OUT_OF_RANGE: no
// piece has them.
absl::StatusOr<ConstBytes> ReadColdBytes(ColdStore& store, const ColdObjectId& object,
                                         const disk::ColdIndex& index, uint64_t offset_bytes,
                                         uint64_t length_bytes, MutableBytes scratch,
                                         const CallBounds& bounds);

}  // namespace cairn
