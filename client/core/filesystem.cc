// The public FileSystem: each call hops onto the client's reactor thread, where FsCore does the
// work, and blocks until it is done. Nothing here is locked: all state is that thread's.
#include "cairn/filesystem.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include "client/core/client_impl.h"
#include "client/core/fs_convert.h"
#include "client/core/fs_core.h"
#include "common/base/clock.h"
#include "common/base/posix_error.h"
#include "common/base/status_macros.h"

namespace cairn {
namespace client_internal {

class FileSystemImpl {
 public:
  explicit FileSystemImpl(std::shared_ptr<ClientImpl> client) : client_(std::move(client)) {}
  ~FileSystemImpl() {
    if (core_ == nullptr) return;
    if (!client_->CheckUsable().ok()) {
      (void)core_.release();  // belongs to the parent process
      return;
    }
    (void)client_->Run<absl::Status>([this] { return DestroyTask(); });
  }

  absl::Status Open(std::string path, FileSystemOptions options) {
    RETURN_IF_ERROR(client_->CheckUsable());
    return client_->Run<absl::Status>(
        [&] { return OpenTask(std::move(path), std::move(options)); });
  }
  // What was written is handed over; whoever has files open hears of errors from then on.
  void Close() {
    if (client_->CheckUsable().ok())
      (void)client_->Run<absl::Status>([this] { return CloseTask(); });
  }

  // Runs what `make` makes of the core on its thread. T is a Status or StatusOr.
  template <class T>
  T Run(absl::AnyInvocable<Task<T>(FsCore&)> make) {
    if (absl::Status usable = client_->CheckUsable(); !usable.ok()) return usable;
    return client_->Run<T>([&] { return make(*core_); });
  }
  // As Run(), of a plain function.
  template <class T>
  absl::StatusOr<T> Get(absl::AnyInvocable<T(FsCore&)> get) {
    return Run<absl::StatusOr<T>>([&](FsCore& core) { return GetTask<T>(get, core); });
  }

 private:
  template <class T>
  static Task<absl::StatusOr<T>> GetTask(absl::AnyInvocable<T(FsCore&)>& get, FsCore& core) {
    co_return get(core);
  }
  Task<absl::Status> OpenTask(std::string path, FileSystemOptions options) {
    core_ = std::make_unique<FsCore>(client_->session(), std::move(options),
                                     client_->options().timeout, client_->session().random());
    absl::Status opened = co_await core_->Open(std::move(path));
    if (!opened.ok()) co_await core_->Close();
    closed_ = !opened.ok();
    co_return opened;
  }
  Task<absl::Status> CloseTask() {
    if (std::exchange(closed_, true)) co_return absl::OkStatus();
    co_await core_->Close();
    co_return absl::OkStatus();
  }
  Task<absl::Status> DestroyTask() {
    core_.reset();
    co_return absl::OkStatus();
  }

  std::shared_ptr<ClientImpl> client_;
  // The reactor thread's.
  std::unique_ptr<FsCore> core_;
  bool closed_ = true;
};

namespace {

// Less would make a stripe of too many pieces of memory.
constexpr size_t kCopiedByCaller = 512 << 10;
// What the client has in memory beyond FileSystemOptions::dirty_bytes_max for each of its callers.
constexpr size_t kOwnedBytesMax = 1 << 20;

Task<absl::Status> CloseFileTask(FsCore& core, FsCore::Opened opened) {
  co_await core.CloseFile(std::move(opened));
  co_return absl::OkStatus();
}

Task<absl::StatusOr<FsCore::Opened>> CreateTask(FsCore& core, wire::MakeNodeRequest request,
                                                OpenMode mode, wire::Attributes* attributes) {
  absl::StatusOr<FsCore::Opened> opened = co_await core.Create(std::move(request), mode);
  if (!opened.ok()) co_return opened;
  FsFile& file = *opened->file;
  *attributes = co_await file.Complete(file.content().attributes());
  co_return opened;
}

Task<absl::Status> SyncTask(FsCore& core, FsCore::Opened opened) {
  CO_RETURN_IF_ERROR(co_await opened.file->Flush(opened.handle));
  co_return co_await core.SyncNamespace();
}

absl::StatusOr<NodeAttributes> ToPublic(const absl::StatusOr<wire::Attributes>& attributes,
                                        const FsCore::Holding& holding = {}) {
  if (!attributes.ok()) return attributes.status();
  NodeAttributes result = ToNodeAttributes(*attributes);
  result.name_holds = holding.name;
  result.attributes_hold = holding.attributes;
  return result;
}

}  // namespace

class OpenFileImpl {
 public:
  OpenFileImpl(std::shared_ptr<FileSystemImpl> fs, FsCore::Opened opened)
      : fs_(std::move(fs)), opened_(std::move(opened)), inode_(opened_.file->inode()) {}
  ~OpenFileImpl() {
    // Its last reference goes on the reactor thread; after fork(), it is the parent's.
    auto* opened = new FsCore::Opened(std::move(opened_));
    (void)fs_->Run<absl::Status>([opened](FsCore& core) {
      const std::unique_ptr<FsCore::Opened> owned(opened);
      return CloseFileTask(core, std::move(*owned));
    });
  }
  FileSystemImpl& fs() { return *fs_; }
  const FsCore::Opened& opened() const { return opened_; }
  InodeNumber inode() const { return inode_; }

 private:
  std::shared_ptr<FileSystemImpl> fs_;
  FsCore::Opened opened_;
  const InodeNumber inode_;
};

class DirectoryReaderImpl {
 public:
  DirectoryReaderImpl(std::shared_ptr<FileSystemImpl> fs, InodeNumber inode)
      : fs_(std::move(fs)), inode_(inode) {}

  absl::StatusOr<const DirectoryItem*> At(uint64_t position) {
    while (page_ == kNoPage || position < starts_[page_].position ||
           position >= starts_[page_].position + items_.size()) {
      const bool is_behind = page_ != kNoPage && position >= starts_[page_].position;
      if (is_behind && is_last_) return nullptr;
      RETURN_IF_ERROR(Load(is_behind ? page_ + 1 : PageOf(position)));
    }
    DirectoryItem& item = items_[position - starts_[page_].position];
    if (IsStale()) item.attributes.reset();
    return &item;
  }
  InodeNumber inode() const { return inode_; }
  InodeNumber parent() const { return parent_; }

 private:
  static constexpr size_t kNoPage = SIZE_MAX;
  // What others change is not always told.
  static constexpr absl::Duration kFreshFor = absl::Seconds(1);
  struct Start {
    uint64_t position = 0;
    std::string after;
  };

  // The last page that is known to begin at or before it.
  size_t PageOf(uint64_t position) const {
    size_t page = 0;
    while (page + 1 < starts_.size() && starts_[page + 1].position <= position) ++page;
    return page;
  }
  // The attributes on the page may have changed since they were read.
  bool IsStale() const {
    return changes_->load() != changes_known_ || clock_.Now() >= fresh_until_;
  }
  absl::Status Load(size_t page) {
    const std::string after = starts_[page].after;
    std::vector<FsCore::Holding> holding;
    fresh_until_ = clock_.Now() + kFreshFor;
    ASSIGN_OR_RETURN(wire::ReadDirectoryReply reply,
                     fs_->Run<absl::StatusOr<wire::ReadDirectoryReply>>([&](FsCore& core) {
                       if (changes_ == nullptr) changes_ = core.CountChanges(inode_);
                       changes_known_ = changes_->load();
                       return core.ReadDirectory(inode_, after, &holding);
                     }));
    items_.clear();
    for (int i = 0; i < reply.entries_size(); ++i) {
      const wire::DirectoryEntry& entry = reply.entries(i);
      DirectoryItem& item = items_.emplace_back();
      item.name = entry.name();
      item.inode = entry.inode();
      item.type = ToNodeType(entry.type());
      if (entry.has_attributes()) item.attributes = *ToPublic(entry.attributes(), holding[i]);
    }
    page_ = page;
    parent_ = reply.parent();
    is_last_ = !reply.more() || reply.entries().empty();
    // Entries come and go: what follows begins where this page has ended now.
    starts_.resize(page + 1);
    if (!is_last_)
      starts_.push_back(
          {starts_[page].position + items_.size(), reply.entries().rbegin()->cursor()});
    return absl::OkStatus();
  }

  std::shared_ptr<FileSystemImpl> fs_;
  const InodeNumber inode_;
  InodeNumber parent_ = 0;
  std::vector<Start> starts_ = {{}};
  size_t page_ = kNoPage;
  std::vector<DirectoryItem> items_;  // of the page
  const SystemClock clock_;
  std::shared_ptr<const client_internal::ChangeCount> changes_;
  uint64_t changes_known_ = 0;  // by the page
  MonoTime fresh_until_;
  bool is_last_ = false;
};

}  // namespace client_internal

using client_internal::CreateTask;
using client_internal::FsCore;
using client_internal::kCopiedByCaller;
using client_internal::kOwnedBytesMax;
using client_internal::ToPublic;

int ErrnoOf(const absl::Status& status) { return ToErrno(status); }

// ---- OpenFile ----

OpenFile::OpenFile(std::shared_ptr<client_internal::OpenFileImpl> impl) : impl_(std::move(impl)) {}
OpenFile::~OpenFile() = default;
InodeNumber OpenFile::inode() const { return impl_->inode(); }
bool OpenFile::content_is_unchanged() const { return impl_->opened().handle->is_unchanged; }
uint64_t OpenFile::size_at_open() const { return impl_->opened().handle->size_at_open; }

absl::StatusOr<size_t> OpenFile::Read(uint64_t offset_bytes, MutableBuffer destination) {
  return impl_->fs().Run<absl::StatusOr<size_t>>([&](FsCore&) {
    return impl_->opened().file->Read(impl_->opened().handle, offset_bytes, destination);
  });
}

absl::StatusOr<OpenFile::View> OpenFile::ReadView(uint64_t offset_bytes, MutableBuffer scratch) {
  ASSIGN_OR_RETURN(client_internal::FileView view,
                   impl_->fs().Run<absl::StatusOr<client_internal::FileView>>([&](FsCore&) {
                     const FsCore::Opened& opened = impl_->opened();
                     return opened.file->ReadView(opened.handle, offset_bytes, scratch);
                   }));
  return View{view.bytes, std::move(view.keeps)};
}

absl::Status OpenFile::Write(uint64_t offset_bytes, ConstBuffer bytes) {
  // Much is copied by the caller's thread, beside those of others.
  if (bytes.size() >= kCopiedByCaller && bytes.size() <= kOwnedBytesMax) {
    std::unique_ptr<std::byte[]> memory(new std::byte[bytes.size()]);
    std::memcpy(memory.get(), bytes.data(), bytes.size());
    return impl_->fs().Run<absl::Status>([&](FsCore&) {
      const FsCore::Opened& opened = impl_->opened();
      return opened.file->WriteOwned(opened.handle, offset_bytes, std::move(memory), bytes.size());
    });
  }
  return impl_->fs().Run<absl::Status>([&](FsCore&) {
    return impl_->opened().file->Write(impl_->opened().handle, offset_bytes, bytes);
  });
}

absl::StatusOr<uint64_t> OpenFile::Append(ConstBuffer bytes) {
  return impl_->fs().Run<absl::StatusOr<uint64_t>>(
      [&](FsCore&) { return impl_->opened().file->Append(impl_->opened().handle, bytes); });
}

absl::Status OpenFile::Flush() {
  return impl_->fs().Run<absl::Status>(
      [&](FsCore&) { return impl_->opened().file->Flush(impl_->opened().handle); });
}

absl::Status OpenFile::Sync() {
  return impl_->fs().Run<absl::Status>(
      [&](FsCore& core) { return client_internal::SyncTask(core, impl_->opened()); });
}

absl::Status OpenFile::Allocate(Allocation what, uint64_t offset_bytes, uint64_t length_bytes) {
  return impl_->fs().Run<absl::Status>(
      [&](FsCore&) { return impl_->opened().file->Allocate(what, offset_bytes, length_bytes); });
}

absl::StatusOr<uint64_t> OpenFile::Seek(SeekTo what, uint64_t offset_bytes) {
  return impl_->fs().Run<absl::StatusOr<uint64_t>>(
      [&](FsCore&) { return impl_->opened().file->Seek(what, offset_bytes); });
}

// ---- DirectoryReader ----

DirectoryReader::DirectoryReader(std::unique_ptr<client_internal::DirectoryReaderImpl> impl)
    : impl_(std::move(impl)) {}
DirectoryReader::~DirectoryReader() = default;
absl::StatusOr<const DirectoryItem*> DirectoryReader::At(uint64_t position) {
  return impl_->At(position);
}
InodeNumber DirectoryReader::inode() const { return impl_->inode(); }
InodeNumber DirectoryReader::parent() const { return impl_->parent(); }

// ---- FileSystem ----

absl::StatusOr<std::unique_ptr<FileSystem>> FileSystem::Open(Client& client, std::string_view path,
                                                             FileSystemOptions options) {
  auto impl = std::make_shared<client_internal::FileSystemImpl>(client.impl_);
  RETURN_IF_ERROR(impl->Open(std::string(path), std::move(options)));
  return std::unique_ptr<FileSystem>(new FileSystem(std::move(impl)));
}

FileSystem::FileSystem(std::shared_ptr<client_internal::FileSystemImpl> impl)
    : impl_(std::move(impl)) {}
FileSystem::~FileSystem() { impl_->Close(); }

void FileSystem::OnChange(std::function<void(std::vector<Change>)> tell) {
  (void)impl_->Get<bool>([&](FsCore& core) {
    core.OnChange(std::move(tell));
    return true;
  });
}

InodeNumber FileSystem::root() const {
  return impl_->Get<uint64_t>([](FsCore& core) { return core.root(); }).value_or(0);
}

absl::StatusOr<NodeAttributes> FileSystem::Lookup(InodeNumber parent, std::string_view name) {
  FsCore::Holding holding;
  return ToPublic(impl_->Run<absl::StatusOr<wire::Attributes>>([&](FsCore& core) {
    return core.Lookup(parent, std::string(name), &holding);
  }),
                  holding);
}

absl::StatusOr<NodeAttributes> FileSystem::Make(InodeNumber parent, std::string_view name,
                                                const NewNodeOptions& options) {
  return ToPublic(impl_->Run<absl::StatusOr<wire::Attributes>>([&](FsCore& core) {
    return core.Make(client_internal::FromNewNode(parent, name, options));
  }));
}

absl::StatusOr<FileSystem::Created> FileSystem::Create(InodeNumber parent, std::string_view name,
                                                       const NewNodeOptions& options,
                                                       Existing existing, OpenMode mode) {
  wire::MakeNodeRequest request = client_internal::FromNewNode(parent, name, options);
  request.set_may_exist(existing == Existing::kOpen);
  wire::Attributes attributes;
  ASSIGN_OR_RETURN(FsCore::Opened opened,
                   impl_->Run<absl::StatusOr<FsCore::Opened>>([&](FsCore& core) {
                     return CreateTask(core, std::move(request), mode, &attributes);
                   }));
  Created created;
  created.file.reset(
      new OpenFile(std::make_shared<client_internal::OpenFileImpl>(impl_, std::move(opened))));
  created.attributes = client_internal::ToNodeAttributes(attributes);
  return created;
}

absl::StatusOr<NodeAttributes> FileSystem::Link(InodeNumber inode, InodeNumber parent,
                                                std::string_view name) {
  return ToPublic(impl_->Run<absl::StatusOr<wire::Attributes>>(
      [&](FsCore& core) { return core.Link(inode, parent, std::string(name)); }));
}

absl::Status FileSystem::Unlink(InodeNumber parent, std::string_view name) {
  return impl_->Run<absl::Status>(
      [&](FsCore& core) { return core.Unlink(parent, std::string(name), false); });
}

absl::Status FileSystem::RemoveDirectory(InodeNumber parent, std::string_view name) {
  return impl_->Run<absl::Status>(
      [&](FsCore& core) { return core.Unlink(parent, std::string(name), true); });
}

absl::Status FileSystem::Rename(InodeNumber from_parent, std::string_view from_name,
                                InodeNumber to_parent, std::string_view to_name, RenameMode mode) {
  wire::RenameNodeRequest request;
  request.set_from_parent(from_parent);
  request.set_from_name(std::string(from_name));
  request.set_to_parent(to_parent);
  request.set_to_name(std::string(to_name));
  switch (mode) {
    case RenameMode::kReplace:
      request.set_mode(wire::NODE_RENAME_REPLACE);
      break;
    case RenameMode::kNoReplace:
      request.set_mode(wire::NODE_RENAME_NO_REPLACE);
      break;
    case RenameMode::kExchange:
      request.set_mode(wire::NODE_RENAME_EXCHANGE);
      break;
  }
  return impl_->Run<absl::Status>([&](FsCore& core) { return core.Rename(std::move(request)); });
}

absl::StatusOr<std::unique_ptr<DirectoryReader>> FileSystem::OpenDirectory(InodeNumber inode) {
  std::unique_ptr<DirectoryReader> reader(
      new DirectoryReader(std::make_unique<client_internal::DirectoryReaderImpl>(impl_, inode)));
  // What has been removed is told now, when the caller can look its name up again.
  RETURN_IF_ERROR(reader->At(0).status());
  return reader;
}

void FileSystem::Remember(InodeNumber parent, std::span<const KnownName> names) {
  if (names.empty()) return;
  (void)impl_->Get<bool>([&](FsCore& core) {
    for (const KnownName& known : names) core.Remember(known.inode, parent, known.name);
    return true;
  });
}

void FileSystem::Forget(InodeNumber inode) {
  (void)impl_->Get<bool>([&](FsCore& core) {
    core.Forget(inode);
    return true;
  });
}

absl::StatusOr<NodeAttributes> FileSystem::GetAttributes(InodeNumber inode) {
  FsCore::Holding holding;
  return ToPublic(impl_->Run<absl::StatusOr<wire::Attributes>>(
                      [&](FsCore& core) { return core.GetAttributes(inode, &holding); }),
                  holding);
}

absl::StatusOr<NodeAttributes> FileSystem::SetAttributes(InodeNumber inode,
                                                         const AttributeChanges& changes) {
  return ToPublic(impl_->Run<absl::StatusOr<wire::Attributes>>([&](FsCore& core) {
    return core.SetAttributes(client_internal::FromChanges(inode, changes));
  }));
}

absl::StatusOr<std::map<std::string, std::string>> FileSystem::Xattrs(InodeNumber inode) {
  ASSIGN_OR_RETURN(const wire::GetXattrsReply reply,
                   impl_->Run<absl::StatusOr<wire::GetXattrsReply>>(
                       [&](FsCore& core) { return core.GetXattrs(inode); }));
  return std::map<std::string, std::string>(reply.xattrs().begin(), reply.xattrs().end());
}

absl::Status FileSystem::SetXattr(InodeNumber inode, std::string_view name, std::string_view value,
                                  XattrMode mode) {
  wire::SetXattrRequest request;
  request.mutable_node()->set_inode(inode);
  request.set_name(std::string(name));
  request.set_value(std::string(value));
  if (mode == XattrMode::kCreate) request.set_mode(wire::XATTR_MUST_NOT_EXIST);
  if (mode == XattrMode::kReplace) request.set_mode(wire::XATTR_MUST_EXIST);
  return impl_->Run<absl::Status>([&](FsCore& core) { return core.SetXattr(std::move(request)); });
}

absl::Status FileSystem::RemoveXattr(InodeNumber inode, std::string_view name) {
  wire::SetXattrRequest request;
  request.mutable_node()->set_inode(inode);
  request.set_name(std::string(name));
  request.set_remove(true);
  return impl_->Run<absl::Status>([&](FsCore& core) { return core.SetXattr(std::move(request)); });
}

absl::StatusOr<std::unique_ptr<OpenFile>> FileSystem::OpenFileAt(InodeNumber inode, OpenMode mode) {
  ASSIGN_OR_RETURN(FsCore::Opened opened,
                   impl_->Run<absl::StatusOr<FsCore::Opened>>(
                       [&](FsCore& core) { return core.OpenFile(inode, mode); }));
  return std::unique_ptr<OpenFile>(
      new OpenFile(std::make_shared<client_internal::OpenFileImpl>(impl_, std::move(opened))));
}

absl::StatusOr<bool> FileSystem::Lock(InodeNumber inode, const FileLockRequest& lock) {
  ASSIGN_OR_RETURN(const wire::LockFileReply reply,
                   impl_->Run<absl::StatusOr<wire::LockFileReply>>([&](FsCore& core) {
                     return core.Lock(client_internal::FromLock(inode, lock), false);
                   }));
  return reply.granted();
}

absl::StatusOr<std::optional<FileLockRequest>> FileSystem::TestLock(InodeNumber inode,
                                                                    const FileLockRequest& lock) {
  ASSIGN_OR_RETURN(const wire::LockFileReply reply,
                   impl_->Run<absl::StatusOr<wire::LockFileReply>>([&](FsCore& core) {
                     return core.Lock(client_internal::FromLock(inode, lock), true);
                   }));
  if (reply.granted()) return std::nullopt;
  if (!reply.has_conflict()) {
    // Nobody knows yet, after the service has restarted.
    FileLockRequest unknown = lock;
    unknown.type = FileLockType::kExclusive;
    unknown.owner = unknown.process = 0;
    return unknown;
  }
  return client_internal::ToLock(reply.conflict());
}

absl::StatusOr<Space> FileSystem::GetSpace(InodeNumber inode) {
  ASSIGN_OR_RETURN(const wire::StatFsReply reply,
                   impl_->Run<absl::StatusOr<wire::StatFsReply>>(
                       [&](FsCore& core) { return core.StatFs(inode); }));
  return Space{reply.total_bytes(), reply.free_bytes(), reply.files()};
}

absl::Status FileSystem::Sync() {
  return impl_->Run<absl::Status>([](FsCore& core) { return core.SyncAll(); });
}

absl::Status FileSystem::SyncDirectory(InodeNumber /*inode*/) {
  return impl_->Run<absl::Status>([](FsCore& core) { return core.SyncNamespace(); });
}

FileSystemStats FileSystem::stats() const {
  return impl_->Get<FileSystemStats>([](FsCore& core) { return core.stats(); })
      .value_or(FileSystemStats());
}

}  // namespace cairn
