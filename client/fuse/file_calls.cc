// System calls on the content of files.
#include <fcntl.h>
#include <linux/falloc.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "client/fuse/bridge.h"
#include "common/base/status_macros.h"

namespace cairn {
namespace {

// What one open(2) has made.
struct KernelFile {
  std::unique_ptr<OpenFile> file;
  bool appends_whole = false;
};

KernelFile& KernelFileOf(const fuse_file_info* file) {
  return *reinterpret_cast<KernelFile*>(static_cast<uintptr_t>(file->fh));
}

OpenFile& FileOf(const fuse_file_info* file) { return *KernelFileOf(file).file; }

OpenMode ModeOf(int flags) {
  switch (flags & O_ACCMODE) {
    case O_RDONLY:
      return OpenMode::kRead;
    case O_WRONLY:
      return OpenMode::kWrite;
    default:
      return OpenMode::kReadWrite;
  }
}

absl::Status Empty(FileSystem& file_system, InodeNumber inode) {
  AttributeChanges changes;
  changes.size_bytes = 0;
  changes.kill_privileges = true;
  return file_system.SetAttributes(inode, changes).status();
}

// Through its cache the kernel cuts a write in two where the page that it begins in is not whole,
// and others' records would get between the two.
bool AppendsWhole(int flags) { return (flags & O_APPEND) != 0; }

// The kernel has it open once it is told so.
fuse_file_info HandOver(Bridge& bridge, std::unique_ptr<OpenFile> opened, fuse_file_info file) {
  const bool empties = (file.flags & O_TRUNC) != 0;
  file.keep_cache = !empties && opened->content_is_unchanged();
  file.direct_io = AppendsWhole(file.flags);
  const InodeNumber inode = opened->inode();
  bridge.open_sizes.Open(inode, opened->size_at_open());
  // It asks for the size then.
  if (!file.keep_cache) bridge.open_sizes.Forget(inode);
  file.fh = reinterpret_cast<uintptr_t>(new KernelFile{std::move(opened), file.direct_io != 0});
  return file;
}

// Nobody else closes what nobody wanted any more.
void TakeBackOpen(Bridge& bridge, const fuse_file_info& file) {
  const std::unique_ptr<KernelFile> made(&KernelFileOf(&file));
  bridge.open_sizes.Close(made->file->inode());
}

// O_DIRECT is left to the kernel, which passes by its cache and keeps it right for those who use
// it: with direct_io here, others that have the file open would see old pages.
void Open(fuse_req_t request, fuse_ino_t node, fuse_file_info* file) {
  Call call(request, Operation::kOpen, node);
  Bridge& bridge = call.bridge();
  auto opened = call.file_system().OpenFileAt(call.inode(), ModeOf(file->flags));
  if (!opened.ok()) return call.Answer(opened.status());
  const bool empties = (file->flags & O_TRUNC) != 0;
  if (empties) {
    const absl::Status emptied = Empty(call.file_system(), call.inode());
    if (!emptied.ok()) return call.Answer(emptied);
  }
  const bool is_shared = bridge.open_sizes.IsOpen(call.inode());
  const fuse_file_info handed = HandOver(bridge, *std::move(opened), *file);
  auto answer = [call, handed, node]() mutable {
    // The kernel would go on by the size that it knows, until that is too old.
    if (!handed.keep_cache) call.bridge().DropAttributes(node);
    if (!call.AnswerOpen(handed)) TakeBackOpen(call.bridge(), handed);
  };
  // The kernel drops the pages when it has its answer, and may give others more of them before,
  // with the size that this one asks for.
  if (is_shared && !empties && !handed.keep_cache) return bridge.invalidator->Add(node, answer);
  answer();
}

void Create(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode,
            fuse_file_info* file) {
  Call call(request, Operation::kCreate, parent);
  NewNodeOptions options;
  options.mode = mode & 07777;
  options.uid = fuse_req_ctx(request)->uid;
  options.gid = fuse_req_ctx(request)->gid;
  const auto existing =
      (file->flags & O_EXCL) != 0 ? FileSystem::Existing::kRefuse : FileSystem::Existing::kOpen;
  auto created =
      call.file_system().Create(call.inode(), name, options, existing, ModeOf(file->flags));
  if (!created.ok()) return call.Answer(created.status());
  NodeAttributes& attributes = created->attributes;
  // Somebody else was faster, and this one wants it empty.
  if ((file->flags & O_TRUNC) != 0 && attributes.size_bytes > 0) {
    const absl::Status emptied = Empty(call.file_system(), attributes.inode);
    if (!emptied.ok()) return call.Answer(emptied);
    attributes.size_bytes = attributes.stored_bytes = 0;
  }
  call.bridge().nodes.Refer(attributes.inode);
  const fuse_file_info handed = HandOver(call.bridge(), std::move(created->file), *file);
  if (call.AnswerCreated(attributes, handed)) return;
  TakeBackOpen(call.bridge(), handed);
  call.bridge().TakeBack(attributes.inode, 1);
}

void Read(fuse_req_t request, fuse_ino_t node, size_t size, off_t offset, fuse_file_info* file) {
  Call call(request, Operation::kRead, node);
  // Kept for the thread's next one: as large as requests are, and never zeroed.
  thread_local std::unique_ptr<std::byte[]> buffer;
  thread_local size_t capacity = 0;
  if (capacity < size) {
    buffer.reset(new std::byte[size]);
    capacity = size;
  }
  const auto read = FileOf(file).ReadView(static_cast<uint64_t>(offset), {buffer.get(), size});
  if (!read.ok()) return call.Answer(read.status());
  call.AnswerBytes(read->bytes);
}

ConstBuffer PieceOf(const fuse_bufvec& bytes, size_t index) {
  const size_t skipped = index == bytes.idx ? bytes.off : 0;
  const fuse_buf& buffer = bytes.buf[index];
  return {static_cast<const std::byte*>(buffer.mem) + skipped, buffer.size - skipped};
}

// The bytes in one piece: where they are, or in `copy`, for what has to be written at once.
absl::StatusOr<ConstBuffer> Gather(fuse_bufvec* bytes, std::vector<std::byte>* copy) {
  const bool is_memory = (bytes->buf[bytes->idx].flags & FUSE_BUF_IS_FD) == 0;
  if (bytes->idx + 1 == bytes->count && is_memory) return PieceOf(*bytes, bytes->idx);
  copy->resize(fuse_buf_size(bytes) - bytes->off);
  fuse_bufvec destination = FUSE_BUFVEC_INIT(copy->size());
  destination.buf[0].mem = copy->data();
  const ssize_t copied = fuse_buf_copy(&destination, bytes, fuse_buf_copy_flags{});
  if (copied < 0 || static_cast<size_t>(copied) != copy->size())
    return absl::InternalError("cannot take the bytes of a write from the kernel");
  return ConstBuffer(*copy);
}

void Write(fuse_req_t request, fuse_ino_t node, fuse_bufvec* bytes, off_t offset,
           fuse_file_info* file) {
  Call call(request, Operation::kWrite, node);
  std::vector<std::byte> copy;
  const auto piece = Gather(bytes, &copy);
  if (!piece.ok()) return call.Answer(piece.status());
  // The flags are those of now: fcntl(2) can change this one. Pages of a mapping know their place.
  const bool appends = (file->flags & O_APPEND) != 0 && file->writepage == 0;
  if (!appends) {
    const absl::Status written = FileOf(file).Write(static_cast<uint64_t>(offset), *piece);
    if (!written.ok()) return call.Answer(written);
    call.bridge().open_sizes.TellWritten(call.inode(), offset + piece->size());
    return call.AnswerWritten(piece->size());
  }
  const auto place = FileOf(file).Append(*piece);
  if (!place.ok()) return call.Answer(place.status());
  // Who has the file open otherwise may have cached the page that ended there.
  auto answer = [call, end = *place + piece->size(), size = piece->size()]() mutable {
    call.bridge().open_sizes.TellWritten(call.inode(), end);
    call.AnswerWritten(size);
  };
  if (KernelFileOf(file).appends_whole) return call.bridge().invalidator->Add(node, answer);
  // O_APPEND was set later: the kernel keeps the page locked until it has its answer, and has put
  // the bytes where it took the end to be.
  answer();
  call.bridge().invalidator->Add(node);
}

void Flush(fuse_req_t request, fuse_ino_t node, fuse_file_info* file) {
  Call call(request, Operation::kFlush, node);
  const absl::Status flushed = FileOf(file).Flush();
  ReleaseLocks(call, FileLockKind::kPosix, file->lock_owner);
  call.bridge().locks.Close(call.inode(), call.bridge().clock.Now());
  call.Answer(flushed);
}

void Release(fuse_req_t request, fuse_ino_t node, fuse_file_info* file) {
  Call call(request, Operation::kRelease, node);
  delete &KernelFileOf(file);
  call.bridge().open_sizes.Close(call.inode());
  if (file->flock_release != 0) ReleaseLocks(call, FileLockKind::kFlock, file->lock_owner);
  call.Answer(absl::OkStatus());
}

void Sync(fuse_req_t request, fuse_ino_t node, int data_only, fuse_file_info* file) {
  Call call(request, Operation::kSync, node);
  call.Answer(FileOf(file).Sync());
}

void Allocate(fuse_req_t request, fuse_ino_t node, int mode, off_t offset, off_t length,
              fuse_file_info* file) {
  Call call(request, Operation::kAllocate, node);
  using Allocation = OpenFile::Allocation;
  auto what = Allocation::kAllocate;
  switch (mode) {
    case 0:
      break;
    case FALLOC_FL_KEEP_SIZE:
      what = Allocation::kAllocateKeepSize;
      break;
    case FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE:
      what = Allocation::kPunchHole;
      break;
    case FALLOC_FL_ZERO_RANGE:
      what = Allocation::kZeroRange;
      break;
    case FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE:
      what = Allocation::kZeroRangeKeepSize;
      break;
    default:
      return call.Refuse(EOPNOTSUPP);
  }
  call.Answer(
      FileOf(file).Allocate(what, static_cast<uint64_t>(offset), static_cast<uint64_t>(length)));
}

void Seek(fuse_req_t request, fuse_ino_t node, off_t offset, int whence, fuse_file_info* file) {
  Call call(request, Operation::kSeek, node);
  if (whence != SEEK_DATA && whence != SEEK_HOLE) return call.Refuse(EINVAL);
  const auto to = whence == SEEK_DATA ? OpenFile::SeekTo::kData : OpenFile::SeekTo::kHole;
  const auto position = FileOf(file).Seek(to, static_cast<uint64_t>(offset));
  if (!position.ok()) return call.Answer(position.status());
  call.AnswerPosition(*position);
}

}  // namespace

// No copy_file_range: the kernel then reads and writes itself.
void AddFileCalls(fuse_lowlevel_ops* calls) {
  calls->open = Open;
  calls->create = Create;
  calls->read = Read;
  calls->write_buf = Write;
  calls->flush = Flush;
  calls->release = Release;
  calls->fsync = Sync;
  calls->fallocate = Allocate;
  calls->lseek = Seek;
}

}  // namespace cairn
