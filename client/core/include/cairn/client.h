// The C++ SDK: checkpoints and files of a Cairn cluster.
//
// All classes are thread-safe unless they say otherwise, and every call blocks until done or until
// its deadline. Memory handed to the SDK is read and written in place by the servers (RDMA): it is
// never copied, so it must stay mapped and, while being saved, unchanged, for as long as each
// function says.
//
// Errors are absl::Status: NOT_FOUND, ALREADY_EXISTS, INVALID_ARGUMENT (a bad name, a range past
// the end), FAILED_PRECONDITION (wrong state; the message says which), ABORTED (a newer attempt
// took over, or the attempt was aborted), UNAVAILABLE (no node answered in time; safe to try
// again), DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED (targets full, or a bucket's quota; the message
// says which), DATA_LOSS (stored bytes are damaged; never returned).
#pragma once

#include <cstddef>
#include <cstdint>
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
#include "cairn/bucket_types.h"

namespace cairn {

using ConstBuffer = std::span<const std::byte>;
using MutableBuffer = std::span<std::byte>;

namespace client_internal {
class ClientImpl;
class CheckpointImpl;
class ShardImpl;
class FileWriterImpl;
class FileImpl;
}  // namespace client_internal

struct ClientOptions {
  // "HOST:PORT[,HOST:PORT...]"; empty: the environment's CAIRN_ENDPOINT, else "127.0.0.1:7440".
  std::string endpoint;
  // For a call as a whole, retries and reconnects included. Where bytes move (writing, closing and
  // reading) it bounds each stripe and each seal instead, so that large shards need no longer one:
  // a stripe's time begins with its turn on the node, and while stripes queue, DEADLINE_EXCEEDED
  // comes only when no transfer of this client has ended well for so long.
  absl::Duration timeout = absl::Seconds(60);
  // For Connect() alone, where people wait for the answer and a wrong address shall show soon.
  absl::Duration connect_timeout = absl::InfiniteDuration();
  // Fragments (of 4 MiB) on their way at once, all nodes together. Fewer do not outlast the pauses
  // that disks make.
  int window = 16;
};

// ---- what is stored ----

// kSpecial: a FIFO, socket or device node, made through a mount.
enum class EntryType { kFile, kDirectory, kCheckpoint, kSymlink, kSpecial };

struct Entry {
  std::string name;  // the last component; from Stat(), the path
  EntryType type = EntryType::kFile;
  uint64_t size_bytes = 0;
  absl::Time modified;
  uint32_t mode = 0;
  uint64_t inode = 0;
  uint32_t crc32c = 0;  // of a file's whole content
  // False of what was changed where it lies, through a mount: `crc32c` says nothing then. Its
  // blocks have checksums all the same.
  bool crc32c_known = true;
};

struct CheckpointInfo {
  std::string path;
  bool committed = false;  // else it is being written
  std::optional<uint64_t> step;
  uint64_t attempt = 0;
  uint32_t world_size = 0;
  uint32_t ranks_done = 0;
  uint64_t shard_count = 0;
  uint64_t size_bytes = 0;
  absl::Time begun, committed_at;
  bool pinned = false;
  std::string job;
  std::map<std::string, std::string> attributes;
  std::vector<uint32_t> missing_ranks;  // the first 16 of one being written
};

struct ShardInfo {
  std::string name;
  uint64_t size_bytes = 0;
  uint32_t crc32c = 0;
  uint32_t rank = 0;
  bool crc32c_known = true;  // see Entry
};

// Rules of a directory of checkpoints; zero is "not a rule". What no rule keeps is removed after
// each commit. Pinned checkpoints and the newest are always kept; with no rule at all, everything
// is.
struct RetentionPolicy {
  uint32_t keep_last = 0;
  uint64_t keep_every_steps = 0;
  absl::Duration keep_newer_than = absl::ZeroDuration();
};

// ---- reading ----

// One piece to read: [offset_bytes, offset_bytes + destination.size()) of a file.
struct ReadRange {
  uint64_t offset_bytes = 0;
  MutableBuffer destination;
};

// A file opened for reading, in the version it had then. Its bytes stay readable while it is open
// and for the servers' grace period after it was replaced or removed.
class File {
 public:
  ~File();
  File(File&&) noexcept;

  uint64_t size_bytes() const;
  // The CRC32C of the whole content, as it was committed; see Entry for when there is none.
  uint32_t crc32c() const;
  bool crc32c_known() const;
  // Fills every destination, in parallel, verified block by block. On error their contents are
  // undefined, and on return no server writes to them any more. OUT_OF_RANGE past the end;
  // FAILED_PRECONDITION when the file was replaced or removed since it was opened and its bytes are
  // gone. Only the blocks touched are read.
  absl::Status Read(std::span<const ReadRange> ranges);
  absl::Status Read(uint64_t offset_bytes, MutableBuffer destination);

 private:
  friend class Client;
  explicit File(std::shared_ptr<client_internal::FileImpl> impl);
  std::shared_ptr<client_internal::FileImpl> impl_;
};

// ---- writing ----

// One file on its way into a checkpoint, or a plain file. Not thread-safe; one caller writes one
// shard. Destroying one that was not closed abandons it.
class ShardWriter {
 public:
  ~ShardWriter();
  ShardWriter(ShardWriter&&) noexcept;

  // Appends the concatenation of `pieces`, without copying. Returns when the SDK has taken the
  // pieces, while fragments are still on their way; blocks only when the window is full. The memory
  // must stay as it is until Close(), Flush() or Abandon() returns: should a server restart, its
  // stripes are written again from there.
  absl::Status Write(std::span<const ConstBuffer> pieces);
  absl::Status Write(ConstBuffer piece);
  // Makes everything written so far durable; the memory is the caller's again. Costs one fsync a
  // target, shared with others that wait.
  absl::Status Flush();
  // Flush(), and the content is complete. In a checkpoint it becomes visible with the commit; a
  // plain file is visible and durable now. A second Close() is FAILED_PRECONDITION.
  absl::Status Close();
  // Gives up; nothing written becomes visible. The memory is the caller's again.
  void Abandon();

  uint64_t size_bytes() const;

 private:
  friend class Client;
  friend class CheckpointWriter;
  explicit ShardWriter(std::shared_ptr<client_internal::ShardImpl> impl);
  std::shared_ptr<client_internal::ShardImpl> impl_;
};

struct BeginOptions {
  uint32_t world_size = 1;
  uint32_t rank = 0;
  // 0: join the open attempt if it lacks this rank, else start the next. Jobs that can agree on a
  // number (rank 0 begins and tells the others) should: then a stale rank is refused instead of
  // joining.
  uint64_t attempt = 0;
  // Names the job. Two live jobs on one checkpoint name refuse each other; empty: no such check.
  std::string job;
  std::optional<uint64_t> step;  // default: the digits that the name ends in
  std::map<std::string, std::string> attributes;
};

// One rank's part in writing one checkpoint.
class CheckpointWriter {
 public:
  ~CheckpointWriter();  // does not abort: the attempt expires with its lease
  CheckpointWriter(CheckpointWriter&&) noexcept;

  uint64_t attempt() const;
  const std::string& path() const;
  // Starts a shard. `name` is a relative path, unique in the checkpoint. Shards of one rank may be
  // written side by side by several threads.
  absl::StatusOr<ShardWriter> NewShard(std::string_view name);
  // All shards of this rank are closed, and there will be no more. Durable when it returns.
  absl::Status RankDone();
  // Waits for the other ranks, until `timeout`, and makes the checkpoint visible, atomically, in
  // place of an older one of that name. One rank calls it (or several; it is idempotent).
  // DEADLINE_EXCEEDED names the ranks that are missing, RESOURCE_EXHAUSTED the bucket whose quota
  // the checkpoint would exceed; the attempt stays open, and can be committed once there is room.
  // Durable when it returns.
  absl::StatusOr<CheckpointInfo> Commit(absl::Duration timeout = absl::Minutes(10));
  // Drops the attempt of all ranks and its space.
  absl::Status Abort(std::string_view reason);

 private:
  friend class Client;
  explicit CheckpointWriter(std::shared_ptr<client_internal::CheckpointImpl> impl);
  std::shared_ptr<client_internal::CheckpointImpl> impl_;
};

// ---- the client ----

// A connection to a cluster, with one background thread. Nodes are dialled when first needed and
// again after a failure. Not usable in a child after fork(): make a new one there (the Python
// package does so by itself).
class Client {
 public:
  // Checks that a node answers. UNAVAILABLE says which addresses were tried and how each failed.
  static absl::StatusOr<std::unique_ptr<Client>> Connect(ClientOptions options = {});
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // -- checkpoints. A checkpoint is a directory "bucket/.../name" that appears whole.
  absl::StatusOr<CheckpointWriter> BeginCheckpoint(std::string_view path, BeginOptions options);
  // Newest committed checkpoint directly in `directory`. NOT_FOUND when there is none.
  absl::StatusOr<CheckpointInfo> LatestCheckpoint(std::string_view directory);
  absl::StatusOr<CheckpointInfo> ShowCheckpoint(std::string_view path,
                                                std::vector<ShardInfo>* shards = nullptr);
  struct ListCheckpointsOptions {
    bool include_writing = false;
    bool recursive = false;
  };
  absl::StatusOr<std::vector<CheckpointInfo>> ListCheckpoints(std::string_view directory,
                                                              ListCheckpointsOptions options);
  absl::Status PinCheckpoint(std::string_view path);
  absl::Status UnpinCheckpoint(std::string_view path);
  absl::Status SetRetention(std::string_view directory, const RetentionPolicy& policy);
  absl::StatusOr<RetentionPolicy> GetRetention(std::string_view directory);
  enum class PruneMode { kRemove, kDryRun };
  // Applies `policy` (default: the one set) once, now.
  absl::StatusOr<std::vector<CheckpointInfo>> PruneCheckpoints(
      std::string_view directory, std::optional<RetentionPolicy> policy, PruneMode mode);

  // -- files. A shard of a committed checkpoint is a file too:
  // "bucket/run/step-10/rank0.safetensors".
  absl::StatusOr<File> OpenFile(std::string_view path);
  // Streams into a new file that appears at Close().
  absl::StatusOr<ShardWriter> CreateFile(std::string_view path);
  absl::Status PutFile(std::string_view path, std::span<const ConstBuffer> pieces);
  absl::StatusOr<Entry> Stat(std::string_view path);
  // Entries of a directory in byte order of their names; "" lists buckets. Pages inside.
  absl::StatusOr<std::vector<Entry>> List(std::string_view path);
  enum class RemoveMode { kOne, kRecursive };
  // Removes a file, an empty directory or a checkpoint; kRecursive: anything below too.
  absl::Status Remove(std::string_view path, RemoveMode mode = RemoveMode::kOne);
  // Atomic; replaces a file at `to`.
  absl::Status Rename(std::string_view from, std::string_view to);
  // Makes a directory and its parents; one component makes a bucket. Harmless when it is there.
  absl::Status MakeDirectory(std::string_view path);

  // -- buckets: top-level directories that say how files in them survive.
  // Makes one. ALREADY_EXISTS; INVALID_ARGUMENT for a redundancy that is none; FAILED_PRECONDITION
  // when the cluster has too few failure domains for it, saying what would fit.
  absl::Status MakeBucket(std::string_view name, const BucketOptions& options);
  // Changes what files get that are written from now on, if `redundancy` is not empty; those that
  // are there keep what they have. Changes the quota if there is one in `options`: of a bucket that
  // has more already, nothing goes, and nothing comes. NOT_FOUND, and errors as above;
  // UNIMPLEMENTED when the cluster runs a release without quotas.
  absl::Status SetBucket(std::string_view name, const BucketOptions& options);
  absl::StatusOr<BucketInfo> ShowBucket(std::string_view name);

  // -- the cluster
  // The node's own status as text for people and programs: protobuf JSON of cairn.wire.StatusReply.
  absl::StatusOr<std::string> StatusJson();
  const std::string& endpoint() const;

 private:
  friend class Admin;       // admin.h
  friend class Tiering;     // tiering.h
  friend class FileSystem;  // filesystem.h
  explicit Client(std::shared_ptr<client_internal::ClientImpl> impl);
  std::shared_ptr<client_internal::ClientImpl> impl_;
};

}  // namespace cairn
