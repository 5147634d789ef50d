// Tells the kernel that what it has cached of a file is not what the file holds, on a thread of its
// own: it waits for the pages that the system calls being served hold locked.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "client/fuse/node_table.h"

namespace cairn {

class Invalidator {
 public:
  // Calls `drop` for each node, one at a time.
  explicit Invalidator(std::function<void(NodeNumber)> drop);
  // What was added is dropped before.
  ~Invalidator();
  Invalidator(const Invalidator&) = delete;
  Invalidator& operator=(const Invalidator&) = delete;

  // Soon, and then calls `then`, in no particular order. One that waits already is dropped once.
  void Add(NodeNumber node, std::function<void()> then = nullptr);

 private:
  void Run();

  const std::function<void(NodeNumber)> drop_;
  std::mutex mutex_;
  std::condition_variable changed_;
  absl::flat_hash_set<NodeNumber> nodes_;
  std::vector<std::function<void()>> then_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace cairn
