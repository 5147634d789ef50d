// The names of files: a file of several counts for usage where its record says that it lies, and
// its other names have keys of their own. What becomes of one whose last name has gone.
#pragma once

#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/ids.h"
#include "proto/disk/meta.pb.h"
#include "proto/disk/meta_log.pb.h"
#include "proto/wire/fs.pb.h"
#include "server/meta/facts.h"
#include "server/meta/transaction.h"
#include "server/meta/tree.h"

namespace cairn {

// ext4's limit; each name is a key.
inline constexpr uint32_t kMaxLinks = 65'000;

// A file of an earlier release does not know where it lies: a name that the caller knows, and that
// does lead to it, is taken for that.
absl::Status AdoptName(const Transaction& txn, const wire::NodeRef& ref, disk::InodeRecord* record);

// The file is called so, too, from now on. The caller links it there. REQUIRES: its record says
// where it lies.
void AddName(Transaction& txn, InodeId inode, InodeId parent, std::string_view name,
             disk::InodeRecord* record);
// It lies elsewhere now; whichever of its names that was.
absl::Status MoveName(Transaction& txn, InodeId inode, InodeId from, std::string_view from_name,
                      const Place& to, disk::InodeRecord* record);

enum class LastName { kYes, kNo };
// One of the names has gone, and is unlinked already: what the file counts for goes to the
// directory of another, if there is one. The record is stored unless it was the last.
absl::StatusOr<LastName> DropName(Transaction& txn, InodeId inode, InodeId parent,
                                  std::string_view name, int64_t now_ns, disk::InodeRecord* record);

// The entry's name is gone: all that hangs below it goes, unless a file has other names. A file
// that a mount may have open is an orphan until none has.
absl::Status ReleaseEntry(Transaction& txn, InodeId parent, std::string_view name, const Node& node,
                          const CommandFacts& facts);
// Its last name has gone, and nothing counts it any more.
absl::Status MakeOrphan(Transaction& txn, InodeId inode, disk::InodeRecord record);
absl::StatusOr<disk::ReapOrphansReply> ReapOrphans(Transaction& txn,
                                                   const disk::ReapOrphans& request);

}  // namespace cairn
