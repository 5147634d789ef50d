#include "server/meta/attempt.h"

#include <algorithm>
#include <optional>

#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "server/meta/bucket.h"
#include "server/meta/cleanup.h"
#include "server/meta/extents.h"
#include "server/meta/keys.h"
#include "server/meta/paths.h"
#include "server/meta/records.h"
#include "server/meta/usage.h"

namespace cairn {
namespace {

// A record of 512 bytes covers so many ranks: small enough to rewrite for each rank, large enough
// that finding the missing of 10,000 reads three.
constexpr uint32_t kRanksPerChunk = 4096;
// Above it the next number could not be given.
constexpr uint64_t kMaxAttempt = uint64_t{1} << 62;
// Numbers above it come from jobs that make their own (a time, say), which fence themselves.
constexpr uint64_t kMaxChosenAttempt = uint64_t{1} << 30;

absl::Status CheckRequest(const wire::BeginCheckpointRequest& request) {
  if (request.world_size() == 0 || request.world_size() > kMaxWorldSize) {
    return absl::InvalidArgumentError(
        StrCat("the world size is ", request.world_size(), "; it must be 1 to ", kMaxWorldSize));
  }
  if (request.rank() >= request.world_size()) {
    return absl::InvalidArgumentError(
        StrCat("rank ", request.rank(), " is not below the world size, ", request.world_size()));
  }
  if (request.attempt() > kMaxAttempt) {
    return absl::InvalidArgumentError(
        StrCat("attempt ", request.attempt(), " is too large a number"));
  }
  if (request.job().size() > kMaxJobBytes) {
    return absl::InvalidArgumentError(StrCat("the job's name has over ", kMaxJobBytes, " bytes"));
  }
  size_t attribute_bytes = 0;
  for (const auto& [key, value] : request.attributes())
    attribute_bytes += key.size() + value.size();
  if (request.attributes_size() > kMaxAttributes || attribute_bytes > kMaxAttributeBytes) {
    return absl::InvalidArgumentError(
        StrCat("over ", kMaxAttributes, " attributes, or ", kMaxAttributeBytes, " bytes of them"));
  }
  return absl::OkStatus();
}

absl::Status Superseded(std::string_view path, uint64_t number, uint64_t newer) {
  return absl::AbortedError(
      StrCat("attempt ", number, " of ", Quoted(path), " was superseded by attempt ", newer));
}

absl::Status WasAborted(std::string_view path, const disk::AttemptRecord& record) {
  return absl::AbortedError(
      StrCat("attempt ", record.number(), " of ", Quoted(path), " was aborted: ", record.reason()));
}

// What is known at a checkpoint's name before this Begin.
struct Before {
  std::optional<disk::AttemptRecord> head;
  uint64_t newest = 0;  // the highest attempt number seen
  uint64_t committed_bytes = 0;
  bool head_is_open = false;
  bool head_has_expired = false;
};

absl::StatusOr<Before> LookBefore(Transaction& txn, const Place& place, std::string_view path,
                                  const CommandFacts& facts) {
  Before before;
  ASSIGN_OR_RETURN(const std::optional<Node> node, FindEntry(txn, place.parent, place.name));
  if (node.has_value() && node->type != disk::INODE_CHECKPOINT) {
    return absl::AlreadyExistsError(
        StrCat(Quoted(path), " is ", Describe(node->type), "; a checkpoint cannot take its name"));
  }
  if (node.has_value()) {
    ASSIGN_OR_RETURN(const auto committed, Load<disk::CheckpointRecord>(
                                               txn, kFamilyCheckpoint, CheckpointKey(node->inode)));
    before.newest = committed.attempt();
    before.committed_bytes = committed.size_bytes();
  }
  ASSIGN_OR_RETURN(before.head, Find<disk::AttemptRecord>(txn, kFamilyAttempt,
                                                          AttemptKey(place.parent, place.name)));
  if (before.head.has_value()) {
    before.newest = std::max(before.newest, before.head->number());
    before.head_is_open = before.head->state() == disk::ATTEMPT_OPEN;
    before.head_has_expired =
        before.head_is_open && facts.HasExpired(LeaseId(before.head->lease()));
  }
  return before;
}

absl::Status CheckJob(const wire::BeginCheckpointRequest& request, const Before& before) {
  if (!before.head_is_open || before.head_has_expired) return absl::OkStatus();
  const std::string& other = before.head->job();
  if (request.job().empty() || other.empty() || request.job() == other) return absl::OkStatus();
  return absl::FailedPreconditionError(
      StrCat(Quoted(request.path()), " is being written by another job, ", Quoted(other),
             " (attempt ", before.head->number(),
             "), which is alive; use another name, or stop that job and wait for its lease"));
}

enum class Decision { kJoin, kStart };

absl::StatusOr<Decision> Decide(Transaction& txn, const wire::BeginCheckpointRequest& request,
                                const Before& before) {
  const bool can_join = before.head_is_open && !before.head_has_expired;
  if (request.attempt() == 0) {
    if (!can_join || before.head->world_size() != request.world_size()) return Decision::kStart;
    ASSIGN_OR_RETURN(const auto rank,
                     Find<disk::RankRecord>(txn, kFamilyAttemptRank,
                                            RankKey(AttemptId(before.head->id()), request.rank())));
    // A rank that begins twice has restarted, and its job with it. But one that never heard the
    // answer to its first begin is the same: a new attempt would fence all the others.
    const bool is_repetition =
        rank.has_value() && request.nonce() != 0 && rank->nonce() == request.nonce();
    return !rank.has_value() || is_repetition ? Decision::kJoin : Decision::kStart;
  }
  if (request.attempt() > before.newest) return Decision::kStart;
  if (request.attempt() < before.newest) {
    return Superseded(request.path(), request.attempt(), before.newest);
  }
  if (!before.head.has_value() || before.head->state() == disk::ATTEMPT_COMMITTED ||
      before.head->number() != request.attempt()) {
    return absl::FailedPreconditionError(
        StrCat("attempt ", request.attempt(), " of ", Quoted(request.path()),
               " is committed; begin a newer attempt to write it again"));
  }
  if (before.head->state() == disk::ATTEMPT_ABORTED)
    return WasAborted(request.path(), *before.head);
  if (before.head->world_size() != request.world_size()) {
    return absl::FailedPreconditionError(
        StrCat("attempt ", request.attempt(), " of ", Quoted(request.path()),
               " has a world size of ", before.head->world_size(), ", not ", request.world_size()));
  }
  return Decision::kJoin;
}

absl::StatusOr<disk::AttemptRecord> StartAttempt(Transaction& txn, const Place& place,
                                                 uint64_t number,
                                                 const wire::BeginCheckpointRequest& request,
                                                 const CommandFacts& facts) {
  ASSIGN_OR_RETURN(const uint64_t id, txn.Add(Counter::kNextAttempt, 1));
  ASSIGN_OR_RETURN(const uint64_t lease, txn.Add(Counter::kNextLease, 1));
  ASSIGN_OR_RETURN(const NewNode directory, NewInode(txn, disk::INODE_CHECKPOINT, facts.now_ns()));
  StoreInode(txn, directory.id, directory.record);
  RETURN_IF_ERROR(txn.Add(Counter::kOpenAttempts, 1).status());

  disk::CheckpointRecord checkpoint;
  checkpoint.set_parent(place.parent.value());
  checkpoint.set_name(std::string(place.name));
  checkpoint.set_attempt(number);
  checkpoint.set_attempt_id(id);
  checkpoint.set_world_size(request.world_size());
  checkpoint.set_job(request.job());
  const std::optional<uint64_t> step = request.has_step() ? request.step() : StepOfName(place.name);
  if (step.has_value()) checkpoint.set_step(*step);
  *checkpoint.mutable_attributes() = request.attributes();
  checkpoint.set_begun_at_ns(facts.now_ns());
  Store(txn, kFamilyCheckpoint, CheckpointKey(directory.id), checkpoint);

  disk::LeaseRecord lease_record;
  lease_record.mutable_attempt()->set_parent(place.parent.value());
  lease_record.mutable_attempt()->set_name(std::string(place.name));
  lease_record.mutable_attempt()->set_id(id);
  Store(txn, kFamilyLease, LeaseKey(LeaseId(lease)), lease_record);

  disk::AttemptRecord record;
  record.set_number(number);
  record.set_id(id);
  record.set_state(disk::ATTEMPT_OPEN);
  record.set_world_size(request.world_size());
  record.set_inode(directory.id.value());
  record.set_lease(lease);
  record.set_job(request.job());
  txn.effects().saves.push_back({SaveEvent::Kind::kBegun, LeaseId(lease), facts.now_ns(), 0});
  return record;
}

// The rank takes part from now on, with stripes of its own. Saying it again grants more.
absl::StatusOr<wire::StripeRange> AdmitRank(Transaction& txn,
                                            const wire::BeginCheckpointRequest& request,
                                            disk::AttemptRecord& attempt) {
  const std::string key = RankKey(AttemptId(attempt.id()), request.rank());
  ASSIGN_OR_RETURN(auto known, Find<disk::RankRecord>(txn, kFamilyAttemptRank, key));
  disk::RankRecord rank;
  if (known.has_value()) {
    rank = *std::move(known);
  } else {
    attempt.set_ranks_begun(attempt.ranks_begun() + 1);
  }
  if (rank.done()) {
    return absl::FailedPreconditionError(
        StrCat("rank ", request.rank(), " of attempt ", attempt.number(), " of ",
               Quoted(request.path()), " is done; begin a newer attempt to write it again"));
  }
  rank.set_nonce(request.nonce());
  ASSIGN_OR_RETURN(const wire::StripeRange range,
                   GrantStripes(txn, request.stripes_wanted(), rank.mutable_granted()));
  Store(txn, kFamilyAttemptRank, key, rank);
  return range;
}

}  // namespace

absl::StatusOr<wire::BeginCheckpointReply> BeginCheckpoint(
    Transaction& txn, const wire::BeginCheckpointRequest& request, const CommandFacts& facts) {
  RETURN_IF_ERROR(CheckRequest(request));
  ASSIGN_OR_RETURN(const Place place,
                   ResolvePlace(txn, request.path(), Missing::kCreate, facts.now_ns()));
  ASSIGN_OR_RETURN(const Before before, LookBefore(txn, place, request.path(), facts));
  RETURN_IF_ERROR(CheckJob(request, before));
  RETURN_IF_ERROR(CheckQuotaLeft(txn, request.path(), before.committed_bytes));
  ASSIGN_OR_RETURN(const Decision decision, Decide(txn, request, before));

  Attempt attempt{place.parent, std::string(place.name), {}};
  if (decision == Decision::kJoin) {
    attempt.record = *before.head;
  } else {
    ASSIGN_OR_RETURN(const uint64_t forgotten, txn.Read(Counter::kForgottenAttempt));
    const uint64_t number =
        request.attempt() != 0 ? request.attempt() : std::max(before.newest, forgotten) + 1;
    if (before.head_is_open) {
      const Attempt older{place.parent, std::string(place.name), *before.head};
      RETURN_IF_ERROR(AbortAttempt(txn, older, StrCat("superseded by attempt ", number), facts));
    }
    ASSIGN_OR_RETURN(attempt.record, StartAttempt(txn, place, number, request, facts));
  }
  ASSIGN_OR_RETURN(const wire::StripeRange range, AdmitRank(txn, request, attempt.record));
  StoreAttempt(txn, attempt);
  txn.effects().granted_leases.push_back(LeaseId(attempt.record.lease()));

  wire::BeginCheckpointReply reply;
  reply.set_attempt(attempt.record.number());
  reply.set_lease(attempt.record.lease());
  *reply.mutable_stripes() = range;
  ASSIGN_OR_RETURN(*reply.mutable_redundancy(), RedundancyAt(txn, request.path()));
  return reply;
}

absl::StatusOr<wire::AbortCheckpointReply> AbortCheckpoint(
    Transaction& txn, const wire::AbortCheckpointRequest& request, const CommandFacts& facts) {
  absl::StatusOr<Attempt> attempt = FindAttempt(txn, request.path(), request.attempt());
  // What is aborted already needs no more.
  if (absl::IsAborted(attempt.status())) return wire::AbortCheckpointReply();
  RETURN_IF_ERROR(attempt.status());
  if (attempt->record.state() == disk::ATTEMPT_COMMITTED) {
    return absl::FailedPreconditionError(StrCat("attempt ", request.attempt(), " of ",
                                                Quoted(request.path()),
                                                " is committed; remove the checkpoint instead"));
  }
  const std::string reason = request.reason().empty() ? "by request" : request.reason();
  RETURN_IF_ERROR(AbortAttempt(txn, *std::move(attempt), reason, facts));
  return wire::AbortCheckpointReply();
}

absl::StatusOr<Attempt> FindAttempt(Transaction& txn, std::string_view path, uint64_t number) {
  if (number == 0) return absl::InvalidArgumentError("the request names no attempt");
  ASSIGN_OR_RETURN(const Place place, ResolvePlace(txn, path, Missing::kRefuse, 0));
  ASSIGN_OR_RETURN(auto head, Find<disk::AttemptRecord>(txn, kFamilyAttempt,
                                                        AttemptKey(place.parent, place.name)));
  if (!head.has_value()) {
    return absl::NotFoundError(StrCat("no checkpoint ", Quoted(path), " is being written"));
  }
  if (number < head->number()) return Superseded(path, number, head->number());
  if (number > head->number()) {
    return absl::FailedPreconditionError(StrCat("attempt ", number, " of ", Quoted(path),
                                                " was not begun; the newest is ", head->number()));
  }
  if (head->state() == disk::ATTEMPT_ABORTED) return WasAborted(path, *head);
  return Attempt{place.parent, std::string(place.name), *std::move(head)};
}

void StoreAttempt(Transaction& txn, const Attempt& attempt) {
  Store(txn, kFamilyAttempt, AttemptKey(attempt.parent, attempt.name), attempt.record);
}

absl::Status AbortAttempt(Transaction& txn, Attempt attempt, std::string_view reason,
                          const CommandFacts& facts) {
  CAIRN_CHECK(attempt.record.state() == disk::ATTEMPT_OPEN);
  RETURN_IF_ERROR(EndAttempt(txn, attempt.record));
  const InodeId inode(attempt.record.inode());
  txn.Delete(kFamilyCheckpoint, CheckpointKey(inode));
  RETURN_IF_ERROR(QueueTree(txn, inode, CountedFiles::kNo));
  attempt.record.set_state(disk::ATTEMPT_ABORTED);
  attempt.record.set_reason(Printable(reason));
  attempt.record.set_ended_at_ns(facts.now_ns());
  StoreAttempt(txn, attempt);
  txn.effects().saves.push_back(
      {SaveEvent::Kind::kAborted, LeaseId(attempt.record.lease()), facts.now_ns(), 0});
  return absl::OkStatus();
}

absl::Status EndAttempt(Transaction& txn, const disk::AttemptRecord& record) {
  const LeaseId lease(record.lease());
  txn.Delete(kFamilyLease, LeaseKey(lease));
  txn.effects().ended_leases.push_back(lease);
  RETURN_IF_ERROR(txn.Subtract(Counter::kOpenAttempts, 1));
  return QueueEndedAttempt(txn, AttemptId(record.id()));
}

absl::Status NoteForgotten(Transaction& txn, uint64_t number) {
  if (number > kMaxChosenAttempt) return absl::OkStatus();
  return txn.Raise(Counter::kForgottenAttempt, number);
}

absl::Status MarkRankDone(Transaction& txn, AttemptId attempt, uint32_t rank) {
  const std::string key = RankBitmapKey(attempt, rank / kRanksPerChunk);
  ASSIGN_OR_RETURN(const auto stored, txn.Get(kFamilyAttemptRank, key));
  std::string bits = stored.value_or("");
  const uint32_t bit = rank % kRanksPerChunk;
  if (bits.size() <= bit / 8) bits.resize(bit / 8 + 1);
  bits[bit / 8] = static_cast<char>(bits[bit / 8] | 1 << bit % 8);
  txn.Put(kFamilyAttemptRank, key, std::move(bits));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<uint32_t>> MissingRanks(const Transaction& txn,
                                                   const disk::AttemptRecord& record,
                                                   size_t limit) {
  std::vector<uint32_t> missing;
  std::string bits;
  for (uint32_t rank = 0; rank < record.world_size() && missing.size() < limit; ++rank) {
    const uint32_t bit = rank % kRanksPerChunk;
    if (bit == 0) {
      ASSIGN_OR_RETURN(auto stored,
                       txn.Get(kFamilyAttemptRank,
                               RankBitmapKey(AttemptId(record.id()), rank / kRanksPerChunk)));
      bits = std::move(stored).value_or("");
    }
    if (bit / 8 >= bits.size() || (bits[bit / 8] >> bit % 8 & 1) == 0) missing.push_back(rank);
  }
  return missing;
}

}  // namespace cairn
