// The operator's RPCs, on core 0: what this node is and how it does.
#pragma once

#include <functional>

#include "common/rpc/call_table.h"
#include "proto/wire/meta.pb.h"

namespace cairn {

class StatusService {
 public:
  // `collect` gathers the status from all parts of the node; server/main provides it.
  explicit StatusService(std::function<Task<absl::StatusOr<wire::StatusReply>>()> collect);

  void Register(CallTable& table);

  Task<absl::StatusOr<wire::StatusReply>> Status(CallContext& call,
                                                 const wire::StatusRequest& request);

 private:
  std::function<Task<absl::StatusOr<wire::StatusReply>>()> collect_;
};

}  // namespace cairn
