#include "server/main/core.h"

#include <utility>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "server/main/sizes.h"

namespace cairn {

absl::StatusOr<std::unique_ptr<Core>> Core::Start(Options options) {
  std::unique_ptr<Core> core(new Core(std::move(options)));
  Reactor::Options reactor;
  reactor.backend = core->options_.backend;
  ASSIGN_OR_RETURN(core->thread_,
                   ReactorThread::Start(reactor, StrCat("cairn-core-", core->options_.index)));
  RETURN_IF_ERROR(
      core->thread_->RunBlocking<absl::Status>([self = core.get()] { return self->Open(); }));
  return core;
}

Task<absl::Status> Core::Open() {
  LibfabricNet::Options net;
  net.provider = options_.provider;
  net.bind_host = options_.bind_host;
  net.receive_buffers = kReceiveBuffers;
  absl::StatusOr<std::unique_ptr<LibfabricNet>> opened =
      LibfabricNet::Create(thread_->reactor(), std::move(net));
  if (!opened.ok()) co_return opened.status();
  net_ = *std::move(opened);
  absl::StatusOr<std::unique_ptr<SlabPool>> slabs = SlabPool::Create(options_.slabs);
  if (!slabs.ok()) co_return slabs.status();
  slabs_ = *std::move(slabs);
  absl::StatusOr<std::unique_ptr<MemoryRegion>> region =
      net_->Register(slabs_->memory(), MemoryAccess::kLocal);
  if (!region.ok()) co_return region.status();
  slab_region_ = *std::move(region);
  co_return absl::OkStatus();
}

Core::~Core() {
  if (thread_ == nullptr) return;
  (void)thread_->RunBlocking<absl::Status>([this] { return Close(); });
}

// In the reverse order of making, on the thread that made it.
Task<absl::Status> Core::Close() {
  co_await scope_.Join();
  targets_.clear();
  disks_.clear();
  indexes_.clear();
  slab_region_.reset();
  if (net_ != nullptr) co_await net_->Stop();
  net_.reset();
  // After the net, which hands late messages to it until the end.
  rpc_.reset();
  chunks_.reset();
  slabs_.reset();
  co_return absl::OkStatus();
}

void Core::AddTarget(OpenTarget target) {
  runners_.push_back(std::move(target.runner));
  indexes_.push_back(std::move(target.index));
  disks_.push_back(std::move(target.disk));
  if (chunks_ != nullptr) chunks_->AddTarget(target.target.get());
  targets_.push_back(std::move(target.target));
}

void Core::AddUnopenedTarget(TargetId id, absl::Status failure) {
  unopened_.emplace(id.value(), std::move(failure));
}

Task<absl::Status> Core::Serve(SessionTable& sessions, RpcServer::Options options,
                               ChunkService::LeaseCheck lease_is_live) {
  std::vector<Target*> targets;
  for (const auto& target : targets_) targets.push_back(target.get());
  chunks_ = std::make_unique<ChunkService>(*slabs_, std::move(targets), std::move(lease_is_live),
                                           unopened_);
  chunks_->Register(table_);
  ping_.Register(table_);
  rpc_ = std::make_unique<RpcServer>(*net_, table_, sessions, std::move(options));
  RpcServer* rpc = rpc_.get();
  net_->SetReceiver([rpc](ConstBytes message) { rpc->OnMessage(message); });
  co_return absl::OkStatus();
}

Task<absl::Status> Core::StopCalls() {
  slabs_->Break();
  // Transfers to clients that have stopped would keep their handlers for ever.
  absl::Status reset = net_->Reset();
  if (rpc_ != nullptr) co_await rpc_->Stop();
  co_return reset;
}

Task<absl::Status> Core::StopTargets() {
  for (const auto& target : targets_) co_await target->Close();
  co_return absl::OkStatus();
}

Task<CoreStatus> Core::CollectStatus() {
  CoreStatus status;
  status.slabs = slabs_->slab_count();
  status.slabs_free = slabs_->free_slabs();
  status.slab_bytes = slabs_->slab_bytes();
  status.slab_waiters = slabs_->waiting();
  status.load = thread_->reactor().load();
  status.fabric = net_->counters();
  status.counters["cairn_fabric_pulled_bytes_total"] = status.fabric.bytes_read;
  status.counters["cairn_fabric_pushed_bytes_total"] = status.fabric.bytes_written;
  status.counters["cairn_fabric_operations"] = status.fabric.operations_in_flight;
  if (rpc_ != nullptr) {
    status.rpc = rpc_->counters();
    status.calls_running = rpc_->calls_running();
  }
  for (const auto& [id, failure] : unopened_)
    status.targets.push_back({TargetId(id), Target::Usage{}, failure});
  for (const auto& target : targets_) {
    const Target::Counters& counters = target->counters();
    const Target::Latencies& times = target->latencies();
    status.targets.push_back({target->id(),
                              target->usage(),
                              target->failure(),
                              counters,
                              {times.write.since_start(), times.read.since_start(),
                               times.flush.since_start(), times.seal.since_start()}});
    const std::pair<const char*, int64_t> values[] = {
        {"cairn_target_writes_total", counters.writes},
        {"cairn_target_written_bytes_total", counters.written_bytes},
        {"cairn_target_reads_total", counters.reads},
        {"cairn_target_read_bytes_total", counters.read_bytes},
        {"cairn_target_seals_total", counters.seals},
        {"cairn_target_sealed_fragments_total", counters.sealed_fragments},
        {"cairn_target_freed_fragments_total", counters.freed_fragments},
        {"cairn_target_flushes_total", counters.flushes},
        {"cairn_target_index_batches_total", counters.index_batches},
        {"cairn_target_corrupt_blocks_total", counters.corrupt_blocks},
        {"cairn_target_media_errors_total", counters.media_errors},
        {"cairn_target_damaged_records_total", counters.damaged_records},
    };
    for (const auto& [name, value] : values) status.counters[name] += static_cast<uint64_t>(value);
  }
  co_return status;
}

Task<std::vector<ClientLoads::Rate>> Core::ClientRates() {
  std::vector<ClientLoads::Rate> rates;
  if (chunks_ != nullptr) rates = chunks_->ClientRates();
  co_return rates;
}

Task<std::vector<LeaseId>> Core::PendingLeases() {
  std::vector<LeaseId> leases;
  for (const auto& target : targets_) {
    const std::vector<LeaseId> pending = target->PendingLeases();
    leases.insert(leases.end(), pending.begin(), pending.end());
  }
  co_return leases;
}

Task<absl::Status> Core::DropLease(LeaseId lease) {
  for (const auto& target : targets_) target->DropLease(lease);
  co_return absl::OkStatus();
}

}  // namespace cairn
