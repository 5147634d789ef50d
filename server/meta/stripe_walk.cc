#include "server/meta/stripe_walk.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "common/base/status_macros.h"
#include "proto/disk/meta.pb.h"
#include "server/meta/keys.h"
#include "server/meta/records.h"

namespace cairn {
namespace {

// Runs on a page: small files are many runs of one stripe, each a record to parse.
constexpr size_t kRunsMax = 16'384;

absl::Status Damaged() {
  return absl::DataLossError("metadata: a key of family \"stripe_run\" is damaged");
}

absl::StatusOr<StripeRunPart> ParseRun(std::string_view key, std::string_view value,
                                       bool* released = nullptr) {
  disk::StripeRunRecord record;
  RETURN_IF_ERROR(ParseRecord(kFamilyStripeRun, value, record));
  if (released != nullptr) *released = record.released();
  StripeRunPart run;
  if (!KeyReader(key).ReadU64(&run.run_first)) return Damaged();
  if (record.stripe_count() == 0 || record.groups_size() == 0 || record.stripe_bytes() == 0)
    return absl::DataLossError("metadata: a record of family \"stripe_run\" is damaged");
  run.run_count = record.stripe_count();
  run.stripe_bytes = record.stripe_bytes();
  run.run_length_bytes = record.length_bytes();
  run.groups.assign(record.groups().begin(), record.groups().end());
  run.part = {run.run_first, run.run_count};
  return run;
}

// Where the run that `from` lies in begins; `from` itself when it lies in none.
absl::StatusOr<uint64_t> RunStart(const Transaction& txn, uint64_t from) {
  // No run is longer than its count can say.
  const uint64_t begin = from - std::min<uint64_t>(from, UINT32_MAX);
  ASSIGN_OR_RETURN(const auto before,
                   txn.FindLast(kFamilyStripeRun, StripeRunKey(begin), StripeRunKey(from)));
  if (!before.has_value()) return from;
  ASSIGN_OR_RETURN(const StripeRunPart run, ParseRun(before->first, before->second));
  return run.part.end() > from ? run.run_first : from;
}

// Entries begin anywhere, and are as many as there were removals since the last grace.
absl::StatusOr<std::vector<StripeSpan>> PendingIn(const Transaction& txn, StripeSpan range) {
  ASSIGN_OR_RETURN(const uint64_t oldest, txn.Read(Counter::kOldestPending));
  ASSIGN_OR_RETURN(const uint64_t next, txn.Read(Counter::kNextPending));
  std::vector<StripeSpan> pending;
  Transaction::Scan scan(txn, kFamilyPendingFree, SequenceKey(oldest), SequenceKey(next));
  for (; scan.Valid(); scan.Next()) {
    disk::PendingFreeRecord record;
    RETURN_IF_ERROR(ParseRecord(kFamilyPendingFree, scan.value(), record));
    const uint64_t first = std::max(record.first(), range.first);
    const uint64_t end = std::min(record.first() + record.count(), range.end());
    if (first < end) pending.push_back({first, end - first});
  }
  RETURN_IF_ERROR(scan.status());
  return MergeAdjacent(std::move(pending));
}

}  // namespace

uint64_t StripeRunPart::LengthOf(uint64_t stripe) const {
  const uint64_t begin = (stripe - run_first) * stripe_bytes;
  return std::min<uint64_t>(stripe_bytes, run_length_bytes - begin);
}

absl::StatusOr<StripePage> WalkStripes(const Transaction& txn, uint64_t from, uint64_t stripes_max,
                                       bool with_pending) {
  StripePage page;
  ASSIGN_OR_RETURN(page.next_unused, txn.Read(Counter::kNextStripe));
  ASSIGN_OR_RETURN(const uint64_t start, RunStart(txn, from));
  page.end = std::max(page.next_unused, from);
  page.last = true;
  uint64_t left = stripes_max;
  Transaction::Scan scan(txn, kFamilyStripeRun, StripeRunKey(start), StripeRunKey(page.end));
  for (; scan.Valid(); scan.Next()) {
    bool released = false;
    ASSIGN_OR_RETURN(StripeRunPart run, ParseRun(scan.key(), scan.value(), &released));
    // No target has any of it, and if one does it is about to be freed.
    if (released) continue;
    const uint64_t first = std::max(run.run_first, from);
    const uint64_t count = std::min(run.part.end() - first, left);
    if (count == 0 || page.parts.size() == kRunsMax) {
      page.end = first;
      page.last = false;
      break;
    }
    const bool cut = first + count < run.part.end();
    run.part = {first, count};
    left -= count;
    page.parts.push_back(std::move(run));
    if (!cut) continue;
    page.end = first + count;
    page.last = false;
    break;
  }
  RETURN_IF_ERROR(scan.status());
  // After the references: a run that loses its last one is queued in the same batch.
  if (with_pending) {
    ASSIGN_OR_RETURN(page.pending, PendingIn(txn, {from, page.end - from}));
  }
  return page;
}

}  // namespace cairn
