// One file being written: the state behind ShardWriter, for shards of a checkpoint and for plain
// files.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "client/core/client_impl.h"
#include "client/io/write_path.h"

namespace cairn::client_internal {

// Told when a shard's content is durable; makes it part of a checkpoint, or visible as a file.
class ShardSink {
 public:
  virtual ~ShardSink() = default;
  // REQUIRES: on the reactor thread.
  virtual Task<absl::Status> OnDurable(wire::ShardRecord shard) = 0;
  virtual Task<absl::Status> OnAbandoned() = 0;
};

class ShardImpl {
 public:
  ShardImpl(std::shared_ptr<ClientImpl> client, std::shared_ptr<ShardSink> sink, std::string name,
            std::shared_ptr<StripeIds> ids);
  ~ShardImpl();

  absl::Status Write(std::span<const ConstBuffer> pieces);
  absl::Status Flush();
  absl::Status Close();
  void Abandon();
  uint64_t size_bytes() const { return size_bytes_.load(std::memory_order_relaxed); }

 private:
  Task<absl::Status> WriteTask(std::vector<ConstBytes> pieces);
  Task<absl::Status> FlushTask();
  Task<absl::Status> CloseTask();
  Task<absl::Status> AbandonTask();
  absl::Status CheckOpen() const;

  std::shared_ptr<ClientImpl> client_;
  std::shared_ptr<ShardSink> sink_;
  std::string name_;
  std::shared_ptr<StripeIds> ids_;
  std::unique_ptr<WritePath> path_;  // made and destroyed on the reactor thread
  std::atomic<uint64_t> size_bytes_{0};
  enum class State { kOpen, kClosed, kAbandoned, kFailed } state_ = State::kOpen;
  absl::Status failure_;
};

}  // namespace cairn::client_internal
