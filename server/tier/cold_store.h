// ColdStore: where cold objects are kept. A flat space of immutable objects under keys: an
// S3-compatible bucket (s3_store.h), or a directory on a disk or network mount (directory_store.h).
// What is moved there, when, and what an object holds is decided elsewhere; the next file on the
// way of a cold object is the store's own.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/units.h"
#include "server/tier/call_bounds.h"

namespace cairn {

// One stored object, as Stat() and List() tell it.
struct ColdObject {
  std::string key = {};
  uint64_t size_bytes = 0;
  // Names this content of the key: another Put() gives another. Opaque, without quotes. Empty where
  // a listing does not say.
  std::string etag = {};
  // By the store's clock. InfinitePast() where a listing does not say.
  absl::Time modified = absl::InfinitePast();
};

struct ColdPutOptions {
  // Of a multipart upload; raised as far as an object's 10,000 parts need. 0: the store chooses.
  // Stores that do not upload in parts ignore it.
  uint64_t part_bytes = 0;
  // How many parts are on their way at once, each from a thread of its own that ends within the
  // call. From 1 to 64.
  int parallel_parts = 1;
};

struct ColdListOptions {
  // Begin with this. Need not end at a "/".
  std::string prefix = {};
  // Only keys greater than this.
  std::string start_after = {};
  // From 1 to 10,000.
  size_t limit = 1000;
};

struct ColdListing {
  // In ascending order of the keys' bytes.
  std::vector<ColdObject> objects = {};
  // There are further ones: ask again, after the last of these.
  bool more = false;
};

// Thread-safe; all calls block their thread until they end, which `bounds` limits. Objects are
// replaced whole or not at all, and who reads one while it is replaced gets the old or the new
// bytes. Keys: cold_key.h. Errors of every call:
//   CANCELLED            the stop flag was set
//   DEADLINE_EXCEEDED    the deadline passed; what was asked may have been done or not
//   UNAVAILABLE          out of reach, overloaded or failing; tried again as far as time allowed
//   RESOURCE_EXHAUSTED   full, over quota or throttled
//   PERMISSION_DENIED    credentials or rights; the message says so when it may be the clock
//   FAILED_PRECONDITION  the store itself is not as it must be: no bucket, not mounted, another
//                        region, a certificate that is not trusted
//   DATA_LOSS            bytes that are not those that were written or asked for
//   INVALID_ARGUMENT     a key, range or option that no store takes
// Messages never hold secrets.
class ColdStore {
 public:
  virtual ~ColdStore() = default;

  // Stores the bytes of all `pieces`, one after the other, as the object `key`, replacing what was
  // there, and returns its ETag. On OK the object is durable as far as the store promises it, and
  // has been compared with what was sent (how: the store's header). On an error the old object or
  // none is there, and nothing is left behind that the store would keep for ever; after
  // DEADLINE_EXCEEDED or UNAVAILABLE it may be the new one. The caller keeps `pieces` unchanged
  // until the call returns; they are not used afterwards.
  // REQUIRES: nobody else puts or deletes the same key meanwhile.
  virtual absl::StatusOr<std::string> Put(std::string_view key, std::span<const ConstBytes> pieces,
                                          const ColdPutOptions& options,
                                          const CallBounds& bounds) = 0;

  // Fills `into` with the object's bytes from `offset` on. With an `etag` that is not empty: of the
  // content of that name only. NOT_FOUND: no such object. OUT_OF_RANGE: it ends before the range
  // does. DATA_LOSS: the store sent other bytes than asked for, or the object is not the one of
  // `etag` any more. After an error `into` holds anything.
  virtual absl::Status Get(std::string_view key, uint64_t offset, MutableBytes into,
                           std::string_view etag, const CallBounds& bounds) = 0;

  // NOT_FOUND: no such object.
  virtual absl::StatusOr<ColdObject> Stat(std::string_view key, const CallBounds& bounds) = 0;

  // A page of the keys. What is put or deleted meanwhile may be in it or not.
  virtual absl::StatusOr<ColdListing> List(const ColdListOptions& options,
                                           const CallBounds& bounds) = 0;

  // Deletes the objects; those that are not there count as deleted. Once OK they are gone, durably
  // so as far as the store promises it. On an error some of them may be gone; asking again for all
  // of them is right.
  virtual absl::Status Delete(std::span<const std::string> keys, const CallBounds& bounds) = 0;

  // For people: what and where it is, without secrets. Does not block.
  virtual std::string Describe() const = 0;
};

}  // namespace cairn
