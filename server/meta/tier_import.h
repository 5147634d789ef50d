// Files and checkpoints made again of what a manifest tells: their bytes are where the manifest
// says, in a cold tier alone.
#pragma once

#include "absl/status/statusor.h"
#include "proto/disk/meta_log.pb.h"
#include "server/meta/facts.h"
#include "server/meta/transaction.h"

namespace cairn {

// One part of a subject; with the last it becomes visible, whole. Something of its name that is
// there already stays, and the import of this one is told so. INVALID_ARGUMENT: the manifest makes
// no sense. NOT_FOUND: no such tier. Parts come in order. With `give_up`, what
// there is of `inode` is freed; of 0: of all that a crash has left unfinished.
absl::StatusOr<disk::ImportColdReply> ImportCold(Transaction& txn, const disk::ImportCold& request,
                                                 const CommandFacts& facts);

}  // namespace cairn
