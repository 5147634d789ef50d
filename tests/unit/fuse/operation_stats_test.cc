// Goal: each request is counted where it belongs, with its time and its error. Method: records that
// the test makes, read back as numbers and as metrics.
#include "client/fuse/operation_stats.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "client/fuse/mount_metrics.h"

namespace cairn {
namespace {

const MetricSample* Find(const MetricSet& set, const std::string& name,
                         const std::string& operation) {
  const auto at = set.families().find(name);
  if (at == set.families().end()) return nullptr;
  for (const MetricSample& sample : at->second.samples) {
    if (sample.labels == MetricLabels{{"operation", operation}}) return &sample;
  }
  return nullptr;
}

TEST(OperationStats, EveryOperationHasANameOfItsOwn) {
  std::set<std::string_view> names;
  for (size_t i = 0; i < kOperations; ++i) names.insert(NameOf(static_cast<Operation>(i)));
  EXPECT_EQ(names.size(), kOperations);
  EXPECT_FALSE(names.contains(""));
  EXPECT_EQ(NameOf(Operation::kLookup), "lookup");
  EXPECT_EQ(NameOf(Operation::kFlush), "flush");
  EXPECT_EQ(NameOf(Operation::kSeek), "lseek");
}

TEST(OperationStats, CountsErrorsAndAmongThemThoseOfTheCluster) {
  OperationStats stats;
  stats.Record(Operation::kRead, absl::Microseconds(10), 0);
  stats.Record(Operation::kRead, absl::Microseconds(20), ENOENT);
  stats.Record(Operation::kRead, absl::Microseconds(30), EIO);
  const OperationStats::Snapshot read = stats.Read(Operation::kRead);
  EXPECT_EQ(read.times_ns.count(), 3u);
  EXPECT_EQ(read.times_ns.sum(), 60'000u);
  EXPECT_EQ(read.errors, 2u);
  EXPECT_EQ(read.io_errors, 1u);
  EXPECT_EQ(stats.Read(Operation::kWrite).times_ns.count(), 0u);
}

TEST(OperationStats, TellsMetricsByOperation) {
  OperationStats stats;
  stats.Record(Operation::kWrite, absl::Milliseconds(1), EIO);
  MetricSet set;
  stats.Tell(&set);
  const MetricSample* times = Find(set, "cairn_mount_operation_seconds", "write");
  ASSERT_NE(times, nullptr);
  EXPECT_EQ(times->count, 1u);
  EXPECT_DOUBLE_EQ(times->sum, 1e-3);
  // A millisecond is in the bucket up to 2^20 ns and not in that below.
  size_t at = 0;
  while (times->buckets[at].upper_bound < 1e-3) EXPECT_EQ(times->buckets[at++].count, 0u);
  EXPECT_EQ(times->buckets[at].count, 1u);
  EXPECT_EQ(Find(set, "cairn_mount_operation_errors_total", "write")->value, 1);
  EXPECT_EQ(Find(set, "cairn_mount_operation_io_errors_total", "write")->value, 1);
  EXPECT_EQ(Find(set, "cairn_mount_operation_errors_total", "read")->value, 0);
}

TEST(OperationStats, CountsAreOfWhatThereWas) {
  OperationStats stats;
  EXPECT_TRUE(stats.Counts().empty());
  stats.Record(Operation::kRead, absl::Microseconds(10), ENOENT);
  stats.Record(Operation::kRead, absl::Microseconds(20), 0);
  stats.Record(Operation::kLookup, absl::Microseconds(5), 0);
  const std::vector<OperationCount> counts = stats.Counts();
  ASSERT_EQ(counts.size(), 2u);
  EXPECT_EQ(counts[0].name, "lookup");
  EXPECT_EQ(counts[1].name, "read");
  EXPECT_EQ(counts[1].calls, 2u);
  EXPECT_EQ(counts[1].errors, 1u);
  EXPECT_EQ(counts[1].time, absl::Microseconds(30));
}

TEST(OperationStats, ThreadsCountEachRequest) {
  OperationStats stats;
  const auto record = [&stats] {
    for (int i = 0; i < 10'000; ++i) stats.Record(Operation::kRead, absl::Nanoseconds(1), 0);
  };
  std::thread one(record), other(record);
  one.join();
  other.join();
  EXPECT_EQ(stats.Read(Operation::kRead).times_ns.count(), 20'000u);
}

TEST(TellFileSystem, EveryNumberIsUnderItsName) {
  FileSystemStats stats;
  stats.bytes_read = 1;
  stats.bytes_written = 2;
  stats.readahead_hit_bytes = 3;
  stats.stripes_written = 4;
  stats.inline_extents_written = 5;
  stats.commits = 6;
  stats.compactions = 7;
  stats.dirty_bytes = 8;
  stats.open_files = 9;
  stats.failed_commits = 10;
  MetricSet set;
  TellFileSystem(stats, &set);
  const auto value = [&set](const std::string& name) {
    return set.families().at(name).samples.at(0).value;
  };
  EXPECT_EQ(value("cairn_mount_read_bytes_total"), 1);
  EXPECT_EQ(value("cairn_mount_written_bytes_total"), 2);
  EXPECT_EQ(value("cairn_mount_readahead_hit_bytes_total"), 3);
  EXPECT_EQ(value("cairn_mount_stripes_written_total"), 4);
  EXPECT_EQ(value("cairn_mount_inline_extents_written_total"), 5);
  EXPECT_EQ(value("cairn_mount_commits_total"), 6);
  EXPECT_EQ(value("cairn_mount_compactions_total"), 7);
  EXPECT_EQ(value("cairn_mount_dirty_bytes"), 8);
  EXPECT_EQ(value("cairn_mount_open_files"), 9);
  EXPECT_EQ(value("cairn_mount_failed_commits_total"), 10);
}

}  // namespace
}  // namespace cairn
