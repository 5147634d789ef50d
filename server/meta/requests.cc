#include "server/meta/requests.h"

#include "common/base/status_macros.h"
#include "proto/disk/meta.pb.h"
#include "server/meta/keys.h"
#include "server/meta/records.h"

namespace cairn {
namespace {

// One more than one comes, so that a store with too many (an older limit) shrinks.
constexpr int kDroppedAtOnce = 2;

absl::Status DropOldest(Transaction& txn) {
  ASSIGN_OR_RETURN(const uint64_t oldest, txn.Read(Counter::kOldestRequest));
  const std::string order_key = RequestOrderKey(oldest);
  ASSIGN_OR_RETURN(const auto key, txn.Get(kFamilyRequest, order_key));
  if (key.has_value()) {
    txn.Delete(kFamilyRequest, *key);
    txn.Delete(kFamilyRequest, order_key);
  }
  return txn.Add(Counter::kOldestRequest, 1).status();
}

}  // namespace

absl::StatusOr<std::optional<std::string>> FindResult(const Transaction& txn,
                                                      const disk::Command& command) {
  if (command.client() == 0) return std::nullopt;
  ASSIGN_OR_RETURN(auto record,
                   Find<disk::RequestRecord>(txn, kFamilyRequest,
                                             RequestKey(command.client(), command.sequence())));
  if (!record.has_value()) return std::nullopt;
  if (record->body_case() != static_cast<uint32_t>(command.body_case())) {
    return absl::InvalidArgumentError("the request id was used before, for another method");
  }
  return std::move(*record->mutable_reply());
}

absl::Status KeepResult(Transaction& txn, const disk::Command& command, const std::string& reply) {
  if (command.client() == 0) return absl::OkStatus();
  ASSIGN_OR_RETURN(const uint64_t order, txn.Add(Counter::kNextRequest, 1));
  disk::RequestRecord record;
  record.set_body_case(static_cast<uint32_t>(command.body_case()));
  record.set_reply(reply);
  record.set_order(order);
  const std::string key = RequestKey(command.client(), command.sequence());
  Store(txn, kFamilyRequest, key, record);
  txn.Put(kFamilyRequest, RequestOrderKey(order), key);
  for (int i = 0; i < kDroppedAtOnce; ++i) {
    ASSIGN_OR_RETURN(const uint64_t oldest, txn.Read(Counter::kOldestRequest));
    if (order - oldest < kKeptResults) break;
    RETURN_IF_ERROR(DropOldest(txn));
  }
  return absl::OkStatus();
}

}  // namespace cairn
