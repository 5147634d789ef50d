// S3Store: cold objects in a bucket of an S3-compatible service. Large ones go up in parts
// (s3_multipart.h); each request is signed and tried again by s3_connection.h.
//
// What keeps a damaged upload from being acknowledged: the SHA-256 of each body is signed, and its
// MD5 sent as Content-MD5, so that the service refuses other bytes; what it answers as ETag is
// compared with the MD5, and a multipart object's size with what was sent. Durability is the
// service's promise.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "server/tier/cold_store.h"
#include "server/tier/credentials_provider.h"
#include "server/tier/s3_connection.h"

namespace cairn {

struct S3StoreOptions {
  S3ConnectionOptions connection = {};
  // Of all keys; without a slash at its end. Empty: the bucket is the tier's alone.
  std::string prefix = {};
  // Whether an ETag that looks like an MD5 is one. With kOpaque, for services where it is not, an
  // upload is compared by its size only, besides what the service compares itself.
  enum class Etag { kMd5, kOpaque };
  Etag etag = Etag::kMd5;
  // Larger objects go up in parts of `part_bytes`. One request carries 5 GiB at most.
  uint64_t multipart_from_bytes = 64 * kMiB;
  uint64_t part_bytes = 64 * kMiB;
};

class S3Store final : public ColdStore {
 public:
  // `clock` and `random` outlive it. Sends nothing yet.
  S3Store(S3StoreOptions options, std::unique_ptr<CredentialsProvider> credentials,
          const Clock& clock, Random& random);

  // ColdStore's. UNIMPLEMENTED, beside its errors: the service lacks an operation that is needed.
  absl::StatusOr<std::string> Put(std::string_view key, std::span<const ConstBytes> pieces,
                                  const ColdPutOptions& options, const CallBounds& bounds) override;
  // A whole object whose ETag is its MD5 is compared with it.
  absl::Status Get(std::string_view key, uint64_t offset, MutableBytes into, std::string_view etag,
                   const CallBounds& bounds) override;
  absl::StatusOr<ColdObject> Stat(std::string_view key, const CallBounds& bounds) override;
  // FAILED_PRECONDITION, too: the service does not list in the order of bytes, as S3's directory
  // buckets.
  absl::StatusOr<ColdListing> List(const ColdListOptions& options,
                                   const CallBounds& bounds) override;
  absl::Status Delete(std::span<const std::string> keys, const CallBounds& bounds) override;
  std::string Describe() const override;

 private:
  absl::StatusOr<std::string> FullKey(std::string_view key) const;
  absl::StatusOr<std::string> PutWhole(const std::string& key, std::span<const ConstBytes> pieces,
                                       const CallBounds& bounds);
  absl::StatusOr<std::string> ConfirmSize(std::string_view key, uint64_t size_bytes,
                                          const std::string& etag, const CallBounds& bounds);
  absl::Status ConfirmBucket(const CallBounds& bounds);
  absl::Status ListPage(const ColdListOptions& options, std::string* token, ColdListing* listing,
                        const CallBounds& bounds);
  absl::Status DeleteBatch(std::span<const std::string> keys, const CallBounds& bounds);
  absl::Status DeleteOne(const std::string& key, const CallBounds& bounds);

  const S3StoreOptions options_;
  const Clock& clock_;
  const std::unique_ptr<CredentialsProvider> credentials_;
  S3Connection connection_;
};

// Whether `etag`, of an answer with these headers, must be the MD5 of the object: it looks like
// one, and the answer does not say that the object is encrypted with a key that changes it.
bool EtagIsMd5(std::string_view etag, const HttpResponse& response, S3StoreOptions::Etag kind);

}  // namespace cairn
