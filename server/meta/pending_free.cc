#include "server/meta/pending_free.h"

#include <algorithm>
#include <optional>
#include <string>

#include "common/base/status_macros.h"
#include "server/meta/keys.h"
#include "server/meta/records.h"

namespace cairn {
namespace {

// References looked at for one call: bounds its time when an entry is full of them.
constexpr size_t kMaxRunsScanned = 65536;

absl::Status Queue(Transaction& txn, const disk::PendingFreeRecord& record) {
  ASSIGN_OR_RETURN(const uint64_t sequence, txn.Add(Counter::kNextPending, 1));
  Store(txn, kFamilyPendingFree, SequenceKey(sequence), record);
  return txn.Add(Counter::kPendingFreeBytes, record.length_bytes()).status();
}

absl::Status NoteOldest(Transaction& txn) {
  ASSIGN_OR_RETURN(uint64_t oldest, txn.Read(Counter::kOldestPending));
  ASSIGN_OR_RETURN(const uint64_t next, txn.Read(Counter::kNextPending));
  Transaction::Scan scan(txn, kFamilyPendingFree, SequenceKey(oldest), SequenceKey(next));
  oldest = next;
  if (scan.Valid()) KeyReader(scan.key()).ReadU64(&oldest);
  RETURN_IF_ERROR(scan.status());
  return txn.Raise(Counter::kOldestPending, oldest);
}

struct LiveRuns {
  std::vector<StripeSpan> spans;
  uint64_t known_below = 0;  // the scan stopped there
};

// The referenced runs that touch `range`, which is part of an entry that begins at `entry_first`,
// at most `limit` of them. An entry begins where a grant or a run does, and no run leaves the grant
// it began in: none from before the entry reaches into it.
absl::StatusOr<LiveRuns> FindLive(const Transaction& txn, uint64_t entry_first, StripeSpan range,
                                  size_t limit) {
  LiveRuns live;
  live.known_below = range.end();
  // The run that starts before the range may reach into it.
  uint64_t from = range.first;
  ASSIGN_OR_RETURN(const auto before, txn.FindLast(kFamilyStripeRun, StripeRunKey(entry_first),
                                                   StripeRunKey(range.first)));
  if (before.has_value()) KeyReader(before->first).ReadU64(&from);
  Transaction::Scan scan(txn, kFamilyStripeRun, StripeRunKey(from), StripeRunKey(range.end()));
  for (; scan.Valid(); scan.Next()) {
    StripeSpan span;
    disk::StripeRunRecord run;
    RETURN_IF_ERROR(ParseRecord(kFamilyStripeRun, scan.value(), run));
    if (!KeyReader(scan.key()).ReadU64(&span.first)) {
      return absl::DataLossError("metadata: a key of family \"stripe_run\" is damaged");
    }
    span.count = run.stripe_count();
    if (span.end() <= range.first || run.released()) continue;
    if (live.spans.size() == limit) {
      live.known_below = std::max(span.first, range.first);
      return live;
    }
    live.spans.push_back(span);
  }
  RETURN_IF_ERROR(scan.status());
  return live;
}

}  // namespace

absl::Status QueueRange(Transaction& txn, StripeSpan range) {
  if (range.count == 0) return absl::OkStatus();
  disk::PendingFreeRecord record;
  record.set_first(range.first);
  record.set_count(range.count);
  return Queue(txn, record);
}

absl::Status QueueRun(Transaction& txn, StripeSpan run, uint64_t length_bytes,
                      const google::protobuf::RepeatedField<uint32_t>& groups) {
  disk::PendingFreeRecord record;
  record.set_first(run.first);
  record.set_count(run.count);
  record.set_length_bytes(length_bytes);
  *record.mutable_groups() = groups;
  return Queue(txn, record);
}

absl::StatusOr<std::vector<ReclaimItem>> CollectReclaimable(const Transaction& txn,
                                                            ReclaimPosition from,
                                                            uint64_t below_sequence, size_t limit) {
  std::vector<ReclaimItem> items;
  size_t runs_left = kMaxRunsScanned, spans_left = std::max<size_t>(limit, 1);
  ASSIGN_OR_RETURN(const uint64_t oldest, txn.Read(Counter::kOldestPending));
  Transaction::Scan scan(txn, kFamilyPendingFree, SequenceKey(std::max(oldest, from.sequence)),
                         SequenceKey(below_sequence));
  for (; scan.Valid() && runs_left > 0 && spans_left > 0; scan.Next()) {
    ReclaimItem item;
    disk::PendingFreeRecord record;
    RETURN_IF_ERROR(ParseRecord(kFamilyPendingFree, scan.value(), record));
    if (!KeyReader(scan.key()).ReadU64(&item.sequence)) {
      return absl::DataLossError("metadata: a key of family \"pending_free\" is damaged");
    }
    StripeSpan range{record.first(), record.count()};
    if (item.sequence == from.sequence && from.stripe > range.first) {
      if (from.stripe >= range.end()) continue;
      range = {from.stripe, range.end() - from.stripe};
    }
    // One more span than references lies between them.
    ASSIGN_OR_RETURN(const LiveRuns live,
                     FindLive(txn, record.first(), range, std::min(runs_left, spans_left)));
    item.next_stripe = live.known_below;
    item.stripes = SubtractLive({range.first, live.known_below - range.first}, live.spans);
    item.groups.assign(record.groups().begin(), record.groups().end());
    runs_left -= live.spans.size();
    spans_left -= std::min(spans_left, std::max<size_t>(item.stripes.size(), 1));
    items.push_back(std::move(item));
  }
  RETURN_IF_ERROR(scan.status());
  return items;
}

absl::Status FinishReclaim(Transaction& txn, const disk::FinishReclaim& request) {
  for (const disk::FinishReclaim::Item& item : request.items()) {
    const std::string key = SequenceKey(item.sequence());
    ASSIGN_OR_RETURN(auto record, Find<disk::PendingFreeRecord>(txn, kFamilyPendingFree, key));
    if (!record.has_value() || item.next_stripe() <= record->first()) continue;
    const uint64_t done = item.next_stripe() - record->first();
    if (done >= record->count()) {
      txn.Delete(kFamilyPendingFree, key);
      RETURN_IF_ERROR(txn.Subtract(Counter::kPendingFreeBytes, record->length_bytes()));
    } else {
      record->set_first(item.next_stripe());
      record->set_count(record->count() - done);
      Store(txn, kFamilyPendingFree, key, *record);
    }
  }
  return NoteOldest(txn);
}

}  // namespace cairn
