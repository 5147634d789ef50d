// What all system calls of a mount share, and one call on its way to its answer. The calls
// themselves are in *_calls.cc, each file with a table of its own for libfuse.
#pragma once

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <span>
#include <string>

#include "cairn/filesystem.h"
#include "client/fuse/invalidator.h"
#include "client/fuse/lock_queue.h"
#include "client/fuse/lock_table.h"
#include "client/fuse/name_expirer.h"
#include "client/fuse/node_table.h"
#include "client/fuse/notifier.h"
#include "client/fuse/open_sizes.h"
#include "client/fuse/operation_stats.h"
#include "common/base/clock.h"

namespace cairn {

struct BridgeOptions {
  // How long the kernel keeps names and attributes that others may change untold; zero: none are
  // kept, not even those that the service tells of.
  absl::Duration attribute_timeout = absl::Seconds(1);
  uint64_t readahead_bytes = 0;
};

// Between libfuse's session and the file system; both, and the statistics, outlive what it has
// started. Its member
// functions and all but the session may be used by any thread.
class Bridge {
 public:
  Bridge(FileSystem* file_system, OperationStats* stats, const BridgeOptions& options);
  ~Bridge();

  // The calls for fuse_session_new(), whose user data is the Bridge.
  static fuse_lowlevel_ops Calls();
  // As the kernel said when the session began.
  void NoteKernel(unsigned protocol_minor);
  // Before the session's first request, and after its last: no request is left behind.
  void Begin(fuse_session* session);
  void End();

  // Seconds that an answer holds, as libfuse wants them.
  double EntrySeconds(const NodeAttributes& attributes) const;
  double AttributeSeconds(const NodeAttributes& attributes) const;
  fuse_entry_param EntryOf(const NodeAttributes& attributes) const;
  // The kernel drops what it has cached of the file; not from within a call that reads or writes
  // it.
  void DropCache(NodeNumber node);
  // The kernel asks for the attributes anew; what it has of the content stays.
  void DropAttributes(NodeNumber node);
  // The kernel looks it up anew, and asks for its attributes.
  void Expire(const FileSystem::Change& change);
  // One that has been told of with Refer(), and whose answer nobody took.
  void TakeBack(InodeNumber inode, uint64_t count);
  // In the log, at most one line a second.
  void Complain(Operation operation, InodeNumber inode, const absl::Status& why);

  FileSystem* const file_system;
  const BridgeOptions options;
  const SystemClock clock;
  NodeTable nodes;
  OpenSizes open_sizes;
  OperationStats& stats;
  LockTable locks;
  LockQueue lock_queue;
  std::unique_ptr<Notifier> notifier;
  std::unique_ptr<Invalidator> invalidator;
  std::unique_ptr<NameExpirer> expirer;

 private:
  fuse_session* session_ = nullptr;
  std::atomic<bool> expires_names_{false};
  std::atomic<int64_t> complained_at_ns_{INT64_MIN};
};

// One request from its arrival on; each is answered once, by the last of these functions that is
// called.
class Call {
 public:
  Call(fuse_req_t request, Operation operation, NodeNumber node);
  // One of them answers, perhaps later.
  Call(const Call&) = default;
  Call& operator=(const Call&) = delete;

  Bridge& bridge() { return bridge_; }
  FileSystem& file_system() { return *bridge_.file_system; }
  InodeNumber inode() const { return inode_; }
  fuse_req_t request() const { return request_; }

  // "Done", or the error.
  void Answer(const absl::Status& status);
  void Refuse(int error);
  void AnswerEntry(const absl::StatusOr<NodeAttributes>& made);
  void AnswerAttributes(const absl::StatusOr<NodeAttributes>& attributes);
  // As the above, of a file that may have grown at others' hands: then later, and the kernel passes
  // it on to who has asked, but believes in the size only when it asks again. Not of a call for
  // whose time the kernel keeps pages locked, or unwritten.
  void AnswerFoundEntry(const absl::StatusOr<NodeAttributes>& found);
  void AnswerFoundAttributes(const absl::StatusOr<NodeAttributes>& found);
  void AnswerText(const std::string& text);  // of a link
  void AnswerXattr(std::string_view value, size_t room);
  void AnswerWritten(size_t bytes);
  void AnswerPosition(uint64_t position);
  void AnswerSpace(const Space& space);
  void AnswerLock(const struct flock& lock);
  // Whether somebody took it: else what it refers to has to be taken back.
  bool AnswerBytes(std::span<const std::byte> bytes);
  [[nodiscard]] bool AnswerOpen(const fuse_file_info& file);
  [[nodiscard]] bool AnswerCreated(const NodeAttributes& attributes, const fuse_file_info& file);
  // Of FORGET, which has none.
  void AnswerNothing();

 private:
  void Record(int error);
  // A file that is open, and that the kernel takes for shorter.
  bool HasGrown(const absl::StatusOr<NodeAttributes>& found) const;

  const fuse_req_t request_;
  const Operation operation_;
  Bridge& bridge_;
  const InodeNumber inode_;
  const MonoTime began_;
};

// Each sets what it has.
void AddNameCalls(fuse_lowlevel_ops* calls);
void AddAttributeCalls(fuse_lowlevel_ops* calls);
void AddFileCalls(fuse_lowlevel_ops* calls);
void AddDirectoryCalls(fuse_lowlevel_ops* calls);
void AddLockCalls(fuse_lowlevel_ops* calls);

// What lets go of a file's locks: at each close those of POSIX, at the last that of flock(2).
void ReleaseLocks(Call& call, FileLockKind kind, uint64_t owner);

}  // namespace cairn
