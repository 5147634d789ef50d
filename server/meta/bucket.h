// Buckets: directories in the root that carry policy.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/base/ids.h"
#include "proto/wire/meta.pb.h"
#include "server/meta/facts.h"
#include "server/meta/transaction.h"
#include "server/meta/usage.h"

namespace cairn {

struct BucketPolicy {
  std::string_view redundancy = "replica:1";
  uint64_t quota_bytes = 0;  // 0: none
};
// REQUIRES: the name is free, and `redundancy` is one.
absl::StatusOr<InodeId> AddBucket(Transaction& txn, std::string_view name,
                                  const BucketPolicy& policy, int64_t now_ns);

absl::StatusOr<wire::MakeBucketReply> MakeBucket(Transaction& txn,
                                                 const wire::MakeBucketRequest& request,
                                                 const CommandFacts& facts);
absl::StatusOr<wire::SetBucketReply> SetBucket(Transaction& txn,
                                               const wire::SetBucketRequest& request);
absl::StatusOr<wire::GetBucketReply> GetBucket(const Transaction& txn,
                                               const wire::GetBucketRequest& request);

// The bucket that `path` lies in, and what it holds.
struct BucketState {
  std::string_view name;  // into the path
  uint64_t quota_bytes = 0;
  Content content;
};
absl::StatusOr<BucketState> FindBucketOf(const Transaction& txn, std::string_view path);

// What a file at `path` is written with, as replies name it: "" for the default. NOT_FOUND.
absl::StatusOr<std::string> RedundancyAt(const Transaction& txn, std::string_view path);

}  // namespace cairn
