#include "server/meta/listing.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "server/meta/keys.h"
#include "server/meta/paths.h"
#include "server/meta/records.h"

namespace cairn {
namespace {

// The entries of one directory and the open attempts in it, merged in key order.
class DirectoryScan {
 public:
  // From the first key at or after `from`, which is a name as in a dentry key, slash and all.
  DirectoryScan(const Transaction& txn, InodeId directory, std::string path, std::string_view from)
      : directory_(directory),
        path_(std::move(path)),
        entries_(txn, kFamilyDentry, DentryPrefix(directory).append(from),
                 PrefixEnd(DentryPrefix(directory))),
        attempts_(txn, kFamilyAttempt, AttemptPrefix(directory).append(from),
                  PrefixEnd(AttemptPrefix(directory))) {}

  // The next entry, or nullopt at the end.
  absl::StatusOr<std::optional<WalkEntry>> Next() {
    RETURN_IF_ERROR(SkipEndedAttempts());
    if (!entries_.Valid()) RETURN_IF_ERROR(entries_.status());
    if (!entries_.Valid() && !attempts_.Valid()) return std::nullopt;
    // Both families use the same keys.
    const bool entry_first =
        entries_.Valid() && (!attempts_.Valid() || entries_.key() <= attempts_.key());
    const bool attempt_first =
        attempts_.Valid() && (!entries_.Valid() || attempts_.key() <= entries_.key());
    WalkEntry entry;
    entry.parent = directory_;
    std::string_view name = DentryKeyName(entry_first ? entries_.key() : attempts_.key());
    if (name.back() == '/') name.remove_suffix(1);
    entry.path = JoinPath(path_, name);
    entry.being_written = attempt_first;
    if (entry_first) {
      disk::DentryRecord dentry;
      RETURN_IF_ERROR(ParseRecord(kFamilyDentry, entries_.value(), dentry));
      entry.node = {InodeId(dentry.inode()), dentry.type()};
      entries_.Next();
    }
    if (attempt_first) attempts_.Next();
    return entry;
  }

 private:
  absl::Status SkipEndedAttempts() {
    for (; attempts_.Valid(); attempts_.Next()) {
      disk::AttemptRecord attempt;
      RETURN_IF_ERROR(ParseRecord(kFamilyAttempt, attempts_.value(), attempt));
      if (attempt.state() == disk::ATTEMPT_OPEN) return absl::OkStatus();
    }
    return attempts_.status();
  }

  InodeId directory_;
  std::string path_;
  Transaction::Scan entries_;
  Transaction::Scan attempts_;
};

using Stack = std::vector<std::unique_ptr<DirectoryScan>>;

// Opens the directories on the way to `after`, each behind the component that leads on, so that the
// walk goes on right after it.
absl::Status OpenAt(const Transaction& txn, InodeId directory, std::string_view after,
                    Stack& stack) {
  std::string path;
  if (after.empty()) {
    stack.push_back(std::make_unique<DirectoryScan>(txn, directory, path, ""));
    return absl::OkStatus();
  }
  for (;;) {
    const size_t slash = after.find('/');
    const std::string_view name = after.substr(0, slash);
    ASSIGN_OR_RETURN(const std::optional<Node> node, FindEntry(txn, directory, name));
    const bool is_directory = node.has_value() && node->is_directory();
    // A name that is gone, or is only being written, resumes as a directory would if more of a path
    // follows.
    ASSIGN_OR_RETURN(const auto attempt, txn.Get(kFamilyAttempt, AttemptKey(directory, name)));
    const bool as_directory =
        is_directory || attempt.has_value() || slash != std::string_view::npos;
    std::string from(name);
    if (as_directory) from += '/';
    from += '\0';
    stack.push_back(std::make_unique<DirectoryScan>(txn, directory, path, from));
    if (!is_directory) return absl::OkStatus();
    if (slash == std::string_view::npos) {
      // The walk may have stopped right behind a directory: its content comes next.
      if (node->type == disk::INODE_DIRECTORY) {
        stack.push_back(
            std::make_unique<DirectoryScan>(txn, node->inode, JoinPath(path, name), ""));
      }
      return absl::OkStatus();
    }
    path = JoinPath(path, name);
    directory = node->inode;
    after.remove_prefix(slash + 1);
  }
}

}  // namespace

absl::Status Walk(const Transaction& txn, InodeId directory, std::string_view after,
                  Visitor visit) {
  Stack stack;
  RETURN_IF_ERROR(OpenAt(txn, directory, after, stack));
  for (int visited = 0; !stack.empty();) {
    ASSIGN_OR_RETURN(const std::optional<WalkEntry> entry, stack.back()->Next());
    if (!entry.has_value()) {
      stack.pop_back();
      continue;
    }
    if (++visited > kMaxVisited) {
      return absl::ResourceExhaustedError(
          StrCat("over ", kMaxVisited, " entries to look through; list a directory further down"));
    }
    ASSIGN_OR_RETURN(const Visit next, visit(*entry));
    if (next == Visit::kStop) return absl::OkStatus();
    if (next == Visit::kDescend && entry->node.is_directory()) {
      stack.push_back(std::make_unique<DirectoryScan>(txn, entry->node.inode, entry->path, ""));
    }
  }
  return absl::OkStatus();
}

}  // namespace cairn
