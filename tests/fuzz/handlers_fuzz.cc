// Any bytes as the calls of a client that has said hello: each is answered, well or in words, and
// the node goes on. Session, frames and memory are right; methods, bodies and bulks are the
// input's. They pass through the real call table, services, targets and metadata of a simulated
// node, which is new for every input, so that each replays alone.
// Input: one byte that decides the order of what may run, then calls:
//   1 byte   method
//   1 byte   bits 0-1: BulkKind; bits 2-3: sequence number of the request id, 0 for none; bit 7:
//            the next call does not wait for this one
//   4 bytes  length of the bulks, little-endian
//   2 bytes  length of the body, little-endian; the body
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/base/check.h"
#include "common/base/little_endian.h"
#include "common/rpc/receiver.h"
#include "common/rpc/rpc_client.h"
#include "common/task/scope.h"
#include "proto/wire/meta.pb.h"
#include "server/chunk/superblock.h"
#include "tests/sim/node/sim_node.h"

namespace cairn {
namespace {

constexpr size_t kCallHeaderBytes = 8;
// More calls find no more than these, and cost the fuzzer its speed.
constexpr size_t kCallsMax = 32;
constexpr uint64_t kMemoryBytes = 128 * kKiB;
// Of simulated time. Nothing is lost here, so a call that takes longer hangs.
constexpr absl::Duration kPatience = absl::Seconds(60);
constexpr absl::Duration kLeaseTtl = absl::Seconds(2);
constexpr absl::Duration kReclaimGrace = absl::Seconds(1);

enum class BulkKind : uint8_t { kNone, kReadable, kWritable, kUnreachable };

struct Call {
  wire::Method method;
  BulkKind bulks;
  uint64_t sequence;
  bool overlaps;
  uint32_t bulk_bytes;
  std::string body;
};

std::vector<Call> CallsOf(const uint8_t* data, size_t size) {
  std::vector<Call> calls;
  while (size >= kCallHeaderBytes && calls.size() < kCallsMax) {
    const size_t length =
        std::min<size_t>(LoadLittleEndian<uint16_t>(data + 6), size - kCallHeaderBytes);
    const uint8_t* body = data + kCallHeaderBytes;
    calls.push_back({static_cast<wire::Method>(data[0]), static_cast<BulkKind>(data[1] & 3),
                     static_cast<uint64_t>(data[1] >> 2 & 3), (data[1] & 0x80) != 0,
                     LoadLittleEndian<uint32_t>(data + 2), std::string(body, body + length)});
    data += kCallHeaderBytes + length;
    size -= kCallHeaderBytes + length;
  }
  return calls;
}

void CheckAnswer(wire::Method method, const absl::Status& status) {
  if (status.ok()) return;
  CAIRN_CHECK(!status.message().empty());
  CAIRN_CHECK(!absl::IsInternal(status) && !absl::IsDeadlineExceeded(status));
  // A caller's bytes may contradict its own checksums; what else is damaged, the node has damaged.
  CAIRN_CHECK(!absl::IsDataLoss(status) || method == wire::WRITE_FRAGMENT);
}

// A node and a client in session with it.
class World {
 public:
  explicit World(uint64_t seed) : executor_(seed), fabric_(executor_), random_(seed) {
    node_ = std::make_unique<SimNode>(executor_, fabric_, NodeOptions());
    CAIRN_CHECK(executor_.Run(node_->Start()).ok());
    net_ = fabric_.MakeNet("client");
    readable_ = *net_->Register(memory_, MemoryAccess::kRemoteRead);
    writable_ = *net_->Register(destination_, MemoryAccess::kRemoteWrite);
    client_ = std::make_unique<RpcClient>(*net_, random_, "fuzz:1");
    ConnectReceiver(*net_, nullptr, client_.get());
    auto connected = executor_.Run(client_->Connect(node_->options().endpoint, "", Soon()));
    CAIRN_CHECK(connected.ok());
    connection_ = *std::move(connected);
  }
  ~World() {
    connection_.reset();
    executor_.Run(client_->Stop());
    readable_.reset();
    writable_.reset();
    executor_.Run(net_->Stop());
    executor_.Run(node_->Bury());
  }

  void Run(std::vector<Call> calls) { executor_.Run(AnswerAll(std::move(calls))); }
  // Leases end, what they held is cleaned up and given back; then the node must still answer.
  void Settle() {
    executor_.RunFor(2 * kLeaseTtl + 2 * kReclaimGrace + absl::Seconds(1));
    CAIRN_CHECK(node_->calls_running() == 0);
    wire::ListCheckpointsRequest everything;
    everything.set_recursive(true);
    everything.set_include_writing(true);
    Run({{wire::LIST_CHECKPOINTS, BulkKind::kNone, 0, false, 0, everything.SerializeAsString()}});
    const auto map = executor_.Run(connection_->Call<wire::GetMapReply>(
        0, wire::GET_MAP, wire::GetMapRequest(), {.deadline = Soon(), .bulks = {}, .request = {}}));
    CAIRN_CHECK(map.ok() && map->map().targets_size() == 1);
  }

 private:
  static SimNode::Options NodeOptions() {
    SimNode::Options options;
    // Each input pays for the node's memory: no more of it than a target needs.
    options.target_bytes = kTargetBytesMin;
    options.slabs = 2;
    options.meta.lease_ttl = kLeaseTtl;
    options.meta.reclaim_grace = kReclaimGrace;
    return options;
  }
  Deadline Soon() { return Deadline::After(executor_.clock(), kPatience); }

  // Two, one behind the other, where the memory is there.
  std::vector<BulkDescriptor> BulksOf(const Call& call) const {
    const bool reads = call.bulks == BulkKind::kReadable;
    BulkDescriptor first = (reads ? readable_ : writable_)->descriptor();
    if (call.bulks == BulkKind::kNone) return {};
    if (call.bulks == BulkKind::kUnreachable) return {{~first.key, 0, call.bulk_bytes}};
    BulkDescriptor second = first;
    first.length_bytes = (call.bulk_bytes + uint64_t{1}) / 2;
    second.address += first.length_bytes;
    second.length_bytes = call.bulk_bytes - first.length_bytes;
    return {first, second};
  }
  Task<void> Answer(Call call) {
    CallOptions options{.deadline = Soon(), .bulks = BulksOf(call), .request = {}};
    if (call.sequence != 0) options.request = {1, call.sequence};
    const absl::StatusOr<std::string> answer =
        co_await connection_->CallRaw(0, call.method, std::move(call.body), std::move(options));
    CheckAnswer(call.method, answer.status());
  }
  Task<void> AnswerAll(std::vector<Call> calls) {
    Scope scope;
    for (Call& call : calls) {
      const bool overlaps = call.overlaps;
      scope.Spawn(Answer(std::move(call)));
      if (!overlaps) co_await scope.Join();
    }
    co_await scope.Join();
  }

  std::vector<std::byte> memory_{kMemoryBytes}, destination_{kMemoryBytes};
  SimExecutor executor_;
  SimFabric fabric_;
  SeededRandom random_;
  std::unique_ptr<SimNode> node_;
  std::unique_ptr<SimNet> net_;
  std::unique_ptr<MemoryRegion> readable_, writable_;
  std::unique_ptr<RpcClient> client_;
  std::unique_ptr<NodeConnection> connection_;
};

}  // namespace
}  // namespace cairn

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  cairn::World world(data[0]);
  world.Run(cairn::CallsOf(data + 1, size - 1));
  world.Settle();
  return 0;
}
