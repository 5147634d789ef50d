// Checkpoints and files that tier policies or operators have something to do with: their records,
// their places in the queues that follow from those, and the policy that holds for each. What is
// done with them: tier_evaluate.h, tier_control.h, tier_steps.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/ids.h"
#include "proto/disk/meta.pb.h"
#include "server/meta/tier_rules.h"
#include "server/meta/transaction.h"
#include "server/meta/tree.h"

namespace cairn {

// Steps begin in this order: who waits for bytes goes first, what frees space before what copies.
enum class TierPriority : uint32_t {
  kFetch = 1,    // an operator, or a reader, waits
  kPromote = 2,  // a policy fetches
  kRelease = 3,
  kPush = 4,     // an operator has asked for a copy
  kArchive = 5,  // a policy copies
};

// Due at once, and before all that waits for a time.
inline constexpr int64_t kTierDueNow = 1;

absl::StatusOr<std::optional<disk::TierSubjectRecord>> FindSubject(const Transaction& txn,
                                                                   InodeId inode);
// Stores what has become of `before` (nullopt: it is new), and moves it in the queues, where one
// that is due now keeps its place.
absl::Status StoreSubject(Transaction& txn, InodeId inode,
                          const std::optional<disk::TierSubjectRecord>& before,
                          const disk::TierSubjectRecord& after);
// Nothing is known of it any more, and its manifests are referred to once less. Harmless when there
// is none.
absl::Status DropSubject(Transaction& txn, InodeId inode);

// Of a subject that is not known yet: nothing is to be done with it so far.
absl::StatusOr<disk::TierSubjectRecord> MakeSubject(const Transaction& txn, const Node& node,
                                                    InodeId parent, std::string_view name);

// A checkpoint or file has been written. Costs a read while there is no policy.
absl::Status NoteWritten(Transaction& txn, const Node& node, InodeId parent, std::string_view name);
// A file was changed where it lies: what was copied of it is not it any more.
absl::Status NoteChangedInPlace(Transaction& txn, const Node& node, InodeId parent,
                                std::string_view name);
// Something that policies ask for has changed. Harmless for one that is not known.
absl::Status WakeSubject(Transaction& txn, InodeId inode);
// The manifest is not true any more.
void NoteManifestIsOld(disk::TierSubjectRecord* record);
// The same of a subject that may not be known.
absl::Status MakeManifestOld(Transaction& txn, InodeId inode);
// It is called so now, and its manifest does not know.
absl::Status MoveSubject(Transaction& txn, InodeId inode, InodeId parent, std::string_view name);

// The policy of the nearest directory above that has one.
struct PolicyAbove {
  InodeId directory;
  wire::TierPolicy policy;
};
absl::StatusOr<std::optional<PolicyAbove>> FindPolicyAbove(const Transaction& txn,
                                                           InodeId directory);
// "bucket/dir". NOT_FOUND: one above it was made by a release that did not keep where it lies.
absl::StatusOr<std::string> PathOfDirectory(const Transaction& txn, InodeId directory);
// NOT_FOUND also when it has gone.
absl::StatusOr<std::string> PathOfSubject(const Transaction& txn, InodeId inode,
                                          const disk::TierSubjectRecord& record);

// What rules ask of it; counts newer checkpoints up to `keep_hot`, 1 at least.
absl::StatusOr<TierFacts> FactsOf(const Transaction& txn, InodeId inode,
                                  const disk::TierSubjectRecord& record, uint32_t keep_hot);
// Where its bytes are.
wire::TierPlace PlaceOf(const disk::TierSubjectRecord& record);

}  // namespace cairn
