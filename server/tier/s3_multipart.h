// Uploads in parts: how an object is cut, and the calls that send, complete or abort it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "server/tier/call_bounds.h"
#include "server/tier/cold_store.h"
#include "server/tier/s3_connection.h"
#include "server/tier/s3_store.h"

namespace cairn {

// Limits of S3, which compatible services share.
inline constexpr uint64_t kS3PartsMax = 10'000;
inline constexpr uint64_t kS3PartBytesMin = 5 * kMiB;
inline constexpr uint64_t kS3PartBytesMax = 5 * kGiB;
inline constexpr uint64_t kS3ObjectBytesMax = 5 * 1024 * kGiB;
static_assert(kS3PartsMax * kS3PartBytesMax >= kS3ObjectBytesMax);

// The size of all parts of an object but its last: `wanted`, raised to the least that S3 takes and
// as far as 10,000 parts need, in whole MiB. Pure. REQUIRES: size_bytes <= kS3ObjectBytesMax.
uint64_t PartBytesFor(uint64_t size_bytes, uint64_t wanted);

// The ETag of a multipart object, where ETags are MD5s: of the raw MD5s of all parts, and their
// number.
std::string MultipartEtag(std::span<const std::string> part_md5s);

// Uploads `pieces` as `key`, whole, in parts, `parallel_parts` at once, and returns the ETag. Where
// that fails the upload is aborted, within ten seconds more than `bounds` allows, so that the
// service keeps no parts; where that fails as well, the message names the upload. Errors as
// ColdStore::Put(). Blocks the thread.
absl::StatusOr<std::string> PutInParts(S3Connection& connection, const std::string& key,
                                       std::span<const ConstBytes> pieces, uint64_t part_bytes,
                                       int parallel_parts, S3StoreOptions::Etag etag,
                                       const CallBounds& bounds, const Clock& clock);

}  // namespace cairn
