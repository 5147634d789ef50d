// Goal: the keys and records of the metadata and of its log never change by accident. Method:
// golden files of each key, of each record with every field set, of the record that a cluster map
// becomes, and of the whole store that a fixed sequence of commands makes.
#include <gtest/gtest.h>

#include <vector>

#include "proto/disk/meta.pb.h"
#include "proto/disk/meta_log.pb.h"
#include "server/meta/families.h"
#include "server/meta/format.h"
#include "server/meta/keys.h"
#include "server/meta/state_machine.h"
#include "tests/compat/golden.h"
#include "tests/compat/message_golden.h"
#include "tests/sim/sim_kv.h"

namespace cairn {
namespace {

constexpr uint64_t kNumber = 0x0102030405060708;

TEST(MetaGolden, Keys) {
  const InodeId inode(kNumber);
  std::string text;
  text += GoldenLine("system", SystemKey());
  text += GoldenLine("cluster_map", ClusterMapKey());
  text += GoldenLine("counter", CounterKey(Counter::kNextStripe));
  text += GoldenLine("inode", InodeKey(inode));
  text += GoldenLine("dentry_file", FileDentryKey(inode, "name"));
  text += GoldenLine("dentry_directory", DirectoryDentryKey(inode, "name"));
  text += GoldenLine("extent", ExtentKey(inode, 0x1112131415161718));
  text += GoldenLine("stripe_run", StripeRunKey(kNumber));
  text += GoldenLine("checkpoint", CheckpointKey(inode));
  text += GoldenLine("checkpoint_index", CheckpointIndexKey(inode, 0x1112131415161718));
  text += GoldenLine("pin", PinKey(inode, "name"));
  text += GoldenLine("attempt", AttemptKey(inode, "name"));
  text += GoldenLine("rank", RankKey(AttemptId(kNumber), 0x21222324));
  text += GoldenLine("rank_bitmap", RankBitmapKey(AttemptId(kNumber), 0x21222324));
  text += GoldenLine("lease", LeaseKey(LeaseId(kNumber)));
  text += GoldenLine("bucket", BucketKey(inode));
  text += GoldenLine("usage", UsageKey(inode));
  text += GoldenLine("retention", RetentionKey(inode));
  text += GoldenLine("tier", TierKey("name"));
  text += GoldenLine("cold_object", ColdObjectRecordKey(kNumber));
  text += GoldenLine("cold_planned", ColdPlannedKey(kNumber));
  text += GoldenLine("cold_garbage", ColdGarbageKey(kNumber));
  text += GoldenLine("cold_run", ColdRunKey(kNumber));
  text += GoldenLine("cold_usage", ColdUsageKey("name"));
  text += GoldenLine("cold_manifest_garbage", ColdManifestGarbageKey(kNumber));
  text += GoldenLine("cold_sparse", ColdSparseKey(kNumber));
  text += GoldenLine("cold_foreign", ColdForeignKey(kNumber, "cluster"));
  text += GoldenLine("cold_part", ColdPartKey(kNumber, 0x1112131415161718));
  text += GoldenLine("tier_policy", TierPolicyKey(inode));
  text += GoldenLine("tier_subject", TierSubjectKey(inode));
  text += GoldenLine("tier_due_now", TierDueNowKey(kNumber));
  text += GoldenLine("tier_due", TierDueKey(0x1112131415161718, inode));
  text += GoldenLine("tier_step", TierStepKey(0x21222324, 0x1112131415161718, inode));
  text += GoldenLine("tier_spare", TierSpareKey(kNumber, 0x1112131415161718, inode));
  text += GoldenLine("tier_import", TierImportKey(inode));
  text += GoldenLine("link", LinkKey(inode, inode, "name"));
  text += GoldenLine("orphan", OrphanKey(inode));
  text += GoldenLine("sync_mark", SyncMarkKey());
  text += GoldenLine("sequence", SequenceKey(kNumber));
  text += GoldenLine("request", RequestKey(kNumber, 0x1112131415161718));
  text += GoldenLine("request_order", RequestOrderKey(kNumber));
  for (const std::string& family : MetaFamilyNames()) text += GoldenLine("family " + family, "");
  ExpectGolden("meta_keys.txt", text);
}

TEST(MetaGolden, Records) {
  ExpectGolden("meta_records.txt", MessageLines(disk::InodeRecord::descriptor()->file()));
}

TEST(MetaGolden, LogCommands) {
  ExpectGolden("meta_log.txt", MessageLines(disk::Command::descriptor()->file()));
}

TEST(MetaGolden, Enums) {
  ExpectGolden("disk_enums.txt", EnumLines(disk::InodeRecord::descriptor()->file()));
}

disk::Command At(int64_t time_ns) {
  disk::Command command;
  command.set_time_ns(time_ns);
  command.set_client(9);
  command.set_sequence(static_cast<uint64_t>(time_ns));
  return command;
}

TEST(MetaGolden, ClusterMap) {
  SimKv kv(kMetaFamilyCount);
  ASSERT_TRUE(OpenStore(kv, "golden-cluster", 999).ok());
  disk::Command command = At(1000);
  ASSERT_NO_FATAL_FAILURE(Fill(*command.mutable_set_cluster_map()->mutable_map()));
  Transaction txn(kv);
  const auto reply = Apply(command, txn);
  ASSERT_TRUE(reply.ok()) << reply.status();
  ASSERT_TRUE(kv.Write(txn.TakeBatch(), KvDurability::kSynced).ok());
  const auto& family = kv.family(kFamilySystem);
  const auto stored = family.find(ClusterMapKey());
  ASSERT_NE(stored, family.end());
  ExpectGolden("meta_cluster_map.txt",
               GoldenLine("system " + absl::BytesToHexString(stored->first), stored->second));
}

// One of each thing that a store holds: a bucket, a file, a committed checkpoint, an open attempt,
// retention, work put off, stripes to free, a pin, a tier with an object, a policy of it.
std::vector<disk::Command> SomeOfEverything() {
  std::vector<disk::Command> commands;
  const auto add = [&]() -> disk::Command& {
    return commands.emplace_back(At(1000 + static_cast<int64_t>(commands.size())));
  };
  const auto begin = [&](const std::string& path) {
    auto& request = *add().mutable_begin_checkpoint();
    request.set_path(path);
    request.set_world_size(1);
    request.set_job("job");
    request.set_stripes_wanted(100);
    (*request.mutable_attributes())["b"] = "2";
    (*request.mutable_attributes())["a"] = "1";
  };
  add().mutable_make_directory()->set_path("bucket");
  begin("bucket/run/step-5");
  auto& done = *add().mutable_rank_done();
  done.set_path("bucket/run/step-5");
  done.set_attempt(1);
  auto& shard = *done.add_shards();
  shard.set_name("dir/shard");
  shard.set_size_bytes(5 << 20);
  shard.set_crc32c(0xabcdef01);
  auto& run = *shard.add_extents();
  run.set_length_bytes(5 << 20);
  run.set_first_stripe(1);
  run.set_stripe_count(2);
  run.set_stripe_bytes(4 << 20);
  run.add_groups(3);
  auto& commit = *add().mutable_commit_checkpoint();
  commit.set_path("bucket/run/step-5");
  commit.set_attempt(1);
  add().mutable_run_cleanup()->set_max_items(100);
  auto& retention = *add().mutable_set_retention();
  retention.set_path("bucket/run");
  retention.mutable_policy()->set_keep_last(3);
  begin("bucket/run/step-6");
  add().mutable_begin_file()->set_path("default/file");
  auto& file = *add().mutable_commit_file();
  file.set_path("default/file");
  file.set_lease(3);
  add().mutable_begin_file()->set_path("default/open");
  add().mutable_remove()->set_path("default/file");
  auto& pin = *add().mutable_pin_checkpoint();
  pin.set_path("bucket/run/step-5");
  pin.set_pinned(true);
  auto& tier = *add().mutable_add_tier()->mutable_spec();
  tier.set_name("archive");
  tier.set_location("s3://bucket");
  tier.add_options()->set_name("region");
  tier.mutable_options(0)->set_value("us-east-1");
  auto& plan = *add().mutable_plan_cold_objects();
  plan.set_tier("archive");
  plan.set_count(2);
  auto& cold = *add().mutable_note_cold_object();
  cold.set_object(1);
  cold.set_size_bytes(200);
  auto& piece = *cold.add_pieces();
  piece.set_first_stripe(1);
  piece.set_length_bytes(100);
  piece.set_object_offset_bytes(64);
  auto& policy = *add().mutable_set_tier_policy();
  policy.set_path("bucket/run");
  policy.mutable_policy()->set_tier("archive");
  policy.mutable_policy()->set_keep_hot(1);
  auto& push = *add().mutable_ask_tier();
  push.set_path("bucket/run/step-5");
  push.set_action(wire::TIER_PUSH);
  return commands;
}

// What a mount does: a file that it makes, writes to and gives a second name, and one that it has
// open still. Behind the others, which have given out the numbers before.
std::vector<disk::Command> SomeOfAMount(size_t before) {
  std::vector<disk::Command> commands;
  const auto add = [&]() -> disk::Command& {
    return commands.emplace_back(At(1000 + static_cast<int64_t>(before + commands.size())));
  };
  constexpr uint64_t kDefault = 2, kMade = 11;
  for (const char* name : {"made", "unlinked"}) {
    auto& make = *add().mutable_make_node();
    make.set_parent(kDefault);
    make.set_name(name);
    make.set_type(wire::ENTRY_FILE);
    make.set_mode(0640);
    make.set_buffered(true);
  }
  auto& write = *add().mutable_write_extents();
  write.mutable_node()->set_inode(kMade);
  auto& carried = *write.add_extents();
  carried.set_offset_bytes(100);
  carried.set_length_bytes(3);
  carried.set_data("abc");
  auto& xattr = *add().mutable_set_xattr();
  xattr.mutable_node()->set_inode(kMade);
  xattr.set_name("user.key");
  xattr.set_value("value");
  auto& link = *add().mutable_link_node();
  link.mutable_node()->set_inode(kMade);
  link.set_parent(kDefault);
  link.set_name("again");
  auto& unlink = add();
  unlink.set_mounts_are_live(true);
  unlink.mutable_unlink_node()->set_parent(kDefault);
  unlink.mutable_unlink_node()->set_name("unlinked");
  add().mutable_begin_writes()->set_inode(kMade);
  return commands;
}

TEST(MetaGolden, Store) {
  SimKv kv(kMetaFamilyCount);
  ASSERT_TRUE(OpenStore(kv, "golden-cluster", 999).ok());
  std::vector<disk::Command> commands = SomeOfEverything();
  for (disk::Command& command : SomeOfAMount(commands.size()))
    commands.push_back(std::move(command));
  for (const disk::Command& command : commands) {
    Transaction txn(kv);
    const auto reply = Apply(command, txn);
    ASSERT_TRUE(reply.ok()) << reply.status() << command.DebugString();
    ASSERT_TRUE(kv.Write(txn.TakeBatch(), KvDurability::kSynced).ok());
  }
  std::string text;
  for (ColumnFamily family = 0; family < kMetaFamilyCount; ++family) {
    EXPECT_FALSE(kv.family(family).empty()) << MetaFamilyNames()[family];
    for (const auto& [key, value] : kv.family(family)) {
      text += GoldenLine(MetaFamilyNames()[family] + " " + absl::BytesToHexString(key), value);
    }
  }
  ExpectGolden("meta_store.txt", text);
}

}  // namespace
}  // namespace cairn
