// The commands on attributes and content by inode: leases for stripes, extents that take the place
// of others, sizes, owners, times, extended attributes.
#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/ids.h"
#include "proto/disk/meta.pb.h"
#include "proto/wire/fs.pb.h"
#include "server/meta/facts.h"
#include "server/meta/transaction.h"

namespace cairn {

absl::StatusOr<wire::BeginWritesReply> BeginWrites(Transaction& txn,
                                                   const wire::BeginWritesRequest& request);
absl::StatusOr<wire::EndWritesReply> EndWrites(Transaction& txn,
                                               const wire::EndWritesRequest& request);
// Its lease has ended: what was written and is not referred to is freed.
absl::Status DropWrites(Transaction& txn, LeaseId lease, const disk::LeaseRecord::Writes& writes);

absl::StatusOr<wire::WriteExtentsReply> WriteExtents(Transaction& txn,
                                                     const wire::WriteExtentsRequest& request,
                                                     const CommandFacts& facts);
absl::StatusOr<wire::SetAttributesReply> SetAttributes(Transaction& txn,
                                                       const wire::SetAttributesRequest& request,
                                                       const CommandFacts& facts);
absl::StatusOr<wire::SetXattrReply> SetXattr(Transaction& txn, const wire::SetXattrRequest& request,
                                             const CommandFacts& facts);

}  // namespace cairn
