// What S3-compatible services say and want to be told in XML. Pure. Names count without their
// namespace; unknown elements are skipped; entities other than XML's own five are never expanded.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/tier/cold_store.h"

namespace cairn {

// <Error>, in an answer of any status.
struct S3Error {
  std::string code = {};
  std::string message = {};
  // Where the bucket is, of a redirect.
  std::string region = {};
  std::string endpoint = {};
};

// None where `xml` is no <Error>.
std::optional<S3Error> ParseS3Error(std::string_view xml);

// Of all below. UNAVAILABLE: `xml` is not what it should be: cut off, of another kind, or made by
// something that is no S3 service.

struct S3ListPage {
  // With full keys, decoded.
  std::vector<ColdObject> objects;
  bool truncated = false;
  // Asks for the next page; never empty where `truncated` is set.
  std::string next_token;
};
// <ListBucketResult> of ListObjectsV2, with encoding-type=url or without.
absl::StatusOr<S3ListPage> ParseS3ListPage(std::string_view xml);

// <InitiateMultipartUploadResult>: the upload's id, never empty.
absl::StatusOr<std::string> ParseS3UploadId(std::string_view xml);

// <CompleteMultipartUploadResult>: the object's ETag, without quotes. It may be empty.
absl::StatusOr<std::string> ParseS3Completed(std::string_view xml);

struct S3DeleteError {
  std::string key;
  S3Error error;
};
// <DeleteResult>: what could not be deleted.
absl::StatusOr<std::vector<S3DeleteError>> ParseS3DeleteResult(std::string_view xml);

// The body of CompleteMultipartUpload: the ETags of parts 1, 2, ...
std::string MakeS3Complete(std::span<const std::string> etags);

// The body of DeleteObjects, which asks for errors only.
std::string MakeS3Delete(std::span<const std::string> keys);

// An ETag as it stands in a header or in XML, without its quotes.
std::string PlainEtag(std::string_view etag);

}  // namespace cairn
