// `cairn df`: how much is stored, by tier and by bucket, or at a path and below it.
#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cairn/admin.h"
#include "client/cli/arguments.h"
#include "client/cli/format.h"
#include "client/cli/json_shapes.h"
#include "client/cli/progress.h"
#include "client/cli/status_document.h"
#include "client/cli/table.h"
#include "common/base/status_macros.h"

namespace cairn::cli {
namespace {

constexpr char kHelp[] =
    R"(Without a path: the tiers and the buckets. "hot" are the targets of the cluster, where capacity, used and free space are
physical; a cold tier shows what is stored there and what of it files refer to. LOGICAL is what can be seen, without copies
and parity, wherever it lies: of "hot" it is that of all buckets, so what a tier has alone counts there, too. What is removed
leaves it at once, and its space on targets comes back in the background. PHYSICAL is what the logical bytes take when all
of them are on targets, with the bucket's redundancy of now.

With a path: what can be seen there and below, and where its bytes are. The amount is known at once, of a directory of any
size; where the bytes are is looked up file by file once something is in a cold tier.

Examples:
  cairn df
  cairn df default/run1
  cairn df default/run1/latest --output json)";

// What the targets that take and give data have.
struct Hot {
  uint64_t targets = 0;
  uint64_t capacity_bytes = 0;
  uint64_t used_bytes = 0;
  uint64_t free_bytes() const { return capacity_bytes - std::min(capacity_bytes, used_bytes); }
};

// All that `cairn df` shows of the cluster.
struct Cluster {
  Hot hot;
  std::vector<TierInfo> tiers;
  std::vector<BucketInfo> buckets;
  uint64_t logical_bytes = 0;  // of all buckets
};

uint64_t Physical(const BucketInfo& bucket) {
  return static_cast<uint64_t>(static_cast<double>(bucket.size_bytes) * bucket.overhead);
}

Hot HotOf(const Json& status) {
  Hot hot;
  for (const Json& target : status["targets"]) {
    const auto state = target["state"].get<std::string>();
    if (target["lost"] == true || (state != "up" && state != "joining")) continue;
    ++hot.targets;
    hot.capacity_bytes += target["capacity_bytes"].get<uint64_t>();
    hot.used_bytes += target["used_bytes"].get<uint64_t>();
  }
  return hot;
}

absl::StatusOr<std::vector<BucketInfo>> Buckets(Client& client) {
  const auto entries = client.List("");
  if (!entries.ok()) return entries.status();
  std::vector<BucketInfo> buckets;
  for (const Entry& entry : *entries) {
    auto info = client.ShowBucket(entry.name);
    // Removed since the list was made.
    if (absl::IsNotFound(info.status())) continue;
    if (!info.ok()) return info.status();
    buckets.push_back(*std::move(info));
  }
  return buckets;
}

Json ClusterJson(const Cluster& cluster) {
  Json tiers = Json::array();
  for (const TierInfo& tier : cluster.tiers) {
    tiers.push_back({{"name", tier.spec.name},
                     {"location", tier.spec.location},
                     {"objects", tier.objects},
                     {"stored_bytes", tier.stored_bytes},
                     {"live_bytes", tier.live_bytes}});
  }
  Json buckets = Json::array();
  for (const BucketInfo& bucket : cluster.buckets) {
    Json json = BucketJson(bucket);
    json["physical_bytes"] = Physical(bucket);
    buckets.push_back(std::move(json));
  }
  const Hot& hot = cluster.hot;
  return {{"hot",
           {{"targets", hot.targets},
            {"capacity_bytes", hot.capacity_bytes},
            {"used_bytes", hot.used_bytes},
            {"free_bytes", hot.free_bytes()},
            {"logical_bytes", cluster.logical_bytes}}},
          {"tiers", std::move(tiers)},
          {"buckets", std::move(buckets)}};
}

std::string RenderTiers(const Cluster& cluster, TextStyle style) {
  Table table({{"TIER"},
               {"CAPACITY", Align::kRight},
               {"USED", Align::kRight},
               {"FREE", Align::kRight},
               {"USE%", Align::kRight},
               {"LOGICAL", Align::kRight},
               {"OBJECTS", Align::kRight}});
  const Hot& hot = cluster.hot;
  table.AddRow({"hot", HumanBytes(hot.capacity_bytes), HumanBytes(hot.used_bytes),
                HumanBytes(hot.free_bytes()), PercentText(hot.used_bytes, hot.capacity_bytes),
                HumanBytes(cluster.logical_bytes), "-"});
  for (const TierInfo& tier : cluster.tiers) {
    table.AddRow({tier.spec.name, "-", HumanBytes(tier.stored_bytes), "-", "-",
                  HumanBytes(tier.live_bytes), absl::StrCat(tier.objects)});
  }
  return table.Render(style);
}

std::string RenderBuckets(const std::vector<BucketInfo>& buckets, TextStyle style) {
  Table table({{"BUCKET"},
               {"LOGICAL", Align::kRight},
               {"FILES", Align::kRight},
               {"CHECKPOINTS", Align::kRight},
               {"QUOTA", Align::kRight},
               {"USE%", Align::kRight},
               {"REDUNDANCY"},
               {"PHYSICAL", Align::kRight}});
  for (const BucketInfo& bucket : buckets) {
    const bool limited = bucket.quota_bytes > 0;
    const bool full = limited && bucket.size_bytes >= bucket.quota_bytes;
    table.AddRow(
        {bucket.name, HumanBytes(bucket.size_bytes), absl::StrCat(bucket.files),
         absl::StrCat(bucket.checkpoints), limited ? HumanBytes(bucket.quota_bytes) : "none",
         Cell(PercentText(bucket.size_bytes, bucket.quota_bytes), full ? Tone::kBad : Tone::kNone),
         bucket.redundancy, HumanBytes(Physical(bucket))});
  }
  return table.Render(style);
}

int RunCluster(Context& context, Client& client) {
  int code = kExitOk;
  const std::optional<Json> status = GetStatus(context, &code);
  if (!status.has_value()) return code;
  Cluster cluster;
  cluster.hot = HotOf(*status);
  auto tiers = Admin(client).Tiers();
  // A node of a release without tiers has none.
  if (!tiers.ok() && !absl::IsUnimplemented(tiers.status()))
    return context.Fail({"cannot list the tiers", "", tiers.status()});
  if (tiers.ok()) cluster.tiers = *std::move(tiers);
  auto buckets = Buckets(client);
  if (!buckets.ok()) return context.Fail({"cannot list the buckets", "", buckets.status()});
  cluster.buckets = *std::move(buckets);
  for (const BucketInfo& bucket : cluster.buckets) cluster.logical_bytes += bucket.size_bytes;
  if (context.json()) {
    context.PrintJson(ClusterJson(cluster));
  } else {
    context.Print(absl::StrCat(RenderTiers(cluster, context.style()), "\n",
                               RenderBuckets(cluster.buckets, context.style())));
  }
  return kExitOk;
}

// Of all files at a path and below it.
absl::StatusOr<PlacesStep> AllPlaces(Context& context, Admin& admin, const UsageInfo& usage) {
  Progress progress(&context.console(), &context.clock(),
                    context.json() ? ProgressMode::kNever : context.options.progress,
                    absl::StrCat("df ", usage.path), usage.files, ProgressUnit::kFiles);
  PlacesStep all;
  for (bool more = true; more;) {
    RETURN_IF_ERROR(context.interrupts().Check());
    ASSIGN_OR_RETURN(PlacesStep step, admin.Places(usage.path, all.next));
    all.files += step.files;
    all.size_bytes += step.size_bytes;
    all.hot_bytes += step.hot_bytes;
    all.cold_bytes += step.cold_bytes;
    progress.Set(all.files, std::max(all.files, usage.files));
    more = !step.next.empty();
    all.next = std::move(step.next);
  }
  return all;
}

int RunPath(Context& context, Client& client, const std::string& path) {
  Admin admin(client);
  const auto usage = admin.Usage(path);
  if (!usage.ok()) return context.Fail({"cannot see how much is in", path, usage.status()});
  const auto places = AllPlaces(context, admin, *usage);
  if (!places.ok())
    return context.Fail({"cannot see where the bytes are of", path, places.status()});
  if (context.json()) {
    context.PrintJson({{"path", usage->path},
                       {"type", EntryTypeName(usage->type)},
                       {"size_bytes", usage->size_bytes},
                       {"files", usage->files},
                       {"checkpoints", usage->checkpoints},
                       {"hot_bytes", places->hot_bytes},
                       {"cold_bytes", places->cold_bytes}});
    return kExitOk;
  }
  context.Print(RenderProperties(
      {{"path", usage->path},
       {"type", EntryTypeName(usage->type)},
       {"logical", HumanBytes(usage->size_bytes)},
       {"files", absl::StrCat(usage->files)},
       {"checkpoints", absl::StrCat(usage->checkpoints)},
       {"hot", absl::StrCat(HumanBytes(places->hot_bytes), " (",
                            PercentText(places->hot_bytes, places->size_bytes), ")")},
       {"cold", absl::StrCat(HumanBytes(places->cold_bytes), " (",
                             PercentText(places->cold_bytes, places->size_bytes), ")")}},
      context.style()));
  return kExitOk;
}

}  // namespace

void AddDfCommand(CLI::App* app, Command* chosen) {
  CLI::App* df = app->add_subcommand("df", "How much is stored, by tier, bucket or path");
  auto path = std::make_shared<std::string>();
  df->add_option("path", *path, "Default: the tiers and the buckets")->type_name("PATH");
  df->footer(kHelp);
  df->callback([path, chosen] {
    *chosen = [path](Context& context) {
      int code = kExitOk;
      Client* client = context.Connect(&code);
      if (client == nullptr) return code;
      const std::string plain = PlainPath(*path);
      return plain.empty() ? RunCluster(context, *client) : RunPath(context, *client, plain);
    };
  });
}

}  // namespace cairn::cli
