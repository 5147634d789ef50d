#include "server/meta/tier_queries.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "server/meta/families.h"
#include "server/meta/keys.h"
#include "server/meta/listing.h"
#include "server/meta/paths.h"
#include "server/meta/records.h"
#include "server/meta/reply_size.h"
#include "server/meta/tier_files.h"
#include "server/meta/tier_rules.h"
#include "server/meta/tier_subject.h"
#include "server/meta/tree.h"

namespace cairn {
namespace {

using Record = disk::TierSubjectRecord;

// Subjects judged for one reply: a few reads each.
constexpr uint64_t kJudgedMax = 20'000;
// Runs looked at for how much of a subject is cold.
constexpr size_t kRunsLookedAt = 8192;
// Steps counted for how many wait.
constexpr uint64_t kQueueCounted = 100'000;

struct Subject {
  InodeId inode;
  std::string path;
  Record record;
  bool known = false;  // it has a record
};

absl::StatusOr<Subject> LoadSubject(const Transaction& txn, const Node& node, InodeId parent,
                                    std::string path) {
  Subject subject{node.inode, std::move(path), {}, false};
  ASSIGN_OR_RETURN(const auto record, FindSubject(txn, node.inode));
  if (record.has_value()) {
    subject.record = *record;
    subject.known = true;
    return subject;
  }
  const std::string name = subject.path.substr(subject.path.rfind('/') + 1);
  ASSIGN_OR_RETURN(subject.record, MakeSubject(txn, node, parent, name));
  return subject;
}

// The checkpoint or file at `path`, or the checkpoint that it is part of.
absl::StatusOr<Resolved> ResolveSubject(const Transaction& txn, const std::string& path) {
  ASSIGN_OR_RETURN(Resolved resolved, Resolve(txn, path, LatestAlias::kFollow));
  while (resolved.inside_checkpoint) {
    const std::string above = resolved.path.substr(0, resolved.path.rfind('/'));
    ASSIGN_OR_RETURN(resolved, Resolve(txn, above, LatestAlias::kIgnore));
  }
  return resolved;
}

absl::StatusOr<wire::TierVerdict> Judge(const Transaction& txn, const Subject& subject,
                                        const wire::TierPolicy* policy, int64_t now_ns) {
  wire::TierVerdict verdict;
  verdict.set_path(subject.path);
  verdict.set_checkpoint(subject.record.type() == disk::INODE_CHECKPOINT);
  verdict.set_size_bytes(subject.record.size_bytes());
  verdict.set_place(PlaceOf(subject.record));
  if (policy == nullptr) {
    verdict.set_rule("no policy holds here");
    return verdict;
  }
  ASSIGN_OR_RETURN(const TierFacts facts,
                   FactsOf(txn, subject.inode, subject.record, policy->keep_hot()));
  const TierDecision decision = DecideTier(*policy, facts, now_ns);
  verdict.set_now(decision.now);
  verdict.set_rule(decision.rule);
  verdict.set_next(decision.next);
  verdict.set_next_at_ns(decision.next_at_ns.value_or(0));
  return verdict;
}

// How much of it lies in a cold tier alone; of one that is only partly there, as far as is looked.
absl::StatusOr<uint64_t> ColdBytes(const Transaction& txn, const Subject& subject) {
  if (!subject.record.partly()) return subject.record.released() ? subject.record.size_bytes() : 0;
  uint64_t cold = 0;
  ASSIGN_OR_RETURN(const TierPage page, ReadTierFiles(txn, subject.inode, {}, kRunsLookedAt));
  for (const TierFile& file : page.files) {
    for (const TierRun& run : file.runs)
      if (run.record.released()) cold += run.record.length_bytes();
  }
  return cold;
}

bool IsSubject(const WalkEntry& entry) {
  return entry.node.type == disk::INODE_FILE || entry.node.type == disk::INODE_CHECKPOINT;
}

// Visits the checkpoints and files below a directory. False of `visit`: the page is full before
// this one.
absl::Status WalkSubjects(const Transaction& txn, InodeId directory, const std::string& after,
                          absl::FunctionRef<absl::StatusOr<bool>(const WalkEntry&)> visit) {
  const auto each = [&](const WalkEntry& entry) -> absl::StatusOr<Visit> {
    if (entry.node.type == disk::INODE_DIRECTORY) return Visit::kDescend;
    if (!IsSubject(entry)) return Visit::kNext;
    ASSIGN_OR_RETURN(const bool taken, visit(entry));
    return taken ? Visit::kNext : Visit::kStop;
  };
  return Walk(txn, directory, after, each);
}

void AddProgress(const Record& record, uint64_t cold_bytes, wire::TierProgressReply* reply) {
  reply->set_subjects(reply->subjects() + 1);
  reply->set_size_bytes(reply->size_bytes() + record.size_bytes());
  if (record.copied()) reply->set_copied_bytes(reply->copied_bytes() + record.size_bytes());
  reply->set_cold_bytes(reply->cold_bytes() + cold_bytes);
  const bool waits = record.step() != wire::TIER_STEP_NONE ||
                     record.wanted() != wire::TIER_ACTION_UNSPECIFIED ||
                     record.due_ns() == kTierDueNow;
  if (waits) reply->set_waiting(reply->waiting() + 1);
  if (record.failures() > 0) {
    reply->set_failed(reply->failed() + 1);
    reply->set_error(record.error());
  }
}

}  // namespace

absl::StatusOr<wire::ListTierPoliciesReply> ListTierPolicies(
    const Transaction& txn, const wire::ListTierPoliciesRequest& request) {
  wire::ListTierPoliciesReply reply;
  std::vector<wire::ListTierPoliciesReply::Entry> entries;
  const std::string prefix = TierPolicyPrefix();
  Transaction::Scan scan(txn, kFamilyPolicy, prefix, PrefixEnd(prefix));
  for (; scan.Valid(); scan.Next()) {
    uint64_t directory = 0;
    disk::TierPolicyRecord record;
    RETURN_IF_ERROR(ParseRecord(kFamilyPolicy, scan.value(), record));
    if (!KeyReader(scan.key().substr(prefix.size())).ReadU64(&directory))
      return absl::DataLossError("metadata: a key of family \"policy\" is damaged");
    const absl::StatusOr<std::string> path = PathOfDirectory(txn, InodeId(directory));
    // Unlinked, and not cleaned up yet.
    if (absl::IsNotFound(path.status())) continue;
    RETURN_IF_ERROR(path.status());
    if (*path <= request.start_after()) continue;
    wire::ListTierPoliciesReply::Entry entry;
    entry.set_path(*path);
    *entry.mutable_policy() = record.policy();
    entry.set_set_at_ns(record.set_at_ns());
    entry.set_directory(directory);
    entries.push_back(std::move(entry));
  }
  RETURN_IF_ERROR(scan.status());
  std::sort(entries.begin(), entries.end(),
            [](const auto& a, const auto& b) { return a.path() < b.path(); });
  ReplyBudget budget(request.limit());
  for (auto& entry : entries) {
    if (!budget.Take(entry)) {
      reply.set_more(true);
      break;
    }
    *reply.add_policies() = std::move(entry);
  }
  return reply;
}

absl::StatusOr<wire::TestTierPolicyReply> TestTierPolicy(
    const Transaction& txn, const wire::TestTierPolicyRequest& request) {
  if (request.has_policy()) RETURN_IF_ERROR(CheckTierPolicy(request.policy()));
  ASSIGN_OR_RETURN(const Resolved directory,
                   ResolveDirectory(txn, request.path(), LatestAlias::kIgnore));
  wire::TestTierPolicyReply reply;
  ReplyBudget budget(request.limit());
  uint64_t judged = 0;
  const auto visit = [&](const WalkEntry& entry) -> absl::StatusOr<bool> {
    ASSIGN_OR_RETURN(const Subject subject, LoadSubject(txn, entry.node, entry.parent,
                                                        JoinPath(request.path(), entry.path)));
    std::optional<PolicyAbove> above;
    if (!request.has_policy()) {
      ASSIGN_OR_RETURN(above, FindPolicyAbove(txn, entry.parent));
    }
    const wire::TierPolicy* policy = request.has_policy() ? &request.policy()
                                     : above.has_value()  ? &above->policy
                                                          : nullptr;
    ASSIGN_OR_RETURN(wire::TierVerdict verdict, Judge(txn, subject, policy, request.now_ns()));
    if (++judged > kJudgedMax || !budget.Take(verdict)) {
      reply.set_more(true);
      return false;
    }
    reply.set_next(entry.path);
    *reply.add_verdicts() = std::move(verdict);
    return true;
  };
  RETURN_IF_ERROR(WalkSubjects(txn, directory.node.inode, request.start_after(), visit));
  return reply;
}

absl::StatusOr<wire::TierQueueReply> TierQueue(const Transaction& txn,
                                               const wire::TierQueueRequest& request) {
  wire::TierQueueReply reply;
  ReplyBudget budget(request.limit());
  bool full = false;
  // Counted with the first page: the others are asked for right after it.
  const bool counts = request.start_after().empty();
  std::string from = "w";
  if (!request.start_after().empty()) from = "w" + request.start_after() + '\0';
  Transaction::Scan scan(txn, kFamilyTier, from, PrefixEnd("w"));
  for (; scan.Valid(); scan.Next()) {
    if (counts) reply.set_waiting(reply.waiting() + 1);
    if (full && (!counts || reply.waiting() > kQueueCounted)) break;
    if (full) continue;
    uint32_t priority = 0;
    uint64_t since = 0, inode = 0;
    KeyReader reader(scan.key().substr(1));
    if (!reader.ReadU32(&priority) || !reader.ReadU64(&since) || !reader.ReadU64(&inode))
      return absl::DataLossError("metadata: a key of family \"tier\" is damaged");
    ASSIGN_OR_RETURN(const auto record, FindSubject(txn, InodeId(inode)));
    if (!record.has_value()) continue;
    const absl::StatusOr<std::string> path = PathOfSubject(txn, InodeId(inode), *record);
    wire::TierQueueReply::Entry entry;
    entry.set_path(path.ok() ? *path : record->name());
    entry.set_step(record->step());
    entry.set_by_operator(record->wanted() != wire::TIER_ACTION_UNSPECIFIED);
    entry.set_since_ns(record->step_since_ns());
    entry.set_size_bytes(record->size_bytes());
    entry.set_tier(record->tier());
    entry.set_error(record->error());
    full = !budget.Take(entry);
    reply.set_more(full);
    if (full) continue;
    reply.set_next(std::string(scan.key().substr(1)));
    *reply.add_entries() = std::move(entry);
  }
  RETURN_IF_ERROR(scan.status());
  return reply;
}

absl::StatusOr<wire::ExplainTierReply> ExplainTier(const Transaction& txn,
                                                   const wire::ExplainTierRequest& request) {
  ASSIGN_OR_RETURN(const Resolved resolved, ResolveSubject(txn, request.path()));
  if (resolved.node.type == disk::INODE_DIRECTORY) {
    return absl::FailedPreconditionError(
        StrCat(Quoted(request.path()), " is a directory; for all below it: cairn tier policy test ",
               Printable(request.path())));
  }
  ASSIGN_OR_RETURN(const Subject subject,
                   LoadSubject(txn, resolved.node, resolved.parent, resolved.path));
  ASSIGN_OR_RETURN(const auto above, FindPolicyAbove(txn, resolved.parent));
  wire::ExplainTierReply reply;
  ASSIGN_OR_RETURN(
      *reply.mutable_verdict(),
      Judge(txn, subject, above.has_value() ? &above->policy : nullptr, request.now_ns()));
  if (above.has_value()) {
    ASSIGN_OR_RETURN(*reply.mutable_policy_path(), PathOfDirectory(txn, above->directory));
  }
  const Record& record = subject.record;
  reply.set_tier(record.tier());
  reply.set_written_at_ns(record.written_at_ns());
  reply.set_read_at_ns(record.read_at_ns());
  reply.set_step(record.step());
  reply.set_by_operator(record.wanted() != wire::TIER_ACTION_UNSPECIFIED);
  reply.set_failures(record.failures());
  reply.set_error(record.error());
  reply.set_error_at_ns(record.error_at_ns());
  if (record.failures() > 0 && record.due_ns() > kTierDueNow)
    reply.set_try_again_at_ns(record.due_ns());
  reply.set_held(record.held());
  if (record.hot_until_ns() > request.now_ns()) reply.set_hot_until_ns(record.hot_until_ns());
  ASSIGN_OR_RETURN(const uint64_t cold_bytes, ColdBytes(txn, subject));
  reply.set_cold_bytes(cold_bytes);
  return reply;
}

absl::StatusOr<wire::TierProgressReply> TierProgress(const Transaction& txn,
                                                     const wire::TierProgressRequest& request) {
  ASSIGN_OR_RETURN(const Resolved resolved, ResolveSubject(txn, request.path()));
  wire::TierProgressReply reply;
  if (resolved.node.type != disk::INODE_DIRECTORY) {
    ASSIGN_OR_RETURN(const Subject subject,
                     LoadSubject(txn, resolved.node, resolved.parent, resolved.path));
    ASSIGN_OR_RETURN(const uint64_t cold_bytes, ColdBytes(txn, subject));
    AddProgress(subject.record, cold_bytes, &reply);
    return reply;
  }
  const auto visit = [&](const WalkEntry& entry) -> absl::StatusOr<bool> {
    if (reply.subjects() == kJudgedMax) {
      reply.set_more(true);
      return false;
    }
    ASSIGN_OR_RETURN(const Subject subject, LoadSubject(txn, entry.node, entry.parent, entry.path));
    ASSIGN_OR_RETURN(const uint64_t cold_bytes, ColdBytes(txn, subject));
    AddProgress(subject.record, cold_bytes, &reply);
    reply.set_next(entry.path);
    return true;
  };
  RETURN_IF_ERROR(WalkSubjects(txn, resolved.node.inode, request.start_after(), visit));
  return reply;
}

absl::StatusOr<InodeId> SubjectAt(const Transaction& txn, const std::string& path) {
  ASSIGN_OR_RETURN(const Resolved resolved, ResolveSubject(txn, path));
  return resolved.node.inode;
}

}  // namespace cairn
