// The same commands give the same bytes, however they are grouped: what replicas of the log will
// rest on. Random command sequences go to two stores, one a command a batch, the other in random
// groups.
#include <random>

#include "server/meta/format.h"
#include "server/meta/state_machine.h"
#include "tests/unit/meta/meta_fixture.h"

namespace cairn {
namespace {

class CommandMaker {
 public:
  explicit CommandMaker(uint64_t seed) : random_(seed) {}

  disk::Command Next() {
    disk::Command command;
    time_ns_ += static_cast<int64_t>(Below(1000));
    command.set_time_ns(time_ns_);
    if (Below(3) == 0) {
      command.set_client(1 + Below(3));
      command.set_sequence(Below(50));
    }
    if (Below(10) == 0) command.add_expired_leases(Below(100));
    Fill(command);
    return command;
  }

 private:
  uint64_t Below(uint64_t bound) { return random_() % bound; }
  std::string Path() {
    static const char* const kPaths[] = {"default/a",      "default/a/b",    "default/a/b/c",
                                         "default/run/s1", "default/run/s2", "default/x",
                                         "other/y",        "other"};
    return kPaths[Below(8)];
  }
  wire::ExtentRun AnyRun() { return RunOf(0, 1 + Below(20 << 20), 1 + Below(1'000'000)); }

  void FillCheckpoint(disk::Command& command) {
    const std::string path = Path();
    const uint64_t attempt = 1 + Below(3);
    switch (Below(5)) {
      case 0: {
        auto begin = BeginRequest(
            path, {.world = 2, .rank = static_cast<uint32_t>(Below(2)), .attempt = Below(4)});
        for (uint64_t i = Below(10); i > 0; --i)
          (*begin.mutable_attributes())[StrCat("key", Below(1000))] = "v";
        begin.set_stripes_wanted(Below(1000));
        *command.mutable_begin_checkpoint() = begin;
        break;
      }
      case 1:
      case 2: {
        auto done = DoneRequest(path, attempt, static_cast<uint32_t>(Below(2)));
        for (uint64_t i = Below(4); i > 0; --i) {
          auto shard = Shard(StrCat("s", Below(20)), 0, 0);
          if (Below(2) == 0) {
            *shard.add_extents() = AnyRun();
            shard.set_size_bytes(shard.extents(0).length_bytes());
          }
          *done.add_shards() = shard;
        }
        *command.mutable_rank_done() = done;
        break;
      }
      case 3:
        *command.mutable_commit_checkpoint() = CommitRequest(path, attempt);
        break;
      case 4:
        command.mutable_abort_checkpoint()->set_path(path);
        command.mutable_abort_checkpoint()->set_attempt(attempt);
        break;
    }
  }

  void Fill(disk::Command& command) {
    switch (Below(12)) {
      case 0:
        command.mutable_make_directory()->set_path(Path());
        command.mutable_make_directory()->set_parents(Below(2) == 0);
        break;
      case 1:
        command.mutable_remove()->set_path(Path());
        command.mutable_remove()->set_recursive(Below(2) == 0);
        break;
      case 2:
        command.mutable_rename()->set_from(Path());
        command.mutable_rename()->set_to(Path());
        break;
      case 3:
        command.mutable_begin_file()->set_path(Path());
        break;
      case 4:
        command.mutable_commit_file()->set_path(Path());
        command.mutable_commit_file()->set_lease(Below(40));
        break;
      case 5:
        command.mutable_expire_lease()->set_lease(Below(40));
        break;
      case 6:
        command.mutable_run_cleanup()->set_max_items(static_cast<uint32_t>(Below(10)));
        break;
      case 7:
        command.mutable_set_retention()->set_path("default/run");
        command.mutable_set_retention()->mutable_policy()->set_keep_last(1);
        break;
      default:
        FillCheckpoint(command);
    }
  }

  std::mt19937_64 random_;
  int64_t time_ns_ = 1'700'000'000'000'000'000;
};

TEST(Determinism, TheSameCommandsGiveTheSameBytesInAnyGrouping) {
  const uint64_t seed =
      static_cast<uint64_t>(::testing::UnitTest::GetInstance()->random_seed()) + 1;
  SCOPED_TRACE(StrCat("seed ", seed));
  SimKv one(kMetaFamilyCount), grouped(kMetaFamilyCount);
  for (SimKv* kv : {&one, &grouped}) ASSERT_THAT(OpenStore(*kv, "cluster", 5), IsOk());
  std::mt19937_64 random(seed);
  CommandMaker maker(seed);
  int applied = 0;
  for (int group = 0; group < 400; ++group) {
    Transaction together(grouped);
    for (uint64_t i = 1 + random() % 20; i > 0; --i) {
      const disk::Command command = maker.Next();
      Transaction alone(one);
      const auto reply = Apply(command, alone);
      const auto same = Apply(command, together);
      ASSERT_EQ(reply.status(), same.status()) << command.DebugString();
      if (!reply.ok()) {
        ASSERT_TRUE(alone.empty()) << "a failed command left a trace: " << command.DebugString();
        continue;
      }
      ASSERT_EQ(*reply, *same) << command.DebugString();
      ASSERT_THAT(one.Write(alone.TakeBatch(), KvDurability::kSynced), IsOk());
      ++applied;
    }
    ASSERT_THAT(grouped.Write(together.TakeBatch(), KvDurability::kSynced), IsOk());
  }
  EXPECT_GT(applied, 500);
  for (ColumnFamily family = 0; family < kMetaFamilyCount; ++family) {
    EXPECT_EQ(one.family(family), grouped.family(family)) << MetaFamilyNames()[family];
  }
}

}  // namespace
}  // namespace cairn
