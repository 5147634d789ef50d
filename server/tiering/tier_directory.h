// The cluster's tiers as a node knows them: asked of the node with the metadata now and then.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/task/deadline.h"
#include "common/task/semaphore.h"
#include "common/task/task.h"
#include "proto/wire/tier.pb.h"

namespace cairn {

// Lives on one executor.
class TierDirectory {
 public:
  using Ask = std::function<Task<absl::StatusOr<wire::ListTiersReply>>(Deadline deadline)>;
  explicit TierDirectory(Ask ask) : ask_(std::move(ask)) {}

  // As known for ten seconds at most, or longer while the metadata cannot be asked. NOT_FOUND:
  // there is no such tier.
  Task<absl::StatusOr<wire::TierSpec>> Find(std::string name, Deadline deadline);

 private:
  bool IsFresh(const std::string& name) const;

  const Ask ask_;
  Semaphore asking_{1};
  std::map<std::string, wire::TierSpec> tiers_;
  MonoTime asked_at_;
};

}  // namespace cairn
