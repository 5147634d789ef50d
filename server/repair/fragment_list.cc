#include "server/repair/fragment_list.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "common/base/crc32c.h"
#include "common/base/strings.h"
#include "common/task/when_all.h"
#include "server/chunk/aligned_block.h"

namespace cairn {
namespace {

// About 35 bytes each, of a message's 64 KiB.
constexpr size_t kFragmentsMax = 1500;
// Read in one call, which at the rate of a slow disk takes a few seconds.
constexpr uint64_t kVerifiedMax = 256 * kMiB;
constexpr int kFreedMax = 1024;

using Fragment = wire::ListFragmentsReply::Fragment;

struct Listed {
  std::vector<Fragment> fragments;
  bool complete = true;
};

Task<absl::Status> ListTarget(Target& target, const wire::ListFragmentsRequest& request,
                              Listed* listed) {
  const absl::StatusOr<std::vector<HeldFragment>> held = co_await target.ListHeld(
      {StripeId(request.first()), 0}, StripeId(request.end()), kFragmentsMax);
  if (!held.ok()) co_return held.status();
  for (const HeldFragment& each : *held) {
    Fragment& fragment = listed->fragments.emplace_back();
    fragment.set_target(target.id().value());
    fragment.set_stripe(each.key.stripe.value());
    fragment.set_index(each.key.index);
    fragment.set_length_bytes(each.length_bytes);
    fragment.set_lease(each.lease.value());
    fragment.set_damaged(each.damaged);
  }
  listed->complete = held->size() < kFragmentsMax;
  co_return absl::OkStatus();
}

// Where a list that is cut must end: before the last stripe, of which more may follow.
uint64_t CompleteBelow(const std::vector<Fragment>& fragments) { return fragments.back().stripe(); }

bool IsIntact(ConstBytes bytes, const std::vector<uint32_t>& crcs) {
  BlockCrcs computed;
  computed.Add(bytes);
  return computed.Finish() == crcs;
}

// Reads those that are on the target, one after the other.
Task<absl::Status> VerifyOn(Target& target, std::vector<Fragment*> fragments) {
  uint64_t longest = 0;
  for (const Fragment* fragment : fragments) longest = std::max(longest, fragment->length_bytes());
  const AlignedBuffer buffer(AlignUp(longest, kBlockBytes));
  for (Fragment* fragment : fragments) {
    if (fragment->damaged() || fragment->length_bytes() == 0) continue;
    const FragmentKey key{StripeId(fragment->stripe()), fragment->index()};
    const absl::StatusOr<Target::ReadResult> read =
        co_await target.Read(key, 0, fragment->length_bytes(), buffer.bytes());
    // Freed since it was listed, or another by now.
    if (absl::IsNotFound(read.status()) || absl::IsOutOfRange(read.status())) continue;
    if (!read.ok() && !absl::IsDataLoss(read.status())) co_return read.status();
    fragment->set_damaged(!read.ok() || !IsIntact(read->bytes, read->piece_crcs));
  }
  co_return absl::OkStatus();
}

// Cuts the list after so many bytes, between two stripes, but never before the first.
void CutForVerify(std::vector<Fragment>* fragments, uint64_t* next) {
  uint64_t bytes = 0;
  for (size_t i = 0; i < fragments->size(); ++i) {
    bytes += (*fragments)[i].length_bytes();
    const bool first_of_stripe = i > 0 && (*fragments)[i].stripe() != (*fragments)[i - 1].stripe();
    if (bytes <= kVerifiedMax || !first_of_stripe) continue;
    *next = (*fragments)[i].stripe();
    fragments->resize(i);
    return;
  }
}

Task<void> VerifyAll(std::vector<Fragment>* fragments, OnTarget on_target,
                     wire::ListFragmentsReply* reply) {
  std::map<uint32_t, std::vector<Fragment*>> by_target;
  for (Fragment& fragment : *fragments) {
    by_target[fragment.target()].push_back(&fragment);
    reply->set_verified_bytes(reply->verified_bytes() + fragment.length_bytes());
  }
  std::vector<TargetWork> works;
  works.reserve(by_target.size());
  std::vector<Task<absl::Status>> verifies;
  for (auto& [target, of_target] : by_target) {
    works.push_back([&list = of_target](Target& on) { return VerifyOn(on, list); });
    verifies.push_back(on_target(target, works.back()));
  }
  const std::vector<absl::Status> verified = co_await WhenAll(std::move(verifies));
  auto result = verified.begin();
  for (const auto& [target, of_target] : by_target) {
    if (!(result++)->ok()) reply->add_failed_targets(target);
  }
}

}  // namespace

Task<absl::StatusOr<wire::ListFragmentsReply>> ListFragments(
    const wire::ListFragmentsRequest& request, std::vector<uint32_t> targets, OnTarget on_target) {
  if (request.first() >= request.end())
    co_return absl::InvalidArgumentError("a range of stripes that is empty");
  std::vector<Listed> lists(targets.size());
  std::vector<TargetWork> works;
  works.reserve(targets.size());
  std::vector<Task<absl::Status>> asked;
  for (size_t i = 0; i < targets.size(); ++i) {
    works.push_back([&request, listed = &lists[i]](Target& target) {
      return ListTarget(target, request, listed);
    });
    asked.push_back(on_target(targets[i], works.back()));
  }
  const std::vector<absl::Status> results = co_await WhenAll(std::move(asked));
  wire::ListFragmentsReply reply;
  reply.set_next(request.end());
  std::vector<Fragment> all;
  for (size_t i = 0; i < targets.size(); ++i) {
    if (!results[i].ok()) reply.add_failed_targets(targets[i]);
    std::vector<Fragment>& fragments = lists[i].fragments;
    if (!lists[i].complete) reply.set_next(std::min(reply.next(), CompleteBelow(fragments)));
    std::move(fragments.begin(), fragments.end(), std::back_inserter(all));
  }
  std::sort(all.begin(), all.end(), [](const Fragment& a, const Fragment& b) {
    return std::make_tuple(a.stripe(), a.index(), a.target()) <
           std::make_tuple(b.stripe(), b.index(), b.target());
  });
  if (all.size() > kFragmentsMax)
    reply.set_next(std::min<uint64_t>(reply.next(), all[kFragmentsMax].stripe()));
  uint64_t next = reply.next();
  std::erase_if(all, [next](const Fragment& fragment) { return fragment.stripe() >= next; });
  if (request.verify()) {
    CutForVerify(&all, &next);
    reply.set_next(next);
    co_await VerifyAll(&all, on_target, &reply);
  }
  for (Fragment& fragment : all) *reply.add_fragments() = std::move(fragment);
  co_return reply;
}

Task<absl::Status> FreeFragments(const wire::FreeFragmentsRequest& request, OnTarget on_target) {
  if (request.fragments_size() > kFreedMax) {
    co_return absl::InvalidArgumentError(
        StrCat(request.fragments_size(), " fragments in a call; at most ", kFreedMax));
  }
  std::map<uint32_t, std::vector<FragmentRun>> by_target;
  for (const auto& fragment : request.fragments()) {
    by_target[fragment.target()].push_back({StripeId(fragment.stripe()), 1, 1, fragment.index()});
  }
  std::vector<TargetWork> works;
  works.reserve(by_target.size());
  std::vector<Task<absl::Status>> frees;
  for (auto& [target, runs] : by_target) {
    works.push_back([&freed = runs](Target& on) { return on.Free(freed); });
    frees.push_back(on_target(target, works.back()));
  }
  co_return co_await WhenAllOk(std::move(frees));
}

}  // namespace cairn
