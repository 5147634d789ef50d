#include "server/meta/extents.h"

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "common/base/crc32c.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "server/meta/cold.h"
#include "server/meta/keys.h"
#include "server/meta/pending_free.h"
#include "server/meta/records.h"

namespace cairn {
namespace {

template <class... Args>
absl::Status Bad(const Args&... args) {
  return absl::InvalidArgumentError(StrCat("extents: ", args...));
}

absl::Status CheckShape(const wire::ExtentRun& run, uint64_t offset_bytes) {
  if (run.offset_bytes() != offset_bytes) {
    return Bad("a run starts at byte ", run.offset_bytes(), " where ", offset_bytes, " is next");
  }
  if (run.length_bytes() == 0) return Bad("the run at byte ", offset_bytes, " is empty");
  if (run.length_bytes() > uint64_t{INT64_MAX} - offset_bytes) return Bad("a file is too long");
  if (run.stripe_bytes() == 0 || run.stripe_bytes() > kMaxStripeBytes ||
      run.stripe_bytes() % kBlockBytes != 0) {
    return Bad("stripes of ", run.stripe_bytes(), " bytes: not a multiple of ", kBlockBytes,
               " up to ", kMaxStripeBytes);
  }
  if (run.stripe_count() != DivideUp(run.length_bytes(), run.stripe_bytes())) {
    return Bad("the run at byte ", offset_bytes, " has ", run.stripe_count(), " stripes of ",
               run.stripe_bytes(), " bytes for ", run.length_bytes(), " bytes");
  }
  if (run.groups_size() == 0 || run.groups_size() > kMaxGroupsPerRun) {
    return Bad("the run at byte ", offset_bytes, " names ", run.groups_size(), " placement groups");
  }
  return absl::OkStatus();
}

// Returns where the range that holds the run begins.
absl::StatusOr<uint64_t> CheckGranted(const wire::ExtentRun& run, const GrantedRanges& granted) {
  const uint64_t first = run.first_stripe(), count = run.stripe_count();
  for (const disk::IdRange& range : granted) {
    if (first >= range.first() && first - range.first() < range.count() &&
        count <= range.count() - (first - range.first())) {
      return range.first();
    }
  }
  return Bad("stripes ", first, " to ", first + count - 1, " were not granted to this writer");
}

// Only the holder of a grant uses its ids, and no run leaves the grant it began in: the run before
// the end of this one is the only one that can overlap, and only from the same grant.
absl::Status CheckUnused(const Transaction& txn, const wire::ExtentRun& run,
                         uint64_t granted_from) {
  const uint64_t first = run.first_stripe(), end = first + run.stripe_count();
  ASSIGN_OR_RETURN(const auto before,
                   txn.FindLast(kFamilyStripeRun, StripeRunKey(granted_from), StripeRunKey(end)));
  if (!before.has_value()) return absl::OkStatus();
  disk::StripeRunRecord other;
  RETURN_IF_ERROR(ParseRecord(kFamilyStripeRun, before->second, other));
  uint64_t other_first = 0;
  if (!KeyReader(before->first).ReadU64(&other_first)) {
    return absl::DataLossError("metadata: a key of family \"stripe_run\" is damaged");
  }
  if (other_first + other.stripe_count() <= first) return absl::OkStatus();
  return Bad("stripe ", std::max(first, other_first), " is used already");
}

disk::ExtentRecord ToRecord(const wire::ExtentRun& run) {
  disk::ExtentRecord extent;
  extent.set_length_bytes(run.length_bytes());
  extent.set_first_stripe(run.first_stripe());
  extent.set_stripe_count(run.stripe_count());
  extent.set_stripe_bytes(run.stripe_bytes());
  *extent.mutable_groups() = run.groups();
  return extent;
}

void StoreRun(Transaction& txn, InodeId inode, const wire::ExtentRun& run) {
  Store(txn, kFamilyExtent, ExtentKey(inode, run.offset_bytes()), ToRecord(run));

  disk::StripeRunRecord stripes;
  stripes.set_stripe_count(run.stripe_count());
  stripes.set_stripe_bytes(run.stripe_bytes());
  stripes.set_length_bytes(run.length_bytes());
  *stripes.mutable_groups() = run.groups();
  stripes.set_references(1);
  Store(txn, kFamilyStripeRun, StripeRunKey(run.first_stripe()), stripes);
}

// Returns what it has cost: of a run that is cold, each part is looked at.
absl::StatusOr<size_t> DropReference(Transaction& txn, uint64_t first_stripe) {
  const std::string key = StripeRunKey(first_stripe);
  ASSIGN_OR_RETURN(disk::StripeRunRecord run,
                   Load<disk::StripeRunRecord>(txn, kFamilyStripeRun, key));
  if (run.references() > 1) {
    run.set_references(run.references() - 1);
    Store(txn, kFamilyStripeRun, key, run);
    return 1;
  }
  txn.Delete(kFamilyStripeRun, key);
  size_t parts = 0;
  if (run.cold()) {
    ASSIGN_OR_RETURN(parts, DropColdRun(txn, first_stripe));
  }
  // Its stripes have been queued when it was released.
  if (run.released()) {
    RETURN_IF_ERROR(txn.Subtract(Counter::kReleasedRuns, 1));
  } else {
    RETURN_IF_ERROR(
        QueueRun(txn, {first_stripe, run.stripe_count()}, run.length_bytes(), run.groups()));
  }
  return 1 + parts;
}

}  // namespace

absl::StatusOr<uint64_t> AddExtents(Transaction& txn, InodeId inode, uint64_t offset_bytes,
                                    const WireExtents& extents, const GrantedRanges& granted,
                                    Grants use) {
  for (const wire::ExtentRun& run : extents) {
    RETURN_IF_ERROR(CheckShape(run, offset_bytes));
    ASSIGN_OR_RETURN(const uint64_t granted_from, CheckGranted(run, granted));
    if (use == Grants::kPerhapsUsed) RETURN_IF_ERROR(CheckUnused(txn, run, granted_from));
    use = Grants::kPerhapsUsed;
    StoreRun(txn, inode, run);
    offset_bytes += run.length_bytes();
  }
  return offset_bytes;
}

absl::StatusOr<bool> HasExtents(const Transaction& txn, InodeId inode, const WireExtents& extents) {
  for (const wire::ExtentRun& run : extents) {
    ASSIGN_OR_RETURN(const auto stored,
                     txn.Get(kFamilyExtent, ExtentKey(inode, run.offset_bytes())));
    if (!stored.has_value() || *stored != SerializeRecord(ToRecord(run))) return false;
  }
  return true;
}

absl::Status ReleaseExtents(Transaction& txn, InodeId inode, size_t* budget) {
  std::vector<std::pair<std::string, disk::ExtentRecord>> extents;
  const std::string prefix = ExtentPrefix(inode);
  Transaction::Scan scan(txn, kFamilyExtent, prefix, PrefixEnd(prefix));
  for (; scan.Valid() && extents.size() < *budget; scan.Next()) {
    disk::ExtentRecord extent;
    RETURN_IF_ERROR(ParseRecord(kFamilyExtent, scan.value(), extent));
    extents.emplace_back(scan.key(), std::move(extent));
  }
  RETURN_IF_ERROR(scan.status());
  for (const auto& [key, extent] : extents) {
    if (*budget == 0) break;
    ASSIGN_OR_RETURN(const size_t cost, DropReference(txn, extent.first_stripe()));
    txn.Delete(kFamilyExtent, key);
    *budget -= std::min(*budget, cost);
  }
  return absl::OkStatus();
}

absl::StatusOr<wire::StripeRange> GrantStripes(Transaction& txn, uint64_t wanted,
                                               GrantedRanges* granted) {
  const uint64_t count = wanted == 0 ? kDefaultGrant : std::min(wanted, kMaxGrant);
  ASSIGN_OR_RETURN(const uint64_t first, txn.Add(Counter::kNextStripe, count));
  disk::IdRange* last = granted->empty() ? nullptr : &(*granted)[granted->size() - 1];
  if (last != nullptr && last->first() + last->count() == first) {
    last->set_count(last->count() + count);
  } else if (granted->size() >= kMaxGrantedRanges) {
    return absl::ResourceExhaustedError(StrCat("this writer holds ", granted->size(),
                                               " ranges of stripes; ask for more at a time"));
  } else {
    disk::IdRange* range = granted->Add();
    range->set_first(first);
    range->set_count(count);
  }
  wire::StripeRange range;
  range.set_first(first);
  range.set_count(count);
  return range;
}

}  // namespace cairn
