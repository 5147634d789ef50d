#include "server/cluster/cluster_secret.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <filesystem>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/little_endian.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace cairn {
namespace {

constexpr std::string_view kLabel = "cairn node proof 1";
// Who types one in is to type more than a word: guesses can be tried on a proof.
constexpr size_t kTextBytesMin = 16;
constexpr size_t kTextBytesMax = 1024;
// Of a file, with white space around the secret.
constexpr size_t kFileBytesMax = 4 * kTextBytesMax;
constexpr size_t kProofBytes = 32;

class File {
 public:
  explicit File(int fd) : fd_(fd) {}
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() {
    if (fd_ >= 0) close(fd_);
  }
  int fd() const { return fd_; }

 private:
  const int fd_;
};

void AppendSized(std::string& out, std::string_view bytes) {
  AppendLittleEndian(out, static_cast<uint32_t>(bytes.size()));
  out += bytes;
}

// 256 bits as hex digits.
std::string DrawText(Random& random) {
  std::string text;
  for (int i = 0; i < 4; ++i)
    absl::StrAppend(&text, absl::Hex(random.Next(), absl::PadSpec::kZeroPad16));
  return text;
}

// Writes a new file, and flushes it.
absl::Status WriteNew(const std::string& path, std::string_view bytes) {
  // One left by a crash, maybe with another mode.
  unlink(path.c_str());
  const File file(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (file.fd() < 0) return absl::ErrnoToStatus(errno, StrCat("cannot make ", path));
  errno = ENOSPC;  // what a short write means
  if (write(file.fd(), bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size()) ||
      fsync(file.fd()) != 0) {
    return absl::ErrnoToStatus(errno, StrCat("cannot write ", path));
  }
  return absl::OkStatus();
}

absl::Status FlushDirectoryOf(const std::string& path) {
  std::string directory = std::filesystem::path(path).parent_path().string();
  if (directory.empty()) directory = ".";
  const File file(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (file.fd() < 0 || fsync(file.fd()) != 0)
    return absl::ErrnoToStatus(errno, StrCat("cannot flush ", directory));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ClusterSecret> ClusterSecret::FromText(std::string_view text) {
  const std::string_view trimmed = ToStd(absl::StripAsciiWhitespace(ToAbsl(text)));
  if (trimmed.size() < kTextBytesMin || trimmed.size() > kTextBytesMax) {
    return absl::InvalidArgumentError(StrCat("the cluster's secret must have ", kTextBytesMin,
                                             " to ", kTextBytesMax,
                                             " characters, white space around it not counted"));
  }
  return ClusterSecret(trimmed);
}

absl::StatusOr<ClusterSecret> ClusterSecret::ReadFile(const std::string& path) {
  // Not blocking: a pipe is refused below, not waited for.
  const File file(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  struct stat info {};
  if (file.fd() < 0 || fstat(file.fd(), &info) != 0)
    return absl::ErrnoToStatus(errno, StrCat("cannot open the cluster's secret ", path));
  if (!S_ISREG(info.st_mode)) {
    return absl::FailedPreconditionError(
        StrCat("the cluster's secret ", path, " is not a regular file"));
  }
  if ((info.st_mode & (S_IRGRP | S_IWGRP | S_IROTH | S_IWOTH)) != 0) {
    return absl::FailedPreconditionError(StrCat(
        "not only its owner may read or write the cluster's secret ", path, "; chmod 600 ", path));
  }
  std::string text(kFileBytesMax + 1, '\0');
  const ssize_t length = read(file.fd(), text.data(), text.size());
  if (length < 0)
    return absl::ErrnoToStatus(errno, StrCat("cannot read the cluster's secret ", path));
  text.resize(static_cast<size_t>(length));
  if (text.size() > kFileBytesMax) {
    return absl::InvalidArgumentError(
        StrCat(path, " is too large for a secret: over ", kFileBytesMax, " bytes"));
  }
  const absl::StatusOr<ClusterSecret> secret = FromText(text);
  if (!secret.ok()) {
    return absl::Status(secret.status().code(), StrCat(path, ": ", secret.status().message()));
  }
  return secret;
}

absl::StatusOr<ClusterSecret> ClusterSecret::MakeFile(const std::string& path, Random& random) {
  const std::string text = DrawText(random);
  const std::string aside = path + ".new";
  absl::Status made = WriteNew(aside, text + "\n");
  // Unlike a rename, a link never replaces a file.
  if (made.ok() && link(aside.c_str(), path.c_str()) != 0)
    made = absl::ErrnoToStatus(errno, StrCat("cannot make ", path));
  unlink(aside.c_str());
  RETURN_IF_ERROR(made);
  RETURN_IF_ERROR(FlushDirectoryOf(path));
  return ClusterSecret(text);
}

std::string ClusterSecret::Prove(Side side, std::string_view cluster_id, SessionId session,
                                 std::string_view challenge) const {
  std::string message(kLabel);
  message += '\0';
  message += side == Side::kCaller ? 'c' : 'a';
  AppendSized(message, cluster_id);
  std::string session_bytes;
  AppendLittleEndian(session_bytes, session.value());
  AppendSized(message, session_bytes);
  AppendSized(message, challenge);
  unsigned char proof[EVP_MAX_MD_SIZE];
  unsigned length = 0;
  const unsigned char* made =
      HMAC(EVP_sha256(), text_.data(), static_cast<int>(text_.size()),
           reinterpret_cast<const unsigned char*>(message.data()), message.size(), proof, &length);
  CAIRN_CHECK(made != nullptr && length == kProofBytes);
  return {reinterpret_cast<const char*>(proof), length};
}

bool ClusterSecret::Check(Side side, std::string_view cluster_id, SessionId session,
                          std::string_view challenge, std::string_view proof) const {
  const std::string right = Prove(side, cluster_id, session, challenge);
  return proof.size() == right.size() &&
         CRYPTO_memcmp(proof.data(), right.data(), right.size()) == 0;
}

}  // namespace cairn
