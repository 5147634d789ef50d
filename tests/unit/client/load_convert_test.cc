// Goal: what moves is told by the SDK as the service says it, and a mount's own counts reach the
// service in a form that it takes. Method: messages and structs as values.
#include "client/core/load_convert.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "client/core/fs_convert.h"

namespace cairn::client_internal {
namespace {

TEST(ToNodeLoad, MountsComeWithTheirOperations) {
  wire::ClusterLoadReply::Node from;
  from.set_node(1);
  from.mutable_load()->set_mount_count(40);
  from.mutable_load()->add_mounts()->set_client("idle:1");
  wire::MountLoad* load = from.mutable_load()->add_mounts();
  load->set_name("/mnt");
  load->set_client("host:7");
  load->set_path("b/run");
  load->set_open_files(3);
  load->set_locks(2);
  load->set_interval_ms(7500);
  load->mutable_counts()->set_written_bytes(11);
  load->mutable_counts()->set_read_bytes(12);
  wire::OperationCount* count = load->mutable_counts()->add_operations();
  count->set_name("read");
  count->set_calls(4);
  count->set_errors(1);
  count->set_time_ns(5000);
  const NodeLoad node = ToNodeLoad(from);
  EXPECT_EQ(node.mount_count, 40u);
  ASSERT_EQ(node.mounts.size(), 2u);
  EXPECT_EQ(node.mounts[0].client, "idle:1");
  EXPECT_EQ(node.mounts[0].interval, absl::ZeroDuration());
  const MountLoad& mount = node.mounts[1];
  EXPECT_EQ(mount.name, "/mnt");
  EXPECT_EQ(mount.client, "host:7");
  EXPECT_EQ(mount.path, "b/run");
  EXPECT_EQ(mount.open_files, 3u);
  EXPECT_EQ(mount.locks, 2u);
  EXPECT_EQ(mount.interval, absl::Milliseconds(7500));
  EXPECT_EQ(mount.written_bytes, 11u);
  EXPECT_EQ(mount.read_bytes, 12u);
  ASSERT_EQ(mount.operations.size(), 1u);
  EXPECT_EQ(mount.operations[0].name, "read");
  EXPECT_EQ(mount.operations[0].calls, 4u);
  EXPECT_EQ(mount.operations[0].errors, 1u);
  EXPECT_EQ(mount.operations[0].time, absl::Microseconds(5));
}

TEST(ToNodeLoad, TimesOutOfRangeArePositive) {
  wire::ClusterLoadReply::Node from;
  wire::MountLoad* load = from.mutable_load()->add_mounts();
  load->mutable_counts()->add_operations()->set_time_ns(UINT64_MAX);
  EXPECT_GT(ToNodeLoad(from).mounts[0].operations[0].time, absl::Hours(24 * 365 * 500));
}

TEST(FromCounts, TellsBytesAndOperations) {
  FileSystemStats stats;
  stats.bytes_read = 1;
  stats.bytes_written = 2;
  const wire::MountCounts counts =
      FromCounts(stats, {{"read", 3, 1, absl::Microseconds(4)}, {"lookup", 9, 0, {}}});
  EXPECT_EQ(counts.read_bytes(), 1u);
  EXPECT_EQ(counts.written_bytes(), 2u);
  ASSERT_EQ(counts.operations_size(), 2);
  EXPECT_EQ(counts.operations(0).name(), "read");
  EXPECT_EQ(counts.operations(0).calls(), 3u);
  EXPECT_EQ(counts.operations(0).errors(), 1u);
  EXPECT_EQ(counts.operations(0).time_ns(), 4000u);
  EXPECT_EQ(counts.operations(1).calls(), 9u);
}

TEST(FromCounts, WhatIsTooMuchIsLeftOut) {
  std::vector<OperationCount> operations = {{std::string(100'000, 'x'), 1, 0, {}},
                                            {"read", 1, 0, -absl::Seconds(1)}};
  for (int i = 0; i < 100; ++i) operations.push_back({"op" + std::to_string(i), 1, 0, {}});
  const wire::MountCounts counts = FromCounts({}, operations);
  EXPECT_EQ(counts.operations_size(), 32);
  EXPECT_EQ(counts.operations(0).name(), "read");
  EXPECT_EQ(counts.operations(0).time_ns(), 0u);
}

}  // namespace
}  // namespace cairn::client_internal
