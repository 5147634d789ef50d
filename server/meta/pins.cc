#include "server/meta/pins.h"

#include <vector>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "server/meta/keys.h"
#include "server/meta/paths.h"
#include "server/meta/tree.h"

namespace cairn {
namespace {

// The keys of a path's components, the top one first.
absl::StatusOr<std::vector<std::string>> KeysTo(const Transaction& txn, std::string_view path) {
  ASSIGN_OR_RETURN(const std::vector<std::string_view> components, SplitPath(path));
  std::vector<std::string> keys;
  InodeId directory = kRootInode;
  for (const std::string_view name : components) {
    ASSIGN_OR_RETURN(const std::optional<Node> node, FindEntry(txn, directory, name));
    if (!node.has_value()) {
      return absl::InternalError(StrCat("metadata: nothing has the pinned path ", Quoted(path)));
    }
    keys.push_back(PinKey(directory, name));
    directory = node->inode;
  }
  return keys;
}

// The name of some entry of the directory that leads to a pin.
absl::StatusOr<std::optional<std::string>> FirstName(const Transaction& txn, InodeId directory) {
  const std::string prefix = PinPrefix(directory);
  Transaction::Scan scan(txn, kFamilyCheckpoint, prefix, PrefixEnd(prefix));
  if (scan.Valid()) return std::string(scan.key().substr(prefix.size()));
  RETURN_IF_ERROR(scan.status());
  return std::nullopt;
}

}  // namespace

absl::Status NotePin(Transaction& txn, std::string_view path) {
  ASSIGN_OR_RETURN(const std::vector<std::string> keys, KeysTo(txn, path));
  for (const std::string& key : keys) {
    ASSIGN_OR_RETURN(const auto known, txn.Get(kFamilyCheckpoint, key));
    if (!known.has_value()) txn.Put(kFamilyCheckpoint, key, "");
  }
  return absl::OkStatus();
}

absl::Status ForgetPin(Transaction& txn, std::string_view path) {
  ASSIGN_OR_RETURN(std::vector<std::string> keys, KeysTo(txn, path));
  ASSIGN_OR_RETURN(const auto known, txn.Get(kFamilyCheckpoint, keys.back()));
  if (!known.has_value()) return absl::OkStatus();
  for (; !keys.empty(); keys.pop_back()) {
    txn.Delete(kFamilyCheckpoint, keys.back());
    uint64_t parent = 0;
    KeyReader reader(std::string_view(keys.back()).substr(1));
    if (!reader.ReadU64(&parent)) return absl::InternalError("metadata: a key without its parent");
    ASSIGN_OR_RETURN(const auto other, FirstName(txn, InodeId(parent)));
    if (other.has_value()) break;
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> LeadsToPin(const Transaction& txn, InodeId parent, std::string_view name) {
  ASSIGN_OR_RETURN(const auto entry, txn.Get(kFamilyCheckpoint, PinKey(parent, name)));
  return entry.has_value();
}

absl::StatusOr<std::optional<std::string>> FindPinBelow(const Transaction& txn, InodeId directory,
                                                        std::string path) {
  for (;;) {
    ASSIGN_OR_RETURN(const std::optional<std::string> name, FirstName(txn, directory));
    if (!name.has_value()) return std::nullopt;
    path = JoinPath(path, *name);
    ASSIGN_OR_RETURN(const std::optional<Node> node, FindEntry(txn, directory, *name));
    if (!node.has_value()) {
      return absl::InternalError(StrCat("metadata: nothing has the pinned path ", Quoted(path)));
    }
    if (node->type == disk::INODE_CHECKPOINT) return path;
    directory = node->inode;
  }
}

}  // namespace cairn
