// The column families of the metadata store. Their order is the ColumnFamily index; names are on
// disk.
#pragma once

#include <string>
#include <vector>

#include "server/kv/kv.h"

namespace cairn {

enum MetaFamily : ColumnFamily {
  kFamilySystem = 0,
  kFamilyInode,
  kFamilyDentry,
  kFamilyExtent,
  kFamilyStripeRun,
  kFamilyCheckpoint,
  kFamilyAttempt,
  kFamilyAttemptRank,
  kFamilyLease,
  kFamilyPolicy,
  kFamilyPendingFree,
  kFamilyCleanup,
  kFamilyRequest,
  kFamilyCold,
  kFamilyTier,
  kFamilyLink,
  kMetaFamilyCount,
};

// What to open the metadata's Kv with.
inline std::vector<std::string> MetaFamilyNames() {
  return {"system",  "inode",        "dentry", "extent", "stripe_run",   "checkpoint",
          "attempt", "attempt_rank", "lease",  "policy", "pending_free", "cleanup",
          "request", "cold",         "tier",   "link"};
}

}  // namespace cairn
