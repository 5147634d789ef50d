#include "server/meta/bucket.h"

#include <optional>
#include <vector>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/placement/redundancy.h"
#include "server/meta/families.h"
#include "server/meta/keys.h"
#include "server/meta/paths.h"
#include "server/meta/records.h"
#include "server/meta/tree.h"

namespace cairn {
namespace {

constexpr std::string_view kDefaultRedundancy = "replica:1";

// The one component of a bucket's name.
absl::StatusOr<std::string_view> CheckBucketName(std::string_view name) {
  ASSIGN_OR_RETURN(const std::vector<std::string_view> components, SplitPath(name));
  if (components.size() == 1) return components[0];
  return absl::InvalidArgumentError(
      StrCat(Quoted(name), " is no bucket's name: a bucket has one component"));
}

absl::StatusOr<std::string> CheckRedundancy(const std::string& text) {
  if (text.empty()) return std::string(kDefaultRedundancy);
  RETURN_IF_ERROR(ParseRedundancy(text).status());
  return text;
}

absl::StatusOr<InodeId> FindBucket(const Transaction& txn, std::string_view name) {
  ASSIGN_OR_RETURN(const std::optional<Node> node, FindEntry(txn, kRootInode, name));
  if (node.has_value()) return node->inode;
  return absl::NotFoundError(StrCat("there is no bucket ", Quoted(name)));
}

absl::StatusOr<disk::BucketRecord> LoadBucket(const Transaction& txn, InodeId bucket) {
  ASSIGN_OR_RETURN(std::optional<disk::BucketRecord> record,
                   Find<disk::BucketRecord>(txn, kFamilyPolicy, BucketKey(bucket)));
  if (record.has_value()) return *std::move(record);
  return absl::InternalError("metadata: a bucket without its record");
}

}  // namespace

absl::StatusOr<InodeId> AddBucket(Transaction& txn, std::string_view name,
                                  const BucketPolicy& policy, int64_t now_ns) {
  ASSIGN_OR_RETURN(const InodeId bucket, LinkNewDirectory(txn, kRootInode, name, now_ns));
  disk::BucketRecord record;
  record.set_redundancy(std::string(policy.redundancy));
  record.set_quota_bytes(policy.quota_bytes);
  Store(txn, kFamilyPolicy, BucketKey(bucket), record);
  return bucket;
}

absl::StatusOr<wire::MakeBucketReply> MakeBucket(Transaction& txn,
                                                 const wire::MakeBucketRequest& request,
                                                 const CommandFacts& facts) {
  ASSIGN_OR_RETURN(const std::string_view name, CheckBucketName(request.name()));
  ASSIGN_OR_RETURN(const std::string redundancy, CheckRedundancy(request.redundancy()));
  ASSIGN_OR_RETURN(const std::optional<Node> there, FindEntry(txn, kRootInode, name));
  if (there.has_value()) {
    return absl::AlreadyExistsError(StrCat("there is a bucket ", Quoted(name),
                                           " already; `cairn bucket set` changes what new files "
                                           "in it get"));
  }
  RETURN_IF_ERROR(
      AddBucket(txn, name, {redundancy, request.quota_bytes()}, facts.now_ns()).status());
  wire::MakeBucketReply reply;
  reply.set_quota_bytes(request.quota_bytes());
  return reply;
}

absl::StatusOr<wire::SetBucketReply> SetBucket(Transaction& txn,
                                               const wire::SetBucketRequest& request) {
  ASSIGN_OR_RETURN(const std::string_view name, CheckBucketName(request.name()));
  ASSIGN_OR_RETURN(const std::string redundancy, CheckRedundancy(request.redundancy()));
  ASSIGN_OR_RETURN(const InodeId bucket, FindBucket(txn, name));
  ASSIGN_OR_RETURN(disk::BucketRecord record, LoadBucket(txn, bucket));
  const disk::BucketRecord before = record;
  if (!request.keep_redundancy()) record.set_redundancy(redundancy);
  if (request.has_quota_bytes()) record.set_quota_bytes(request.quota_bytes());
  if (record.redundancy() != before.redundancy() || record.quota_bytes() != before.quota_bytes())
    Store(txn, kFamilyPolicy, BucketKey(bucket), record);
  wire::SetBucketReply reply;
  reply.set_redundancy(record.redundancy());
  reply.set_quota_bytes(record.quota_bytes());
  return reply;
}

absl::StatusOr<wire::GetBucketReply> GetBucket(const Transaction& txn,
                                               const wire::GetBucketRequest& request) {
  ASSIGN_OR_RETURN(const std::string_view name, CheckBucketName(request.name()));
  ASSIGN_OR_RETURN(const InodeId bucket, FindBucket(txn, name));
  ASSIGN_OR_RETURN(const disk::BucketRecord record, LoadBucket(txn, bucket));
  ASSIGN_OR_RETURN(const Content content, ContentOf(txn, {bucket, disk::INODE_DIRECTORY}));
  wire::GetBucketReply reply;
  reply.set_redundancy(record.redundancy());
  reply.set_quota_bytes(record.quota_bytes());
  reply.set_size_bytes(content.size_bytes);
  reply.set_files(content.files);
  reply.set_checkpoints(content.checkpoints);
  return reply;
}

absl::StatusOr<BucketState> FindBucketOf(const Transaction& txn, std::string_view path) {
  ASSIGN_OR_RETURN(const std::vector<std::string_view> components, SplitPath(path));
  ASSIGN_OR_RETURN(const InodeId bucket, FindBucket(txn, components[0]));
  ASSIGN_OR_RETURN(const disk::BucketRecord record, LoadBucket(txn, bucket));
  BucketState state{components[0], record.quota_bytes(), {}};
  ASSIGN_OR_RETURN(state.content, ContentOf(txn, {bucket, disk::INODE_DIRECTORY}));
  return state;
}

absl::StatusOr<std::string> RedundancyAt(const Transaction& txn, std::string_view path) {
  ASSIGN_OR_RETURN(const std::vector<std::string_view> components, SplitPath(path));
  ASSIGN_OR_RETURN(const InodeId bucket, FindBucket(txn, components[0]));
  ASSIGN_OR_RETURN(const disk::BucketRecord record, LoadBucket(txn, bucket));
  return record.redundancy() == kDefaultRedundancy ? std::string() : record.redundancy();
}

}  // namespace cairn
