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

namespace cairn {

// REQUIRES: the name is free, and `redundancy` is one.
absl::StatusOr<InodeId> AddBucket(Transaction& txn, std::string_view name,
                                  std::string_view redundancy, int64_t now_ns);

absl::StatusOr<wire::MakeBucketReply> MakeBucket(Transaction& txn,
                                                 const wire::MakeBucketRequest& request,
                                                 const CommandFacts& facts);
absl::StatusOr<wire::SetBucketReply> SetBucket(Transaction& txn,
                                               const wire::SetBucketRequest& request);
absl::StatusOr<wire::GetBucketReply> GetBucket(const Transaction& txn,
                                               const wire::GetBucketRequest& request);

// What a file at `path` is written with, as replies name it: "" for the default. NOT_FOUND.
absl::StatusOr<std::string> RedundancyAt(const Transaction& txn, std::string_view path);

}  // namespace cairn
