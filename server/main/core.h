// One core of a node: a reactor thread with the fabric endpoint, the slabs, the targets and the
// services that live on it. Everything on a core is made, used and destroyed on its thread.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/buffer/slab_pool.h"
#include "common/fabric/libfabric_net.h"
#include "common/reactor/blocking_pool.h"
#include "common/reactor/reactor_thread.h"
#include "common/rpc/call_table.h"
#include "common/rpc/rpc_server.h"
#include "server/admin/ping_service.h"
#include "server/chunk/target.h"
#include "server/service/chunk_service.h"

namespace cairn {

// How a target does, for operators.
struct TargetStatus {
  TargetId id;
  Target::Usage usage;
  absl::Status failure;  // OK while it works
  Target::Counters counters = {};
  // In nanoseconds, since the start.
  struct Times {
    Histogram write, read, flush, seal;
  };
  Times times = {};
};

struct CoreStatus {
  Reactor::Load load;
  LibfabricNet::Counters fabric;
  RpcServer::Counters rpc;
  uint64_t calls_running = 0;
  uint64_t slab_waiters = 0;
  uint64_t slabs = 0;
  uint64_t slabs_free = 0;
  uint64_t slab_bytes = 0;
  std::map<std::string, uint64_t> counters;
  std::vector<TargetStatus> targets;
};

class Core {
 public:
  struct Options {
    uint32_t index = 0;
    Reactor::Backend backend = Reactor::Backend::kAuto;
    std::string provider;
    std::string bind_host;
    SlabPool::Options slabs;
  };
  static absl::StatusOr<std::unique_ptr<Core>> Start(Options options);
  // REQUIRES: Stop() has returned.
  ~Core();

  ReactorThread& thread() { return *thread_; }
  Executor& executor() { return thread_->reactor(); }
  // For work that other cores send here.
  Scope& scope() { return scope_; }
  Net& net() { return *net_; }
  SlabPool& slabs() { return *slabs_; }
  // Core 0 adds the metadata and operator services before Serve().
  CallTable& table() { return table_; }
  const std::string& address() const { return net_->address(); }
  uint32_t index() const { return options_.index; }

  // A target and what it stands on, in the order of making.
  struct OpenTarget {
    std::unique_ptr<BlockingPool> runner;
    std::unique_ptr<Kv> index;
    std::unique_ptr<Disk> disk;
    std::unique_ptr<Target> target;
  };
  // Takes a target over, and serves it if it serves. On the core's thread.
  void AddTarget(OpenTarget target);
  // One of this core's that could not be opened: calls to it and the status say why. Before
  // Serve().
  void AddUnopenedTarget(TargetId id, absl::Status failure);
  // Starts to answer calls. On the core's thread.
  Task<absl::Status> Serve(SessionTable& sessions, RpcServer::Options options,
                           ChunkService::LeaseCheck lease_is_live);
  // When a client was served last. From any thread, after Serve().
  MonoTime served_at() const { return chunks_ == nullptr ? MonoTime() : chunks_->served_at(); }
  // Refuses new calls and ends those under way. On the core's thread.
  Task<absl::Status> StopCalls();
  // Seals what waits for it and closes the targets. After StopCalls() of all cores, on the core's
  // thread.
  Task<absl::Status> StopTargets();
  // These on the core's thread.
  Task<CoreStatus> CollectStatus();
  Task<std::vector<ClientLoads::Rate>> ClientRates();
  Task<std::vector<LeaseId>> PendingLeases();
  Task<absl::Status> DropLease(LeaseId lease);

 private:
  explicit Core(Options options) : options_(std::move(options)) {}
  Task<absl::Status> Open();
  Task<absl::Status> Close();

  Options options_;
  std::unique_ptr<ReactorThread> thread_;
  Scope scope_;
  std::unique_ptr<LibfabricNet> net_;
  std::unique_ptr<SlabPool> slabs_;
  std::unique_ptr<MemoryRegion> slab_region_;
  CallTable table_;
  PingService ping_;
  std::unique_ptr<ChunkService> chunks_;
  std::unique_ptr<RpcServer> rpc_;
  std::vector<std::unique_ptr<BlockingPool>> runners_;
  std::vector<std::unique_ptr<Kv>> indexes_;
  std::vector<std::unique_ptr<Disk>> disks_;
  std::vector<std::unique_ptr<Target>> targets_;
  ChunkService::Unopened unopened_;
};

}  // namespace cairn
