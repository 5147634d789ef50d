// The engine on what it runs on in a server: RocksDB, a reactor, threads of their own for writes
// and reads. Saves, listings and heartbeats side by side, then a restart. What the thread sanitizer
// looks at.
#include <filesystem>

#include "common/reactor/blocking_pool.h"
#include "common/reactor/reactor.h"
#include "common/task/when_all.h"
#include "server/kv/rocks_kv.h"
#include "tests/sim/run_on.h"
#include "tests/unit/meta/meta_fixture.h"

namespace cairn {
namespace {

constexpr int kSaves = 40;
constexpr uint32_t kWorld = 8;

Task<absl::Status> SaveRank(MetaEngine& engine, std::string path, uint32_t rank) {
  auto begun =
      co_await engine.Mutate(BeginRequest(path, {.world = kWorld, .rank = rank, .attempt = 1}));
  if (!begun.ok()) co_return begun.status();
  wire::RenewLeasesRequest renew;
  renew.add_leases(begun->lease());
  if (engine.RenewLeases(renew).ended_size() != 0)
    co_return absl::AbortedError("the lease has ended");
  auto shard = Shard(StrCat("rank", rank), 5 << 20, begun->stripes().first());
  auto done = co_await engine.Mutate(DoneRequest(path, 1, rank, {std::move(shard)}));
  co_return done.status();
}

Task<absl::Status> SaveAll(MetaEngine& engine, std::string path) {
  std::vector<Task<absl::Status>> ranks;
  for (uint32_t rank = 0; rank < kWorld; ++rank) ranks.push_back(SaveRank(engine, path, rank));
  absl::Status saved = co_await WhenAllOk(std::move(ranks));
  if (!saved.ok()) co_return saved;
  auto committed = co_await engine.Mutate(CommitRequest(path, 1));
  if (!committed.ok()) co_return committed.status();
  wire::ListCheckpointsRequest list;
  list.set_path("default/run");
  auto listed = co_await engine.Query(list);
  if (!listed.ok()) co_return listed.status();
  for (const wire::CheckpointInfo& info : listed->checkpoints()) {
    if (info.shard_count() != kWorld)
      co_return absl::InternalError("a checkpoint that is not whole is visible");
  }
  auto items = co_await engine.NextReclaim(100);
  if (!items.ok()) co_return items.status();
  absl::Status freed = co_await engine.ReclaimDone(*std::move(items));
  co_return freed;
}

Task<absl::Status> Workload(MetaEngine& engine) {
  absl::Status started = co_await engine.Start("real");
  if (!started.ok()) co_return started;
  std::vector<Task<absl::Status>> saves;
  for (int i = 0; i < kSaves; ++i) saves.push_back(SaveAll(engine, StrCat("default/run/step-", i)));
  absl::Status saved = co_await WhenAllOk(std::move(saves));
  co_await engine.Stop();
  co_return saved;
}

Task<absl::StatusOr<wire::ListCheckpointsReply>> ListAfterRestart(MetaEngine& engine) {
  absl::Status started = co_await engine.Start("real");
  if (!started.ok()) co_return started;
  wire::ListCheckpointsRequest list;
  list.set_path("default/run");
  auto listed = co_await engine.Query(list);
  co_await engine.Stop();
  co_return listed;
}

TEST(RealEngine, SavesSideBySideAndSurvivesARestart) {
  std::string directory = std::filesystem::temp_directory_path() / "cairn_meta_engine_XXXXXX";
  ASSERT_NE(mkdtemp(directory.data()), nullptr);
  auto reactor = Reactor::Create({.backend = Reactor::Backend::kPoll});
  ASSERT_THAT(reactor, IsOk());
  const MetaOptions options{.reclaim_grace = absl::ZeroDuration()};
  for (const bool restarted : {false, true}) {
    auto kv = RocksKv::Open({.directory = directory, .families = MetaFamilyNames()});
    ASSERT_THAT(kv, IsOk());
    BlockingPool write_pool(1), read_pool(2);
    MetaEngine engine(**kv, write_pool, read_pool, (*reactor)->clock(), options);
    if (!restarted) {
      EXPECT_THAT(RunOn(**reactor, Workload(engine)), IsOk());
    } else {
      const auto listed = RunOn(**reactor, ListAfterRestart(engine));
      ASSERT_THAT(listed, IsOk());
      EXPECT_EQ(listed->checkpoints_size(), kSaves);
    }
  }
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace cairn
