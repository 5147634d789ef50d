#include "server/meta/extents.h"

#include <algorithm>
#include <cerrno>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/base/crc32c.h"
#include "common/base/posix_error.h"
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

// Cutting more at once would hold up all other commands.
constexpr size_t kCutMax = 65'536;

absl::Status CheckPlace(const wire::ExtentRun& run, uint64_t offset_bytes) {
  if (run.length_bytes() == 0) return Bad("the run at byte ", offset_bytes, " is empty");
  constexpr uint64_t kEnd = INT64_MAX;
  if (offset_bytes > kEnd || run.length_bytes() > kEnd - offset_bytes)
    return Bad("a file is too long");
  return absl::OkStatus();
}

absl::Status CheckStripes(const wire::ExtentRun& run, uint64_t offset_bytes) {
  if (run.run_bytes() != 0 || run.skip_bytes() != 0 || !run.data().empty()) {
    return Bad("the run at byte ", offset_bytes, " is not whole");
  }
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

absl::Status CheckShape(const wire::ExtentRun& run, uint64_t offset_bytes) {
  if (run.offset_bytes() != offset_bytes) {
    return Bad("a run starts at byte ", run.offset_bytes(), " where ", offset_bytes, " is next");
  }
  RETURN_IF_ERROR(CheckPlace(run, offset_bytes));
  return CheckStripes(run, offset_bytes);
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
  if (run.stripe_count() == 0) {
    extent.set_data(run.data());
    return extent;
  }
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

namespace {

bool HasStripes(const disk::ExtentRecord& extent) { return extent.stripe_count() > 0; }
bool IsHole(const disk::ExtentRecord& extent) {
  return !HasStripes(extent) && extent.data().empty();
}
bool IsPartial(const disk::ExtentRecord& extent) { return extent.run_bytes() != 0; }

// Adds what an extent counts for, or takes it off.
enum class Sign { kAdd, kTakeOff };
void Count(const disk::ExtentRecord& extent, Sign sign, ExtentCounts* counts) {
  const auto change = [sign](uint64_t* count, uint64_t by) {
    *count = sign == Sign::kAdd ? *count + by : *count - std::min(*count, by);
  };
  change(&counts->inline_bytes, extent.data().size());
  if (IsHole(extent)) change(&counts->hole_bytes, extent.length_bytes());
  change(&counts->extents, 1);
  if (IsPartial(extent)) change(&counts->partial, 1);
}

struct PlacedExtent {
  uint64_t offset_bytes = 0;
  disk::ExtentRecord record;
  uint64_t end() const { return offset_bytes + record.length_bytes(); }
};

absl::StatusOr<uint64_t> OffsetOf(std::string_view key) {
  uint64_t id = 0, offset = 0;
  KeyReader reader(key);
  if (!reader.ReadU64(&id) || !reader.ReadU64(&offset))
    return absl::DataLossError("metadata: an extent's key is damaged");
  return offset;
}

absl::StatusOr<std::optional<PlacedExtent>> LastExtentBefore(const Transaction& txn, InodeId inode,
                                                             uint64_t offset_bytes) {
  ASSIGN_OR_RETURN(const auto before, txn.FindLast(kFamilyExtent, ExtentKey(inode, 0),
                                                   ExtentKey(inode, offset_bytes)));
  if (!before.has_value()) return std::nullopt;
  PlacedExtent extent;
  ASSIGN_OR_RETURN(extent.offset_bytes, OffsetOf(before->first));
  RETURN_IF_ERROR(ParseRecord(kFamilyExtent, before->second, extent.record));
  return extent;
}

// Those that have something of [begin, end).
absl::StatusOr<std::vector<PlacedExtent>> ExtentsIn(const Transaction& txn, InodeId inode,
                                                    uint64_t begin, uint64_t end) {
  std::vector<PlacedExtent> extents;
  ASSIGN_OR_RETURN(auto first, LastExtentBefore(txn, inode, begin));
  if (first.has_value() && first->end() > begin) extents.push_back(*std::move(first));
  Transaction::Scan scan(txn, kFamilyExtent, ExtentKey(inode, begin), ExtentKey(inode, end));
  for (; scan.Valid(); scan.Next()) {
    if (extents.size() == kCutMax) {
      return absl::ResourceExhaustedError(StrCat(
          "the file consists of over ", kCutMax,
          " pieces there, too many to be replaced at once: truncate or write it in smaller steps"));
    }
    PlacedExtent& extent = extents.emplace_back();
    ASSIGN_OR_RETURN(extent.offset_bytes, OffsetOf(scan.key()));
    RETURN_IF_ERROR(ParseRecord(kFamilyExtent, scan.value(), extent.record));
  }
  RETURN_IF_ERROR(scan.status());
  return extents;
}

void StoreExtent(Transaction& txn, InodeId inode, const PlacedExtent& extent,
                 ExtentCounts* counts) {
  Store(txn, kFamilyExtent, ExtentKey(inode, extent.offset_bytes), extent.record);
  Count(extent.record, Sign::kAdd, counts);
}

// What of it lies in [begin, end), which it reaches over.
PlacedExtent CutExtent(const PlacedExtent& extent, uint64_t begin, uint64_t end) {
  PlacedExtent cut = extent;
  const uint64_t skip = begin - extent.offset_bytes, length = end - begin;
  cut.offset_bytes = begin;
  cut.record.set_length_bytes(length);
  if (HasStripes(extent.record)) {
    const uint64_t run = extent.record.run_bytes();
    cut.record.set_run_bytes(run != 0 ? run : extent.record.length_bytes());
    cut.record.set_skip_bytes(extent.record.skip_bytes() + skip);
  } else if (!IsHole(extent.record)) {
    cut.record.set_data(extent.record.data().substr(skip, length));
  }
  return cut;
}

absl::Status AddReference(Transaction& txn, uint64_t first_stripe) {
  const std::string key = StripeRunKey(first_stripe);
  ASSIGN_OR_RETURN(disk::StripeRunRecord run,
                   Load<disk::StripeRunRecord>(txn, kFamilyStripeRun, key));
  run.set_references(run.references() + 1);
  Store(txn, kFamilyStripeRun, key, run);
  return absl::OkStatus();
}

// Its runs are exchanged whole when they come back from there.
absl::Status CheckNotReleased(const Transaction& txn, const PlacedExtent& extent) {
  ASSIGN_OR_RETURN(const auto run,
                   Load<disk::StripeRunRecord>(txn, kFamilyStripeRun,
                                               StripeRunKey(extent.record.first_stripe())));
  if (!run.released()) return absl::OkStatus();
  return PosixError(EREMOTE, "some of the file lies in a cold tier alone: fetch it first");
}

// The file has nothing in [begin, end) afterwards, and has to be given something.
absl::Status CutOut(Transaction& txn, InodeId inode, uint64_t begin, uint64_t end,
                    ExtentCounts* counts) {
  if (begin >= end) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::vector<PlacedExtent> extents, ExtentsIn(txn, inode, begin, end));
  for (const PlacedExtent& extent : extents) {
    const bool left = extent.offset_bytes<begin, right = extent.end()> end;
    if ((left || right) && HasStripes(extent.record))
      RETURN_IF_ERROR(CheckNotReleased(txn, extent));
    txn.Delete(kFamilyExtent, ExtentKey(inode, extent.offset_bytes));
    Count(extent.record, Sign::kTakeOff, counts);
    if (left) StoreExtent(txn, inode, CutExtent(extent, extent.offset_bytes, begin), counts);
    if (right) StoreExtent(txn, inode, CutExtent(extent, end, extent.end()), counts);
    if (!HasStripes(extent.record)) continue;
    if (left && right) RETURN_IF_ERROR(AddReference(txn, extent.record.first_stripe()));
    if (!left && !right) RETURN_IF_ERROR(DropReference(txn, extent.record.first_stripe()).status());
  }
  return absl::OkStatus();
}

// Small appends, and holes, do not make an extent each.
absl::Status AddWithoutStripes(Transaction& txn, InodeId inode, PlacedExtent extent,
                               ExtentCounts* counts) {
  ASSIGN_OR_RETURN(const auto before, LastExtentBefore(txn, inode, extent.offset_bytes));
  const bool adjacent = before.has_value() && before->end() == extent.offset_bytes &&
                        !HasStripes(before->record) &&
                        IsHole(before->record) == IsHole(extent.record);
  const bool fits = IsHole(extent.record) ||
                    (adjacent && before->record.data().size() + extent.record.data().size() <=
                                     kInlineExtentBytesMax);
  if (adjacent && fits) {
    Count(before->record, Sign::kTakeOff, counts);
    extent.offset_bytes = before->offset_bytes;
    extent.record.set_data(before->record.data() + extent.record.data());
    extent.record.set_length_bytes(before->record.length_bytes() + extent.record.length_bytes());
  }
  StoreExtent(txn, inode, extent, counts);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ExtentCounts> CountExtents(const Transaction& txn, InodeId inode) {
  ExtentCounts counts;
  const std::string prefix = ExtentPrefix(inode);
  Transaction::Scan scan(txn, kFamilyExtent, prefix, PrefixEnd(prefix));
  for (; scan.Valid(); scan.Next()) {
    disk::ExtentRecord extent;
    RETURN_IF_ERROR(ParseRecord(kFamilyExtent, scan.value(), extent));
    Count(extent, Sign::kAdd, &counts);
  }
  RETURN_IF_ERROR(scan.status());
  return counts;
}

absl::Status CheckReplacement(const WireExtents& extents) {
  uint64_t end = 0;
  for (const wire::ExtentRun& run : extents) {
    if (run.offset_bytes() < end) return Bad("the run at byte ", run.offset_bytes(), " overlaps");
    RETURN_IF_ERROR(CheckPlace(run, run.offset_bytes()));
    end = run.offset_bytes() + run.length_bytes();
    if (run.has_cold()) return Bad("the run at byte ", run.offset_bytes(), " is cold");
    if (run.stripe_count() > 0) {
      RETURN_IF_ERROR(CheckStripes(run, run.offset_bytes()));
      continue;
    }
    const uint64_t bytes = run.data().size();
    if (bytes > kInlineExtentBytesMax || (bytes > 0 && bytes != run.length_bytes())) {
      return Bad("the run at byte ", run.offset_bytes(), " of ", run.length_bytes(),
                 " bytes carries ", bytes);
    }
  }
  return absl::OkStatus();
}

absl::Status ReplaceExtents(Transaction& txn, InodeId inode, uint64_t base_bytes,
                            const WireExtents& extents, const GrantedRanges& granted,
                            ExtentCounts* counts) {
  for (const wire::ExtentRun& each : extents) {
    if (each.offset_bytes() + each.length_bytes() > uint64_t{INT64_MAX} - base_bytes)
      return PosixError(EFBIG, "a file is too long");
    const uint64_t begin = base_bytes + each.offset_bytes();
    RETURN_IF_ERROR(CutOut(txn, inode, begin, begin + each.length_bytes(), counts));
    if (each.stripe_count() == 0) {
      RETURN_IF_ERROR(AddWithoutStripes(txn, inode, {begin, ToRecord(each)}, counts));
      continue;
    }
    ASSIGN_OR_RETURN(const uint64_t granted_from, CheckGranted(each, granted));
    RETURN_IF_ERROR(CheckUnused(txn, each, granted_from));
    wire::ExtentRun run = each;
    run.set_offset_bytes(begin);
    StoreRun(txn, inode, run);
    Count(ToRecord(run), Sign::kAdd, counts);
  }
  return absl::OkStatus();
}

absl::Status ResizeExtents(Transaction& txn, InodeId inode, uint64_t size_bytes, uint64_t end_bytes,
                           ExtentCounts* counts) {
  if (end_bytes < size_bytes) return CutOut(txn, inode, end_bytes, size_bytes, counts);
  if (end_bytes == size_bytes) return absl::OkStatus();
  PlacedExtent hole{size_bytes, {}};
  hole.record.set_length_bytes(end_bytes - size_bytes);
  return AddWithoutStripes(txn, inode, std::move(hole), counts);
}

wire::ExtentRun ToWireExtent(uint64_t offset_bytes, const disk::ExtentRecord& extent) {
  wire::ExtentRun run;
  run.set_offset_bytes(offset_bytes);
  run.set_length_bytes(extent.length_bytes());
  run.set_first_stripe(extent.first_stripe());
  run.set_stripe_count(extent.stripe_count());
  run.set_stripe_bytes(extent.stripe_bytes());
  *run.mutable_groups() = extent.groups();
  run.set_skip_bytes(extent.skip_bytes());
  run.set_run_bytes(extent.run_bytes());
  run.set_data(extent.data());
  return run;
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
    size_t cost = 1;
    if (HasStripes(extent)) {
      ASSIGN_OR_RETURN(cost, DropReference(txn, extent.first_stripe()));
    }
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
