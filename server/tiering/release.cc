#include "server/tiering/release.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/telemetry/log.h"
#include "server/meta/cold.h"
#include "server/tiering/archive.h"

namespace cairn {
namespace {

constexpr absl::Duration kCheckTimeout = absl::Minutes(5);
constexpr size_t kRunsPerPage = 1000;
constexpr int kObjectsPerCheck = 256;

// Objects of a copy that are not there. A question is about one tier and the ids of one cluster:
// what was imported may have the numbers that this one's own have.
class CopyCheck {
 public:
  explicit CopyCheck(TierShared* shared) : shared_(*shared) {}

  // What these runs refer to, once each.
  Task<absl::Status> Check(const std::vector<TierFile>& files) {
    Wanted wanted;
    for (const TierFile& file : files) {
      for (const TierRun& run : file.runs) {
        if (run.record.released()) continue;
        for (int i = 0; i < run.cold.parts_size(); ++i)
          Want(run.cold.parts(i).object(), run.places[static_cast<size_t>(i)], &wanted);
      }
    }
    for (auto& [of, request] : wanted)
      CO_RETURN_IF_ERROR(co_await Ask(of.tier, of.cluster, std::move(request)));
    co_return absl::OkStatus();
  }

  // By the metadata's ids.
  const std::set<uint64_t>& missing() const { return missing_; }

 private:
  struct Of {
    std::string tier;
    std::string cluster;
    auto operator<=>(const Of&) const = default;
  };
  using Wanted = std::map<Of, wire::CheckColdRequest>;

  void Want(uint64_t object, const wire::ColdPlace& place, Wanted* wanted) {
    if (!seen_.insert(object).second) return;
    wire::ColdObjectName& name = *(*wanted)[{place.tier(), place.cluster_id()}].add_objects();
    name.set_cluster_id(place.cluster_id());
    name.set_object(place.object());
    name.set_size_bytes(place.object_bytes());
    ids_[{place.cluster_id(), place.object()}] = object;
  }

  Task<absl::Status> Ask(std::string tier_name, std::string cluster, wire::CheckColdRequest all) {
    CO_ASSIGN_OR_RETURN(const wire::TierInfo tier, shared_.FindTier(tier_name));
    for (int from = 0; from < all.objects_size(); from += kObjectsPerCheck) {
      wire::CheckColdRequest request;
      *request.mutable_tier() = tier.spec();
      const int end = std::min(from + kObjectsPerCheck, all.objects_size());
      for (int i = from; i < end; ++i) *request.add_objects() = all.objects(i);
      CO_ASSIGN_OR_RETURN(const wire::NodeInfo node, shared_.NextNode());
      const absl::StatusOr<wire::CheckColdReply> reply =
          co_await shared_.nodes().Check(node, std::move(request), shared_.After(kCheckTimeout));
      if (!reply.ok()) co_return shared_.OfNode(reply.status());
      for (const uint64_t missing : reply->missing()) {
        const auto found = ids_.find({cluster, missing});
        if (found != ids_.end()) missing_.insert(found->second);
      }
    }
    co_return absl::OkStatus();
  }

  TierShared& shared_;
  std::set<uint64_t> seen_;
  std::map<std::pair<std::string, uint64_t>, uint64_t> ids_;
  std::set<uint64_t> missing_;
};

Task<absl::Status> Lose(TierShared* shared, const std::set<uint64_t>& missing) {
  for (const uint64_t object : missing) {
    disk::LoseColdObject lose;
    lose.set_object(object);
    const absl::StatusOr<disk::LoseColdObjectReply> lost =
        co_await shared->meta().Mutate(std::move(lose));
    if (!lost.ok()) co_return lost.status();
    CAIRN_LOG_ERROR("cold object {} is not in its store any more, or not as it was written",
                    object);
    if (lost->lost_bytes() > 0)
      CAIRN_LOG_ERROR("{} bytes of files lay there alone: they are lost", lost->lost_bytes());
  }
  co_return absl::DataLossError(
      StrCat(missing.size(),
             " objects of its copy are not in their store any more; it stays hot, "
             "and is copied again"));
}

Task<absl::Status> ReleasePage(TierShared* shared, InodeId subject, const TierPage& page,
                               TierProgress* progress) {
  disk::ReleaseRuns release;
  release.set_subject(subject.value());
  for (const TierFile& file : page.files) {
    for (const TierRun& run : file.runs)
      if (!run.record.released()) release.add_first_stripes(run.first_stripe);
  }
  if (release.first_stripes_size() == 0) co_return absl::OkStatus();
  const absl::StatusOr<disk::ReleaseRunsReply> released =
      co_await shared->meta().Mutate(std::move(release));
  if (!released.ok()) co_return Superseded(released.status());
  progress->done_bytes += released->released_bytes();
  if (released->not_whole_size() == 0) co_return absl::OkStatus();
  co_return absl::DataLossError("not all of it is copied; it is copied again");
}

Task<absl::Status> ReleaseAll(TierShared* shared, const TierTask& task, TierProgress* progress) {
  CopyCheck check(shared);
  TierCursor cursor;
  for (bool last = false; !last;) {
    if (progress->cancelled) co_return CancelledByOperator();
    const absl::StatusOr<TierPage> page =
        co_await shared->meta().TierFiles(task.subject, cursor, kRunsPerPage);
    if (!page.ok()) co_return page.status();
    CO_RETURN_IF_ERROR(co_await check.Check(page->files));
    if (!check.missing().empty()) co_return co_await Lose(shared, check.missing());
    CO_RETURN_IF_ERROR(co_await ReleasePage(shared, task.subject, *page, progress));
    cursor = page->next;
    last = page->last;
  }
  co_return absl::OkStatus();
}

}  // namespace

Task<void> Release(TierShared* shared, TierTask task, TierProgress* progress) {
  disk::FinishTierStep finish;
  finish.set_step(wire::TIER_STEP_RELEASE);
  finish.add_subjects(task.subject.value());
  const absl::Status outcome = co_await ReleaseAll(shared, task, progress);
  finish.set_copy_is_gone(absl::IsDataLoss(outcome));
  shared->NoteOutcome(task.record.tier(), outcome);
  co_await FinishStep(shared, std::move(finish), outcome);
}

}  // namespace cairn
