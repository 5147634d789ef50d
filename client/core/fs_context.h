// What the parts of a FileSystem share: its session, its limits, and what is told of names. Lives
// on the session's executor.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

#include "cairn/filesystem.h"
#include "client/core/fs_dirty.h"
#include "client/core/fs_listings.h"
#include "client/core/fs_names.h"
#include "client/io/session.h"
#include "common/task/event.h"
#include "common/task/scope.h"
#include "common/task/stop.h"
#include "proto/wire/fs.pb.h"

namespace cairn::client_internal {

class MountSession;
class WriteLeases;

struct FsContext {
  FsContext(Session& to, FileSystemOptions with, absl::Duration within)
      : session(to), options(std::move(with)), timeout(within) {}

  const Clock& clock() const { return Executor::Current().clock(); }
  Deadline Soon() const { return Deadline::After(clock(), timeout); }
  template <class Reply, class Request>
  Task<absl::StatusOr<Reply>> Ask(wire::Method method, Request request) {
    return session.Meta<Reply, Request>(method, std::move(request), Soon());
  }

  // Bytes of written data that are in memory, of all files.
  bool IsFull() const { return dirty->bytes >= options.dirty_bytes_max; }
  // Memory has become free, or it is time to look whether it is worth waiting on.
  void NoteRoom() {
    room.Set();
    room.Reset();
  }

  // What is known of the inode is not what it was: its content, its attributes, or its names.
  void NoteChangeOf(uint64_t inode) {
    if (listings.empty()) return;
    for (const uint64_t directory : names.DirectoriesOf(inode)) listings.NoteChange(directory);
  }

  Session& session;
  const FileSystemOptions options;
  const absl::Duration timeout;
  uint64_t stripe_bytes = 0;
  NameHints names;
  Listings listings;
  std::shared_ptr<MemoryMeter> dirty = std::make_shared<MemoryMeter>();
  Event room;
  // Has something committed, in the background, so that room comes.
  std::function<void()> relieve;
  uint64_t readahead_bytes = 0;  // in memory, of all files
  FileSystemStats stats;
  MountSession* mount = nullptr;
  WriteLeases* leases = nullptr;
  StopSource stop;
  Scope scope;  // joined by who owns this
};

}  // namespace cairn::client_internal
