#include "server/meta/usage_query.h"

#include <optional>
#include <string>

#include "common/base/status_macros.h"
#include "server/meta/cold.h"
#include "server/meta/entry_type.h"
#include "server/meta/keys.h"
#include "server/meta/listing.h"
#include "server/meta/paths.h"
#include "server/meta/records.h"
#include "server/meta/tree.h"
#include "server/meta/usage.h"

namespace cairn {
namespace {

// Files and runs of stripes of a page: some 50 ms, so that walks of others get their turn.
constexpr int kLooksPerPage = 10'000;

struct Places {
  uint64_t hot_bytes = 0;
  uint64_t cold_bytes = 0;
};

// On targets, unless released; in a cold tier, too, or alone.
absl::StatusOr<Places> PlacesOfRun(const Transaction& txn, const disk::ExtentRecord& extent) {
  Places places;
  if (extent.stripe_count() == 0) {
    // With the metadata, which is never cold.
    places.hot_bytes = extent.data().size();
    return places;
  }
  ASSIGN_OR_RETURN(const auto run, Load<disk::StripeRunRecord>(
                                       txn, kFamilyStripeRun, StripeRunKey(extent.first_stripe())));
  if (!run.released()) places.hot_bytes = extent.length_bytes();
  if (!run.cold()) return places;
  ASSIGN_OR_RETURN(const auto cold, FindColdRun(txn, extent.first_stripe()));
  if (!cold.has_value()) return places;
  for (const auto& part : cold->parts()) places.cold_bytes += part.length_bytes();
  return places;
}

absl::Status AddFile(const Transaction& txn, InodeId inode, int* looks_left,
                     wire::GetUsageReply* reply) {
  --*looks_left;
  ASSIGN_OR_RETURN(const disk::InodeRecord record, LoadInode(txn, inode));
  reply->set_page_files(reply->page_files() + 1);
  reply->set_page_bytes(reply->page_bytes() + record.size_bytes());
  const std::string prefix = ExtentPrefix(inode);
  Transaction::Scan scan(txn, kFamilyExtent, prefix, PrefixEnd(prefix));
  for (; scan.Valid(); scan.Next()) {
    disk::ExtentRecord extent;
    RETURN_IF_ERROR(ParseRecord(kFamilyExtent, scan.value(), extent));
    ASSIGN_OR_RETURN(const Places places, PlacesOfRun(txn, extent));
    reply->set_page_hot_bytes(reply->page_hot_bytes() + places.hot_bytes);
    reply->set_page_cold_bytes(reply->page_cold_bytes() + places.cold_bytes);
    --*looks_left;
  }
  return scan.status();
}

// A page of the files below a directory.
absl::Status AddPage(const Transaction& txn, InodeId directory, const std::string& start_after,
                     wire::GetUsageReply* reply) {
  if (!start_after.empty()) RETURN_IF_ERROR(SplitPath(start_after).status());
  int looks_left = kLooksPerPage;
  std::string last_file;
  const auto visit = [&](const WalkEntry& entry) -> absl::StatusOr<Visit> {
    if (entry.node.is_directory()) return Visit::kDescend;
    // A name under which a first checkpoint is being written has nothing to see.
    if (entry.node.inode == InodeId()) return Visit::kNext;
    // Pages end behind a file, which is where a walk can begin again.
    if (looks_left <= 0) {
      reply->set_next(last_file);
      return Visit::kStop;
    }
    const absl::Status added = AddFile(txn, entry.node.inode, &looks_left, reply);
    // Removed since the walk came by.
    if (!added.ok() && !absl::IsInternal(added)) return added;
    last_file = entry.path;
    return Visit::kNext;
  };
  const absl::Status walked = Walk(txn, directory, start_after, visit);
  if (absl::IsResourceExhausted(walked) && !last_file.empty()) {
    reply->set_next(last_file);
    return absl::OkStatus();
  }
  return walked;
}

// Of a directory inside a checkpoint, of which nothing is kept.
absl::StatusOr<Content> CountShards(const Transaction& txn, InodeId directory) {
  Content content;
  const auto visit = [&](const WalkEntry& entry) -> absl::StatusOr<Visit> {
    if (entry.node.is_directory()) return Visit::kDescend;
    ASSIGN_OR_RETURN(const disk::InodeRecord record, LoadInode(txn, entry.node.inode));
    content.size_bytes += record.size_bytes();
    ++content.files;
    return Visit::kNext;
  };
  RETURN_IF_ERROR(Walk(txn, directory, "", visit));
  return content;
}

absl::StatusOr<Resolved> ResolveAny(const Transaction& txn, const std::string& path) {
  if (path.empty()) return ResolveDirectory(txn, path, LatestAlias::kFollow);
  return Resolve(txn, path, LatestAlias::kFollow);
}

}  // namespace

absl::StatusOr<wire::GetUsageReply> GetUsage(const Transaction& txn,
                                             const wire::GetUsageRequest& request) {
  ASSIGN_OR_RETURN(const Resolved at, ResolveAny(txn, request.path()));
  Content content;
  if (at.inside_checkpoint && at.node.is_directory()) {
    ASSIGN_OR_RETURN(content, CountShards(txn, at.node.inode));
  } else {
    ASSIGN_OR_RETURN(content, ContentOf(txn, at.node));
  }
  wire::GetUsageReply reply;
  reply.set_type(ToWire(at.node.type));
  reply.set_path(at.path);
  reply.set_size_bytes(content.size_bytes);
  reply.set_files(content.files);
  reply.set_checkpoints(content.checkpoints);
  if (!request.with_places()) return reply;
  ASSIGN_OR_RETURN(const bool all_is_hot, AllIsHot(txn));
  if (all_is_hot) {
    reply.set_page_files(content.files);
    reply.set_page_bytes(content.size_bytes);
    reply.set_page_hot_bytes(content.size_bytes);
    return reply;
  }
  int looks_left = kLooksPerPage;
  RETURN_IF_ERROR(at.node.is_directory()
                      ? AddPage(txn, at.node.inode, request.start_after(), &reply)
                      : AddFile(txn, at.node.inode, &looks_left, &reply));
  return reply;
}

}  // namespace cairn
