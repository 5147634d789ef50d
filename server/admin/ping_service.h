// Answers that a core is there: for operators who look for a slow link, and for measurements.
#pragma once

#include <google/protobuf/empty.pb.h>

#include "common/rpc/call_table.h"

namespace cairn {

// On every core.
class PingService {
 public:
  void Register(CallTable& table) { table.Add(wire::PING, this, &PingService::Ping); }

  Task<absl::StatusOr<google::protobuf::Empty>> Ping(CallContext& call,
                                                     const google::protobuf::Empty& request) {
    co_return google::protobuf::Empty();
  }
};

}  // namespace cairn
