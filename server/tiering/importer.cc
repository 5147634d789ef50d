#include "server/tiering/importer.h"

#include <algorithm>

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

// What a read says of that manifest: the import goes on without it. All else is the store's fault,
// and may be another one the next time.
bool IsOfOne(const absl::Status& read) { return absl::IsNotFound(read) || absl::IsDataLoss(read); }

// The metadata takes no import at all now.
bool EndsImport(const absl::Status& refused) {
  return absl::IsCancelled(refused) || absl::IsUnavailable(refused) ||
         absl::IsDeadlineExceeded(refused);
}

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
  described_.clear();
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
    const Whole* whole = Choose(path, versions);
    if (whole == nullptr) continue;
    uint64_t inode = 0;
    const absl::Status imported = co_await ImportWhole(tier, *whole, &inode);
    if (imported.ok()) continue;
    co_await GiveUp(inode);
    if (EndsImport(imported)) co_return imported;
    Problem(StrCat(path, ": ", ToStd(imported.message())));
  }
  co_return absl::OkStatus();
}

Task<absl::Status> Importer::Survey(const wire::TierSpec& tier,
                                    const std::vector<Found>& manifests) {
  for (const Found& manifest : manifests) {
    if (shared_.stop().stop_requested()) co_return absl::CancelledError("the node is stopping");
    const absl::Status read = co_await Read(tier, manifest);
    status_.set_manifests_done(status_.manifests_done() + 1);
    // With an older description in the place of one that cannot be read now, the past would come
    // back.
    if (!read.ok() && !IsOfOne(read)) co_return read;
    if (!read.ok()) {
      Problem(std::string(read.message()));
      continue;
    }
    for (int i = 0; i < read_.subjects_size(); ++i) NoteFound(read_.subjects(i), {manifest, i});
  }
  for (const auto& [path, versions] : found_) {
    for (const auto& [description, whole] : versions) {
      int64_t& last = described_[{whole.checkpoint, description.version}];
      if (whole.IsWhole()) last = std::max(last, description.described_at_ns);
    }
  }
  co_return absl::OkStatus();
}

bool Importer::Whole::IsWhole() const {
  return has_last && parts.rbegin()->first + 1 == parts.size() && files == files_told &&
         size_bytes == size_told_bytes;
}

void Importer::NoteFound(const disk::ColdManifest::Subject& subject, Part part) {
  Whole& whole = found_[subject.path()][{subject.version(), subject.described_at_ns()}];
  if (!whole.parts.try_emplace(subject.part(), part).second) return;
  whole.checkpoint = subject.has_checkpoint();
  whole.has_last = whole.has_last || subject.last_part();
  whole.files_told = whole.checkpoint ? subject.checkpoint().shard_count() : 1;
  whole.size_told_bytes = subject.size_bytes();
  for (const disk::ColdManifest::File& file : subject.files()) {
    // One that goes on in the next part is there once.
    if (file.offset_bytes() == 0) ++whole.files;
    for (const disk::ColdManifest::Piece& piece : file.pieces())
      whole.size_bytes += piece.length_bytes();
  }
}

const Importer::Whole* Importer::Choose(const std::string& path, const Versions& versions) {
  for (auto each = versions.rbegin(); each != versions.rend(); ++each) {
    const auto& [description, whole] = *each;
    if (!whole.IsWhole()) continue;
    // It has been renamed since, and only its new manifest was to stay.
    const bool is_moved =
        described_[{whole.checkpoint, description.version}] > description.described_at_ns;
    return is_moved ? nullptr : &whole;
  }
  Problem(StrCat(path, ": manifests of some of its parts are missing"));
  return nullptr;
}

Task<absl::Status> Importer::Read(const wire::TierSpec& tier, Found manifest) {
  if (manifest.object == read_object_) co_return absl::OkStatus();
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
  co_return absl::OkStatus();
}

Task<void> Importer::MakeGroupsFor(const disk::ColdManifest::Subject& subject) {
  if (!redundancies_.insert(subject.redundancy()).second) co_return;
  const absl::Status made = co_await shared_.nodes().MakeGroups(subject.redundancy());
  // It can be read all the same.
  if (!made.ok())
    Problem(StrCat("what had ", subject.redundancy(), " cannot be fetched to these targets: ",
                   ToStd(made.message()), "; see cairn bucket set"));
}

// What there is of one so far; a start after a crash does the same.
Task<void> Importer::GiveUp(uint64_t inode) {
  if (inode == 0) co_return;
  disk::ImportCold give_up;
  give_up.set_inode(inode);
  give_up.set_give_up(true);
  (void)co_await shared_.meta().Mutate(std::move(give_up));
}

Task<absl::Status> Importer::ImportWhole(const wire::TierSpec& tier, const Whole& whole,
                                         uint64_t* inode) {
  for (const auto& [number, part] : whole.parts) {
    CO_RETURN_IF_ERROR(co_await Read(tier, part.manifest));
    if (part.index >= read_.subjects_size()) co_return absl::DataLossError("its manifest changed");
    disk::ImportCold import;
    *import.mutable_subject() = read_.subjects(part.index);
    import.set_cluster_id(status_.cluster_id());
    import.set_tier(tier.name());
    import.set_inode(*inode);
    import.set_last(number == whole.parts.rbegin()->first);
    for (const auto& [ignored, each] : whole.parts) {
      if (!import.last()) break;
      import.add_manifests(each.manifest.object);
      import.add_manifest_bytes(each.manifest.size_bytes);
    }
    if (status_.dry_run()) continue;
    co_await MakeGroupsFor(import.subject());
    const absl::StatusOr<disk::ImportColdReply> imported =
        co_await shared_.meta().Mutate(std::move(import));
    if (!imported.ok()) co_return imported.status();
    if (imported->existed()) {
      status_.set_skipped(status_.skipped() + 1);
      co_return absl::OkStatus();
    }
    *inode = imported->inode();
  }
  status_.set_subjects(status_.subjects() + 1);
  status_.set_files(status_.files() + whole.files);
  status_.set_size_bytes(status_.size_bytes() + whole.size_bytes);
  co_return absl::OkStatus();
}

}  // namespace cairn
