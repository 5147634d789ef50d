// How many mutations a second the metadata takes on RocksDB: ranks that are done, in groups as the
// group commit makes them. 10,000 ranks make 20,000 mutations, which are to take well under five
// seconds.
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "benchmark/benchmark.h"
#include "common/base/check.h"
#include "common/base/strings.h"
#include "server/kv/rocks_kv.h"
#include "server/meta/families.h"
#include "server/meta/format.h"
#include "server/meta/state_machine.h"

namespace cairn {
namespace {

// A store on the filesystem of the working directory, since /tmp may be memory.
class Store {
 public:
  Store() {
    CAIRN_CHECK(mkdtemp(directory_.data()) != nullptr);
    auto opened = RocksKv::Open({.directory = directory_, .families = MetaFamilyNames()});
    CAIRN_CHECK(opened.ok());
    kv_ = *std::move(opened);
    CAIRN_CHECK(OpenStore(*kv_, "bench", 1).ok());
  }
  ~Store() {
    kv_.reset();
    std::filesystem::remove_all(directory_);
  }
  Kv& kv() { return *kv_; }

 private:
  std::string directory_ = "cairn_meta_bench_XXXXXX";
  std::unique_ptr<RocksKv> kv_;
};

disk::Command Named(uint64_t sequence) {
  disk::Command command;
  command.set_client(7);
  command.set_sequence(sequence);
  command.set_time_ns(1);
  return command;
}

disk::Command BeginCommand(const std::string& path, uint32_t world, uint32_t rank,
                           uint64_t sequence) {
  disk::Command command = Named(sequence);
  wire::BeginCheckpointRequest& begin = *command.mutable_begin_checkpoint();
  begin.set_path(path);
  begin.set_world_size(world);
  begin.set_rank(rank);
  begin.set_attempt(1);
  return command;
}

disk::Command DoneCommand(const std::string& path, uint32_t rank, uint64_t first_stripe,
                          uint64_t sequence) {
  disk::Command command = Named(sequence);
  wire::RankDoneRequest& done = *command.mutable_rank_done();
  done.set_path(path);
  done.set_attempt(1);
  done.set_rank(rank);
  wire::ShardRecord& shard = *done.add_shards();
  shard.set_name(StrCat("rank-", rank, ".safetensors"));
  shard.set_size_bytes(1 << 20);
  wire::ExtentRun& run = *shard.add_extents();
  run.set_length_bytes(1 << 20);
  run.set_first_stripe(first_stripe);
  run.set_stripe_count(1);
  run.set_stripe_bytes(4 << 20);
  run.add_groups(0);
  return command;
}

uint64_t ApplyBegin(Transaction& txn, const disk::Command& command) {
  const auto reply = Apply(command, txn);
  wire::BeginCheckpointReply begun;
  CAIRN_CHECK(reply.ok() && begun.ParseFromString(*reply));
  return begun.stripes().first();
}

// Every rank of one checkpoint after another begins, and is done, in groups of the given size, each
// one synced write. Only commands of `kind` count.
enum class Kind { kBegin, kDone };

void CountRanks(benchmark::State& state, Kind kind) {
  constexpr uint32_t kWorld = 10'000;
  const uint32_t group = static_cast<uint32_t>(state.range(0));
  Store store;
  uint64_t sequence = 0;
  uint32_t rank = kWorld, checkpoint = 0;
  std::string path;
  for (auto unused : state) {
    if (kind == Kind::kDone) state.PauseTiming();
    if (rank + group > kWorld) {
      rank = 0;
      path = StrCat("default/run/step-", ++checkpoint);
    }
    std::vector<uint64_t> stripes;
    Transaction begins(store.kv());
    for (uint32_t i = 0; i < group; ++i) {
      stripes.push_back(ApplyBegin(begins, BeginCommand(path, kWorld, rank + i, ++sequence)));
    }
    CAIRN_CHECK(store.kv().Write(begins.TakeBatch(), KvDurability::kSynced).ok());
    kind == Kind::kDone ? state.ResumeTiming() : state.PauseTiming();
    Transaction dones(store.kv());
    for (uint32_t i = 0; i < group; ++i) {
      CAIRN_CHECK(Apply(DoneCommand(path, rank + i, stripes[i], ++sequence), dones).ok());
    }
    CAIRN_CHECK(store.kv().Write(dones.TakeBatch(), KvDurability::kSynced).ok());
    if (kind == Kind::kBegin) state.ResumeTiming();
    rank += group;
  }
  state.SetItemsProcessed(state.iterations() * group);
}

void BM_RankBegins(benchmark::State& state) { CountRanks(state, Kind::kBegin); }
BENCHMARK(BM_RankBegins)->Arg(1)->Arg(64)->Arg(512)->UseRealTime();

void BM_RankDone(benchmark::State& state) { CountRanks(state, Kind::kDone); }
BENCHMARK(BM_RankDone)->Arg(1)->Arg(64)->Arg(512)->UseRealTime();

// One directory made a command: the cheapest mutation, by group size.
void BM_MakeDirectory(benchmark::State& state) {
  Store store;
  uint64_t sequence = 0;
  for (auto unused : state) {
    Transaction txn(store.kv());
    for (int64_t i = 0; i < state.range(0); ++i) {
      disk::Command command = Named(++sequence);
      command.mutable_make_directory()->set_path(StrCat("default/d", sequence));
      CAIRN_CHECK(Apply(command, txn).ok());
    }
    CAIRN_CHECK(store.kv().Write(txn.TakeBatch(), KvDurability::kSynced).ok());
  }
  state.SetItemsProcessed(static_cast<int64_t>(sequence));
}
BENCHMARK(BM_MakeDirectory)->Arg(1)->Arg(64)->Arg(512)->UseRealTime();

// So many files under a tier policy, each looked at once and due again in a month.
class PolicyStore {
 public:
  explicit PolicyStore(int64_t files) : files_(files) {
    disk::Command add = Next();
    add.mutable_add_tier()->mutable_spec()->set_name("cold");
    add.mutable_add_tier()->mutable_spec()->set_location("s3://cold");
    Run(std::move(add));
    disk::Command set = Next();
    wire::SetTierPolicyRequest& policy = *set.mutable_set_tier_policy();
    policy.set_path("default");
    policy.mutable_policy()->set_tier("cold");
    policy.mutable_policy()->set_archive_after_seconds(30 * 24 * 3600);
    Run(std::move(set));
    while (written_ < files_) {
      Write(kGroup);
      Evaluate();
    }
  }

  // New ones, which nobody has looked at.
  void Write(int64_t count) {
    Transaction txn(store_.kv());
    for (int64_t i = 0; i < count; ++i, ++written_) {
      // 1,000 a directory.
      const std::string path = StrCat("default/d", written_ / 1000, "/f", written_);
      if (written_ % 1000 == 0) {
        disk::Command make = Next();
        make.mutable_make_directory()->set_path(StrCat("default/d", written_ / 1000));
        CAIRN_CHECK(Apply(make, txn).ok());
      }
      disk::Command begin = Next();
      begin.mutable_begin_file()->set_path(path);
      const auto begun = Apply(begin, txn);
      wire::BeginFileReply reply;
      CAIRN_CHECK(begun.ok() && reply.ParseFromString(*begun));
      disk::Command commit = Next();
      wire::CommitFileRequest& file = *commit.mutable_commit_file();
      file.set_path(path);
      file.set_lease(reply.lease());
      file.set_size_bytes(1 << 20);
      wire::ExtentRun& run = *file.add_extents();
      run.set_length_bytes(1 << 20);
      run.set_first_stripe(reply.stripes().first());
      run.set_stripe_count(1);
      run.set_stripe_bytes(4 << 20);
      run.add_groups(1);
      CAIRN_CHECK(Apply(commit, txn).ok());
    }
    CAIRN_CHECK(store_.kv().Write(txn.TakeBatch(), KvDurability::kUnsynced).ok());
  }

  // As the loop of tiering does. Returns how many subjects were looked at.
  uint64_t Evaluate() {
    uint64_t looked_at = 0;
    for (bool more = true; more;) {
      disk::Command command = Next();
      command.mutable_run_tiering()->set_max_items(256);
      disk::RunTieringReply reply;
      CAIRN_CHECK(reply.ParseFromString(Run(std::move(command))));
      looked_at += reply.looked_at();
      more = reply.more();
    }
    return looked_at;
  }

 private:
  static constexpr int64_t kGroup = 500;
  static constexpr int64_t kNow = 1'800'000'000'000'000'000;

  disk::Command Next() {
    disk::Command command = Named(++sequence_);
    command.set_time_ns(kNow);
    return command;
  }
  std::string Run(disk::Command command) {
    Transaction txn(store_.kv());
    const auto reply = Apply(command, txn);
    CAIRN_CHECK(reply.ok());
    CAIRN_CHECK(store_.kv().Write(txn.TakeBatch(), KvDurability::kSynced).ok());
    return *reply;
  }

  const int64_t files_;
  Store store_;
  uint64_t sequence_ = 0;
  int64_t written_ = 0;
};

// What policies cost: stored files, and how many have changed since the last look.
void BM_TierPolicies(benchmark::State& state) {
  static std::map<int64_t, std::unique_ptr<PolicyStore>> stores;
  std::unique_ptr<PolicyStore>& store = stores[state.range(0)];
  if (store == nullptr) store = std::make_unique<PolicyStore>(state.range(0));
  uint64_t looked_at = 0;
  for (auto unused : state) {
    state.PauseTiming();
    if (state.range(1) > 0) store->Write(state.range(1));
    state.ResumeTiming();
    looked_at += store->Evaluate();
  }
  CAIRN_CHECK(looked_at == static_cast<uint64_t>(state.iterations() * state.range(1)));
  state.SetItemsProcessed(static_cast<int64_t>(looked_at));
}
BENCHMARK(BM_TierPolicies)
    ->ArgNames({"stored", "changed"})
    ->ArgsProduct({{10'000, 1'000'000},
                   {0, 100, 1000, 10'000}})  // the second takes minutes to write
    ->Unit(benchmark::kMillisecond)
    ->Iterations(10)
    ->UseRealTime();

}  // namespace
}  // namespace cairn
