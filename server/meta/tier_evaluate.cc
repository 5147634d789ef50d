#include "server/meta/tier_evaluate.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/base/status_macros.h"
#include "server/meta/checkpoint.h"
#include "server/meta/families.h"
#include "server/meta/keys.h"
#include "server/meta/records.h"
#include "server/meta/tier_rules.h"
#include "server/meta/tier_subject.h"

namespace cairn {
namespace {

using Record = disk::TierSubjectRecord;

constexpr uint32_t kItemsMax = 4096;
constexpr int kSparesLookedAt = 4096;
// Ages are known again some time.
constexpr uint64_t kDoubtSeconds = 60;

void Enqueue(Record* record, wire::TierStep step, TierPriority priority, int64_t now_ns) {
  record->set_step(step);
  record->set_priority(static_cast<uint32_t>(priority));
  record->set_step_since_ns(now_ns);
}

TierPriority PriorityOf(wire::TierStep step) {
  switch (step) {
    case wire::TIER_STEP_RECALL:
      return TierPriority::kPromote;
    case wire::TIER_STEP_RELEASE:
      return TierPriority::kRelease;
    default:
      return TierPriority::kArchive;
  }
}

// What an operator has asked for comes before what policies say, and without them.
std::optional<wire::TierStep> WantedStep(const Record& record) {
  switch (record.wanted()) {
    case wire::TIER_PUSH:
      if (!record.copied() || record.manifest_is_old()) return wire::TIER_STEP_ARCHIVE;
      return std::nullopt;
    case wire::TIER_RELEASE:
      if (record.released() && !record.partly()) return std::nullopt;
      return record.copied() ? wire::TIER_STEP_RELEASE : wire::TIER_STEP_ARCHIVE;
    case wire::TIER_FETCH:
      if (!record.released() && !record.partly()) return std::nullopt;
      return wire::TIER_STEP_RECALL;
    default:
      return std::nullopt;
  }
}

void EnqueueWanted(Record* record, wire::TierStep step, int64_t now_ns) {
  TierPriority priority = TierPriority::kPush;
  if (step == wire::TIER_STEP_RECALL) priority = TierPriority::kFetch;
  if (step == wire::TIER_STEP_RELEASE) priority = TierPriority::kRelease;
  Enqueue(record, step, priority, now_ns);
}

// The checkpoint that `sequence` has pushed out of the newest `keep_hot` is looked at, too.
absl::Status WakePushedOut(Transaction& txn, InodeId parent, uint64_t sequence, uint32_t keep_hot) {
  const std::string prefix = CheckpointIndexPrefix(parent);
  std::string end = CheckpointIndexKey(parent, sequence);
  std::optional<Transaction::KeyValue> entry;
  for (uint32_t i = 0; i < std::max(keep_hot, 1u); ++i) {
    ASSIGN_OR_RETURN(entry, txn.FindLast(kFamilyCheckpoint, prefix, end));
    if (!entry.has_value()) return absl::OkStatus();
    end = entry->first;
  }
  disk::CheckpointIndexRecord index;
  RETURN_IF_ERROR(ParseRecord(kFamilyCheckpoint, entry->second, index));
  return WakeSubject(txn, InodeId(index.inode()));
}

// What no policy and no operator has anything to do with, and what has no copy, is forgotten.
bool IsForgotten(const Record& record) {
  return !record.copied() && !record.partly() && record.manifests().empty() &&
         record.step() == wire::TIER_STEP_NONE && record.wanted() == wire::TIER_ACTION_UNSPECIFIED;
}

// Takes over what the decision says. `now_ns` is the command's.
void ApplyDecision(const TierDecision& decision, const PolicyAbove& above, const TierFacts& facts,
                   int64_t now_ns, bool ages_known, Record* record) {
  if (decision.now == wire::TIER_STEP_ARCHIVE) record->set_tier(above.policy.tier());
  if (decision.now != wire::TIER_STEP_NONE)
    Enqueue(record, decision.now, PriorityOf(decision.now), now_ns);
  if (decision.next_at_ns.has_value())
    record->set_due_ns(std::max(*decision.next_at_ns, TierTimeAfter(now_ns, 1)));
  if (!ages_known && decision.now == wire::TIER_STEP_NONE)
    record->set_due_ns(TierTimeAfter(now_ns, kDoubtSeconds));
  if (decision.spare) {
    record->set_spare_policy(above.directory.value());
    record->set_spare_order_ns(std::max({facts.read_at_ns, facts.written_at_ns, int64_t{1}}));
  }
}

// A step of a policy that holds no more is taken back, where it has not begun to change anything.
void TakeBackStep(Record* record) {
  const bool by_policy = record->wanted() == wire::TIER_ACTION_UNSPECIFIED;
  if (!by_policy || record->step() == wire::TIER_STEP_NONE) return;
  if (record->partly()) return;
  record->set_step(wire::TIER_STEP_NONE);
}

absl::Status Evaluate(Transaction& txn, InodeId inode, const Record& before,
                      const CommandFacts& facts) {
  Record after = before;
  after.set_due_ns(0);
  after.set_spare_policy(0);
  after.set_fresh(false);
  TakeBackStep(&after);
  ASSIGN_OR_RETURN(const auto above, FindPolicyAbove(txn, InodeId(before.parent())));
  const uint32_t keep_hot = above.has_value() ? above->policy.keep_hot() : 0;
  ASSIGN_OR_RETURN(const TierFacts subject, FactsOf(txn, inode, before, keep_hot));
  if (before.fresh() && subject.is_checkpoint && above.has_value()) {
    ASSIGN_OR_RETURN(const disk::CheckpointRecord record, LoadCheckpoint(txn, inode));
    RETURN_IF_ERROR(
        WakePushedOut(txn, InodeId(record.parent()), record.commit_sequence(), keep_hot));
  }
  if (after.step() != wire::TIER_STEP_NONE) return StoreSubject(txn, inode, before, after);
  // Pinned since it was asked for.
  if (after.wanted() == wire::TIER_RELEASE && subject.pinned)
    after.set_wanted(wire::TIER_ACTION_UNSPECIFIED);
  const std::optional<wire::TierStep> wanted = WantedStep(after);
  if (!wanted.has_value()) after.set_wanted(wire::TIER_ACTION_UNSPECIFIED);
  if (wanted.has_value()) {
    EnqueueWanted(&after, *wanted, facts.now_ns());
  } else if (after.partly() && !after.held()) {
    // Cut short: it goes on in the direction that it had. What has lost its copy is copied first.
    wire::TierStep step = wire::TIER_STEP_RECALL;
    if (!after.released())
      step = after.copied() ? wire::TIER_STEP_RELEASE : wire::TIER_STEP_ARCHIVE;
    EnqueueWanted(&after, step, facts.now_ns());
  } else if (above.has_value() && !after.held()) {
    const TierDecision decision = DecideTier(above->policy, subject, facts.age_now_ns());
    if (decision.now == wire::TIER_STEP_DELETE) return RemoveCheckpoint(txn, inode, facts.now_ns());
    ApplyDecision(decision, *above, subject, facts.now_ns(), facts.age_now_ns().has_value(),
                  &after);
  }
  if (after.manifest_is_old() && after.step() == wire::TIER_STEP_NONE)
    Enqueue(&after, wire::TIER_STEP_ARCHIVE, TierPriority::kArchive, facts.now_ns());
  if (!above.has_value() && IsForgotten(after)) return DropSubject(txn, inode);
  // It has waited since then, and may be under way.
  if (after.step() == before.step() && after.priority() == before.priority())
    after.set_step_since_ns(before.step_since_ns());
  return StoreSubject(txn, inode, before, after);
}

// Its name leads to it.
absl::StatusOr<bool> IsThere(const Transaction& txn, InodeId inode, const Record& record) {
  ASSIGN_OR_RETURN(const std::optional<Node> node,
                   FindEntry(txn, InodeId(record.parent()), record.name()));
  return node.has_value() && node->inode == inode;
}

absl::Status LookAt(Transaction& txn, InodeId inode, const std::string& due_key,
                    const CommandFacts& facts) {
  ASSIGN_OR_RETURN(const std::optional<Record> record, FindSubject(txn, inode));
  if (!record.has_value()) {
    txn.Delete(kFamilyTier, due_key);
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const bool is_there, IsThere(txn, inode, *record));
  if (!is_there) return DropSubject(txn, inode);
  const Transaction::Savepoint before = txn.Mark();
  const absl::Status evaluated = Evaluate(txn, inode, *record, facts);
  if (evaluated.ok()) return evaluated;
  RETURN_IF_ERROR(txn.store_error());
  txn.RollBack(before);
  Record failed = *record;
  failed.set_due_ns(0);
  failed.set_error(std::string(evaluated.message()));
  failed.set_error_at_ns(facts.now_ns());
  failed.set_failures(failed.failures() + 1);
  return StoreSubject(txn, inode, record, failed);
}

struct Due {
  InodeId inode;
  std::string key;
};
struct DuePage {
  std::vector<Due> due;
  bool more = false;
  int64_t next_ns = 0;
};

absl::Status DamagedKey() {
  return absl::DataLossError("metadata: a key of family \"tier\" is damaged");
}

// Both queues are read from where something may be left: before it, there is a tombstone for all
// that has passed through them.
absl::Status CollectDueNow(Transaction& txn, size_t limit, DuePage* page) {
  ASSIGN_OR_RETURN(const uint64_t from, txn.Read(Counter::kOldestTierDue));
  ASSIGN_OR_RETURN(const uint64_t end, txn.Read(Counter::kNextTierDue));
  Transaction::Scan scan(txn, kFamilyTier, TierDueNowKey(from), TierDueNowKey(end));
  uint64_t oldest_left = end;
  for (; scan.Valid(); scan.Next()) {
    uint64_t order = 0, inode = 0;
    if (!KeyReader(scan.key().substr(1)).ReadU64(&order) ||
        !KeyReader(scan.value()).ReadU64(&inode))
      return DamagedKey();
    if (page->due.size() == limit) {
      page->more = true;
      oldest_left = order;
      break;
    }
    page->due.push_back({InodeId(inode), std::string(scan.key())});
  }
  RETURN_IF_ERROR(scan.status());
  return txn.Raise(Counter::kOldestTierDue, oldest_left);
}

absl::Status CollectDueByTime(Transaction& txn, int64_t now_ns, size_t limit, DuePage* page) {
  ASSIGN_OR_RETURN(const uint64_t from, txn.Read(Counter::kTierDueFrom));
  // What is left is due after now, or the first that did not fit.
  uint64_t left_from = static_cast<uint64_t>(std::max<int64_t>(now_ns, 0)) + 1;
  Transaction::Scan scan(txn, kFamilyTier, TierDueKey(static_cast<int64_t>(from), InodeId()),
                         PrefixEnd("d"));
  for (; scan.Valid(); scan.Next()) {
    uint64_t at = 0, inode = 0;
    KeyReader reader(scan.key().substr(1));
    if (!reader.ReadU64(&at) || !reader.ReadU64(&inode)) return DamagedKey();
    if (static_cast<int64_t>(at) > now_ns || static_cast<int64_t>(at) < 0) {
      page->next_ns = static_cast<int64_t>(at);
      break;
    }
    if (page->due.size() == limit) {
      page->more = true;
      left_from = at;
      break;
    }
    page->due.push_back({InodeId(inode), std::string(scan.key())});
  }
  RETURN_IF_ERROR(scan.status());
  return txn.Raise(Counter::kTierDueFrom, left_from);
}

absl::StatusOr<DuePage> CollectDue(Transaction& txn, int64_t now_ns, size_t limit) {
  DuePage page;
  RETURN_IF_ERROR(CollectDueNow(txn, limit, &page));
  RETURN_IF_ERROR(CollectDueByTime(txn, now_ns, limit, &page));
  return page;
}

// The oldest that a policy lets go of when space is short, until `bytes` are reached.
absl::StatusOr<uint64_t> LetGo(Transaction& txn, uint64_t policy, uint64_t bytes, int64_t now_ns) {
  const std::string prefix = policy == 0 ? "h" : TierSparePrefix(policy);
  std::vector<InodeId> spares;
  Transaction::Scan scan(txn, kFamilyTier, prefix, PrefixEnd(prefix));
  for (int i = 0; scan.Valid() && i < kSparesLookedAt; scan.Next(), ++i) {
    uint64_t of = 0, order = 0, inode = 0;
    KeyReader reader(scan.key().substr(1));
    if (!reader.ReadU64(&of) || !reader.ReadU64(&order) || !reader.ReadU64(&inode))
      return DamagedKey();
    spares.emplace_back(inode);
  }
  RETURN_IF_ERROR(scan.status());
  uint64_t freed = 0;
  for (const InodeId inode : spares) {
    if (freed >= bytes) break;
    ASSIGN_OR_RETURN(const std::optional<Record> before, FindSubject(txn, inode));
    if (!before.has_value() || before->step() != wire::TIER_STEP_NONE) continue;
    Record after = *before;
    after.set_spare_policy(0);
    Enqueue(&after, wire::TIER_STEP_RELEASE, TierPriority::kRelease, now_ns);
    RETURN_IF_ERROR(StoreSubject(txn, inode, before, after));
    freed += after.size_bytes();
  }
  return freed;
}

}  // namespace

absl::StatusOr<disk::RunTieringReply> RunTiering(Transaction& txn, const disk::RunTiering& request,
                                                 const CommandFacts& facts) {
  disk::RunTieringReply reply;
  const size_t limit = std::clamp(request.max_items(), 1u, kItemsMax);
  ASSIGN_OR_RETURN(const DuePage page, CollectDue(txn, facts.now_ns(), limit));
  for (const Due& due : page.due) RETURN_IF_ERROR(LookAt(txn, due.inode, due.key, facts));
  reply.set_looked_at(static_cast<uint32_t>(page.due.size()));
  reply.set_more(page.more);
  reply.set_next_due_ns(page.next_ns);
  for (const disk::RunTiering::Pressure& pressure : request.pressures()) {
    ASSIGN_OR_RETURN(const uint64_t freed,
                     LetGo(txn, pressure.policy(), pressure.bytes(), facts.now_ns()));
    reply.set_spared_bytes(reply.spared_bytes() + freed);
  }
  return reply;
}

}  // namespace cairn
