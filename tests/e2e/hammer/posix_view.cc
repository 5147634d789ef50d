// The tree by a mount: system calls.
#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "common/base/posix_error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "tests/e2e/hammer/slots.h"
#include "tests/e2e/hammer/view.h"

namespace cairn::hammer {
namespace {

constexpr size_t kPiece = 256 << 10;
// A name may be taken for so long after another mount has removed it, and no longer.
constexpr int64_t kStaleNs = 3'000'000'000;
constexpr useconds_t kPause = 20'000;

absl::Status Error(std::string_view call, std::string_view path) {
  const int number = errno;
  return PosixError(number, StrCat(call, " ", path, ": ", strerror(number)));
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  // Whether close() said that all is well.
  bool Close() { return close(std::exchange(fd_, -1)) == 0; }

 private:
  int fd_;
};

class PosixView final : public View {
 public:
  PosixView(std::string directory, std::string tag)
      : directory_(std::move(directory)), tag_(std::move(tag)) {}

  std::string name() const override { return directory_; }
  bool writes_in_place() const override { return true; }

  absl::StatusOr<std::optional<std::string>> Read(const std::string& path) override {
    Descriptor file(open(At(path).c_str(), O_RDONLY));
    if (file.get() < 0) {
      if (errno == ENOENT) return std::nullopt;
      return Error("open", path);
    }
    struct stat found;
    if (fstat(file.get(), &found) != 0) return Error("fstat", path);
    std::string content;
    while (true) {
      const size_t before = content.size();
      content.resize(before + kPiece);
      const ssize_t got = pread(file.get(), content.data() + before, kPiece, before);
      if (got < 0) return Error("pread", path);
      content.resize(before + got);
      if (got == 0) break;
    }
    return content;
  }

  absl::StatusOr<bool> IsDirectory(const std::string& path) override {
    const Descriptor directory(open(At(path).c_str(), O_RDONLY | O_DIRECTORY));
    if (directory.get() >= 0) return true;
    if (errno == ENOENT) return false;
    return Error("open", path);
  }

  absl::StatusOr<std::vector<std::string>> List(const std::string& path) override {
    DIR* stream = opendir(At(path).c_str());
    if (stream == nullptr) return Error("opendir", path);
    std::vector<std::string> names;
    errno = 0;
    while (const dirent* entry = readdir(stream)) {
      const std::string_view name = entry->d_name;
      if (name != "." && name != "..") names.emplace_back(name);
    }
    const int error = errno;
    closedir(stream);
    errno = error;
    if (error != 0) return Error("readdir", path);
    return names;
  }

  absl::Status Replace(const std::string& path, const std::string& content,
                       Durability durability) override {
    const std::string temporary = StrCat(path.substr(0, path.rfind('/') + 1), ".t", tag_);
    Descriptor file(open(At(temporary).c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644));
    if (file.get() < 0) return Error("open", temporary);
    RETURN_IF_ERROR(WriteAll(file, temporary, 0, content));
    RETURN_IF_ERROR(Finish(file, temporary, durability));
    return Move(temporary, path, durability);
  }

  absl::Status Unlink(const std::string& path, Durability durability) override {
    if (unlink(At(path).c_str()) != 0) return Error("unlink", path);
    return SyncDirectoryOf(path, durability);
  }

  absl::Status Move(const std::string& from, const std::string& to,
                    Durability durability) override {
    // As mv(1) does: the kernel moves a directory that another mount has moved only once it has
    // seen it there.
    struct stat there = {};
    if (lstat(At(from).c_str(), &there) != 0) return Error("lstat", from);
    if (rename(At(from).c_str(), At(to).c_str()) != 0) return Error("rename", from);
    RETURN_IF_ERROR(SyncDirectoryOf(from, durability));
    return SyncDirectoryOf(to, durability);
  }

  absl::Status MakeDirectory(const std::string& path, Durability durability) override {
    const int64_t begun = NowNs();
    while (mkdir(At(path).c_str(), 0755) != 0) {
      if (errno != EEXIST || NowNs() - begun > kStaleNs) return Error("mkdir", path);
      Pause();
    }
    return SyncDirectoryOf(path, durability);
  }

  absl::Status RemoveDirectory(const std::string& path, Durability durability) override {
    if (rmdir(At(path).c_str()) != 0) return Error("rmdir", path);
    return SyncDirectoryOf(path, durability);
  }

  absl::Status Create(const std::string& path, const std::string& content,
                      Durability durability) override {
    const int64_t begun = NowNs();
    int fd = -1;
    while ((fd = open(At(path).c_str(), O_WRONLY | O_CREAT | O_EXCL, 0644)) < 0) {
      if (errno != EEXIST || NowNs() - begun > kStaleNs) return Error("open", path);
      Pause();
    }
    Descriptor file(fd);
    RETURN_IF_ERROR(WriteAll(file, path, 0, content));
    RETURN_IF_ERROR(Finish(file, path, durability));
    return SyncDirectoryOf(path, durability);
  }

  absl::Status Overwrite(const std::string& path, uint64_t offset, const std::string& content,
                         Durability durability, uint64_t manner) override {
    Descriptor file(open(At(path).c_str(), O_RDWR));
    if (file.get() < 0) return Error("open", path);
    if (manner % 3 == 0) {
      RETURN_IF_ERROR(WriteMapped(file, path, offset, content));
    } else {
      RETURN_IF_ERROR(WriteAll(file, path, offset, content));
    }
    return Finish(file, path, durability);
  }

  absl::Status Append(const std::string& path, const std::vector<std::string>& pieces,
                      Durability durability) override {
    Descriptor file(open(At(path).c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644));
    if (file.get() < 0) return Error("open", path);
    for (const std::string& piece : pieces) {
      const ssize_t written = write(file.get(), piece.data(), piece.size());
      if (written < 0) return Error("write", path);
      if (static_cast<size_t>(written) != piece.size())
        return absl::InternalError(StrCat("write ", path, ": ", written, " of ", piece.size()));
    }
    RETURN_IF_ERROR(Finish(file, path, durability));
    return SyncDirectoryOf(path, durability);
  }

  absl::Status Truncate(const std::string& path, uint64_t size, Durability durability,
                        uint64_t manner) override {
    if (manner % 2 == 0 && durability == Durability::kClosed) {
      if (truncate(At(path).c_str(), static_cast<off_t>(size)) != 0) return Error("truncate", path);
      return absl::OkStatus();
    }
    Descriptor file(open(At(path).c_str(), O_RDWR));
    if (file.get() < 0) return Error("open", path);
    if (ftruncate(file.get(), static_cast<off_t>(size)) != 0) return Error("ftruncate", path);
    return Finish(file, path, durability);
  }

 private:
  std::string At(const std::string& path) const { return StrCat(directory_, "/", path); }

  // The kernel forgets a name in its own time, and tells nobody.
  static void Pause() { usleep(kPause); }

  static absl::Status WriteAll(const Descriptor& file, const std::string& path, uint64_t offset,
                               const std::string& content) {
    for (size_t done = 0; done < content.size();) {
      const size_t size = std::min(kPiece, content.size() - done);
      const ssize_t written = pwrite(file.get(), content.data() + done, size, offset + done);
      if (written < 0) return Error("pwrite", path);
      done += written;
    }
    return absl::OkStatus();
  }

  static absl::Status WriteMapped(const Descriptor& file, const std::string& path, uint64_t offset,
                                  const std::string& content) {
    void* mapped =
        mmap(nullptr, content.size(), PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), offset);
    if (mapped == MAP_FAILED) return Error("mmap", path);
    // Not memcpy(): where the mount is gone that is a signal, and the end of this process.
    RETURN_IF_ERROR(CopyByKernel(static_cast<char*>(mapped), content, path));
    const bool synced = msync(mapped, content.size(), MS_SYNC) == 0;
    const absl::Status status = synced ? absl::OkStatus() : Error("msync", path);
    munmap(mapped, content.size());
    return status;
  }

  // The kernel writes to the mapping and says EFAULT where it cannot.
  static absl::Status CopyByKernel(char* mapped, const std::string& content,
                                   const std::string& path) {
    int ends[2];
    if (pipe(ends) != 0) return Error("pipe", path);
    const Descriptor in(ends[0]);
    const Descriptor out(ends[1]);
    for (size_t done = 0; done < content.size();) {
      const ssize_t sent = write(out.get(), content.data() + done,
                                 std::min<size_t>(content.size() - done, PIPE_BUF));
      if (sent < 0) return Error("write to a pipe", path);
      for (ssize_t got = 0; got < sent;) {
        const ssize_t more = read(in.get(), mapped + done + got, sent - got);
        if (more < 0) return Error("writing to the mapping of", path);
        got += more;
      }
      done += sent;
    }
    return absl::OkStatus();
  }

  static absl::Status Finish(Descriptor& file, const std::string& path, Durability durability) {
    if (durability == Durability::kSynced && fsync(file.get()) != 0) return Error("fsync", path);
    if (!file.Close()) return Error("close", path);
    return absl::OkStatus();
  }

  absl::Status SyncDirectoryOf(const std::string& path, Durability durability) const {
    if (durability == Durability::kClosed) return absl::OkStatus();
    const size_t slash = path.rfind('/');
    const std::string directory =
        slash == std::string::npos ? directory_ : At(path.substr(0, slash));
    const Descriptor opened(open(directory.c_str(), O_RDONLY | O_DIRECTORY));
    if (opened.get() < 0 || fsync(opened.get()) != 0) return Error("fsync", directory);
    return absl::OkStatus();
  }

  std::string directory_;
  std::string tag_;
};

}  // namespace

std::unique_ptr<View> MakePosixView(std::string directory, std::string tag) {
  return std::make_unique<PosixView>(std::move(directory), std::move(tag));
}

}  // namespace cairn::hammer
