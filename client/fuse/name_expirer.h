// Tells the kernel that names and attributes which it was to keep may be otherwise by now, on a
// thread of its own: it waits for the directory, which calls being served hold locked.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "cairn/filesystem.h"
#include "common/base/clock.h"

namespace cairn {

class NameExpirer {
 public:
  using Changes = std::vector<FileSystem::Change>;

  // Calls `expire` for each change at once, and again after a while: an answer that was on its way
  // to the kernel the first time was not known there yet.
  NameExpirer(const Clock* clock, absl::Duration again_after,
              std::function<void(const FileSystem::Change&)> expire);
  // What was added is told before.
  ~NameExpirer();
  NameExpirer(const NameExpirer&) = delete;
  NameExpirer& operator=(const NameExpirer&) = delete;

  void Add(Changes changes);

 private:
  void Run();

  const Clock* clock_;
  const absl::Duration again_after_;
  const std::function<void(const FileSystem::Change&)> expire_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Changes> new_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace cairn
