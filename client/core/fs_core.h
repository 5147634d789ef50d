// A FileSystem on its executor: names and attributes asked of the service, the files that are open,
// and what is done in the background. The public class (filesystem.cc) calls it from threads, the
// simulation as it is. Next: fs_file.h.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "client/core/fs_context.h"
#include "client/core/fs_directories.h"
#include "client/core/fs_file.h"
#include "client/core/fs_leases.h"
#include "client/core/fs_mount.h"

namespace cairn::client_internal {

// Lives on the session's executor. Names are as in cairn::FileSystem, and mean the same.
class FsCore {
 public:
  // Called from a thread, it hands over memory that stays until the call has returned.
  FsCore(Session& session, FileSystemOptions options, absl::Duration timeout, Random& random);
  ~FsCore();  // REQUIRES: Close() has returned, if Open() was called.

  Task<absl::Status> Open(std::string path);
  // Commits everything, and says goodbye.
  Task<void> Close();
  uint64_t root() const { return context_.names.root(); }

  // From now on leases of directories are asked for, and `tell` is called of what is not held any
  // more.
  void OnChange(std::function<void(std::vector<FileSystem::Change>)> tell);
  // What of an answer stays true until it is told otherwise.
  struct Holding {
    bool name = false;
    bool attributes = false;
  };

  // -- names
  Task<absl::StatusOr<wire::Attributes>> Lookup(uint64_t parent, std::string name,
                                                Holding* holding = nullptr);
  Task<absl::StatusOr<wire::Attributes>> Make(wire::MakeNodeRequest request);
  Task<absl::StatusOr<wire::Attributes>> Link(uint64_t inode, uint64_t parent, std::string name);
  Task<absl::Status> Unlink(uint64_t parent, std::string name, bool directory);
  Task<absl::Status> Rename(wire::RenameNodeRequest request);
  // `holding`: of each entry.
  Task<absl::StatusOr<wire::ReadDirectoryReply>> ReadDirectory(
      uint64_t inode, std::string after, std::vector<Holding>* holding = nullptr);
  // Changes of the directory and of what is in it that whoever asked before them does not know.
  std::shared_ptr<const ChangeCount> CountChanges(uint64_t directory) {
    return context_.listings.Count(directory);
  }
  void Remember(uint64_t inode, uint64_t parent, std::string_view name) {
    context_.names.Found(inode, parent, name);
  }
  void Forget(uint64_t inode);

  // -- attributes
  Task<absl::StatusOr<wire::Attributes>> GetAttributes(uint64_t inode, Holding* holding = nullptr);
  Task<absl::StatusOr<wire::Attributes>> SetAttributes(wire::SetAttributesRequest request);
  Task<absl::StatusOr<wire::GetXattrsReply>> GetXattrs(uint64_t inode);
  Task<absl::Status> SetXattr(wire::SetXattrRequest request);
  Task<absl::StatusOr<wire::StatFsReply>> StatFs(uint64_t inode);

  // -- content
  struct Opened {
    std::shared_ptr<FsFile> file;
    std::shared_ptr<FsFile::Handle> handle;
  };
  Task<absl::StatusOr<Opened>> OpenFile(uint64_t inode, OpenMode mode);
  // Make() of a file, and OpenFile(), in one call to the service unless it existed.
  Task<absl::StatusOr<Opened>> Create(wire::MakeNodeRequest request, OpenMode mode);
  // Commits what was written through it.
  Task<void> CloseFile(Opened opened);

  // -- locks
  Task<absl::StatusOr<wire::LockFileReply>> Lock(wire::FileLock lock, bool test);

  // -- all of it
  Task<absl::Status> SyncAll();
  // What was answered is durable.
  Task<absl::Status> SyncNamespace();
  FileSystemStats stats() const;
  MountSession& mount() { return mount_; }
  WriteLeases& leases() { return leases_; }

 private:
  struct OpenInode {
    std::shared_ptr<FsFile> file;
    int opens = 0;            // at the service; more than handles, while something is done with it
    bool committing = false;  // in the background
    MonoTime used_at;
  };

  std::shared_ptr<FsFile> Find(uint64_t inode) const;
  // Of a file that the service has open for this mount; `asked_at` is as in FsContent::Learn().
  Opened TakeOpened(const wire::OpenNodeReply& reply, uint64_t asked_at);
  // Nobody has it open any more: it goes, when nothing of it waits to be committed.
  void Settle(uint64_t inode);
  Task<absl::Status> CommitBeforeRename(const wire::RenameNodeRequest& request);
  Task<absl::Status> CommitAll();
  // Where it lies now; by its other names the kernel would not find it any more.
  void FoundDirectory(uint64_t inode, uint64_t parent, const std::string& name);
  // Of something in `parent`, as was answered to what was asked at that mark.
  Holding HoldingOf(const wire::Attributes& attributes, uint64_t parent,
                    HeldDirectories::Mark asked_at) const;

  // -- in the background (fs_background.cc)
  static Task<void> RunBackground(FsCore* self);
  void Tick();
  void Relieve();
  void CommitSoon(uint64_t inode);
  static Task<void> CommitOne(FsCore* self, std::shared_ptr<FsFile> file);
  void CompactSome();
  static Task<void> CompactOne(FsCore* self, std::shared_ptr<FsFile> file);

  FsContext context_;
  MountSession mount_;
  WriteLeases leases_;
  HeldDirectories directories_;
  std::function<void(std::vector<FileSystem::Change>)> tell_;
  std::map<uint64_t, OpenInode> files_;
  // Of files that are not open: the version of the content that was seen last.
  absl::flat_hash_map<uint64_t, uint64_t> seen_;
  Semaphore commits_;
  bool compacting_ = false;
  bool opened_ = false;
};

}  // namespace cairn::client_internal
