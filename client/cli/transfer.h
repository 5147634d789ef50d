// Streams between local descriptors and files of the cluster with bounded memory: some buffers move
// over the network while another one is read or written locally.
#pragma once

#include <cstddef>
#include <cstdint>
#include <future>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cairn/client.h"
#include "client/cli/interrupts.h"
#include "client/cli/progress.h"

namespace cairn::cli {

// One buffer. Eight stripes: enough in flight to keep a node busy.
inline constexpr size_t kTransferBufferBytes = size_t{32} << 20;
// Of one upload: 256 MiB, so that a Flush(), which costs the node a sync and the stream a pause,
// comes once in 224 MiB. Taken as the content needs them; large files uploaded side by side (put
// --jobs, 4 by default) take that much each, 1 GiB.
inline constexpr size_t kUploadBuffers = 8;
// A file's buffers are read as ranges of a stripe each, which the SDK moves in parallel.
inline constexpr size_t kTransferRangeBytes = size_t{4} << 20;

struct TransferHooks {
  Progress* progress;            // may be null
  const Interrupts* interrupts;  // looked at between buffers, and while the input gives nothing
};

struct TransferResult {
  uint64_t size_bytes = 0;
  uint32_t crc32c = 0;
};

// Memory for one buffer, not initialized.
struct TransferBuffer {
  explicit TransferBuffer(size_t size_bytes);
  MutableBuffer span() { return {memory.get(), size}; }
  std::unique_ptr<std::byte[]> memory;
  size_t size;
};

// Writes what `fd` gives from its position to its end to `path`, which appears when all is durable.
// `expected_bytes` (0: unknown) sizes the buffers only. On error nothing appears.
absl::StatusOr<TransferResult> Upload(Client& client, int fd, uint64_t expected_bytes,
                                      std::string_view path, TransferHooks hooks);

// Reads a file from its beginning to its end, one buffer ahead of the caller, on a thread of its
// own.
class ReadAhead {
 public:
  // The file outlives it.
  ReadAhead(File* file, size_t buffer_bytes);
  // Waits for the read in flight.
  ~ReadAhead();
  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;

  // The next bytes, valid until the next call; empty at the end.
  absl::StatusOr<ConstBuffer> Next();

 private:
  void Start();

  File* const file_;
  std::unique_ptr<TransferBuffer> buffers_[2];
  int reading_ = 0;
  uint64_t offset_bytes_ = 0;   // where the next read begins
  size_t in_flight_bytes_ = 0;  // of the read that `pending_` is
  std::future<absl::Status> pending_;
};

// Writes the whole of `file` to `fd`, in order, and checks the CRC32C of the whole. DATA_LOSS when
// it differs.
absl::StatusOr<TransferResult> Download(File& file, int fd, TransferHooks hooks);

// A local file that takes the place of `path`, or of what that leads to if it is a symlink, when it
// is complete, and leaves no trace when it is not. Targets that are not regular files (/dev/null, a
// pipe) are written directly.
class LocalFile {
 public:
  static absl::StatusOr<LocalFile> Create(const std::string& path, Interrupts* interrupts);
  ~LocalFile();
  LocalFile(LocalFile&& other) noexcept;
  LocalFile& operator=(LocalFile&&) = delete;

  int fd() const { return fd_; }
  // Not durable: it is as safe as what `cp` writes.
  absl::Status Commit();

 private:
  LocalFile(std::string target, std::string temporary, int fd, Interrupts* interrupts);

  std::string target_;
  std::string temporary_;  // empty: written directly, or committed
  int fd_;
  Interrupts* interrupts_;
};

}  // namespace cairn::cli
