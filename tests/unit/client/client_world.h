// What the client's simulated tests share: a simulated node, a client of it made of the real
// Session, WritePath and ReadPath, and the steps of a save and a restore as client/core takes them.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "client/io/read_path.h"
#include "client/io/session.h"
#include "client/io/write_path.h"
#include "common/task/when_all.h"
#include "server/chunk/fragment.h"
#include "tests/sim/node/sim_node.h"

namespace cairn {

using Content = std::vector<std::byte>;

inline Content RandomContent(Random& random, size_t bytes) {
  Content content(bytes);
  for (size_t i = 0; i < bytes; i += 8) {
    const uint64_t word = random.Next();
    std::memcpy(content.data() + i, &word, std::min<size_t>(8, bytes - i));
  }
  return content;
}

inline std::string ShardName(size_t shard) { return "shard-" + std::to_string(shard); }

inline Task<void> Pass(absl::Duration duration) {
  StopSource never;
  absl::Status slept = co_await SleepFor(duration, never);
  EXPECT_TRUE(slept.ok());
}

class ClientWorld {
 public:
  explicit ClientWorld(uint64_t seed, SimNode::Options node_options = {}, int64_t window = 8)
      : executor(seed),
        fabric(executor),
        random(seed + 1),
        node(executor, fabric, ShortLeases(std::move(node_options))) {
    const absl::Status started = executor.Run(node.Start());
    EXPECT_TRUE(started.ok()) << started;
    Connect(window);
  }
  ~ClientWorld() {
    Disconnect();
    executor.Run(node.Bury());
  }

  static SimNode::Options ShortLeases(SimNode::Options options) {
    options.meta.lease_ttl = absl::Seconds(20);
    options.meta.reclaim_grace = absl::Seconds(5);
    return options;
  }
  void Connect(int64_t window) {
    net = fabric.MakeNet("client");
    session = std::make_unique<Session>(
        *net, random, Session::Options{{node.options().endpoint}, "test:1", window});
    net->SetReceiver([to = session.get()](ConstBytes message) { to->OnMessage(message); });
  }
  void Disconnect() {
    executor.Run(session->Stop());
    executor.Run(net->Stop());
    net.reset();
    session.reset();
  }

  Deadline Soon() { return Deadline::After(executor.clock(), timeout); }

  // -- a save, as client/core does it. Returns when the checkpoint is committed, or has failed.
  Task<absl::Status> Save(std::string path, const std::vector<Content>& shards) {
    wire::BeginCheckpointRequest begin;
    begin.set_path(path);
    begin.set_world_size(1);
    absl::StatusOr<wire::BeginCheckpointReply> begun =
        co_await session->Meta<wire::BeginCheckpointReply>(wire::BEGIN_CHECKPOINT, begin, Soon());
    if (!begun.ok()) co_return begun.status();
    const LeaseId lease(begun->lease());
    session->KeepLease(lease, absl::Milliseconds(static_cast<int64_t>(begun->lease_ttl_ms())));
    absl::Status saved = co_await SaveBegun(path, *begun, shards);
    session->ForgetLease(lease);
    co_return saved;
  }

  Task<absl::Status> SaveBegun(std::string path, wire::BeginCheckpointReply begun,
                               const std::vector<Content>& shards) {
    auto ids = std::make_shared<StripeIds>(LeaseId(begun.lease()), begun.stripes().first(),
                                           begun.stripes().count(), begun.redundancy());
    wire::RankDoneRequest done;
    done.set_path(path);
    done.set_attempt(begun.attempt());
    std::vector<Task<absl::Status>> writes;
    for (size_t i = 0; i < shards.size(); ++i) {
      writes.push_back(WriteShard(ids, shards[i], AddShard(&done, i)));
    }
    absl::Status written = co_await WhenAllOk(std::move(writes));
    if (!written.ok()) co_return written;
    absl::StatusOr<wire::RankDoneReply> told =
        co_await session->Meta<wire::RankDoneReply>(wire::RANK_DONE, done, Soon());
    if (!told.ok()) co_return told.status();
    wire::CommitCheckpointRequest commit;
    commit.set_path(path);
    commit.set_attempt(begun.attempt());
    absl::StatusOr<wire::CommitCheckpointReply> committed =
        co_await session->Meta<wire::CommitCheckpointReply>(wire::COMMIT_CHECKPOINT, commit,
                                                            Soon());
    co_return committed.status();
  }

  static wire::ShardRecord* AddShard(wire::RankDoneRequest* done, size_t shard) {
    wire::ShardRecord* record = done->add_shards();
    record->set_name(ShardName(shard));
    return record;
  }

  // In pieces of odd sizes.
  static std::vector<ConstBytes> Cut(const Content& content) {
    std::vector<ConstBytes> pieces;
    ConstBytes rest(content);
    for (size_t length = 1; !rest.empty(); length = length * 3 + 1) {
      pieces.push_back(rest.first(std::min(length, rest.size())));
      rest = rest.subspan(pieces.back().size());
    }
    return pieces;
  }

  Task<absl::Status> WriteShard(std::shared_ptr<StripeIds> ids, const Content& content,
                                wire::ShardRecord* record) {
    WritePath path(*session, ids, timeout);
    absl::Status written = co_await path.Write(Cut(content));
    if (written.ok()) written = co_await path.Flush();
    if (!written.ok()) {
      co_await path.Abandon();
      co_return written;
    }
    record->set_size_bytes(path.size_bytes());
    record->set_crc32c(path.crc32c());
    for (wire::ExtentRun& run : path.Extents()) *record->add_extents() = std::move(run);
    co_return absl::OkStatus();
  }

  // -- a restore.
  Task<absl::StatusOr<wire::StatReply>> Stat(std::string path) {
    wire::StatRequest request;
    request.set_path(std::move(path));
    absl::StatusOr<wire::StatReply> reply =
        co_await session->Meta<wire::StatReply>(wire::STAT, request, Soon());
    co_return reply;
  }
  Task<absl::Status> ReadOpened(const wire::StatReply& stat, uint64_t offset,
                                MutableBytes destination) {
    const std::vector<wire::ExtentRun> extents(stat.extents().begin(), stat.extents().end());
    const OpenedFile file{stat.entry().inode(), stat.entry().version(), stat.entry().size_bytes(),
                          extents};
    std::vector<WantedRange> ranges = {{offset, destination}};
    absl::Status read = co_await ReadRanges(*session, file, std::move(ranges), timeout);
    co_return read;
  }
  Task<absl::StatusOr<Content>> ReadFile(std::string path) {
    absl::StatusOr<wire::StatReply> stat = co_await Stat(path);
    if (!stat.ok()) co_return stat.status();
    Content content(stat->entry().size_bytes());
    absl::Status read = co_await ReadOpened(*stat, 0, content);
    if (!read.ok()) co_return read;
    co_return content;
  }
  Task<absl::Status> ReadRange(std::string path, uint64_t offset, MutableBytes destination) {
    absl::StatusOr<wire::StatReply> stat = co_await Stat(path);
    if (!stat.ok()) co_return stat.status();
    absl::Status read = co_await ReadOpened(*stat, offset, destination);
    co_return read;
  }

  // Whether the checkpoint's shards read back as `shards`. NOT_FOUND when it is not there.
  absl::Status Matches(const std::string& path, const std::vector<Content>& shards) {
    for (size_t i = 0; i < shards.size(); ++i) {
      const auto read = executor.Run(ReadFile(path + "/" + ShardName(i)));
      if (!read.ok()) return read.status();
      if (*read != shards[i]) return absl::InternalError(path + ": wrong bytes");
    }
    return absl::OkStatus();
  }

  // Lets leases that nobody renews end and their space be given back.
  void LetLeasesEnd() {
    executor.RunFor(node.options().meta.lease_ttl * 2 + node.options().meta.reclaim_grace * 2 +
                    absl::Seconds(5));
  }
  // On all targets; of `contents`, stored once.
  Target::Usage Usage() {
    Target::Usage sum;
    for (size_t i = 0; i < node.options().targets; ++i) {
      const Target::Usage usage = node.target(i).usage();
      sum.used += usage.used;
      sum.pending += usage.pending;
      sum.held += usage.held;
      sum.fragments += usage.fragments;
    }
    return sum;
  }
  uint64_t SpaceOf(const std::vector<Content>& contents) const {
    uint64_t sum = 0;
    for (const Content& content : contents) {
      // Stripes end short only at the end: the pieces are fewer than a stripe may have.
      sum += AlignDown(content.size(), node.options().stripe_bytes) +
             ExtentBytes(content.size() % node.options().stripe_bytes);
    }
    return sum;
  }

  absl::Duration timeout = absl::Seconds(60);
  SimExecutor executor;
  SimFabric fabric;
  SeededRandom random;
  SimNode node;
  std::unique_ptr<SimNet> net;
  std::unique_ptr<Session> session;
};

}  // namespace cairn
