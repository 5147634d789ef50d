#include "server/chunk/target.h"

#include <utility>

#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "server/chunk/target_state.h"

namespace cairn {

Target::Target(Options options, Disk& disk, Kv& index_store, BlockingRunner& runner)
    : options_(std::move(options)), disk_(disk), index_(index_store), runner_(runner) {}

Target::~Target() { CAIRN_CHECK(calls_ == 0 && !committing_ && seals_under_way_.empty()); }

Task<void> Target::Close() { co_await background_.Join(); }

Target::Usage Target::usage() const {
  Usage usage = usage_;
  usage.capacity = allocator_->capacity_bytes();
  usage.free = allocator_->free_bytes();
  usage.pending_fragments = pending_.size();
  return usage;
}

absl::Status Target::Refusal() const {
  if (failure_.ok()) return absl::OkStatus();
  return absl::FailedPreconditionError(StrCat(
      "target ", options_.id.value(),
      " has failed and does nothing more until cairnd is restarted: ", ToStd(failure_.message())));
}

absl::Status Target::Fail(const absl::Status& cause) {
  if (failure_.ok()) failure_ = cause;
  return Refusal();
}

absl::Status Target::IndexError(const absl::Status& error) {
  if (absl::IsDataLoss(error)) ++counters_.media_errors;
  if (!absl::IsDataLoss(error) && !absl::IsResourceExhausted(error)) return Fail(error);
  return absl::Status(error.code(),
                      StrCat("target ", options_.id.value(), ": ", ToStd(error.message())));
}

void Target::Release(uint64_t Usage::*from, Extent extent) {
  CAIRN_CHECK(usage_.*from >= extent.length_bytes);
  usage_.*from -= extent.length_bytes;
  allocator_->Free(extent);
}

Task<absl::StatusOr<std::vector<FragmentKey>>> Target::ListFragments(FragmentKey from, StripeId end,
                                                                     size_t limit) {
  CO_RETURN_IF_ERROR(Refusal());
  const CallGuard guard(this);
  absl::StatusOr<std::vector<FragmentKey>> listed;
  co_await runner_.Run([&] { listed = index_.List(from, end, limit); });
  if (!listed.ok()) co_return IndexError(listed.status());
  co_return listed;
}

Task<absl::StatusOr<std::vector<HeldFragment>>> Target::ListHeld(FragmentKey from, StripeId end,
                                                                 size_t limit) {
  CO_RETURN_IF_ERROR(Refusal());
  const CallGuard guard(this);
  absl::StatusOr<std::vector<HeldFragment>> listed;
  co_await runner_.Run([&] { listed = index_.ListHeld(from, end, limit); });
  if (!listed.ok()) co_return IndexError(listed.status());
  co_return listed;
}

Task<absl::StatusOr<std::vector<HeldFragment>>> Target::FindHeld(std::vector<FragmentKey> keys) {
  CO_RETURN_IF_ERROR(Refusal());
  const CallGuard guard(this);
  absl::StatusOr<std::vector<HeldFragment>> held;
  co_await runner_.Run([&] { held = index_.FindHeld(keys); });
  if (!held.ok()) co_return IndexError(held.status());
  co_return held;
}

}  // namespace cairn
