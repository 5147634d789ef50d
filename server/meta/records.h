// Records to bytes and back, always the same bytes for the same record.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/status_macros.h"
#include "google/protobuf/message_lite.h"
#include "server/meta/transaction.h"

namespace cairn {

// Maps in key order: protobuf's own order differs from run to run, and two replicas must hold the
// same bytes.
std::string SerializeRecord(const google::protobuf::MessageLite& record);

// DATA_LOSS naming the family when the bytes do not parse.
absl::Status ParseRecord(ColumnFamily family, std::string_view bytes,
                         google::protobuf::MessageLite& record);

template <class Record>
absl::StatusOr<std::optional<Record>> Find(const Transaction& txn, ColumnFamily family,
                                           std::string_view key) {
  ASSIGN_OR_RETURN(const std::optional<std::string> bytes, txn.Get(family, key));
  if (!bytes.has_value()) return std::nullopt;
  Record record;
  RETURN_IF_ERROR(ParseRecord(family, *bytes, record));
  return record;
}

// As Find(), for a record that another one points to. INTERNAL when it is missing: while a query
// races with a removal that only means "look again" (MetaStore does); in a command it means the
// store is damaged.
template <class Record>
absl::StatusOr<Record> Load(const Transaction& txn, ColumnFamily family, std::string_view key) {
  ASSIGN_OR_RETURN(std::optional<Record> record, Find<Record>(txn, family, key));
  if (!record.has_value())
    return absl::InternalError("metadata: a record that another points to is missing");
  return *std::move(record);
}

inline void Store(Transaction& txn, ColumnFamily family, std::string_view key,
                  const google::protobuf::MessageLite& record) {
  txn.Put(family, key, SerializeRecord(record));
}

}  // namespace cairn
