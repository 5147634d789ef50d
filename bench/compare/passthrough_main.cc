// passthrough: shows a directory through FUSE and does nothing else, so that what a mount costs
// whatever it does can be told from what Cairn's costs. libfuse3's low-level interface as in
// client/fuse, with requests as large, as many threads and names kept as long; pages are spliced,
// and the rest is as the kernel has it by default. Every call goes to the directory below it by a
// file descriptor of the inode. Started by bench/compare.
#define FUSE_USE_VERSION 312
#include <dirent.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"

namespace cairn::passthrough {
namespace {

struct Options {
  std::string source;
  std::string mountpoint;
  unsigned max_write = 1 << 20;
  unsigned threads = 32;
  double timeout_s = 1;
  bool splice = true;
};
Options options;

// An inode of the directory below, held open without access to its content while the kernel knows
// of it.
struct Node {
  int fd = -1;
  dev_t device = 0;
  ino_t inode = 0;
  uint64_t lookups = 0;
};

class Nodes {
 public:
  bool OpenRoot(const std::string& path) {
    root_.fd = open(path.c_str(), O_PATH | O_DIRECTORY);
    return root_.fd >= 0;
  }

  Node* Find(fuse_ino_t id) { return id == FUSE_ROOT_ID ? &root_ : reinterpret_cast<Node*>(id); }

  // The node of `fd`, which this takes; one lookup more.
  Node* Take(int fd, const struct stat& found) {
    const std::lock_guard lock(mutex_);
    std::unique_ptr<Node>& node = nodes_[{found.st_dev, found.st_ino}];
    if (node == nullptr) {
      node = std::make_unique<Node>(Node{fd, found.st_dev, found.st_ino, 0});
    } else {
      close(fd);
    }
    ++node->lookups;
    return node.get();
  }

  void Forget(fuse_ino_t id, uint64_t lookups) {
    if (id == FUSE_ROOT_ID) return;
    const std::lock_guard lock(mutex_);
    Node* node = Find(id);
    node->lookups -= lookups;
    if (node->lookups > 0) return;
    close(node->fd);
    nodes_.erase({node->device, node->inode});
  }

 private:
  Node root_;
  std::mutex mutex_;
  std::map<std::pair<dev_t, ino_t>, std::unique_ptr<Node>> nodes_;
};
Nodes nodes;

int DescriptorOf(fuse_ino_t id) { return nodes.Find(id)->fd; }

// A path by which calls that take no such descriptor reach the inode.
std::string PathOf(fuse_ino_t id) { return "/proc/self/fd/" + std::to_string(DescriptorOf(id)); }

void ReplyResult(fuse_req_t request, int result) {
  fuse_reply_err(request, result == 0 ? 0 : errno);
}

// 0, or an errno.
int FindEntry(int parent, const char* name, fuse_entry_param* entry) {
  *entry = {};
  entry->attr_timeout = options.timeout_s;
  entry->entry_timeout = options.timeout_s;
  const int fd = openat(parent, name, O_PATH | O_NOFOLLOW);
  if (fd < 0) return errno;
  if (fstatat(fd, "", &entry->attr, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) != 0) {
    const int error = errno;
    close(fd);
    return error;
  }
  entry->ino = reinterpret_cast<fuse_ino_t>(nodes.Take(fd, entry->attr));
  return 0;
}

void ReplyEntry(fuse_req_t request, fuse_ino_t parent, const char* name) {
  fuse_entry_param entry;
  const int error = FindEntry(DescriptorOf(parent), name, &entry);
  if (error != 0) {
    fuse_reply_err(request, error);
  } else {
    fuse_reply_entry(request, &entry);
  }
}

// What this process made belongs to who asked for it.
void GiveAway(fuse_req_t request, fuse_ino_t parent, const char* name) {
  const fuse_ctx* caller = fuse_req_ctx(request);
  if (caller->uid == geteuid() && caller->gid == getegid()) return;
  struct stat directory;
  const bool inherits = fstatat(DescriptorOf(parent), "", &directory, AT_EMPTY_PATH) == 0 &&
                        (directory.st_mode & S_ISGID) != 0;
  struct stat made;
  if (fstatat(DescriptorOf(parent), name, &made, AT_SYMLINK_NOFOLLOW) != 0) return;
  const gid_t group = inherits ? static_cast<gid_t>(-1) : caller->gid;
  if (fchownat(DescriptorOf(parent), name, caller->uid, group, AT_SYMLINK_NOFOLLOW) != 0) return;
  // chown takes set-user-ID and set-group-ID away.
  if (!S_ISLNK(made.st_mode)) fchmodat(DescriptorOf(parent), name, made.st_mode & 07777, 0);
}

void ReplyMade(fuse_req_t request, fuse_ino_t parent, const char* name, int result) {
  if (result != 0) return ReplyResult(request, result);
  GiveAway(request, parent, name);
  ReplyEntry(request, parent, name);
}

void Init(void*, fuse_conn_info* connection) {
  connection->max_write = options.max_write;
  connection->want &= ~(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE);
  if (options.splice) {
    connection->want |=
        connection->capable & (FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE);
  }
}

// ---- names

void Lookup(fuse_req_t request, fuse_ino_t parent, const char* name) {
  ReplyEntry(request, parent, name);
}

void Forget(fuse_req_t request, fuse_ino_t id, uint64_t lookups) {
  nodes.Forget(id, lookups);
  fuse_reply_none(request);
}

void ForgetMany(fuse_req_t request, size_t count, fuse_forget_data* forgets) {
  for (size_t i = 0; i < count; ++i) nodes.Forget(forgets[i].ino, forgets[i].nlookup);
  fuse_reply_none(request);
}

void MakeNode(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode, dev_t device) {
  ReplyMade(request, parent, name, mknodat(DescriptorOf(parent), name, mode, device));
}

void MakeDirectory(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode) {
  ReplyMade(request, parent, name, mkdirat(DescriptorOf(parent), name, mode));
}

void MakeSymlink(fuse_req_t request, const char* target, fuse_ino_t parent, const char* name) {
  ReplyMade(request, parent, name, symlinkat(target, DescriptorOf(parent), name));
}

void MakeLink(fuse_req_t request, fuse_ino_t id, fuse_ino_t parent, const char* name) {
  const int result =
      linkat(AT_FDCWD, PathOf(id).c_str(), DescriptorOf(parent), name, AT_SYMLINK_FOLLOW);
  if (result != 0) return ReplyResult(request, result);
  ReplyEntry(request, parent, name);
}

void Unlink(fuse_req_t request, fuse_ino_t parent, const char* name) {
  ReplyResult(request, unlinkat(DescriptorOf(parent), name, 0));
}

void RemoveDirectory(fuse_req_t request, fuse_ino_t parent, const char* name) {
  ReplyResult(request, unlinkat(DescriptorOf(parent), name, AT_REMOVEDIR));
}

void Rename(fuse_req_t request, fuse_ino_t parent, const char* name, fuse_ino_t new_parent,
            const char* new_name, unsigned flags) {
  ReplyResult(request,
              renameat2(DescriptorOf(parent), name, DescriptorOf(new_parent), new_name, flags));
}

void ReadLink(fuse_req_t request, fuse_ino_t id) {
  char target[PATH_MAX + 1];
  const ssize_t length = readlinkat(DescriptorOf(id), "", target, sizeof(target) - 1);
  if (length < 0) return ReplyResult(request, -1);
  target[length] = '\0';
  fuse_reply_readlink(request, target);
}

// ---- attributes

void ReplyAttributes(fuse_req_t request, fuse_ino_t id) {
  struct stat found;
  if (fstatat(DescriptorOf(id), "", &found, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) != 0)
    return ReplyResult(request, -1);
  fuse_reply_attr(request, &found, options.timeout_s);
}

void GetAttributes(fuse_req_t request, fuse_ino_t id, fuse_file_info*) {
  ReplyAttributes(request, id);
}

// 0 or -1 with errno.
int ChangeTimes(fuse_ino_t id, const struct stat& wanted, int changes) {
  timespec times[2] = {{0, UTIME_OMIT}, {0, UTIME_OMIT}};
  if ((changes & FUSE_SET_ATTR_ATIME) != 0) times[0] = wanted.st_atim;
  if ((changes & FUSE_SET_ATTR_ATIME_NOW) != 0) times[0].tv_nsec = UTIME_NOW;
  if ((changes & FUSE_SET_ATTR_MTIME) != 0) times[1] = wanted.st_mtim;
  if ((changes & FUSE_SET_ATTR_MTIME_NOW) != 0) times[1].tv_nsec = UTIME_NOW;
  return utimensat(DescriptorOf(id), "", times, AT_EMPTY_PATH);
}

int ChangeAttributes(fuse_ino_t id, const struct stat& wanted, int changes, fuse_file_info* file) {
  constexpr int kTimes =
      FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_ATIME_NOW | FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW;
  if ((changes & FUSE_SET_ATTR_SIZE) != 0) {
    const int result = file != nullptr ? ftruncate(static_cast<int>(file->fh), wanted.st_size)
                                       : truncate(PathOf(id).c_str(), wanted.st_size);
    if (result != 0) return result;
  }
  if ((changes & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)) != 0) {
    const uid_t uid = (changes & FUSE_SET_ATTR_UID) != 0 ? wanted.st_uid : -1;
    const gid_t gid = (changes & FUSE_SET_ATTR_GID) != 0 ? wanted.st_gid : -1;
    if (fchownat(DescriptorOf(id), "", uid, gid, AT_EMPTY_PATH) != 0) return -1;
  }
  if ((changes & FUSE_SET_ATTR_MODE) != 0 && chmod(PathOf(id).c_str(), wanted.st_mode & 07777) != 0)
    return -1;
  return (changes & kTimes) != 0 ? ChangeTimes(id, wanted, changes) : 0;
}

void SetAttributes(fuse_req_t request, fuse_ino_t id, struct stat* wanted, int changes,
                   fuse_file_info* file) {
  if (ChangeAttributes(id, *wanted, changes, file) != 0) return ReplyResult(request, -1);
  ReplyAttributes(request, id);
}

void GetXattr(fuse_req_t request, fuse_ino_t id, const char* name, size_t size) {
  std::vector<char> value(size);
  const ssize_t length = getxattr(PathOf(id).c_str(), name, value.data(), size);
  if (length < 0) return ReplyResult(request, -1);
  if (size == 0) {
    fuse_reply_xattr(request, length);
  } else {
    fuse_reply_buf(request, value.data(), length);
  }
}

void ListXattrs(fuse_req_t request, fuse_ino_t id, size_t size) {
  std::vector<char> names(size);
  const ssize_t length = listxattr(PathOf(id).c_str(), names.data(), size);
  if (length < 0) return ReplyResult(request, -1);
  if (size == 0) {
    fuse_reply_xattr(request, length);
  } else {
    fuse_reply_buf(request, names.data(), length);
  }
}

void SetXattr(fuse_req_t request, fuse_ino_t id, const char* name, const char* value, size_t size,
              int flags) {
  ReplyResult(request, setxattr(PathOf(id).c_str(), name, value, size, flags));
}

void RemoveXattr(fuse_req_t request, fuse_ino_t id, const char* name) {
  ReplyResult(request, removexattr(PathOf(id).c_str(), name));
}

void GetSpace(fuse_req_t request, fuse_ino_t id) {
  struct statvfs space;
  if (fstatvfs(DescriptorOf(id), &space) != 0) return ReplyResult(request, -1);
  fuse_reply_statfs(request, &space);
}

// ---- content

// Direct I/O would ask for aligned memory, which libfuse does not give; and the kernel has resolved
// symbolic links.
int FlagsBelow(const fuse_file_info& file) { return file.flags & ~(O_DIRECT | O_NOFOLLOW); }

void Opened(fuse_file_info* file, int fd) {
  file->fh = fd;
  // Nobody else writes below, and where somebody does the kernel notices by the times.
  file->keep_cache = 1;
}

void Open(fuse_req_t request, fuse_ino_t id, fuse_file_info* file) {
  const int fd = open(PathOf(id).c_str(), FlagsBelow(*file));
  if (fd < 0) return ReplyResult(request, -1);
  Opened(file, fd);
  fuse_reply_open(request, file);
}

void Create(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode,
            fuse_file_info* file) {
  const int fd = openat(DescriptorOf(parent), name, FlagsBelow(*file) | O_CREAT, mode);
  if (fd < 0) return ReplyResult(request, -1);
  GiveAway(request, parent, name);
  fuse_entry_param entry;
  const int error = FindEntry(DescriptorOf(parent), name, &entry);
  if (error != 0) {
    close(fd);
    fuse_reply_err(request, error);
    return;
  }
  Opened(file, fd);
  fuse_reply_create(request, &entry, file);
}

fuse_bufvec InFile(int fd, off_t offset, size_t size) {
  fuse_bufvec where = FUSE_BUFVEC_INIT(size);
  where.buf[0].flags = static_cast<fuse_buf_flags>(FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK);
  where.buf[0].fd = fd;
  where.buf[0].pos = offset;
  return where;
}

void Read(fuse_req_t request, fuse_ino_t, size_t size, off_t offset, fuse_file_info* file) {
  fuse_bufvec from = InFile(static_cast<int>(file->fh), offset, size);
  fuse_reply_data(request, &from, FUSE_BUF_SPLICE_MOVE);
}

void Write(fuse_req_t request, fuse_ino_t, fuse_bufvec* content, off_t offset,
           fuse_file_info* file) {
  fuse_bufvec to = InFile(static_cast<int>(file->fh), offset, fuse_buf_size(content));
  const ssize_t written = fuse_buf_copy(&to, content, FUSE_BUF_SPLICE_MOVE);
  if (written < 0) {
    fuse_reply_err(request, static_cast<int>(-written));
  } else {
    fuse_reply_write(request, written);
  }
}

void Flush(fuse_req_t request, fuse_ino_t, fuse_file_info* file) {
  // What close() would say.
  ReplyResult(request, close(dup(static_cast<int>(file->fh))));
}

void Release(fuse_req_t request, fuse_ino_t, fuse_file_info* file) {
  close(static_cast<int>(file->fh));
  fuse_reply_err(request, 0);
}

void Sync(fuse_req_t request, fuse_ino_t, int only_data, fuse_file_info* file) {
  const int fd = static_cast<int>(file->fh);
  ReplyResult(request, only_data != 0 ? fdatasync(fd) : fsync(fd));
}

void Allocate(fuse_req_t request, fuse_ino_t, int mode, off_t offset, off_t length,
              fuse_file_info* file) {
  ReplyResult(request, fallocate(static_cast<int>(file->fh), mode, offset, length));
}

void Seek(fuse_req_t request, fuse_ino_t, off_t offset, int whence, fuse_file_info* file) {
  const off_t found = lseek(static_cast<int>(file->fh), offset, whence);
  if (found < 0) return ReplyResult(request, -1);
  fuse_reply_lseek(request, found);
}

// ---- directories

struct Directory {
  DIR* stream;
  std::mutex mutex;  // over the position in it
};

Directory* DirectoryOf(const fuse_file_info* file) {
  return reinterpret_cast<Directory*>(file->fh);
}

void OpenDirectory(fuse_req_t request, fuse_ino_t id, fuse_file_info* file) {
  const int fd = openat(DescriptorOf(id), ".", O_RDONLY | O_DIRECTORY);
  if (fd < 0) return ReplyResult(request, -1);
  file->fh = reinterpret_cast<uint64_t>(new Directory{fdopendir(fd), {}});
  fuse_reply_open(request, file);
}

// One entry at `out`; its size, 0 when it does not fit.
size_t AddEntry(fuse_req_t request, int directory, const dirent& found, char* out, size_t room) {
  fuse_entry_param entry = {};
  const bool special = strcmp(found.d_name, ".") == 0 || strcmp(found.d_name, "..") == 0;
  const bool known = !special && FindEntry(directory, found.d_name, &entry) == 0;
  if (!known) {
    // Not for the kernel to remember: those two, and what has just gone.
    entry.attr.st_ino = found.d_ino;
    entry.attr.st_mode = DTTOIF(found.d_type);
  }
  const size_t size = fuse_add_direntry_plus(request, out, room, found.d_name, &entry, found.d_off);
  if (size <= room) return size;
  if (known) nodes.Forget(entry.ino, 1);
  return 0;
}

void ReadDirectory(fuse_req_t request, fuse_ino_t id, size_t size, off_t offset,
                   fuse_file_info* file) {
  Directory* directory = DirectoryOf(file);
  const std::lock_guard lock(directory->mutex);
  if (telldir(directory->stream) != offset) seekdir(directory->stream, offset);
  std::vector<char> reply(size);
  size_t used = 0;
  while (const dirent* found = readdir(directory->stream)) {
    const size_t added =
        AddEntry(request, DescriptorOf(id), *found, reply.data() + used, size - used);
    if (added == 0) break;
    used += added;
    offset = found->d_off;
  }
  // What did not fit comes first in the next call.
  seekdir(directory->stream, offset);
  fuse_reply_buf(request, reply.data(), used);
}

void ReleaseDirectory(fuse_req_t request, fuse_ino_t, fuse_file_info* file) {
  closedir(DirectoryOf(file)->stream);
  delete DirectoryOf(file);
  fuse_reply_err(request, 0);
}

void SyncDirectory(fuse_req_t request, fuse_ino_t, int, fuse_file_info* file) {
  ReplyResult(request, fsync(dirfd(DirectoryOf(file)->stream)));
}

fuse_lowlevel_ops Operations() {
  fuse_lowlevel_ops operations = {};
  operations.init = Init;
  operations.lookup = Lookup;
  operations.forget = Forget;
  operations.forget_multi = ForgetMany;
  operations.mknod = MakeNode;
  operations.mkdir = MakeDirectory;
  operations.symlink = MakeSymlink;
  operations.link = MakeLink;
  operations.unlink = Unlink;
  operations.rmdir = RemoveDirectory;
  operations.rename = Rename;
  operations.readlink = ReadLink;
  operations.getattr = GetAttributes;
  operations.setattr = SetAttributes;
  operations.getxattr = GetXattr;
  operations.listxattr = ListXattrs;
  operations.setxattr = SetXattr;
  operations.removexattr = RemoveXattr;
  operations.statfs = GetSpace;
  operations.open = Open;
  operations.create = Create;
  operations.read = Read;
  operations.write_buf = Write;
  operations.flush = Flush;
  operations.release = Release;
  operations.fsync = Sync;
  operations.fallocate = Allocate;
  operations.lseek = Seek;
  operations.opendir = OpenDirectory;
  operations.readdirplus = ReadDirectory;
  operations.releasedir = ReleaseDirectory;
  operations.fsyncdir = SyncDirectory;
  return operations;
}

void RaiseDescriptorLimit() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

int Serve(fuse_session* session) {
  std::unique_ptr<fuse_loop_config, decltype(&fuse_loop_cfg_destroy)> threads(
      fuse_loop_cfg_create(), fuse_loop_cfg_destroy);
  fuse_loop_cfg_set_clone_fd(threads.get(), 1);
  fuse_loop_cfg_set_max_threads(threads.get(), options.threads);
  fuse_loop_cfg_set_idle_threads(threads.get(), options.threads);
  return fuse_session_loop_mt(session, threads.get());
}

int Main() {
  umask(0);
  RaiseDescriptorLimit();
  if (!nodes.OpenRoot(options.source)) {
    std::cerr << "passthrough: " << options.source << ": " << strerror(errno) << "\n";
    return 1;
  }
  const std::string settings = "default_permissions,allow_other,fsname=passthrough";
  fuse_args arguments = FUSE_ARGS_INIT(0, nullptr);
  for (const char* word : {"passthrough", "-o", settings.c_str()})
    fuse_opt_add_arg(&arguments, word);
  const fuse_lowlevel_ops operations = Operations();
  fuse_session* session = fuse_session_new(&arguments, &operations, sizeof(operations), nullptr);
  fuse_opt_free_args(&arguments);
  if (session == nullptr) return 1;
  int result = 1;
  if (fuse_set_signal_handlers(session) == 0) {
    if (fuse_session_mount(session, options.mountpoint.c_str()) == 0) {
      result = Serve(session) == 0 ? 0 : 1;
      fuse_session_unmount(session);
    }
    fuse_remove_signal_handlers(session);
  }
  fuse_session_destroy(session);
  return result;
}

}  // namespace
}  // namespace cairn::passthrough

int main(int argc, char** argv) {
  cairn::passthrough::Options& options = cairn::passthrough::options;
  CLI::App app("Shows a directory through FUSE, with nothing in between, until it is unmounted.");
  app.add_option("SOURCE", options.source, "the directory to show")->required();
  app.add_option("MOUNTPOINT", options.mountpoint, "where to show it")->required();
  app.add_option("--max-write", options.max_write, "bytes of the largest request");
  app.add_option("--threads", options.threads, "threads at most");
  app.add_option("--timeout", options.timeout_s, "seconds that names and attributes are kept");
  app.add_flag("!--no-splice", options.splice, "copy between the kernel and files through memory");
  CLI11_PARSE(app, argc, argv);
  return cairn::passthrough::Main();
}
