// For operators: what becomes of data in cold tiers. Which tiers there are: admin.h.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cairn/client.h"
#include "cairn/tier_types.h"
#include "cairn/tiering_types.h"

namespace cairn {

// Thread-safe. Its calls go to the node with the metadata, as Admin's do. Whatever is asked for is
// written down, durably, when a call returns, and goes on by itself, also over restarts.
class Tiering {
 public:
  explicit Tiering(Client& client);
  ~Tiering();

  // Pauses, resumes and limits what is moved. NOT_FOUND: there is no such tier. INVALID_ARGUMENT: a
  // limit makes no sense.
  absl::StatusOr<TierInfo> Control(std::string_view tier, const TierControlChange& change);

  // Sets the policy of a directory (a bucket, say), or replaces it: whether there was one before.
  // All that is below is looked at again. NOT_FOUND: the directory or the tier. INVALID_ARGUMENT:
  // the policy contradicts itself. FAILED_PRECONDITION: it contradicts the directory's retention.
  absl::StatusOr<bool> SetPolicy(std::string_view path, const TierPolicy& policy);
  // Whether there was one. What has a copy keeps it.
  absl::StatusOr<bool> RemovePolicy(std::string_view path);
  // By path.
  absl::StatusOr<std::vector<PathPolicy>> Policies();
  // What a policy would do to what is below a directory now; without one, what those that are set
  // do. A page from `start_after` on.
  absl::StatusOr<TierVerdicts> TestPolicy(std::string_view path,
                                          const std::optional<TierPolicy>& policy,
                                          std::string_view start_after = "");

  // Asks for a checkpoint or a file, or for all below a directory: a copy in a cold tier ("": the
  // policy's, or the only one); letting go of its space on the targets, after a copy; its bytes on
  // the targets again, for `hold` at least (zero: a day); or giving up what waits or is under way.
  // NOT_FOUND: nothing has the path. FAILED_PRECONDITION: what is pinned stays hot; a part of a
  // checkpoint cannot be moved alone; it is not clear which tier is meant.
  absl::StatusOr<TierAsked> Push(std::string_view path, std::string_view tier = "");
  absl::StatusOr<TierAsked> Release(std::string_view path);
  absl::StatusOr<TierAsked> Fetch(std::string_view path,
                                  absl::Duration hold = absl::ZeroDuration());
  absl::StatusOr<TierAsked> Cancel(std::string_view path);

  // A page of what waits and is under way.
  absl::StatusOr<TierQueue> Queue(std::string_view start_after = "");
  // Which rule holds for a checkpoint or file, what happens next and when, and what has failed.
  // FAILED_PRECONDITION: it is a directory.
  absl::StatusOr<TierExplanation> Explain(std::string_view path);
  // Of all below a path.
  absl::StatusOr<TierProgress> Progress(std::string_view path);

  // Makes the namespace again of what lies in a tier: of the cluster of that id, which is gone; "":
  // of the only one that has something there. Goes on after it returns: ImportStatus(). NOT_FOUND:
  // there is nothing. FAILED_PRECONDITION: several clusters have something, naming them; or an
  // import is under way.
  absl::StatusOr<TierImport> Import(std::string_view tier, std::string_view cluster_id = "",
                                    bool dry_run = false);
  absl::StatusOr<TierImport> ImportStatus();

 private:
  absl::StatusOr<TierAsked> Ask(int action, std::string_view path, std::string_view tier,
                                absl::Duration hold);

  std::shared_ptr<client_internal::ClientImpl> impl_;
};

}  // namespace cairn
