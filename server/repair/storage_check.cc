#include "server/repair/storage_check.h"

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <tuple>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "common/base/strings.h"
#include "common/task/when_all.h"
#include "server/cluster/group_members.h"
#include "server/repair/storage_compare.h"

namespace cairn {
namespace {

// Stripes of one step: about 25,000 fragments of ec:4+2 in memory.
constexpr uint64_t kStripesPerStep = 4096;
// With verification: at most 4 GiB of 4 MiB stripes are read in a step.
constexpr uint64_t kStripesPerVerifiedStep = 256;
// About 40 bytes each, of a message's 64 KiB.
constexpr size_t kFindingsMax = 500;
// Held in the range of a step: much may wait there to be freed, or to be committed.
constexpr uint64_t kHeldMax = 200'000;
constexpr uint64_t kVerifiedMax = 4 * kGiB;
constexpr absl::Duration kListTimeout = absl::Seconds(60);
constexpr absl::Duration kRepairTimeout = absl::Seconds(120);
// Moves are not planned meanwhile.
constexpr absl::Duration kFreeTimeout = absl::Seconds(20);
constexpr int kRepairsPerCall = 64;
constexpr int kFreesPerCall = 1024;

wire::StorageFinding ToFinding(const StorageDifference& difference) {
  wire::StorageFinding finding;
  finding.set_fault(difference.fault);
  finding.set_stripe(difference.stripe);
  finding.set_group(difference.group);
  finding.set_target(difference.target);
  finding.set_index(difference.index);
  return finding;
}

bool IsRestorable(wire::StorageFault fault) {
  return fault == wire::FRAGMENT_MISSING || fault == wire::FRAGMENT_DAMAGED ||
         fault == wire::FRAGMENT_WRONG_LENGTH;
}

// So many of them must fit a message.
std::string DetailOf(absl::string_view text) {
  constexpr size_t kDetailBytesMax = 64;
  if (text.size() <= kDetailBytesMax) return std::string(text);
  return StrCat(ToStd(text.substr(0, kDetailBytesMax - 3)), "...");
}

// Whether the fragment has a right to be where it is.
bool IsWanted(const MapView& view, const StorageDifference& orphan) {
  const wire::PlacementGroup* group = view.FindGroup(orphan.group);
  if (group == nullptr || orphan.stripe_length_bytes == 0) return false;
  if (orphan.index >= static_cast<uint32_t>(group->targets_size())) return false;
  const wire::GroupMove* move = MapView::FindMove(*group, orphan.index);
  return group->targets(static_cast<int>(orphan.index)) == orphan.target ||
         (move != nullptr && IsNamed(*move, orphan.target));
}

}  // namespace

struct StorageCheck::Range {
  StripeSpan span;
  bool last = false;
};

struct StorageCheck::Held {
  HeldFragments fragments;
  uint64_t listed = 0;
  uint64_t verified_bytes = 0;
};

struct StorageCheck::Evaluation {
  std::vector<StorageDifference> differences;
  std::vector<wire::StorageFinding> findings;  // beside `differences`, one each
  std::set<uint32_t> unreachable;
  uint64_t stripes = 0;
  uint64_t fragments = 0;
  uint64_t verified_bytes = 0;
  uint64_t next_unused = 0;
};

StorageCheck::StorageCheck(MetaEngine& meta, Peers& peers,
                           std::function<const wire::ClusterMap&()> map, Sweeps sweeps)
    : meta_(meta), peers_(peers), map_(std::move(map)), sweeps_(std::move(sweeps)) {}

Task<absl::StatusOr<wire::CheckStorageReply>> StorageCheck::Run(wire::CheckStorageRequest request,
                                                                Mend mend) {
  const uint64_t stripes = request.verify() ? kStripesPerVerifiedStep : kStripesPerStep;
  const absl::StatusOr<StripePage> page = co_await meta_.Stripes(request.from(), stripes, false);
  if (!page.ok()) co_return page.status();
  // Up to the end of all ids: what lies there belongs to nobody.
  uint64_t end = page->last ? UINT64_MAX : page->end;
  bool last = page->last;
  if (request.end() > request.from() && request.end() <= end) {
    end = request.end();
    last = true;
  }
  Range range{{request.from(), end - request.from()}, last};
  // A sweep that ends meanwhile may have come too late for what is listed first.
  const bool were_expected = OrphansAreExpected();
  auto view = std::make_unique<const MapView>(map_());
  absl::StatusOr<Evaluation> found = co_await Evaluate(*view, &range, request.verify());
  if (!found.ok()) co_return found.status();
  if (!found->differences.empty()) {
    // What is being written or removed looks wrong for a moment; what is wrong stays so.
    view = std::make_unique<const MapView>(map_());
    const absl::StatusOr<Evaluation> again = co_await Evaluate(*view, &range, request.verify());
    if (!again.ok()) co_return again.status();
    std::vector<StorageDifference> both;
    // As the second look has them: from the first range.
    std::set_intersection(again->differences.begin(), again->differences.end(),
                          found->differences.begin(), found->differences.end(),
                          std::back_inserter(both));
    std::erase_if(
        both, [&range](const StorageDifference& each) { return each.stripe >= range.span.end(); });
    found->differences = std::move(both);
    found->unreachable.insert(again->unreachable.begin(), again->unreachable.end());
  }
  uint64_t leftovers = 0;
  if (mend == Mend::kNothing && (were_expected || OrphansAreExpected())) {
    leftovers = std::erase_if(found->differences, [](const StorageDifference& each) {
      return each.fault == wire::FRAGMENT_ORPHAN;
    });
  }
  if (found->differences.size() > kFindingsMax) {
    // Between two stripes; one stripe has never so many.
    const uint64_t cut = found->differences[kFindingsMax].stripe;
    std::erase_if(found->differences,
                  [cut](const StorageDifference& each) { return each.stripe >= cut; });
    range = {{request.from(), cut - request.from()}, false};
  }
  for (const StorageDifference& difference : found->differences)
    found->findings.push_back(ToFinding(difference));
  if (mend == Mend::kAll) co_await Restore(*view, *found);
  if (mend != Mend::kNothing) co_await Free(*view, *found);
  wire::CheckStorageReply reply;
  reply.set_next(range.span.end());
  reply.set_done(range.last);
  reply.set_stripes(found->stripes);
  reply.set_fragments(found->fragments);
  reply.set_verified_bytes(found->verified_bytes);
  reply.set_leftovers(leftovers);
  reply.set_last_stripe(found->next_unused == 0 ? 0 : found->next_unused - 1);
  for (wire::StorageFinding& finding : found->findings) *reply.add_findings() = std::move(finding);
  for (uint32_t target : found->unreachable) reply.add_unreachable_targets(target);
  co_return reply;
}

// What the targets hold first, then what is referred to: in this order nothing that is committed
// meanwhile looks like an orphan. May shorten the range.
Task<absl::StatusOr<StorageCheck::Evaluation>> StorageCheck::Evaluate(const MapView& view,
                                                                      Range* range, bool verify) {
  const Held held = co_await ListAll(view, range, verify);
  // Before the references are looked at: what a lease has left behind when it ended is queued.
  absl::flat_hash_set<LeaseId> known;
  for (const auto& [stripe, fragments] : held.fragments.by_stripe) {
    for (const HeldFragments::Fragment& fragment : fragments) {
      if (meta_.LeaseIsKnown(fragment.lease)) known.insert(fragment.lease);
    }
  }
  const absl::StatusOr<StripePage> page =
      co_await meta_.Stripes(range->span.first, kStripesPerStep * 2, true);
  if (!page.ok()) co_return page.status();
  if (!page->last && page->end < range->span.end())
    *range = {{range->span.first, page->end - range->span.first}, false};
  Evaluation evaluation;
  evaluation.differences =
      CompareStorage(view, *page, range->span, held.fragments,
                     [&known](LeaseId lease) { return known.contains(lease); });
  evaluation.unreachable = held.fragments.unreachable;
  for (const StripeRunPart& part : page->parts) {
    const uint64_t end = std::min(part.part.end(), range->span.end());
    if (end > part.part.first) evaluation.stripes += end - part.part.first;
  }
  evaluation.fragments = held.listed;
  evaluation.verified_bytes = held.verified_bytes;
  evaluation.next_unused = page->next_unused;
  co_return evaluation;
}

// Shortens the range when it holds too much.
Task<StorageCheck::Held> StorageCheck::ListAll(const MapView& view, Range* range, bool verify) {
  Held held;
  std::vector<Task<absl::Status>> lists;
  std::vector<uint32_t> asked;
  for (const wire::NodeInfo& node : view.map().nodes()) {
    const bool alive = node.state() == wire::NODE_UP || node.state() == wire::NODE_SUSPECT;
    if (alive) lists.push_back(ListNode(&node, range, verify, &held));
    if (alive) asked.push_back(node.id());
  }
  const std::vector<absl::Status> results = co_await WhenAll(std::move(lists));
  std::set<uint32_t> answered;
  for (size_t i = 0; i < asked.size(); ++i) {
    if (results[i].ok()) answered.insert(asked[i]);
  }
  for (const wire::TargetInfo& target : view.map().targets()) {
    if (target.joining()) continue;
    if (!answered.contains(target.node()) || target.state() == wire::TARGET_FAILED)
      held.fragments.unreachable.insert(target.id());
  }
  co_return held;
}

Task<absl::Status> StorageCheck::ListNode(const wire::NodeInfo* node, Range* range, bool verify,
                                          Held* held) {
  uint64_t from = range->span.first;
  while (from < range->span.end()) {
    const uint64_t end = range->span.end();
    wire::ListFragmentsRequest request;
    request.set_first(from);
    request.set_end(end);
    request.set_verify(verify);
    const absl::StatusOr<wire::ListFragmentsReply> reply =
        co_await peers_.CallNode<wire::ListFragmentsReply>(
            node->id(), node->endpoint(), wire::LIST_FRAGMENTS, std::move(request),
            Deadline::After(Executor::Current().clock(), kListTimeout));
    if (!reply.ok()) co_return reply.status();
    if (reply->next() <= from || reply->next() > end)
      co_return absl::DataLossError(StrCat("node ", node->id(), " lists fragments in circles"));
    for (uint32_t target : reply->failed_targets()) held->fragments.unreachable.insert(target);
    for (const auto& each : reply->fragments()) {
      held->fragments.by_stripe[each.stripe()].push_back({each.target(), each.index(),
                                                          each.length_bytes(),
                                                          LeaseId(each.lease()), each.damaged()});
    }
    held->listed += static_cast<uint64_t>(reply->fragments_size());
    held->verified_bytes += reply->verified_bytes();
    from = reply->next();
    const bool full = held->listed > kHeldMax || held->verified_bytes > kVerifiedMax;
    if (full && from < range->span.end())
      *range = {{range->span.first, from - range->span.first}, false};
  }
  co_return absl::OkStatus();
}

// One call for those of a group and an index, and of one kind of fault. What moves have taken
// elsewhere meanwhile, and a sweep has not met yet, is to be swept.
Task<void> StorageCheck::Restore(const MapView& view, Evaluation& found) {
  struct Batch {
    wire::RestoreFragmentsRequest request;
    std::vector<size_t> findings;
  };
  std::map<std::tuple<uint32_t, uint32_t, bool, std::vector<uint32_t>>, std::vector<Batch>> batches;
  for (size_t i = 0; i < found.differences.size(); ++i) {
    const StorageDifference& difference = found.differences[i];
    if (!IsRestorable(difference.fault)) continue;
    const wire::PlacementGroup* group = view.FindGroup(difference.group);
    const bool replace = difference.fault != wire::FRAGMENT_MISSING;
    auto& of_kind = batches[{difference.group, difference.index, replace, difference.elsewhere}];
    if (of_kind.empty() || of_kind.back().request.stripes_size() == kRepairsPerCall) {
      Batch& batch = of_kind.emplace_back();
      batch.request =
          view.RestoreRequest(*group, difference.index, difference.target, difference.elsewhere, 0);
      batch.request.set_replace(replace);
    }
    Batch& batch = of_kind.back();
    auto* stripe = batch.request.add_stripes();
    stripe->set_id(difference.stripe);
    stripe->set_length_bytes(difference.stripe_length_bytes);
    batch.findings.push_back(i);
  }
  ++restores_under_way_;
  for (auto& [kind, of_kind] : batches) {
    for (Batch& batch : of_kind) {
      const wire::NodeInfo* node = view.NodeOf(batch.request.target());
      if (node == nullptr) continue;
      const absl::StatusOr<wire::RestoreFragmentsReply> reply =
          co_await peers_.CallNode<wire::RestoreFragmentsReply>(
              node->id(), node->endpoint(), wire::RESTORE_FRAGMENTS, batch.request,
              Deadline::After(Executor::Current().clock(), kRepairTimeout));
      for (size_t i : batch.findings) {
        wire::StorageFinding& finding = found.findings[i];
        finding.set_repaired(reply.ok() && reply->failed() == 0);
        if (!reply.ok()) finding.set_detail(DetailOf(reply.status().message()));
        if (!reply.ok() || reply->failed() == 0) continue;
        const auto failure = std::find_if(
            reply->failures().begin(), reply->failures().end(),
            [&finding](const auto& each) { return each.stripe() == finding.stripe(); });
        const bool told = failure != reply->failures().end();
        if (told) finding.set_detail(DetailOf(failure->reason()));
        finding.set_repaired(!told && static_cast<int>(reply->failed()) == reply->failures_size());
      }
    }
  }
  --restores_under_way_;
  const MapView now(map_());
  const bool is_left = std::any_of(
      found.differences.begin(), found.differences.end(), [&now](const auto& difference) {
        return IsRestorable(difference.fault) && !IsWanted(now, difference);
      });
  if (is_left) sweeps_.want();
}

Task<void> StorageCheck::Free(const MapView& view, Evaluation& found) {
  std::map<uint32_t, std::vector<size_t>> by_node;
  for (size_t i = 0; i < found.differences.size(); ++i) {
    if (found.differences[i].fault != wire::FRAGMENT_ORPHAN) continue;
    const wire::NodeInfo* node = view.NodeOf(found.differences[i].target);
    if (node != nullptr) by_node[node->id()].push_back(i);
  }
  for (const auto& [id, findings] : by_node) {
    const wire::NodeInfo* node = view.NodeOf(found.differences[findings.front()].target);
    for (size_t at = 0; at < findings.size(); at += kFreesPerCall) {
      const size_t end = std::min(findings.size(), at + kFreesPerCall);
      absl::Status alone = co_await freeing_.Acquire(1, Deadline::Infinite());
      if (!alone.ok()) co_return;
      wire::FreeFragmentsRequest request;
      std::vector<size_t> named;
      // Looked at now: repairs take their time, and the map may have changed.
      const MapView now(map_());
      for (size_t i = at; i < end; ++i) {
        const StorageDifference& difference = found.differences[findings[i]];
        if (IsWanted(now, difference)) {
          found.findings[findings[i]].set_detail("it is wanted there by now");
          continue;
        }
        named.push_back(findings[i]);
        auto* fragment = request.add_fragments();
        fragment->set_target(difference.target);
        fragment->set_stripe(difference.stripe);
        fragment->set_index(difference.index);
      }
      const absl::StatusOr<wire::FreeFragmentsReply> reply =
          co_await peers_.CallNode<wire::FreeFragmentsReply>(
              id, node->endpoint(), wire::FREE_FRAGMENTS, std::move(request),
              Deadline::After(Executor::Current().clock(), kFreeTimeout));
      freeing_.Release(1);
      for (size_t i : named) {
        wire::StorageFinding& finding = found.findings[i];
        finding.set_repaired(reply.ok());
        if (!reply.ok()) finding.set_detail(DetailOf(reply.status().message()));
      }
    }
  }
}

}  // namespace cairn
