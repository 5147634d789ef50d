#include "server/meta/links.h"

#include <string>
#include <utility>

#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "server/meta/cleanup.h"
#include "server/meta/families.h"
#include "server/meta/keys.h"
#include "server/meta/records.h"
#include "server/meta/tier_subject.h"
#include "server/meta/usage.h"

namespace cairn {
namespace {

bool LiesAt(const disk::InodeRecord& record, InodeId parent, std::string_view name) {
  return record.parent() == parent.value() && record.name() == name;
}

// Some other name of the file becomes the one in its record.
absl::Status TakeOtherName(Transaction& txn, InodeId inode, disk::InodeRecord* record) {
  const std::string prefix = LinkPrefix(inode);
  Transaction::Scan scan(txn, kFamilyLink, prefix, PrefixEnd(prefix));
  if (!scan.Valid()) {
    RETURN_IF_ERROR(scan.status());
    return absl::DataLossError("metadata: a file has fewer names than it says");
  }
  const std::string key(scan.key());
  KeyReader reader(std::string_view(key).substr(prefix.size()));
  uint64_t parent = 0;
  if (!reader.ReadU64(&parent))
    return absl::DataLossError("metadata: a key of family \"link\" is damaged");
  record->set_parent(parent);
  record->set_name(std::string(reader.rest()));
  txn.Delete(kFamilyLink, key);
  return absl::OkStatus();
}

}  // namespace

absl::Status AdoptName(const Transaction& txn, const wire::NodeRef& ref,
                       disk::InodeRecord* record) {
  const bool unknown = record->parent() == 0 && !record->has_rank() && record->links() > 0;
  if (!unknown || ref.parent() == 0 || ref.name().empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const auto node, FindEntry(txn, InodeId(ref.parent()), ref.name()));
  if (!node.has_value() || node->inode.value() != ref.inode()) return absl::OkStatus();
  record->set_parent(ref.parent());
  record->set_name(ref.name());
  return absl::OkStatus();
}

void AddName(Transaction& txn, InodeId inode, InodeId parent, std::string_view name,
             disk::InodeRecord* record) {
  CAIRN_CHECK(record->parent() != 0);
  txn.Put(kFamilyLink, LinkKey(inode, parent, name), "");
  record->set_links(record->links() + 1);
}

absl::Status MoveName(Transaction& txn, InodeId inode, InodeId from, std::string_view from_name,
                      const Place& to, disk::InodeRecord* record) {
  const bool is_home = record->links() < 2 || LiesAt(*record, from, from_name);
  if (!is_home) {
    txn.Delete(kFamilyLink, LinkKey(inode, from, from_name));
    txn.Put(kFamilyLink, LinkKey(inode, to.parent, to.name), "");
    return absl::OkStatus();
  }
  record->set_parent(to.parent.value());
  record->set_name(std::string(to.name));
  const Node node{inode, record->type()};
  return MoveUsage(txn, node, from, to.parent);
}

absl::StatusOr<LastName> DropName(Transaction& txn, InodeId inode, InodeId parent,
                                  std::string_view name, int64_t now_ns,
                                  disk::InodeRecord* record) {
  const Content content{record->size_bytes(), 1, 0};
  if (record->links() < 2) {
    RETURN_IF_ERROR(ChangeUsage(txn, parent, {}, content));
    return LastName::kYes;
  }
  if (LiesAt(*record, parent, name)) {
    RETURN_IF_ERROR(ChangeUsage(txn, parent, {}, content));
    RETURN_IF_ERROR(TakeOtherName(txn, inode, record));
    RETURN_IF_ERROR(ChangeUsage(txn, InodeId(record->parent()), content, {}));
    ASSIGN_OR_RETURN(const auto subject, FindSubject(txn, inode));
    if (subject.has_value())
      RETURN_IF_ERROR(MoveSubject(txn, inode, InodeId(record->parent()), record->name()));
  } else {
    txn.Delete(kFamilyLink, LinkKey(inode, parent, name));
  }
  record->set_links(record->links() - 1);
  record->set_changed_at_ns(now_ns);
  StoreInode(txn, inode, *record);
  return LastName::kNo;
}

absl::Status ReleaseEntry(Transaction& txn, InodeId parent, std::string_view name, const Node& node,
                          const CommandFacts& facts) {
  if (node.is_directory()) {
    RETURN_IF_ERROR(LeaveUsage(txn, parent, node));
    return QueueTree(txn, node.inode, CountedFiles::kYes);
  }
  ASSIGN_OR_RETURN(disk::InodeRecord record, LoadInode(txn, node.inode));
  ASSIGN_OR_RETURN(const LastName last,
                   DropName(txn, node.inode, parent, name, facts.now_ns(), &record));
  if (last == LastName::kNo) return absl::OkStatus();
  if (node.type != disk::INODE_FILE || !facts.mounts_are_live())
    return QueueTree(txn, node.inode, CountedFiles::kYes);
  RETURN_IF_ERROR(txn.Subtract(Counter::kFiles, 1));
  record.set_changed_at_ns(facts.now_ns());
  return MakeOrphan(txn, node.inode, std::move(record));
}

absl::Status MakeOrphan(Transaction& txn, InodeId inode, disk::InodeRecord record) {
  RETURN_IF_ERROR(DropSubject(txn, inode));
  record.set_links(0);
  record.set_orphan(true);
  record.clear_parent();
  record.clear_name();
  StoreInode(txn, inode, record);
  txn.Put(kFamilyLink, OrphanKey(inode), "");
  txn.effects().orphans_made = true;
  return txn.Add(Counter::kOrphans, 1).status();
}

absl::StatusOr<disk::ReapOrphansReply> ReapOrphans(Transaction& txn,
                                                   const disk::ReapOrphans& request) {
  for (const uint64_t id : request.inodes()) {
    const InodeId inode(id);
    ASSIGN_OR_RETURN(const auto orphan, txn.Get(kFamilyLink, OrphanKey(inode)));
    if (!orphan.has_value()) continue;
    txn.Delete(kFamilyLink, OrphanKey(inode));
    RETURN_IF_ERROR(txn.Subtract(Counter::kOrphans, 1));
    RETURN_IF_ERROR(QueueTree(txn, inode, CountedFiles::kNo));
  }
  return disk::ReapOrphansReply();
}

}  // namespace cairn
