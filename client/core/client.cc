// The public Client: namespace and checkpoint queries. Writing is in checkpoint.cc and
// file_writer.cc, reading in file.cc.
#include "cairn/client.h"

#include <utility>

#include <google/protobuf/util/json_util.h>

#include "client/core/client_impl.h"
#include "client/core/convert.h"
#include "client/io/map_index.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/placement/redundancy.h"

namespace cairn {

using client_internal::FromRetentionPolicy;
using client_internal::ToCheckpointInfo;
using client_internal::ToEntry;
using client_internal::ToRetentionPolicy;
using client_internal::ToShardInfo;

absl::StatusOr<std::unique_ptr<Client>> Client::Connect(ClientOptions options) {
  ASSIGN_OR_RETURN(std::shared_ptr<client_internal::ClientImpl> impl,
                   client_internal::ClientImpl::Connect(std::move(options)));
  return std::unique_ptr<Client>(new Client(std::move(impl)));
}

Client::Client(std::shared_ptr<client_internal::ClientImpl> impl) : impl_(std::move(impl)) {}
Client::~Client() = default;
const std::string& Client::endpoint() const { return impl_->endpoint(); }

absl::StatusOr<CheckpointInfo> Client::LatestCheckpoint(std::string_view directory) {
  wire::LatestCheckpointRequest request;
  request.set_path(std::string(directory));
  ASSIGN_OR_RETURN(wire::LatestCheckpointReply reply,
                   impl_->Meta<wire::LatestCheckpointReply>(wire::LATEST_CHECKPOINT, request));
  return ToCheckpointInfo(reply.info());
}

absl::StatusOr<CheckpointInfo> Client::ShowCheckpoint(std::string_view path,
                                                      std::vector<ShardInfo>* shards) {
  wire::ShowCheckpointRequest request;
  request.set_path(std::string(path));
  if (shards == nullptr) request.set_limit(1);
  while (true) {
    ASSIGN_OR_RETURN(wire::ShowCheckpointReply reply,
                     impl_->Meta<wire::ShowCheckpointReply>(wire::SHOW_CHECKPOINT, request));
    if (shards == nullptr) return ToCheckpointInfo(reply.info());
    for (const wire::ShardInfo& shard : reply.shards()) shards->push_back(ToShardInfo(shard));
    if (!reply.more() || reply.shards().empty()) return ToCheckpointInfo(reply.info());
    request.set_start_after_shard(reply.shards().rbegin()->name());
  }
}

absl::StatusOr<std::vector<CheckpointInfo>> Client::ListCheckpoints(
    std::string_view directory, ListCheckpointsOptions options) {
  wire::ListCheckpointsRequest request;
  request.set_path(std::string(directory));
  request.set_include_writing(options.include_writing);
  request.set_recursive(options.recursive);
  std::vector<CheckpointInfo> checkpoints;
  while (true) {
    ASSIGN_OR_RETURN(wire::ListCheckpointsReply reply,
                     impl_->Meta<wire::ListCheckpointsReply>(wire::LIST_CHECKPOINTS, request));
    for (const wire::CheckpointInfo& info : reply.checkpoints())
      checkpoints.push_back(ToCheckpointInfo(info));
    if (!reply.more() || reply.checkpoints().empty()) return checkpoints;
    request.set_start_after(reply.checkpoints().rbegin()->path());
  }
}

absl::Status Client::PinCheckpoint(std::string_view path) {
  wire::PinCheckpointRequest request;
  request.set_path(std::string(path));
  request.set_pinned(true);
  return impl_->Meta<wire::PinCheckpointReply>(wire::PIN_CHECKPOINT, request).status();
}

absl::Status Client::UnpinCheckpoint(std::string_view path) {
  wire::PinCheckpointRequest request;
  request.set_path(std::string(path));
  return impl_->Meta<wire::PinCheckpointReply>(wire::PIN_CHECKPOINT, request).status();
}

absl::Status Client::SetRetention(std::string_view directory, const RetentionPolicy& policy) {
  wire::SetRetentionRequest request;
  request.set_path(std::string(directory));
  *request.mutable_policy() = FromRetentionPolicy(policy);
  return impl_->Meta<wire::SetRetentionReply>(wire::SET_RETENTION, request).status();
}

absl::StatusOr<RetentionPolicy> Client::GetRetention(std::string_view directory) {
  wire::GetRetentionRequest request;
  request.set_path(std::string(directory));
  ASSIGN_OR_RETURN(wire::GetRetentionReply reply,
                   impl_->Meta<wire::GetRetentionReply>(wire::GET_RETENTION, request));
  return ToRetentionPolicy(reply.policy());
}

absl::StatusOr<std::vector<CheckpointInfo>> Client::PruneCheckpoints(
    std::string_view directory, std::optional<RetentionPolicy> policy, PruneMode mode) {
  wire::PruneCheckpointsRequest request;
  request.set_path(std::string(directory));
  if (policy.has_value()) *request.mutable_policy() = FromRetentionPolicy(*policy);
  request.set_dry_run(mode == PruneMode::kDryRun);
  ASSIGN_OR_RETURN(wire::PruneCheckpointsReply reply,
                   impl_->Meta<wire::PruneCheckpointsReply>(wire::PRUNE_CHECKPOINTS, request));
  std::vector<CheckpointInfo> removed;
  for (const wire::CheckpointInfo& info : reply.removed())
    removed.push_back(ToCheckpointInfo(info));
  return removed;
}

absl::StatusOr<Entry> Client::Stat(std::string_view path) {
  wire::StatRequest request;
  request.set_path(std::string(path));
  ASSIGN_OR_RETURN(wire::StatReply reply, impl_->Meta<wire::StatReply>(wire::STAT, request));
  return ToEntry(reply.entry());
}

absl::StatusOr<std::vector<Entry>> Client::List(std::string_view path) {
  wire::ListRequest request;
  request.set_path(std::string(path));
  std::vector<Entry> entries;
  while (true) {
    ASSIGN_OR_RETURN(wire::ListReply reply, impl_->Meta<wire::ListReply>(wire::LIST, request));
    for (const wire::Entry& entry : reply.entries()) entries.push_back(ToEntry(entry));
    if (!reply.more() || reply.entries().empty()) return entries;
    request.set_start_after(reply.entries().rbegin()->name());
  }
}

absl::Status Client::Remove(std::string_view path, RemoveMode mode) {
  wire::RemoveRequest request;
  request.set_path(std::string(path));
  request.set_recursive(mode == RemoveMode::kRecursive);
  return impl_->Meta<wire::RemoveReply>(wire::REMOVE, request).status();
}

absl::Status Client::Rename(std::string_view from, std::string_view to) {
  wire::RenameRequest request;
  request.set_from(std::string(from));
  request.set_to(std::string(to));
  return impl_->Meta<wire::RenameReply>(wire::RENAME, request).status();
}

absl::Status Client::MakeDirectory(std::string_view path) {
  wire::MakeDirectoryRequest request;
  request.set_path(std::string(path));
  request.set_parents(true);
  return impl_->Meta<wire::MakeDirectoryReply>(wire::MAKE_DIRECTORY, request).status();
}

namespace {

wire::DomainLevel LevelOf(BucketOptions::Spread spread) {
  return spread == BucketOptions::Spread::kTargets ? wire::DOMAIN_TARGET : wire::DOMAIN_NODE;
}

absl::Status NoQuotas() {
  return absl::UnimplementedError(
      "the cluster runs a release without quotas; update cairnd on its nodes");
}

}  // namespace

absl::Status Client::MakeBucket(std::string_view name, const BucketOptions& options) {
  wire::MakeBucketRequest request;
  request.set_name(std::string(name));
  request.set_redundancy(options.redundancy);
  request.set_level(LevelOf(options.spread));
  request.set_quota_bytes(options.quota_bytes.value_or(0));
  ASSIGN_OR_RETURN(const wire::MakeBucketReply reply,
                   impl_->Meta<wire::MakeBucketReply>(wire::MAKE_BUCKET, request));
  return reply.quota_bytes() == request.quota_bytes() ? absl::OkStatus() : NoQuotas();
}

absl::Status Client::SetBucket(std::string_view name, const BucketOptions& options) {
  wire::SetBucketRequest request;
  request.set_name(std::string(name));
  request.set_redundancy(options.redundancy);
  request.set_level(LevelOf(options.spread));
  if (options.redundancy.empty()) {
    // For a node of a release that does not know of keeping it.
    ASSIGN_OR_RETURN(const BucketInfo info, ShowBucket(name));
    request.set_redundancy(info.redundancy);
    request.set_keep_redundancy(true);
  }
  if (options.quota_bytes.has_value()) request.set_quota_bytes(*options.quota_bytes);
  ASSIGN_OR_RETURN(const wire::SetBucketReply reply,
                   impl_->Meta<wire::SetBucketReply>(wire::SET_BUCKET, request));
  return request.has_quota_bytes() && reply.redundancy().empty() ? NoQuotas() : absl::OkStatus();
}

absl::StatusOr<BucketInfo> Client::ShowBucket(std::string_view name) {
  wire::GetBucketRequest request;
  request.set_name(std::string(name));
  ASSIGN_OR_RETURN(const wire::GetBucketReply reply,
                   impl_->Meta<wire::GetBucketReply>(wire::GET_BUCKET, request));
  BucketInfo info{std::string(name),  reply.redundancy(), reply.quota_bytes(),
                  reply.size_bytes(), reply.files(),      reply.checkpoints()};
  // One of a later release is shown as it is named.
  const absl::StatusOr<Redundancy> redundancy = ParseRedundancy(info.redundancy);
  if (redundancy.ok()) info.overhead = redundancy->overhead();
  return info;
}

namespace {

Task<absl::Status> CompleteByMap(client_internal::ClientImpl* impl, wire::StatusReply* status) {
  const Deadline deadline = Deadline::After(Executor::Current().clock(), impl->options().timeout);
  const absl::StatusOr<std::shared_ptr<const MapIndex>> map =
      co_await impl->session().NewestMap(deadline);
  if (!map.ok()) co_return map.status();
  client_internal::CompleteStatus((*map)->map(), status);
  co_return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> Client::StatusJson() {
  ASSIGN_OR_RETURN(wire::StatusReply reply,
                   impl_->Meta<wire::StatusReply>(wire::STATUS, wire::StatusRequest()));
  if (reply.shortened()) {
    const absl::Status completed =
        impl_->Run<absl::Status>([&] { return CompleteByMap(impl_.get(), &reply); });
    if (!completed.ok()) {
      reply.add_warnings(
          StrCat("nodes, and paths of targets, are left out: the cluster map could "
                 "not be fetched: ",
                 ToStd(completed.message())));
    }
  }
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  options.always_print_primitive_fields = true;
  std::string json;
  const auto printed = google::protobuf::util::MessageToJsonString(reply, &json, options);
  if (!printed.ok()) return absl::InternalError("the status could not be printed as JSON");
  return json;
}

}  // namespace cairn
