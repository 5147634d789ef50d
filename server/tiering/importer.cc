#include "server/tiering/importer.h"

#include <optional>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/telemetry/log.h"
#include "server/tier/cold_manifest.h"

namespace cairn {
namespace {

constexpr absl::Duration kStoreTimeout = absl::Minutes(5);
constexpr size_t kKeysPerPage = 1000;
constexpr size_t kClustersMax = 100;
constexpr int kProblemsTold = 20;

}  // namespace

void Importer::Problem(std::string text) {
  status_.set_failed(status_.failed() + 1);
  CAIRN_LOG_WARN("import: {}", text);
  if (status_.problems_size() < kProblemsTold) status_.add_problems(std::move(text));
}

Task<void> Importer::Stop() { co_await scope_.Join(); }

// The first parts of the keys there are.
Task<absl::StatusOr<std::vector<std::string>>> Importer::FindClusters(wire::TierSpec tier) {
  std::vector<std::string> clusters;
  ColdListOptions options;
  options.limit = 1;
  while (clusters.size() < kClustersMax) {
    const absl::StatusOr<ColdListing> page =
        co_await shared_.nodes().List(tier, options, shared_.After(kStoreTimeout));
    if (!page.ok()) co_return page.status();
    if (page->objects.empty()) break;
    const std::string& key = page->objects[0].key;
    const std::string cluster = key.substr(0, key.find('/'));
    const absl::StatusOr<std::vector<Found>> manifests = co_await FindManifests(tier, cluster);
    if (!manifests.ok()) co_return manifests.status();
    if (!manifests->empty() && cluster != shared_.meta().cluster_id()) clusters.push_back(cluster);
    // '0' comes right after '/'.
    options.start_after = cluster + "0";
  }
  co_return clusters;
}

Task<absl::StatusOr<std::vector<Importer::Found>>> Importer::FindManifests(wire::TierSpec tier,
                                                                           std::string cluster) {
  std::vector<Found> manifests;
  ColdListOptions options;
  options.prefix = ColdManifestPrefix(cluster);
  options.limit = kKeysPerPage;
  for (bool more = true; more;) {
    const absl::StatusOr<ColdListing> page =
        co_await shared_.nodes().List(tier, options, shared_.After(kStoreTimeout));
    if (!page.ok()) co_return page.status();
    for (const ColdObject& object : page->objects) {
      const uint64_t id = ColdManifestOf(object.key, cluster);
      if (id != 0) manifests.push_back({id, object.size_bytes});
      options.start_after = object.key;
    }
    more = page->more && !page->objects.empty();
  }
  co_return manifests;
}

Task<absl::StatusOr<wire::ImportTierReply>> Importer::Begin(wire::ImportTierRequest request) {
  if (status_.running()) co_return absl::FailedPreconditionError("an import is under way already");
  // It may have been added just now.
  const absl::StatusOr<wire::ListTiersReply> tiers =
      co_await shared_.meta().Query(wire::ListTiersRequest());
  if (!tiers.ok()) co_return tiers.status();
  shared_.SetTiers(*tiers);
  CO_ASSIGN_OR_RETURN(const wire::TierInfo tier, shared_.FindTier(request.tier()));
  // Its own objects would have a second life under another id, and be deleted at the end of either.
  if (request.cluster_id() == shared_.meta().cluster_id())
    co_return absl::FailedPreconditionError("that is this cluster: what it has removed is gone");
  wire::ImportTierReply reply;
  reply.set_cluster_id(request.cluster_id());
  if (request.cluster_id().empty()) {
    const absl::StatusOr<std::vector<std::string>> clusters = co_await FindClusters(tier.spec());
    if (!clusters.ok()) co_return clusters.status();
    if (clusters->empty())
      co_return absl::NotFoundError(
          StrCat("no other cluster has manifests in tier ", request.tier()));
    if (clusters->size() > 1) {
      std::string names;
      for (const std::string& cluster : *clusters) names += " " + cluster;
      co_return absl::FailedPreconditionError(StrCat("several clusters have data in tier ",
                                                     request.tier(), ":", names,
                                                     "; say which: --cluster ID"));
    }
    reply.set_cluster_id(clusters->front());
  }
  absl::StatusOr<std::vector<Found>> manifests =
      co_await FindManifests(tier.spec(), reply.cluster_id());
  if (!manifests.ok()) co_return manifests.status();
  if (manifests->empty()) {
    co_return absl::NotFoundError(
        StrCat("cluster ", reply.cluster_id(), " has no manifests in tier ", request.tier()));
  }
  // Another may have begun while this one listed.
  if (status_.running()) co_return absl::FailedPreconditionError("an import is under way already");
  reply.set_manifests(manifests->size());
  status_.Clear();
  status_.set_running(true);
  status_.set_tier(request.tier());
  status_.set_cluster_id(reply.cluster_id());
  status_.set_dry_run(request.dry_run());
  status_.set_manifests(2 * manifests->size());
  scope_.Spawn(Run(tier.spec(), *std::move(manifests)));
  co_return reply;
}

Task<void> Importer::Run(wire::TierSpec tier, std::vector<Found> manifests) {
  const absl::Status imported = co_await Import(tier, manifests);
  if (!imported.ok()) status_.set_error(std::string(imported.message()));
  status_.set_running(false);
  found_.clear();
  redundancies_.clear();
  read_object_ = 0;
  read_.Clear();
}

Task<absl::Status> Importer::Import(const wire::TierSpec& tier,
                                    const std::vector<Found>& manifests) {
  CO_RETURN_IF_ERROR(co_await Survey(tier, manifests));
  status_.set_manifests(manifests.size() + found_.size());
  for (const auto& [path, versions] : found_) {
    if (shared_.stop().stop_requested()) co_return absl::CancelledError("the node is stopping");
    status_.set_manifests_done(status_.manifests_done() + 1);
    // The newest that is whole: one that a crash has cut short has an older one beside it, maybe.
    const Whole* whole = nullptr;
    for (const auto& [version, each] : versions) {
      const bool complete = each.has_last && each.parts.rbegin()->first + 1 == each.parts.size();
      if (complete) whole = &each;
    }
    if (whole == nullptr) {
      Problem(StrCat(path, ": manifests of some of its parts are missing"));
      continue;
    }
    const absl::Status imported = co_await ImportWhole(tier, path, *whole);
    if (absl::IsCancelled(imported) || absl::IsUnavailable(imported)) co_return imported;
    if (!imported.ok()) Problem(StrCat(path, ": ", ToStd(imported.message())));
  }
  co_return absl::OkStatus();
}

Task<absl::Status> Importer::Survey(const wire::TierSpec& tier,
                                    const std::vector<Found>& manifests) {
  for (const Found& manifest : manifests) {
    if (shared_.stop().stop_requested()) co_return absl::CancelledError("the node is stopping");
    const absl::StatusOr<disk::ColdManifest> read = co_await Read(tier, manifest);
    status_.set_manifests_done(status_.manifests_done() + 1);
    if (absl::IsUnavailable(read.status())) co_return read.status();
    if (!read.ok()) {
      Problem(std::string(read.status().message()));
      continue;
    }
    for (const disk::ColdManifest::Subject& subject : read->subjects()) {
      Whole& whole = found_[subject.path()][subject.version()];
      whole.version = subject.version();
      whole.parts[subject.part()] = manifest;
      whole.has_last = whole.has_last || subject.last_part();
    }
  }
  co_return absl::OkStatus();
}

Task<absl::StatusOr<disk::ColdManifest>> Importer::Read(const wire::TierSpec& tier,
                                                        Found manifest) {
  if (manifest.object == read_object_) co_return read_;
  const std::string key = ColdManifestKey(status_.cluster_id(), manifest.object);
  const absl::StatusOr<std::string> text = co_await shared_.nodes().GetText(
      tier, key, manifest.size_bytes, shared_.After(kStoreTimeout));
  if (!text.ok()) co_return text.status();
  absl::StatusOr<disk::ColdManifest> decoded =
      DecodeColdManifest({status_.cluster_id(), manifest.object},
                         {reinterpret_cast<const std::byte*>(text->data()), text->size()});
  if (!decoded.ok()) co_return decoded.status();
  read_object_ = manifest.object;
  read_ = *std::move(decoded);
  co_return read_;
}

Task<void> Importer::MakeGroupsFor(const disk::ColdManifest::Subject& subject) {
  if (!redundancies_.insert(subject.redundancy()).second) co_return;
  const absl::Status made = co_await shared_.nodes().MakeGroups(subject.redundancy());
  // It can be read all the same.
  if (!made.ok())
    Problem(StrCat("what had ", subject.redundancy(), " cannot be fetched to these targets: ",
                   ToStd(made.message()), "; see cairn bucket set"));
}

Task<absl::Status> Importer::ImportWhole(const wire::TierSpec& tier, const std::string& path,
                                         const Whole& whole) {
  uint64_t inode = 0, files = 0, bytes = 0;
  for (const auto& [part, manifest] : whole.parts) {
    CO_ASSIGN_OR_RETURN(const disk::ColdManifest read, co_await Read(tier, manifest));
    disk::ImportCold import;
    for (const disk::ColdManifest::Subject& subject : read.subjects()) {
      const bool is_it =
          subject.path() == path && subject.version() == whole.version && subject.part() == part;
      if (is_it) *import.mutable_subject() = subject;
    }
    files += static_cast<uint64_t>(import.subject().files_size());
    bytes = import.subject().size_bytes();
    import.set_cluster_id(status_.cluster_id());
    import.set_tier(tier.name());
    import.set_inode(inode);
    import.set_last(part == whole.parts.rbegin()->first);
    for (const auto& [number, each] : whole.parts) {
      if (!import.last()) break;
      import.add_manifests(each.object);
      import.add_manifest_bytes(each.size_bytes);
    }
    if (status_.dry_run()) continue;
    co_await MakeGroupsFor(import.subject());
    const absl::StatusOr<disk::ImportColdReply> imported =
        co_await shared_.meta().Mutate(std::move(import));
    if (!imported.ok()) {
      disk::ImportCold give_up;
      give_up.set_inode(inode);
      give_up.set_give_up(true);
      if (inode != 0) (void)co_await shared_.meta().Mutate(std::move(give_up));
      co_return imported.status();
    }
    if (imported->existed()) {
      status_.set_skipped(status_.skipped() + 1);
      co_return absl::OkStatus();
    }
    inode = imported->inode();
  }
  status_.set_subjects(status_.subjects() + 1);
  status_.set_files(status_.files() + files);
  status_.set_size_bytes(status_.size_bytes() + bytes);
  co_return absl::OkStatus();
}

}  // namespace cairn
