#include "server/meta/tier_files.h"

#include <algorithm>
#include <utility>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "server/meta/cold.h"
#include "server/meta/families.h"
#include "server/meta/keys.h"
#include "server/meta/listing.h"
#include "server/meta/records.h"
#include "server/meta/tier_subject.h"
#include "server/meta/tree.h"

namespace cairn {
namespace {

// Steps looked at to find some that are not under way already.
constexpr size_t kTasksLookedAt = 10'000;
// Bytes that lie with the metadata weigh on a page as so many a run.
constexpr size_t kBytesPerRun = 1024;

class PageReader {
 public:
  PageReader(const Transaction& txn, size_t runs_max) : txn_(txn), left_(runs_max) {}

  // False: the page is full, and goes on in this file, or after it.
  absl::StatusOr<bool> AddFile(std::string path, InodeId inode, uint64_t offset_bytes) {
    ASSIGN_OR_RETURN(disk::InodeRecord record, LoadInode(txn_, inode));
    if (record.incomplete()) return true;
    TierFile file{std::move(path), inode, std::move(record), {}, {}};
    Transaction::Scan scan(txn_, kFamilyExtent, ExtentKey(inode, offset_bytes),
                           PrefixEnd(ExtentPrefix(inode)));
    for (; scan.Valid(); scan.Next()) {
      uint64_t id = 0, offset = 0;
      KeyReader reader(scan.key());
      disk::ExtentRecord extent;
      RETURN_IF_ERROR(ParseRecord(kFamilyExtent, scan.value(), extent));
      if (!reader.ReadU64(&id) || !reader.ReadU64(&offset))
        return absl::DataLossError("metadata: an extent's key is damaged");
      if (left_ == 0) {
        page_.next = {file.path, inode, offset};
        page_.files.push_back(std::move(file));
        return false;
      }
      if (extent.stripe_count() == 0) {
        left_ -= std::min(left_, 1 + extent.data().size() / kBytesPerRun);
        file.bytes.push_back({offset, extent.length_bytes(), std::move(*extent.mutable_data())});
        continue;
      }
      if (extent.run_bytes() != 0) {
        return absl::FailedPreconditionError(
            StrCat("a file was changed where it lies, and its pieces are not gathered yet: ",
                   file.path.empty() ? file.record.name() : file.path));
      }
      ASSIGN_OR_RETURN(TierRun run, ReadRun(offset, extent.first_stripe()));
      const size_t cost = 1 + static_cast<size_t>(run.cold.parts_size()) / 16;
      left_ -= std::min(left_, cost);
      file.runs.push_back(std::move(run));
    }
    RETURN_IF_ERROR(scan.status());
    // A file costs something without a run, too.
    if (file.runs.empty() && file.bytes.empty() && left_ > 0) --left_;
    page_.next = {file.path, {}, 0};
    page_.files.push_back(std::move(file));
    return left_ > 0;
  }

  TierPage Take(bool last) {
    page_.last = last;
    return std::move(page_);
  }

 private:
  absl::StatusOr<TierRun> ReadRun(uint64_t offset, uint64_t first_stripe) {
    TierRun run;
    run.offset_bytes = offset;
    run.first_stripe = first_stripe;
    ASSIGN_OR_RETURN(run.record, Load<disk::StripeRunRecord>(txn_, kFamilyStripeRun,
                                                             StripeRunKey(first_stripe)));
    if (!run.record.cold()) return run;
    ASSIGN_OR_RETURN(const auto cold, FindColdRun(txn_, first_stripe));
    if (cold.has_value()) run.cold = *cold;
    for (const auto& part : run.cold.parts()) {
      ASSIGN_OR_RETURN(wire::ColdPlace place, PlaceOf(txn_, part));
      run.places.push_back(std::move(place));
    }
    return run;
  }

  const Transaction& txn_;
  size_t left_;
  TierPage page_;
};

}  // namespace

absl::StatusOr<TierPage> ReadTierFiles(const Transaction& txn, InodeId subject,
                                       const TierCursor& from, size_t runs_max) {
  ASSIGN_OR_RETURN(const auto record,
                   Find<disk::InodeRecord>(txn, kFamilyInode, InodeKey(subject)));
  if (!record.has_value()) return absl::NotFoundError("it has gone");
  PageReader reader(txn, runs_max);
  if (record->type() == disk::INODE_FILE) {
    RETURN_IF_ERROR(reader.AddFile("", subject, from.offset_bytes).status());
    TierPage page = reader.Take(false);
    page.last = page.next.inode.value() == 0;
    return page;
  }
  if (from.inode.value() != 0) {
    ASSIGN_OR_RETURN(const bool more, reader.AddFile(from.after, from.inode, from.offset_bytes));
    if (!more) return reader.Take(false);
  }
  bool full = false;
  const auto visit = [&](const WalkEntry& entry) -> absl::StatusOr<Visit> {
    if (full) return Visit::kStop;
    if (entry.node.type != disk::INODE_FILE) return Visit::kDescend;
    ASSIGN_OR_RETURN(const bool more, reader.AddFile(entry.path, entry.node.inode, 0));
    full = !more;
    return Visit::kNext;
  };
  RETURN_IF_ERROR(Walk(txn, subject, from.after, visit));
  return reader.Take(!full);
}

bool TierTaskFilter::Passes(const TierTask& task) const {
  if (subjects.contains(task.subject.value())) return false;
  switch (task.record.step()) {
    case wire::TIER_STEP_ARCHIVE:
      return !no_archive.contains(task.record.tier());
    case wire::TIER_STEP_RECALL:
      return !no_recall.contains(task.record.tier());
    default:
      return true;
  }
}

absl::StatusOr<TierTaskPage> NextTierTasks(const Transaction& txn, const TierTaskFilter& filter,
                                           const std::string& from, size_t limit) {
  TierTaskPage page;
  std::vector<InodeId> waiting;
  Transaction::Scan scan(txn, kFamilyTier, "w" + from, PrefixEnd("w"));
  for (; scan.Valid(); scan.Next()) {
    if (waiting.size() == kTasksLookedAt) {
      page.next = scan.key().substr(1);
      break;
    }
    uint32_t priority = 0;
    uint64_t since = 0, inode = 0;
    KeyReader reader(scan.key().substr(1));
    if (!reader.ReadU32(&priority) || !reader.ReadU64(&since) || !reader.ReadU64(&inode))
      return absl::DataLossError("metadata: a key of family \"tier\" is damaged");
    waiting.emplace_back(inode);
  }
  RETURN_IF_ERROR(scan.status());
  for (const InodeId inode : waiting) {
    if (page.tasks.size() == limit) break;
    ASSIGN_OR_RETURN(const auto record, FindSubject(txn, inode));
    // Gone since the scan.
    if (!record.has_value()) continue;
    TierTask task{inode, *record};
    if (filter.Passes(task)) page.tasks.push_back(std::move(task));
  }
  return page;
}

}  // namespace cairn
