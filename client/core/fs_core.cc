// Names, attributes and open files. What goes on in the background: fs_background.cc.
#include "client/core/fs_core.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "common/base/check.h"
#include "common/base/posix_error.h"
#include "common/base/status_macros.h"
#include "common/task/when_all.h"
#include "common/telemetry/log.h"

namespace cairn::client_internal {
namespace {

// Files that commit in the background at once.
constexpr int64_t kCommitsMax = 8;
// Of files that are not open; what is forgotten costs the kernel its cached pages.
constexpr size_t kSeenMax = 1'000'000;
// One file is compacted after the other; when so many are open or wait, more are left as they are.
constexpr size_t kFilesWaitingMax = 4096;

}  // namespace

FsCore::FsCore(Session& session, FileSystemOptions options, absl::Duration timeout, Random& random)
    : context_(session, std::move(options), timeout),
      mount_(context_, random.Next() | 1),
      leases_(context_),
      directories_(context_),
      commits_(kCommitsMax) {
  context_.mount = &mount_;
  context_.leases = &leases_;
  context_.relieve = [this] { Relieve(); };
}

FsCore::~FsCore() = default;

Task<absl::Status> FsCore::Open(std::string path) {
  const absl::StatusOr<std::shared_ptr<const MapIndex>> map =
      co_await context_.session.Map(context_.Soon());
  if (!map.ok()) co_return map.status();
  context_.stripe_bytes = (*map)->map().stripe_bytes();
  wire::LookupPathRequest request;
  request.set_path(path);
  const absl::StatusOr<wire::LookupReply> reply =
      co_await context_.Ask<wire::LookupReply>(wire::LOOKUP_PATH, std::move(request));
  if (!reply.ok()) co_return reply.status();
  context_.names.SetRoot(reply->attributes().inode(), std::move(path));
  CO_RETURN_IF_ERROR(co_await mount_.Start());
  context_.scope.Spawn(RunBackground(this));
  opened_ = true;
  co_return absl::OkStatus();
}

Task<void> FsCore::Close() {
  OnChange(nullptr);
  if (opened_) {
    (void)co_await CommitAll();
    std::vector<std::shared_ptr<FsFile>> left;
    for (const auto& [inode, open] : files_)
      if (open.file->writer().HasUncommitted()) left.push_back(open.file);
    for (const std::shared_ptr<FsFile>& file : left) co_await file->writer().GiveUp();
  }
  context_.stop.RequestStop();
  context_.NoteRoom();
  co_await directories_.End();
  co_await context_.scope.Join();
  for (auto& [inode, open] : files_) open.file->content().readahead().Drop();
  files_.clear();
  co_await leases_.EndAll();
  if (opened_) co_await mount_.End();
}

std::shared_ptr<FsFile> FsCore::Find(uint64_t inode) const {
  const auto open = files_.find(inode);
  return open == files_.end() ? nullptr : open->second.file;
}

// ---- names ----

void FsCore::OnChange(std::function<void(std::vector<FileSystem::Change>)> tell) {
  tell_ = std::move(tell);
  if (tell_ == nullptr) return directories_.Forget();
  directories_.Start([this](uint64_t directory) {
    context_.listings.NoteChange(directory);
    std::vector<FileSystem::Change> changes = {{directory, "", directory}};
    for (auto& [name, inode] : context_.names.NamesIn(directory))
      changes.push_back({directory, std::move(name), inode});
    tell_(std::move(changes));
  });
}

// A directory has one name. The kernel would go on taking it for where it was, and refuse to move
// it while it does (ESTALE).
void FsCore::FoundDirectory(uint64_t inode, uint64_t parent, const std::string& name) {
  std::vector<FileSystem::Change> changes;
  for (auto& [directory, other] : context_.names.OthersOf(inode, parent, name)) {
    context_.names.Gone(directory, other);
    changes.push_back({directory, std::move(other), inode, true});
  }
  if (!changes.empty() && tell_ != nullptr) tell_(std::move(changes));
}

FsCore::Holding FsCore::HoldingOf(const wire::Attributes& attributes, uint64_t parent,
                                  HeldDirectories::Mark asked_at) const {
  Holding holding;
  holding.name = directories_.Holds(parent, asked_at);
  const bool is_directory =
      attributes.type() == wire::ENTRY_DIRECTORY || attributes.type() == wire::ENTRY_CHECKPOINT;
  if (is_directory) {
    holding.attributes = directories_.Holds(attributes.inode(), asked_at);
    return holding;
  }
  // One of several names is in another directory, perhaps, and what is written here changes size
  // and times once more when it is committed.
  const std::shared_ptr<FsFile> file = Find(attributes.inode());
  const bool is_written = file != nullptr && file->writer().HasUncommitted();
  holding.attributes = holding.name && attributes.links() == 1 && !is_written;
  return holding;
}

Task<absl::StatusOr<wire::Attributes>> FsCore::Lookup(uint64_t parent, std::string name,
                                                      Holding* holding) {
  const HeldDirectories::Mark asked_at = directories_.mark();
  wire::LookupRequest request;
  request.set_parent(parent);
  request.set_name(name);
  request.set_lease(directories_.wanted());
  const absl::StatusOr<wire::LookupReply> reply =
      co_await context_.Ask<wire::LookupReply>(wire::LOOKUP, std::move(request));
  if (!reply.ok()) {
    if (absl::IsNotFound(reply.status())) context_.names.Gone(parent, name);
    co_return reply.status();
  }
  context_.names.Found(reply->attributes().inode(), parent, name);
  if (reply->attributes().type() == wire::ENTRY_DIRECTORY)
    FoundDirectory(reply->attributes().inode(), parent, name);
  if (reply->leased()) directories_.Granted(parent, asked_at);
  wire::Attributes attributes = reply->attributes();
  if (const std::shared_ptr<FsFile> file = Find(attributes.inode()); file != nullptr)
    attributes = co_await file->Complete(std::move(attributes));
  if (holding != nullptr) *holding = HoldingOf(attributes, parent, asked_at);
  co_return attributes;
}

Task<absl::StatusOr<wire::Attributes>> FsCore::Make(wire::MakeNodeRequest request) {
  request.set_buffered(true);
  const uint64_t parent = request.parent();
  const std::string name = request.name();
  const absl::StatusOr<wire::MakeNodeReply> reply =
      co_await context_.Ask<wire::MakeNodeReply>(wire::MAKE_NODE, std::move(request));
  context_.listings.NoteChange(parent);
  if (!reply.ok()) co_return reply.status();
  context_.names.Found(reply->attributes().inode(), parent, name);
  const std::shared_ptr<FsFile> file = Find(reply->attributes().inode());
  if (file == nullptr) co_return reply->attributes();
  co_return co_await file->Complete(reply->attributes());
}

Task<absl::StatusOr<wire::Attributes>> FsCore::Link(uint64_t inode, uint64_t parent,
                                                    std::string name) {
  wire::LinkNodeRequest request;
  *request.mutable_node() = context_.names.Refer(inode);
  request.set_parent(parent);
  request.set_name(name);
  request.set_buffered(true);
  const absl::StatusOr<wire::LinkNodeReply> reply =
      co_await context_.Ask<wire::LinkNodeReply>(wire::LINK_NODE, std::move(request));
  context_.listings.NoteChange(parent);
  context_.NoteChangeOf(inode);
  if (!reply.ok()) co_return reply.status();
  context_.names.Found(inode, parent, name);
  const std::shared_ptr<FsFile> file = Find(inode);
  if (file == nullptr) co_return reply->attributes();
  co_return co_await file->Complete(reply->attributes());
}

Task<absl::Status> FsCore::Unlink(uint64_t parent, std::string name, bool directory) {
  wire::UnlinkNodeRequest request;
  request.set_parent(parent);
  request.set_name(name);
  request.set_directory(directory);
  request.set_buffered(true);
  const absl::StatusOr<wire::UnlinkNodeReply> reply =
      co_await context_.Ask<wire::UnlinkNodeReply>(wire::UNLINK_NODE, std::move(request));
  context_.listings.NoteChange(parent);
  if (!reply.ok()) co_return reply.status();
  context_.names.Gone(parent, name);
  context_.NoteChangeOf(reply->attributes().inode());
  if (const auto file = Find(reply->attributes().inode()); file != nullptr)
    file->content().Learn(reply->attributes());
  co_return absl::OkStatus();
}

// Who renames a file that it has written wants others to see it as written, and a checkpoint that a
// rename makes is never changed again.
Task<absl::Status> FsCore::CommitBeforeRename(const wire::RenameNodeRequest& request) {
  const auto inode = context_.names.InodeAt(request.from_parent(), request.from_name());
  if (inode.has_value()) {
    if (const std::shared_ptr<FsFile> file = Find(*inode); file != nullptr)
      co_return co_await file->writer().Commit();
  }
  co_return co_await CommitAll();
}

Task<absl::Status> FsCore::Rename(wire::RenameNodeRequest request) {
  CO_RETURN_IF_ERROR(co_await CommitBeforeRename(request));
  request.set_buffered(true);
  const absl::StatusOr<wire::RenameNodeReply> reply =
      co_await context_.Ask<wire::RenameNodeReply>(wire::RENAME_NODE, request);
  context_.listings.NoteChange(request.from_parent());
  context_.listings.NoteChange(request.to_parent());
  if (!reply.ok()) co_return reply.status();
  context_.NoteChangeOf(reply->attributes().inode());
  if (reply->replaced() != 0) context_.NoteChangeOf(reply->replaced());
  context_.names.Gone(request.from_parent(), request.from_name());
  context_.names.Gone(request.to_parent(), request.to_name());
  context_.names.Found(reply->attributes().inode(), request.to_parent(), request.to_name());
  if (request.mode() == wire::NODE_RENAME_EXCHANGE && reply->replaced() != 0)
    context_.names.Found(reply->replaced(), request.from_parent(), request.from_name());
  co_return absl::OkStatus();
}

Task<absl::StatusOr<wire::ReadDirectoryReply>> FsCore::ReadDirectory(
    uint64_t inode, std::string after, std::vector<Holding>* holding) {
  const HeldDirectories::Mark asked_at = directories_.mark();
  wire::ReadDirectoryRequest request;
  request.set_lease(directories_.wanted());
  request.set_inode(inode);
  request.set_start_after(std::move(after));
  request.set_with_attributes(true);
  absl::StatusOr<wire::ReadDirectoryReply> reply =
      co_await context_.Ask<wire::ReadDirectoryReply>(wire::READ_DIRECTORY, std::move(request));
  if (!reply.ok()) co_return reply;
  for (wire::DirectoryEntry& entry : *reply->mutable_entries()) {
    const std::shared_ptr<FsFile> file = Find(entry.inode());
    if (file == nullptr || !entry.has_attributes()) continue;
    *entry.mutable_attributes() = co_await file->Complete(entry.attributes());
  }
  if (reply->leased()) directories_.Granted(inode, asked_at);
  if (holding != nullptr) {
    holding->clear();
    for (const wire::DirectoryEntry& entry : reply->entries())
      holding->push_back(HoldingOf(entry.attributes(), inode, asked_at));
  }
  co_return reply;
}

void FsCore::Forget(uint64_t inode) {
  if (files_.contains(inode)) return;
  context_.names.Forget(inode);
  seen_.erase(inode);
}

// ---- attributes ----

namespace {

// It was found by a name that leads elsewhere by now: whoever has come by it looks it up again.
absl::Status HasNoName() { return PosixError(ESTALE, "no name leads to it any more"); }

}  // namespace

Task<absl::StatusOr<wire::Attributes>> FsCore::GetAttributes(uint64_t inode, Holding* holding) {
  const HeldDirectories::Mark marked_at = directories_.mark();
  const std::shared_ptr<FsFile> file = Find(inode);
  if (file != nullptr) (void)co_await file->writer().CommitAppends();
  const uint64_t asked_at = file == nullptr ? 0 : file->content().learned();
  wire::GetAttributesRequest request;
  request.set_inode(inode);
  const absl::StatusOr<wire::GetAttributesReply> reply =
      co_await context_.Ask<wire::GetAttributesReply>(wire::GET_ATTRIBUTES, std::move(request));
  if (!reply.ok()) co_return reply.status();
  wire::Attributes attributes = reply->attributes();
  if (file != nullptr) attributes = co_await file->Complete(std::move(attributes), asked_at);
  if (holding != nullptr)
    *holding = HoldingOf(attributes, context_.names.Refer(inode).parent(), marked_at);
  co_return attributes;
}

Task<absl::StatusOr<wire::Attributes>> FsCore::SetAttributes(wire::SetAttributesRequest request) {
  const uint64_t inode = request.node().inode();
  *request.mutable_node() = context_.names.Refer(inode);
  request.set_buffered(true);
  if (const std::shared_ptr<FsFile> file = Find(inode); file != nullptr) {
    absl::StatusOr<wire::Attributes> set = co_await file->SetAttributes(std::move(request));
    context_.NoteChangeOf(inode);
    if (!set.ok()) co_return set;
    co_return co_await file->Complete(*std::move(set));
  }
  const absl::StatusOr<wire::SetAttributesReply> reply =
      co_await context_.Ask<wire::SetAttributesReply>(wire::SET_ATTRIBUTES, request);
  context_.NoteChangeOf(inode);
  if (!reply.ok()) co_return reply.status();
  if (reply->attributes().links() == 0) co_return HasNoName();
  // The kernel knows that its own truncation has changed the file.
  const auto seen = seen_.find(inode);
  if (seen != seen_.end() && seen->second == reply->previous_version())
    seen->second = reply->attributes().version();
  co_return reply->attributes();
}

Task<absl::StatusOr<wire::GetXattrsReply>> FsCore::GetXattrs(uint64_t inode) {
  wire::GetXattrsRequest request;
  request.set_inode(inode);
  co_return co_await context_.Ask<wire::GetXattrsReply>(wire::GET_XATTRS, std::move(request));
}

Task<absl::Status> FsCore::SetXattr(wire::SetXattrRequest request) {
  const uint64_t inode = request.node().inode();
  if (Find(inode) == nullptr) {
    const absl::StatusOr<wire::Attributes> attributes = co_await GetAttributes(inode);
    if (!attributes.ok()) co_return attributes.status();
    if (attributes->links() == 0) co_return HasNoName();
  }
  *request.mutable_node() = context_.names.Refer(inode);
  request.set_buffered(true);
  const absl::StatusOr<wire::SetXattrReply> reply =
      co_await context_.Ask<wire::SetXattrReply>(wire::SET_XATTR, std::move(request));
  context_.NoteChangeOf(inode);
  co_return reply.status();
}

Task<absl::StatusOr<wire::StatFsReply>> FsCore::StatFs(uint64_t inode) {
  wire::StatFsRequest request;
  request.set_inode(inode);
  co_return co_await context_.Ask<wire::StatFsReply>(wire::STAT_FS, std::move(request));
}

// ---- content ----

Task<absl::StatusOr<FsCore::Opened>> FsCore::OpenFile(uint64_t inode, OpenMode mode) {
  const wire::NodeRef named = context_.names.Refer(inode);
  const std::shared_ptr<FsFile> before = Find(inode);
  const uint64_t asked_at = before == nullptr ? 0 : before->content().learned();
  absl::StatusOr<wire::OpenNodeReply> reply = co_await mount_.Open(inode, mode != OpenMode::kWrite);
  // The kernel comes again once, by what it finds then.
  if (CarriedPosixError(reply.status()) == ESTALE)
    context_.names.Gone(named.parent(), named.name());
  if (!reply.ok()) co_return reply.status();
  if (reply->attributes().type() != wire::ENTRY_FILE) {
    mount_.Close(inode);
    const bool is_link = reply->attributes().type() == wire::ENTRY_SYMLINK;
    co_return PosixError(is_link ? ELOOP : EISDIR, "only files have content");
  }
  if (mode != OpenMode::kRead && reply->attributes().fixed()) {
    mount_.Close(inode);
    co_return PosixError(EROFS, "a committed checkpoint is fixed");
  }
  co_return TakeOpened(*reply, before != nullptr && before == Find(inode) ? asked_at : 0);
}

FsCore::Opened FsCore::TakeOpened(const wire::OpenNodeReply& reply, uint64_t asked_at) {
  const uint64_t inode = reply.attributes().inode();
  OpenInode& open = files_[inode];
  if (open.file == nullptr) open.file = std::make_shared<FsFile>(context_, inode);
  ++open.opens;
  open.used_at = context_.clock().Now();
  FsContent& content = open.file->content();
  content.Learn(reply.attributes(), asked_at);
  content.set_recall(reply.recall());
  Opened opened{open.file, std::make_shared<FsFile::Handle>()};
  const auto seen = seen_.find(inode);
  opened.handle->is_unchanged = content.SeeAtOpen(seen == seen_.end() ? 0 : seen->second);
  opened.handle->size_at_open = open.file->writer().size_bytes();
  open.file->Attach(opened.handle);
  return opened;
}

Task<absl::StatusOr<FsCore::Opened>> FsCore::Create(wire::MakeNodeRequest request, OpenMode mode) {
  request.set_buffered(true);
  request.set_open_in_mount(mount_.id());
  const uint64_t parent = request.parent();
  const std::string name = request.name();
  const absl::StatusOr<wire::MakeNodeReply> reply =
      co_await context_.Ask<wire::MakeNodeReply>(wire::MAKE_NODE, std::move(request));
  context_.listings.NoteChange(parent);
  if (!reply.ok()) co_return reply.status();
  const uint64_t inode = reply->attributes().inode();
  context_.names.Found(inode, parent, name);
  if (!reply->opened()) co_return co_await OpenFile(inode, mode);
  mount_.NoteOpen(inode);
  wire::OpenNodeReply opened;
  *opened.mutable_attributes() = reply->attributes();
  co_return TakeOpened(opened, 0);
}

Task<void> FsCore::CloseFile(Opened opened) {
  const uint64_t inode = opened.file->inode();
  if (opened.file->writer().HasUncommitted() && !context_.stop.stop_requested())
    (void)co_await opened.file->CommitInBackground();
  opened.file->Detach(*opened.handle);
  const auto open = files_.find(inode);
  if (open == files_.end()) co_return;  // the file system is closed
  --open->second.opens;
  mount_.Close(inode);
  open->second.used_at = context_.clock().Now();
  Settle(inode);
}

void FsCore::Settle(uint64_t inode) {
  const auto open = files_.find(inode);
  if (open == files_.end() || open->second.opens > 0 || open->second.committing) return;
  if (open->second.file->writer().HasUncommitted()) return;
  // It goes when its pieces are gathered.
  const bool may_wait = files_.size() < kFilesWaitingMax && !context_.stop.stop_requested();
  if (open->second.file->WantsCompaction() && may_wait) return;
  if (seen_.size() >= kSeenMax) seen_.clear();
  seen_[inode] = open->second.file->content().seen_version();
  files_.erase(open);
}

Task<absl::StatusOr<wire::LockFileReply>> FsCore::Lock(wire::FileLock lock, bool test) {
  const std::shared_ptr<FsFile> file = Find(lock.inode());
  const bool gives_up = !test && lock.type() != wire::FILE_LOCK_EXCLUSIVE &&
                        mount_.locks().Holds(lock.inode(), lock.kind(), lock.owner());
  // Who gets the lock next sees what was written under it. The lock goes all the same: an error of
  // the bytes is told with them.
  if (gives_up && file != nullptr && file->writer().HasUncommitted())
    (void)co_await file->CommitInBackground();
  const uint64_t inode = lock.inode();
  const bool takes = !test && lock.type() != wire::FILE_LOCK_UNLOCK;
  absl::StatusOr<wire::LockFileReply> reply = co_await mount_.Lock(std::move(lock), test);
  if (!reply.ok() || !reply->granted() || !takes) co_return reply;
  if (const std::shared_ptr<FsFile> locked = Find(inode); locked != nullptr) {
    absl::Status fresh = co_await locked->Revalidate();
    if (!fresh.ok()) {
      CAIRN_LOG_WARN("{} is locked, and what others have written to it is not known: {}",
                     locked->content().Describe(), fresh);
    }
  }
  co_return reply;
}

// ---- all of it ----

Task<absl::Status> FsCore::CommitAll() {
  std::vector<std::shared_ptr<FsFile>> files;
  for (const auto& [inode, open] : files_)
    if (open.file->writer().HasUncommitted()) files.push_back(open.file);
  absl::Status all;
  for (size_t at = 0; at < files.size();) {
    std::vector<Task<absl::Status>> commits;
    for (; at < files.size() && commits.size() < static_cast<size_t>(kCommitsMax); ++at)
      commits.push_back(files[at]->writer().Commit());
    absl::Status some = co_await WhenAllOk(std::move(commits));
    if (all.ok()) all = some;
  }
  co_return all;
}

Task<absl::Status> FsCore::SyncNamespace() {
  const absl::StatusOr<wire::SyncNamespaceReply> reply =
      co_await context_.Ask<wire::SyncNamespaceReply>(wire::SYNC_NAMESPACE,
                                                      wire::SyncNamespaceRequest());
  co_return reply.status();
}

Task<absl::Status> FsCore::SyncAll() {
  CO_RETURN_IF_ERROR(co_await CommitAll());
  co_return co_await SyncNamespace();
}

FileSystemStats FsCore::stats() const {
  FileSystemStats stats = context_.stats;
  stats.dirty_bytes = context_.dirty->bytes;
  stats.open_files = files_.size();
  return stats;
}

}  // namespace cairn::client_internal
