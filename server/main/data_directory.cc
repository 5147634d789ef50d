#include "server/main/data_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "common/base/byte_text.h"
#include "common/base/crc32c.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace cairn {
namespace {

constexpr std::string_view kMagic = "CAIRNID1";
constexpr size_t kHeaderBytes = 16;  // magic, length, CRC32C
// Paths of a few hundred targets.
constexpr size_t kIdentityBytesMax = 256 * 1024;

absl::Status SystemError(std::string_view what, std::string_view path, int error) {
  const std::string message = StrCat(what, " ", path, ": ", strerror(error));
  switch (error) {
    case ENOENT:
      return absl::NotFoundError(message);
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::PermissionDeniedError(StrCat(message, "; cairnd must be able to write there"));
    default:
      return absl::UnavailableError(message);
  }
}

// A random (version 4) UUID.
std::string NewClusterId(Random& random) {
  const uint64_t high = (random.Next() & ~uint64_t{0xf000}) | 0x4000;
  const uint64_t low = (random.Next() & ~(uint64_t{3} << 62)) | (uint64_t{2} << 62);
  char text[37];
  std::snprintf(text, sizeof(text), "%08x-%04x-%04x-%04x-%012llx",
                static_cast<unsigned>(high >> 32), static_cast<unsigned>(high >> 16) & 0xffff,
                static_cast<unsigned>(high) & 0xffff, static_cast<unsigned>(low >> 48),
                static_cast<unsigned long long>(low & 0xffffffffffff));
  return text;
}

absl::StatusOr<int> Lock(const std::string& directory) {
  const std::string path = directory + "/lock";
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) return SystemError("cannot open", path, errno);
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    char owner[32] = {};
    const ssize_t length = pread(fd, owner, sizeof(owner) - 1, 0);
    close(fd);
    return absl::FailedPreconditionError(StrCat("the data directory ", directory,
                                                " is in use by another cairnd (pid ",
                                                length > 0 ? owner : "unknown", ")"));
  }
  const std::string pid = StrCat(getpid());
  // For people only: the lock is the flock, and a pid that cannot be written harms nobody.
  if (ftruncate(fd, 0) == 0) (void)!pwrite(fd, pid.data(), pid.size(), 0);
  return fd;
}

}  // namespace

std::string EncodeIdentity(const disk::NodeIdentity& identity) {
  const std::string body = identity.SerializeAsString();
  const uint32_t length = static_cast<uint32_t>(body.size());
  const uint32_t crc = Crc32c(AsBytes(body));
  std::string bytes(kMagic);
  bytes.append(reinterpret_cast<const char*>(&length), sizeof(length));
  bytes.append(reinterpret_cast<const char*>(&crc), sizeof(crc));
  return bytes + body;
}

absl::StatusOr<disk::NodeIdentity> DecodeIdentity(std::string_view bytes) {
  if (bytes.size() < kHeaderBytes || bytes.size() > kIdentityBytesMax ||
      !bytes.starts_with(kMagic)) {
    return absl::DataLossError("it is not an identity file of Cairn, or it is damaged");
  }
  uint32_t length = 0, crc = 0;
  std::memcpy(&length, bytes.data() + kMagic.size(), sizeof(length));
  std::memcpy(&crc, bytes.data() + kMagic.size() + sizeof(length), sizeof(crc));
  const std::string_view body = bytes.substr(kHeaderBytes);
  disk::NodeIdentity identity;
  if (body.size() != length || Crc32c(AsBytes(body)) != crc ||
      !identity.ParseFromArray(body.data(), static_cast<int>(body.size()))) {
    return absl::DataLossError("it is damaged: its checksum does not match");
  }
  if (identity.format_version() != kDataFormatVersion) {
    return absl::FailedPreconditionError(
        StrCat("it has data format version ", identity.format_version(),
               "; this cairnd knows version ", kDataFormatVersion));
  }
  return identity;
}

absl::StatusOr<std::unique_ptr<DataDirectory>> DataDirectory::Open(
    const std::string& path, std::string_view expected_cluster_id, Random& random,
    Purpose purpose) {
  if (mkdir(path.c_str(), 0755) != 0 && errno != EEXIST) {
    return SystemError("cannot make the data directory", path, errno);
  }
  ASSIGN_OR_RETURN(const int lock_fd, Lock(path));
  std::unique_ptr<DataDirectory> directory(new DataDirectory(path, lock_fd));
  RETURN_IF_ERROR(directory->LoadOrMakeIdentity(expected_cluster_id, random, purpose));
  return directory;
}

DataDirectory::~DataDirectory() { close(lock_fd_); }

absl::Status DataDirectory::MakeIdentity(std::string_view expected_cluster_id, Random& random,
                                         Purpose purpose) {
  // What may be there before a first start: the secret that somebody has copied.
  constexpr std::string_view kKnown[] = {"lock", "cairn.id.new", "lost+found", "cluster.secret",
                                         "cluster.secret.new"};
  for (const auto& entry : std::filesystem::directory_iterator(path_)) {
    const std::string name = entry.path().filename().string();
    if (std::find(std::begin(kKnown), std::end(kKnown), name) != std::end(kKnown)) continue;
    return absl::FailedPreconditionError(StrCat("the data directory ", path_,
                                                " has no cairn.id but holds \"", name,
                                                "\"; give cairnd an empty or a new directory"));
  }
  identity_.set_format_version(kDataFormatVersion);
  if (purpose == Purpose::kJoin) {
    // Written once it is known whose node it is.
    identity_.set_cluster_id(std::string(expected_cluster_id));
    identity_.set_identity(random.Next() | 1);  // never 0
    return absl::OkStatus();
  }
  identity_.set_cluster_id(expected_cluster_id.empty() ? NewClusterId(random)
                                                       : std::string(expected_cluster_id));
  identity_.set_node_id(1);
  return Store(identity_);
}

absl::Status DataDirectory::LoadOrMakeIdentity(std::string_view expected_cluster_id, Random& random,
                                               Purpose purpose) {
  std::ifstream stream(path_ + "/cairn.id", std::ios::binary);
  if (!stream) return MakeIdentity(expected_cluster_id, random, purpose);
  std::ostringstream bytes;
  bytes << stream.rdbuf();
  absl::StatusOr<disk::NodeIdentity> identity = DecodeIdentity(bytes.str());
  if (!identity.ok()) {
    return absl::Status(identity.status().code(), absl::StrCat("the data directory ", path_,
                                                               " is refused because of cairn.id: ",
                                                               identity.status().message()));
  }
  identity_ = *identity;
  if (!expected_cluster_id.empty() && identity_.cluster_id() != expected_cluster_id) {
    return absl::FailedPreconditionError(StrCat("the data directory ", path_,
                                                " belongs to cluster ", identity_.cluster_id(),
                                                ", not to ", expected_cluster_id));
  }
  if (purpose == Purpose::kJoin && !joined()) {
    return absl::FailedPreconditionError(StrCat(
        "the data directory ", path_, " has founded the cluster ", identity_.cluster_id(),
        " and cannot join another: start it without --join, or give cairnd a new directory"));
  }
  return absl::OkStatus();
}

absl::Status DataDirectory::SetIdentity(disk::NodeIdentity identity) {
  if (identity.SerializeAsString() == identity_.SerializeAsString() &&
      std::filesystem::exists(path_ + "/cairn.id")) {
    return absl::OkStatus();
  }
  identity_ = std::move(identity);
  return Store(identity_);
}

// Whole or absent also after a power cut: written aside, flushed, renamed.
absl::Status DataDirectory::Store(const disk::NodeIdentity& identity) const {
  const std::string bytes = EncodeIdentity(identity);
  const std::string aside = path_ + "/cairn.id.new";
  const std::string file = path_ + "/cairn.id";
  const int fd = open(aside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return SystemError("cannot write", aside, errno);
  const bool written =
      write(fd, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()) && fsync(fd) == 0;
  const int error = errno;
  close(fd);
  if (!written) return SystemError("cannot write", aside, error);
  if (rename(aside.c_str(), file.c_str()) != 0) return SystemError("cannot rename", aside, errno);
  const int directory = open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0 || fsync(directory) != 0) {
    const int sync_error = errno;
    if (directory >= 0) close(directory);
    return SystemError("cannot flush", path_, sync_error);
  }
  close(directory);
  return absl::OkStatus();
}

}  // namespace cairn
