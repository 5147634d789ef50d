// The cluster's files as a file system: by inode, written at any offset, with POSIX's rules. What
// the FUSE mount (client/fuse) translates system calls to; anything else that wants files to behave
// as on a local disk can use it, too.
//
// Errors are absl::Status that carry errno numbers (ErrnoOf): ENOENT, EEXIST, ENOTDIR, EISDIR,
// ENOTEMPTY, EROFS (in a committed checkpoint), EPERM, EINVAL, ENAMETOOLONG, EILSEQ (a name that is
// not UTF-8), EMLINK, EXDEV, EFBIG, ENOSPC, EDQUOT, ESTALE (the inode is gone), ENODATA (no such
// xattr), EIO (no node has answered within the client's timeout; stored bytes are lost).
// Permissions are not checked here: the kernel does (default_permissions).
//
// Consistency is close-to-open: who opens a file sees what others had written when they closed,
// flushed or unlocked it. Within one FileSystem everybody sees everything at once.
// Durability: after OpenFile::Sync(), Sync() or SyncFile(). What was closed and not synced survives
// the end of this process, and a crash of a service's process, but not the loss of its power.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cairn/client.h"
#include "cairn/operation_count.h"

namespace cairn {

namespace client_internal {
class FileSystemImpl;
class OpenFileImpl;
class DirectoryReaderImpl;
}  // namespace client_internal

using InodeNumber = uint64_t;

// errno of a status of this header's functions; 0 of OK.
int ErrnoOf(const absl::Status& status);

enum class NodeType { kFile, kDirectory, kSymlink, kFifo, kSocket, kCharacterDevice, kBlockDevice };

struct NodeAttributes {
  InodeNumber inode = 0;
  NodeType type = NodeType::kFile;
  uint32_t mode = 0;  // permission bits, set-user-ID, set-group-ID and sticky
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t links = 0;
  uint64_t size_bytes = 0;
  uint64_t stored_bytes = 0;  // less what is a hole
  absl::Time accessed, modified, changed;
  uint64_t device = 0;
  uint64_t version = 0;        // of a file: changes with the content
  std::string symlink_target;  // relative, of the `latest` link of a directory of checkpoints
  bool fixed = false;          // a committed checkpoint, or in one
  // What was answered stays true until FileSystem::OnChange() tells of it: that the name leads
  // there by which it was looked up, and the attributes.
  bool name_holds = false;
  bool attributes_hold = false;
};

struct FileSystemOptions {
  // Bytes written and not on their way yet, of all files; who writes more waits.
  uint64_t dirty_bytes_max = 256u << 20;
  // What was written is on its way to the service after so long, at the latest.
  absl::Duration dirty_age_max = absl::Seconds(5);
  // Read ahead of who reads a file from front to back, of each open file; 0: not at all.
  uint64_t readahead_bytes = 32u << 20;
  // Names this file system for operators, in `cairn top` and logs. UTF-8.
  std::string name;
  // What whoever shows this file system has been asked since the start, by operation, for `cairn
  // top`: at most 32, whose names have 15 of a to z, 0 to 9 and _ at most. Called every few seconds
  // on the client's thread until the FileSystem is gone; must not block, or call into the SDK.
  std::function<std::vector<OperationCount>()> count_operations;
};

// What has been asked and moved since the start, for metrics.
struct FileSystemStats {
  uint64_t bytes_read = 0;
  uint64_t bytes_written = 0;
  uint64_t readahead_hit_bytes = 0;
  uint64_t stripes_written = 0;
  uint64_t inline_extents_written = 0;
  uint64_t commits = 0;      // of content to the metadata
  uint64_t compactions = 0;  // files whose pieces were gathered
  uint64_t dirty_bytes = 0;  // now
  uint64_t open_files = 0;   // now
  uint64_t failed_commits = 0;
};

enum class OpenMode { kRead, kWrite, kReadWrite };

enum class FileLockType { kUnlock, kShared, kExclusive };
enum class FileLockKind { kPosix, kFlock };
struct FileLockRequest {
  FileLockKind kind = FileLockKind::kPosix;
  FileLockType type = FileLockType::kShared;
  uint64_t owner = 0;
  uint64_t begin_bytes = 0;
  uint64_t end_bytes = UINT64_MAX;  // the first byte behind it; UINT64_MAX: the end of the file
  uint32_t process = 0;
};

// A file that is open. Thread-safe. Destroying it closes it: what was written is handed to the
// service, and errors of that are lost; Flush() first.
class OpenFile {
 public:
  ~OpenFile();
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  InodeNumber inode() const;
  // The content is the same as when this file system had it open last: what is cached of it holds.
  bool content_is_unchanged() const;
  // When it was opened, with what had been written here by then.
  uint64_t size_at_open() const;

  // Fills `destination` from `offset_bytes` on; returns how many bytes, fewer at the end of the
  // file.
  absl::StatusOr<size_t> Read(uint64_t offset_bytes, MutableBuffer destination);
  // As Read(): the bytes are where they lie already, as long as the view is kept, or in `scratch`.
  struct View {
    ConstBuffer bytes;
    std::shared_ptr<const void> keeps = nullptr;
  };
  absl::StatusOr<View> ReadView(uint64_t offset_bytes, MutableBuffer scratch);
  // Takes a copy. Returns when it is in memory; waits while too much is.
  absl::Status Write(uint64_t offset_bytes, ConstBuffer bytes);
  // As Write(), at the end of the file as it is when the bytes come to the service, whole and never
  // over what others append. Returns where they lie as far as this process knows.
  absl::StatusOr<uint64_t> Append(ConstBuffer bytes);
  // What was written can be seen by who opens the file anywhere. Errors of writing that nobody was
  // told of yet come here.
  absl::Status Flush();
  // Flush(), and it is durable.
  absl::Status Sync();
  // fallocate(2): kAllocate makes the file long enough (space itself cannot be set aside); with
  // kKeepSize it does nothing. kPunchHole and kZeroRange make the range read as zeros.
  enum class Allocation {
    kAllocate,
    kAllocateKeepSize,
    kPunchHole,
    kZeroRange,
    kZeroRangeKeepSize
  };
  absl::Status Allocate(Allocation what, uint64_t offset_bytes, uint64_t length_bytes);
  // The next byte at or after `offset_bytes` that is data, or in a hole (the end of the file counts
  // as one). ENXIO: there is none.
  enum class SeekTo { kData, kHole };
  absl::StatusOr<uint64_t> Seek(SeekTo what, uint64_t offset_bytes);

 private:
  friend class FileSystem;
  explicit OpenFile(std::shared_ptr<client_internal::OpenFileImpl> impl);
  std::shared_ptr<client_internal::OpenFileImpl> impl_;
};

struct DirectoryItem {
  std::string name;
  InodeNumber inode = 0;
  NodeType type = NodeType::kFile;
  // None: what was read of them may be different by now; FileSystem::Lookup() tells.
  std::optional<NodeAttributes> attributes;
};

// A directory being read, in pages. Not thread-safe.
class DirectoryReader {
 public:
  ~DirectoryReader();
  // The entry at `position`, counted from 0, without "." and ".."; null behind the last. Going on
  // costs a call every few hundred entries, going back as much. Valid until the next call.
  absl::StatusOr<const DirectoryItem*> At(uint64_t position);
  InodeNumber inode() const;
  InodeNumber parent() const;  // its own of the root. REQUIRES: At() has succeeded once.

 private:
  friend class FileSystem;
  explicit DirectoryReader(std::unique_ptr<client_internal::DirectoryReaderImpl> impl);
  std::unique_ptr<client_internal::DirectoryReaderImpl> impl_;
};

struct NewNodeOptions {
  NodeType type = NodeType::kFile;
  uint32_t mode = 0644;
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint64_t device = 0;
  std::string symlink_target;
};

struct AttributeChanges {
  std::optional<uint32_t> mode, uid, gid;
  std::optional<uint64_t> size_bytes;
  std::optional<absl::Time> accessed, modified;
  bool accessed_now = false;
  bool modified_now = false;
  bool kill_privileges = false;  // set-user-ID and set-group-ID go
};

struct Space {
  uint64_t total_bytes = 0;
  uint64_t free_bytes = 0;
  uint64_t files = 0;
};

// Thread-safe; every call blocks until done or until the client's timeout.
class FileSystem {
 public:
  // Shows the tree at `path` ("": all buckets). `client` outlives it, and serves it alone.
  static absl::StatusOr<std::unique_ptr<FileSystem>> Open(Client& client, std::string_view path,
                                                          FileSystemOptions options = {});
  // Hands everything written to the service, lets go of locks, and says goodbye.
  ~FileSystem();
  FileSystem(const FileSystem&) = delete;
  FileSystem& operator=(const FileSystem&) = delete;

  InodeNumber root() const;

  // -- names. What is made belongs to who is named in the options.
  absl::StatusOr<NodeAttributes> Lookup(InodeNumber parent, std::string_view name);
  absl::StatusOr<NodeAttributes> Make(InodeNumber parent, std::string_view name,
                                      const NewNodeOptions& options);
  // Makes a file and opens it, or opens the one that is there unless `exclusive`.
  enum class Existing { kOpen, kRefuse };
  struct Created {
    NodeAttributes attributes;
    std::unique_ptr<OpenFile> file;
  };
  absl::StatusOr<Created> Create(InodeNumber parent, std::string_view name,
                                 const NewNodeOptions& options, Existing existing, OpenMode mode);
  absl::StatusOr<NodeAttributes> Link(InodeNumber inode, InodeNumber parent, std::string_view name);
  absl::Status Unlink(InodeNumber parent, std::string_view name);
  // An empty directory, or a committed checkpoint, which goes whole.
  absl::Status RemoveDirectory(InodeNumber parent, std::string_view name);
  enum class RenameMode { kReplace, kNoReplace, kExchange };
  absl::Status Rename(InodeNumber from_parent, std::string_view from_name, InodeNumber to_parent,
                      std::string_view to_name, RenameMode mode);
  absl::StatusOr<std::unique_ptr<DirectoryReader>> OpenDirectory(InodeNumber inode);
  // The names lead to the inodes, as a DirectoryReader has told. Lookup() remembers by itself.
  struct KnownName {
    InodeNumber inode = 0;
    std::string name;
  };
  void Remember(InodeNumber parent, std::span<const KnownName> names);
  // What was said to hold does not any more; another may have changed it. `name` is empty when it
  // is the directory's own attributes.
  struct Change {
    InodeNumber directory = 0;
    std::string name;
    InodeNumber inode = 0;
    bool gone = false;  // a directory's name, which is known to lead there no more
  };
  // Called on the client's thread, and must not wait. Nothing holds until there is a function. Once
  // this has returned with a null one, none is called any more.
  void OnChange(std::function<void(std::vector<Change>)> tell);
  // Nobody refers to the inode any more: what is remembered of it may be forgotten.
  void Forget(InodeNumber inode);

  // -- attributes
  absl::StatusOr<NodeAttributes> GetAttributes(InodeNumber inode);
  absl::StatusOr<NodeAttributes> SetAttributes(InodeNumber inode, const AttributeChanges& changes);
  absl::StatusOr<std::map<std::string, std::string>> Xattrs(InodeNumber inode);
  enum class XattrMode { kAny, kCreate, kReplace };
  absl::Status SetXattr(InodeNumber inode, std::string_view name, std::string_view value,
                        XattrMode mode);
  absl::Status RemoveXattr(InodeNumber inode, std::string_view name);

  // -- content. ESTALE: the name that it was looked up by leads elsewhere by now.
  absl::StatusOr<std::unique_ptr<OpenFile>> OpenFileAt(InodeNumber inode, OpenMode mode);

  // -- locks, also against other mounts. Nobody waits in here: false when somebody else has it.
  absl::StatusOr<bool> Lock(InodeNumber inode, const FileLockRequest& lock);
  // One of those in the way; nullopt: it could be had.
  absl::StatusOr<std::optional<FileLockRequest>> TestLock(InodeNumber inode,
                                                          const FileLockRequest& lock);

  // -- all of it
  absl::StatusOr<Space> GetSpace(InodeNumber inode);
  // Everything written and made is durable.
  absl::Status Sync();
  // The names and attributes in a directory are durable.
  absl::Status SyncDirectory(InodeNumber inode);
  FileSystemStats stats() const;

 private:
  explicit FileSystem(std::shared_ptr<client_internal::FileSystemImpl> impl);
  std::shared_ptr<client_internal::FileSystemImpl> impl_;
};

}  // namespace cairn
