#include "server/meta/tier_control.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "server/meta/checkpoint.h"
#include "server/meta/cleanup.h"
#include "server/meta/families.h"
#include "server/meta/keys.h"
#include "server/meta/paths.h"
#include "server/meta/prune.h"
#include "server/meta/records.h"
#include "server/meta/tier_rules.h"
#include "server/meta/tier_subject.h"
#include "server/meta/tiers.h"
#include "server/meta/tree.h"

namespace cairn {
namespace {

using Record = disk::TierSubjectRecord;

constexpr uint32_t kMinutesOfDay = 24 * 60;

absl::Status CheckLimits(const wire::ControlTierRequest& request) {
  if (request.limits_size() > kTierLimitsMax) {
    return absl::InvalidArgumentError(
        StrCat(request.limits_size(), " limits; a tier has ", kTierLimitsMax, " at most"));
  }
  for (const wire::TierControl::Limit& limit : request.limits()) {
    if (limit.from_minute() >= kMinutesOfDay || limit.to_minute() >= kMinutesOfDay)
      return absl::InvalidArgumentError("a limit holds from a minute of the day to another");
  }
  return absl::OkStatus();
}

absl::StatusOr<wire::TierInfo> FindTier(const Transaction& txn, std::string_view name) {
  ASSIGN_OR_RETURN(const wire::ListTiersReply tiers, ListTiers(txn));
  for (const wire::TierInfo& tier : tiers.tiers())
    if (tier.spec().name() == name) return tier;
  return absl::NotFoundError(StrCat("there is no tier ", Quoted(name), "; see `cairn tier ls`"));
}

absl::StatusOr<Resolved> FindPlainDirectory(const Transaction& txn, std::string_view path) {
  ASSIGN_OR_RETURN(Resolved resolved, Resolve(txn, path, LatestAlias::kIgnore));
  if (resolved.node.type == disk::INODE_DIRECTORY) return resolved;
  return absl::FailedPreconditionError(
      StrCat(Quoted(path), " is ", Describe(resolved.node.type), "; policies are of directories"));
}

// Whether some checkpoint is kept for ever by the one, and removed by the other.
absl::Status CheckAgree(const wire::TierPolicy& policy, const disk::RetentionRecord& retention) {
  const uint64_t kept = policy.keep_every_steps();
  const uint64_t retained = retention.keep_every_steps();
  if (kept > 0 && (retained == 0 || kept % retained != 0)) {
    return absl::FailedPreconditionError(
        StrCat("the tier policy keeps every ", kept, "th step for ever, but retention removes ",
               "such checkpoints: let one of them say it (`cairn ckpt retention`, `cairn tier "
               "policy set`)"));
  }
  if (policy.keep_hot() > 0 && retention.keep_last() > 0 &&
      retention.keep_last() < policy.keep_hot()) {
    return absl::FailedPreconditionError(StrCat("the tier policy keeps the newest ",
                                                policy.keep_hot(), " hot, but retention keeps ",
                                                "only ", retention.keep_last(), " at all"));
  }
  return absl::OkStatus();
}

disk::CleanupRecord::Visit VisitOf(InodeId directory) {
  disk::CleanupRecord::Visit visit;
  visit.set_directory(directory.value());
  return visit;
}

// What was asked for, noted in the record. False: there is nothing to do.
bool Ask(const disk::CleanupRecord::Visit& asked, Record* record) {
  switch (asked.action()) {
    case wire::TIER_PUSH:
      if (record->copied() && !record->manifest_is_old()) return false;
      if (!record->copied()) record->set_tier(asked.tier());
      break;
    case wire::TIER_RELEASE:
      if (record->released() && !record->partly()) return false;
      if (!record->copied() && !asked.tier().empty()) record->set_tier(asked.tier());
      // There is no copy, and no tier that it is clear one would go to.
      if (!record->copied() && record->tier().empty()) return false;
      record->set_hot_until_ns(0);
      break;
    case wire::TIER_FETCH:
      record->set_hot_until_ns(asked.hot_until_ns());
      if (!record->released() && !record->partly()) return true;
      break;
    case wire::TIER_CANCEL:
      record->set_wanted(wire::TIER_ACTION_UNSPECIFIED);
      record->set_step(wire::TIER_STEP_NONE);
      record->set_held(true);
      record->set_due_ns(0);
      return true;
    default:
      // Policies look at it again.
      record->set_held(false);
      record->set_due_ns(kTierDueNow);
      return true;
  }
  record->set_wanted(asked.action());
  record->set_held(false);
  record->set_step(wire::TIER_STEP_NONE);
  record->set_failures(0);
  record->set_error("");
  record->set_due_ns(kTierDueNow);
  return true;
}

// Asks it of one checkpoint or file. False: nothing was to be done.
absl::StatusOr<bool> AskOne(Transaction& txn, const Node& node, InodeId parent,
                            std::string_view name, const disk::CleanupRecord::Visit& asked) {
  ASSIGN_OR_RETURN(const std::optional<Record> before, FindSubject(txn, node.inode));
  ASSIGN_OR_RETURN(const uint64_t policies, txn.Read(Counter::kTierPolicies));
  const bool is_for_known = asked.action() == wire::TIER_CANCEL ||
                            asked.action() == wire::TIER_FETCH || (asked.moved() && policies == 0);
  if (!before.has_value() && is_for_known) return false;
  Record after;
  if (before.has_value()) {
    after = *before;
  } else {
    ASSIGN_OR_RETURN(after, MakeSubject(txn, node, parent, name));
  }
  if (asked.moved()) NoteManifestIsOld(&after);
  if (!Ask(asked, &after)) return false;
  RETURN_IF_ERROR(StoreSubject(txn, node.inode, before, after));
  return true;
}

absl::StatusOr<bool> IsPinned(const Transaction& txn, const Node& node) {
  if (node.type != disk::INODE_CHECKPOINT) return false;
  ASSIGN_OR_RETURN(const disk::CheckpointRecord record, LoadCheckpoint(txn, node.inode));
  return record.pinned();
}

// Where a push goes that does not say: as the policy above has it, or into the only tier.
absl::StatusOr<std::string> TierFor(const Transaction& txn, const wire::AskTierRequest& request,
                                    InodeId directory) {
  if (!request.tier().empty()) {
    RETURN_IF_ERROR(FindTier(txn, request.tier()).status());
    return request.tier();
  }
  ASSIGN_OR_RETURN(const auto above, FindPolicyAbove(txn, directory));
  if (above.has_value()) return above->policy.tier();
  ASSIGN_OR_RETURN(const wire::ListTiersReply tiers, ListTiers(txn));
  if (tiers.tiers_size() == 1) return tiers.tiers(0).spec().name();
  return absl::FailedPreconditionError(
      tiers.tiers_size() == 0
          ? std::string("there is no cold tier; add one: cairn tier add NAME LOCATION")
          : StrCat("no policy says which tier ", Quoted(request.path()),
                   " goes to; name it: --tier NAME"));
}

// A file in a checkpoint stands for all of it.
absl::StatusOr<Resolved> ResolveSubject(const Transaction& txn,
                                        const wire::AskTierRequest& request) {
  ASSIGN_OR_RETURN(Resolved resolved, Resolve(txn, request.path(), LatestAlias::kFollow));
  if (!resolved.inside_checkpoint) return resolved;
  if (request.action() != wire::TIER_FETCH) {
    return absl::FailedPreconditionError(StrCat(
        Quoted(request.path()), " is part of a checkpoint, which is moved as a whole: name that"));
  }
  std::string path = resolved.path;
  while (resolved.inside_checkpoint) {
    path.resize(path.rfind('/'));
    ASSIGN_OR_RETURN(resolved, Resolve(txn, path, LatestAlias::kIgnore));
  }
  return resolved;
}

// The entries of a directory from the visit's place on.
struct Entry {
  std::string key;  // without the directory
  Node node;
};
absl::StatusOr<std::vector<Entry>> EntriesFrom(const Transaction& txn,
                                               const disk::CleanupRecord::Visit& visit,
                                               size_t limit) {
  const std::string prefix = DentryPrefix(InodeId(visit.directory()));
  std::string from = prefix + visit.start_after();
  if (!visit.start_after().empty()) from.push_back('\0');
  std::vector<Entry> entries;
  Transaction::Scan scan(txn, kFamilyDentry, from, PrefixEnd(prefix));
  for (; scan.Valid() && entries.size() < limit; scan.Next()) {
    disk::DentryRecord dentry;
    RETURN_IF_ERROR(ParseRecord(kFamilyDentry, scan.value(), dentry));
    entries.push_back(
        {std::string(scan.key().substr(prefix.size())), {InodeId(dentry.inode()), dentry.type()}});
  }
  RETURN_IF_ERROR(scan.status());
  return entries;
}

}  // namespace

absl::StatusOr<wire::ControlTierReply> ControlTier(Transaction& txn,
                                                   const wire::ControlTierRequest& request) {
  RETURN_IF_ERROR(CheckLimits(request));
  const std::string key = TierKey(request.name());
  ASSIGN_OR_RETURN(std::optional<disk::TierRecord> record,
                   Find<disk::TierRecord>(txn, kFamilyPolicy, key));
  if (!record.has_value())
    return absl::NotFoundError(StrCat("there is no tier ", Quoted(request.name())));
  wire::TierControl& control = *record->mutable_control();
  if (request.has_archive_paused()) control.set_archive_paused(request.archive_paused());
  if (request.has_recall_paused()) control.set_recall_paused(request.recall_paused());
  if (request.set_limits()) *control.mutable_limits() = request.limits();
  Store(txn, kFamilyPolicy, key, *record);
  txn.effects().tiering_wanted = true;
  wire::ControlTierReply reply;
  ASSIGN_OR_RETURN(*reply.mutable_tier(), FindTier(txn, request.name()));
  return reply;
}

absl::StatusOr<wire::SetTierPolicyReply> SetTierPolicy(Transaction& txn,
                                                       const wire::SetTierPolicyRequest& request,
                                                       const CommandFacts& facts) {
  ASSIGN_OR_RETURN(const Resolved directory, FindPlainDirectory(txn, request.path()));
  const InodeId inode = directory.node.inode;
  const std::string key = TierPolicyKey(inode);
  ASSIGN_OR_RETURN(const auto before, txn.Get(kFamilyPolicy, key));
  wire::SetTierPolicyReply reply;
  reply.set_existed(before.has_value());
  if (request.has_policy()) {
    RETURN_IF_ERROR(CheckTierPolicy(request.policy()));
    RETURN_IF_ERROR(FindTier(txn, request.policy().tier()).status());
    ASSIGN_OR_RETURN(const auto retention, FindRetention(txn, inode));
    if (retention.has_value()) RETURN_IF_ERROR(CheckAgree(request.policy(), *retention));
    disk::TierPolicyRecord record;
    *record.mutable_policy() = request.policy();
    record.set_set_at_ns(facts.now_ns());
    Store(txn, kFamilyPolicy, key, record);
    if (!before.has_value()) RETURN_IF_ERROR(txn.Add(Counter::kTierPolicies, 1).status());
  } else {
    if (!before.has_value()) return reply;
    txn.Delete(kFamilyPolicy, key);
    RETURN_IF_ERROR(txn.Subtract(Counter::kTierPolicies, 1));
  }
  RETURN_IF_ERROR(QueueVisit(txn, VisitOf(inode)));
  return reply;
}

absl::StatusOr<wire::AskTierReply> AskTier(Transaction& txn, const wire::AskTierRequest& request,
                                           const CommandFacts& facts) {
  ASSIGN_OR_RETURN(const Resolved resolved, ResolveSubject(txn, request));
  const bool is_directory = resolved.node.type == disk::INODE_DIRECTORY;
  disk::CleanupRecord::Visit asked = VisitOf(resolved.node.inode);
  asked.set_action(request.action());
  switch (request.action()) {
    case wire::TIER_PUSH: {
      const InodeId from = is_directory ? resolved.node.inode : resolved.parent;
      ASSIGN_OR_RETURN(*asked.mutable_tier(), TierFor(txn, request, from));
      break;
    }
    case wire::TIER_RELEASE: {
      // Without a copy there is one made first, where it is clear in which tier.
      const InodeId from = is_directory ? resolved.node.inode : resolved.parent;
      const absl::StatusOr<std::string> tier = TierFor(txn, request, from);
      if (tier.ok()) asked.set_tier(*tier);
      break;
    }
    case wire::TIER_FETCH: {
      const uint64_t hold =
          request.hold_seconds() == 0 ? kFetchHoldSeconds : request.hold_seconds();
      const uint64_t seconds = std::min(hold, kPolicySecondsMax);
      asked.set_hot_until_ns(TierTimeAfter(facts.now_ns(), seconds));
      break;
    }
    case wire::TIER_CANCEL:
      break;
    default:
      return absl::InvalidArgumentError("this build does not know that action on a tier");
  }
  wire::AskTierReply reply;
  if (is_directory) {
    RETURN_IF_ERROR(QueueVisit(txn, asked));
    reply.set_more_follow(true);
    return reply;
  }
  if (request.action() == wire::TIER_RELEASE) {
    ASSIGN_OR_RETURN(const bool pinned, IsPinned(txn, resolved.node));
    if (pinned) {
      return absl::FailedPreconditionError(StrCat(Quoted(request.path()),
                                                  " is pinned, and stays hot; unpin it first: ",
                                                  "cairn ckpt unpin ", Printable(request.path())));
    }
    ASSIGN_OR_RETURN(const std::optional<Record> subject, FindSubject(txn, resolved.node.inode));
    const bool copied = subject.has_value() && subject->copied();
    if (!copied && asked.tier().empty()) return TierFor(txn, request, resolved.parent).status();
  }
  ASSIGN_OR_RETURN(const bool done,
                   AskOne(txn, resolved.node, resolved.parent, resolved.name(), asked));
  reply.set_subjects(done ? 1 : 0);
  return reply;
}

absl::StatusOr<bool> GoOnVisiting(Transaction& txn, disk::CleanupRecord::Visit* visit,
                                  size_t* budget) {
  // A directory without an entry costs something, too.
  if (visit->start_after().empty() && *budget > 1) --*budget;
  ASSIGN_OR_RETURN(const std::vector<Entry> entries, EntriesFrom(txn, *visit, *budget));
  const InodeId directory(visit->directory());
  for (const Entry& entry : entries) {
    std::string_view name = entry.key;
    if (name.back() == '/') name.remove_suffix(1);
    if (entry.node.type == disk::INODE_DIRECTORY) {
      disk::CleanupRecord::Visit below = *visit;
      below.set_directory(entry.node.inode.value());
      below.clear_start_after();
      RETURN_IF_ERROR(QueueVisit(txn, below));
    } else if (entry.node.type != disk::INODE_SYMLINK) {
      ASSIGN_OR_RETURN(const bool pinned, IsPinned(txn, entry.node));
      if (!pinned || visit->action() != wire::TIER_RELEASE)
        RETURN_IF_ERROR(AskOne(txn, entry.node, directory, name, *visit).status());
    }
    visit->set_start_after(entry.key);
    --*budget;
  }
  return *budget > 0;
}

absl::Status CheckRetentionAgrees(const Transaction& txn, InodeId directory,
                                  const disk::RetentionRecord& retention) {
  ASSIGN_OR_RETURN(const auto above, FindPolicyAbove(txn, directory));
  return above.has_value() ? CheckAgree(above->policy, retention) : absl::OkStatus();
}

}  // namespace cairn
