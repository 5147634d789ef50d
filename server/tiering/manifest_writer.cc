#include "server/tiering/manifest_writer.h"

#include <string>
#include <utility>

#include "common/base/crc32c.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "server/meta/cold.h"
#include "server/tier/cold_manifest.h"

namespace cairn {
namespace {

constexpr size_t kRunsPerPage = 2048;
constexpr absl::Duration kPutTimeout = absl::Minutes(5);
// A part of a manifest: of a large checkpoint there are several.
constexpr uint64_t kPartBytes = 8 * kMiB;

using Subject = disk::ColdManifest::Subject;
using File = disk::ColdManifest::File;

class Writer {
 public:
  Writer(TierShared* shared, const wire::TierInfo& tier, disk::FinishTierStep* finish)
      : shared_(*shared),
        tier_(tier),
        finish_(*finish),
        described_at_ns_(absl::ToUnixNanos(Executor::Current().clock().WallNow())) {}

  Task<absl::Status> Add(const TierTask& task) {
    absl::StatusOr<Subject> subject = co_await Describe(task);
    // Removed meanwhile, or no directory knows its path.
    if (absl::IsNotFound(subject.status())) co_return absl::OkStatus();
    if (!subject.ok()) co_return subject.status();
    TierCursor cursor;
    for (bool last = false; !last;) {
      const absl::StatusOr<TierPage> page =
          co_await shared_.meta().TierFiles(task.subject, cursor, kRunsPerPage);
      if (absl::IsNotFound(page.status())) co_return absl::OkStatus();
      if (!page.ok()) co_return page.status();
      for (const TierFile& file : page->files) CO_RETURN_IF_ERROR(AddFile(file, &*subject));
      cursor = page->next;
      last = page->last;
      if (last || subject->ByteSizeLong() < kPartBytes) continue;
      AddPart(*subject);
      subject->clear_files();
      subject->set_part(subject->part() + 1);
      CO_RETURN_IF_ERROR(co_await Put());
    }
    subject->set_last_part(true);
    AddPart(*subject);
    auto* described = finish_.add_described();
    described->set_subject(task.subject.value());
    described->set_changes(task.record.changes());
    described->set_content_version(task.record.content_version());
    if (bytes_ >= kPartBytes) co_return co_await Put();
    co_return absl::OkStatus();
  }

  Task<absl::Status> Put() {
    if (manifest_.subjects_size() == 0) co_return absl::OkStatus();
    disk::PlanColdObjects plan;
    plan.set_tier(tier_.spec().name());
    plan.set_count(1);
    const absl::StatusOr<disk::PlanColdObjectsReply> planned =
        co_await shared_.meta().Mutate(std::move(plan));
    if (!planned.ok()) co_return planned.status();
    const std::string& cluster = shared_.meta().cluster_id();
    std::string text = EncodeColdManifest({cluster, planned->first()}, manifest_);
    const uint64_t size = text.size();
    // Before it is put: what has failed is abandoned with the rest.
    auto* written = finish_.add_manifests();
    written->set_object(planned->first());
    written->set_size_bytes(size);
    CO_RETURN_IF_ERROR(
        co_await shared_.nodes().PutText(tier_.spec(), ColdManifestKey(cluster, planned->first()),
                                         std::move(text), shared_.After(kPutTimeout)));
    manifest_.Clear();
    bytes_ = 0;
    co_return absl::OkStatus();
  }

 private:
  void AddPart(const Subject& subject) {
    bytes_ += subject.ByteSizeLong();
    *manifest_.add_subjects() = subject;
  }

  Task<absl::StatusOr<Subject>> Describe(const TierTask& task) {
    Subject subject;
    const absl::StatusOr<std::string> path = co_await shared_.meta().TierPath(task.subject);
    if (!path.ok()) co_return path.status();
    subject.set_path(*path);
    subject.set_size_bytes(task.record.size_bytes());
    subject.set_described_at_ns(described_at_ns_);
    wire::GetBucketRequest bucket;
    bucket.set_name(path->substr(0, path->find('/')));
    const absl::StatusOr<wire::GetBucketReply> found =
        co_await shared_.meta().Query(std::move(bucket));
    if (!found.ok()) co_return found.status();
    subject.set_redundancy(found->redundancy());
    if (task.record.type() != disk::INODE_CHECKPOINT) co_return subject;
    wire::ShowCheckpointRequest show;
    show.set_path(*path);
    show.set_limit(1);
    const absl::StatusOr<wire::ShowCheckpointReply> shown =
        co_await shared_.meta().Query(std::move(show));
    if (!shown.ok()) co_return shown.status();
    DescribeCheckpoint(shown->info(), &subject);
    co_return subject;
  }

  static void DescribeCheckpoint(const wire::CheckpointInfo& info, Subject* subject) {
    disk::ColdManifest::Checkpoint& checkpoint = *subject->mutable_checkpoint();
    checkpoint.set_attempt(info.attempt());
    checkpoint.set_world_size(info.world_size());
    checkpoint.set_job(info.job());
    if (info.has_step()) checkpoint.set_step(info.step());
    *checkpoint.mutable_attributes() = info.attributes();
    checkpoint.set_begun_at_ns(info.begun_at_ns());
    checkpoint.set_committed_at_ns(info.committed_at_ns());
    checkpoint.set_commit_sequence(info.commit_sequence());
    checkpoint.set_shard_count(info.shard_count());
    checkpoint.set_pinned(info.pinned());
    subject->set_version(info.commit_sequence());
  }

  static void AddBytes(const TierBytes& bytes, File* file) {
    disk::ColdManifest::Piece& piece = *file->add_pieces();
    piece.set_length_bytes(bytes.length_bytes);
    piece.set_data(bytes.data);
    piece.set_hole(bytes.data.empty());
  }

  static absl::Status AddFile(const TierFile& from, Subject* subject) {
    File& file = *subject->add_files();
    file.set_path(from.path);
    file.set_size_bytes(from.record.size_bytes());
    file.set_crc32c(from.record.crc32c());
    file.set_mode(from.record.mode());
    file.set_uid(from.record.uid());
    file.set_gid(from.record.gid());
    file.set_modified_at_ns(from.record.modified_at_ns());
    if (from.record.has_rank()) file.set_rank(from.record.rank());
    file.set_changed_in_place(from.record.changed_in_place());
    if (!subject->has_checkpoint()) subject->set_version(from.record.version());
    if (!from.runs.empty()) file.set_offset_bytes(from.runs.front().offset_bytes);
    if (!from.bytes.empty()) {
      const uint64_t first = from.bytes.front().offset_bytes;
      file.set_offset_bytes(from.runs.empty() ? first : std::min(file.offset_bytes(), first));
    }
    file.set_stripe_bytes(kBlockBytes);
    auto bytes = from.bytes.begin();
    for (const TierRun& run : from.runs) {
      for (; bytes != from.bytes.end() && bytes->offset_bytes < run.offset_bytes; ++bytes)
        AddBytes(*bytes, &file);
      if (!IsWhole(run.cold, run.record.length_bytes()))
        return absl::AbortedError(StrCat("not all of it is copied: ", subject->path()));
      file.set_stripe_bytes(run.record.stripe_bytes());
      for (int i = 0; i < run.cold.parts_size(); ++i) {
        const wire::ColdPlace& place = run.places[static_cast<size_t>(i)];
        disk::ColdManifest::Piece& piece = *file.add_pieces();
        piece.set_length_bytes(run.cold.parts(i).length_bytes());
        piece.set_object(place.object());
        piece.set_object_bytes(place.object_bytes());
        piece.set_offset_bytes(place.offset_bytes());
        piece.set_cluster_id(place.cluster_id());
      }
    }
    for (; bytes != from.bytes.end(); ++bytes) AddBytes(*bytes, &file);
    return absl::OkStatus();
  }

  TierShared& shared_;
  const wire::TierInfo& tier_;
  disk::FinishTierStep& finish_;
  const int64_t described_at_ns_;
  disk::ColdManifest manifest_;
  uint64_t bytes_ = 0;
};

}  // namespace

Task<absl::Status> WriteManifests(TierShared* shared, const wire::TierInfo& tier,
                                  const std::vector<TierTask>& tasks,
                                  disk::FinishTierStep* finish) {
  Writer writer(shared, tier, finish);
  for (const TierTask& task : tasks) CO_RETURN_IF_ERROR(co_await writer.Add(task));
  co_return co_await writer.Put();
}

}  // namespace cairn
