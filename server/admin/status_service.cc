#include "server/admin/status_service.h"

#include <utility>

namespace cairn {

StatusService::StatusService(std::function<Task<absl::StatusOr<wire::StatusReply>>()> collect)
    : collect_(std::move(collect)) {}

void StatusService::Register(CallTable& table) {
  table.Add(wire::STATUS, this, &StatusService::Status);
}

Task<absl::StatusOr<wire::StatusReply>> StatusService::Status(CallContext& call,
                                                              const wire::StatusRequest& request) {
  co_return co_await collect_();
}

}  // namespace cairn
