// Goal: what a mount counts is told as what it has done of late, and what it says wrongly, or too
// much of, does no harm. Method: reports and times as values.
#include "server/meta/mount_reports.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace cairn {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

MonoTime At(double seconds) { return MonoTime() + absl::Seconds(seconds); }

wire::MountCounts Counts(uint64_t read_bytes = 0, uint64_t written_bytes = 0) {
  wire::MountCounts counts;
  counts.set_read_bytes(read_bytes);
  counts.set_written_bytes(written_bytes);
  return counts;
}

wire::MountCounts With(wire::MountCounts counts, const std::string& name, uint64_t calls,
                       uint64_t errors = 0, uint64_t time_ns = 0) {
  wire::OperationCount* count = counts.add_operations();
  count->set_name(name);
  count->set_calls(calls);
  count->set_errors(errors);
  count->set_time_ns(time_ns);
  return counts;
}

wire::MountLoad LoadOf(const MountReports& reports, MonoTime now) {
  wire::MountLoad load;
  reports.Tell(now, &load);
  return load;
}

TEST(MountReports, TellWhatIsBetweenTheLastTwo) {
  MountReports reports;
  reports.Add(With(Counts(10, 20), "read", 100, 1, 5000), At(1));
  reports.Add(With(With(Counts(110, 20), "read", 160, 4, 9000), "lookup", 7), At(3));
  wire::MountLoad load = LoadOf(reports, At(4));
  EXPECT_EQ(load.interval_ms(), 2000u);
  EXPECT_EQ(load.counts().read_bytes(), 100u);
  EXPECT_EQ(load.counts().written_bytes(), 0u);
  ASSERT_THAT(load.counts().operations(), SizeIs(2));
  EXPECT_EQ(load.counts().operations(0).name(), "read");
  EXPECT_EQ(load.counts().operations(0).calls(), 60u);
  EXPECT_EQ(load.counts().operations(0).errors(), 3u);
  EXPECT_EQ(load.counts().operations(0).time_ns(), 4000u);
  EXPECT_EQ(load.counts().operations(1).calls(), 7u);
  // What does not grow is not told; what is left out does not.
  reports.Add(With(Counts(110, 21), "lookup", 9), At(13));
  load = LoadOf(reports, At(13));
  EXPECT_EQ(load.interval_ms(), 10'000u);
  EXPECT_EQ(load.counts().read_bytes(), 0u);
  EXPECT_EQ(load.counts().written_bytes(), 1u);
  ASSERT_THAT(load.counts().operations(), SizeIs(1));
  EXPECT_EQ(load.counts().operations(0).calls(), 2u);
}

TEST(MountReports, OneAloneTellsNothingAndAnOldOneNothingMore) {
  MountReports reports;
  EXPECT_FALSE(reports.IsCurrent(At(1)));
  reports.Add(With(Counts(), "read", 100), At(1));
  EXPECT_FALSE(reports.IsCurrent(At(1)));
  reports.Add(With(Counts(), "read", 200), At(8));
  EXPECT_TRUE(reports.IsCurrent(At(8) + MountReports::kCurrentFor));
  EXPECT_FALSE(reports.IsCurrent(At(8.1) + MountReports::kCurrentFor));
  const wire::MountLoad load = LoadOf(reports, At(8.1) + MountReports::kCurrentFor);
  EXPECT_EQ(load.interval_ms(), 0u);
  EXPECT_FALSE(load.has_counts());
  EXPECT_EQ(reports.Work(At(8.1) + MountReports::kCurrentFor), 0);
}

TEST(MountReports, WhatComesTooSoonIsPartOfTheNext) {
  MountReports reports;
  reports.Add(With(Counts(), "read", 100), At(1));
  reports.Add(With(Counts(), "read", 150), At(1.01));
  EXPECT_FALSE(reports.IsCurrent(At(1.01)));
  reports.Add(With(Counts(), "read", 200), At(3));
  EXPECT_EQ(LoadOf(reports, At(3)).interval_ms(), 2000u);
  EXPECT_EQ(LoadOf(reports, At(3)).counts().operations(0).calls(), 100u);
}

TEST(MountReports, CountsThatShrinkBeginAnew) {
  for (const wire::MountCounts& anew :
       {With(Counts(5, 5), "read", 99, 2, 50), With(Counts(5, 5), "read", 100, 1, 50),
        With(Counts(5, 5), "read", 100, 2, 49), With(Counts(4, 5), "read", 100, 2, 50),
        With(Counts(5, 4), "read", 100, 2, 50)}) {
    MountReports reports;
    reports.Add(With(Counts(5, 5), "read", 100, 2, 50), At(1));
    reports.Add(anew, At(5));
    EXPECT_FALSE(reports.IsCurrent(At(5))) << anew.DebugString();
    reports.Add(With(Counts(5, 5), "read", 110, 2, 50), At(9));
    EXPECT_TRUE(reports.IsCurrent(At(9)));
    EXPECT_EQ(LoadOf(reports, At(9)).counts().operations(0).calls(),
              110 - anew.operations(0).calls());
  }
}

TEST(MountReports, WorkIsCallsAndBytesByTheMebibyte) {
  MountReports reports;
  reports.Add(Counts(), At(0));
  reports.Add(With(With(Counts(6 << 20, 2 << 20), "read", 10), "write", 2), At(4));
  EXPECT_EQ(reports.Work(At(4)), 5);
}

TEST(MountReports, NamesThatAreNoneAndTooManyAreLeftOut) {
  MountReports reports;
  wire::MountCounts counts;
  for (const char* name : {"", "Read", "re ad", "read\n", "r\xC3\xA9", "sixteen_letters_"})
    counts = With(counts, name, 1);
  counts = With(counts, "fifteen_letter_", 1);
  reports.Add(wire::MountCounts(), At(1));
  reports.Add(counts, At(5));
  ASSERT_THAT(LoadOf(reports, At(5)).counts().operations(), SizeIs(1));
  // Two full lists with other names each: what came first stays.
  wire::MountCounts first, second;
  for (int i = 0; i < 100; ++i) {
    first = With(first, "a" + std::to_string(i), 1);
    second = With(second, "b" + std::to_string(i), 1);
  }
  MountReports full;
  full.Add(wire::MountCounts(), At(1));
  full.Add(first, At(5));
  EXPECT_THAT(LoadOf(full, At(5)).counts().operations(), SizeIs(MountReports::kOperationsMax));
  full.Add(second, At(9));
  EXPECT_THAT(LoadOf(full, At(9)).counts().operations(), IsEmpty());
}

TEST(MountReports, NumbersThatCannotBeAreBounded) {
  MountReports reports;
  reports.Add(wire::MountCounts(), At(1));
  reports.Add(With(Counts(UINT64_MAX, UINT64_MAX), "read", UINT64_MAX, UINT64_MAX, UINT64_MAX),
              At(5));
  const wire::MountLoad load = LoadOf(reports, At(5));
  EXPECT_EQ(load.counts().read_bytes(), MountReports::kCountMax);
  EXPECT_EQ(load.counts().written_bytes(), MountReports::kCountMax);
  EXPECT_EQ(load.counts().operations(0).calls(), MountReports::kCountMax);
  EXPECT_EQ(load.counts().operations(0).errors(), MountReports::kCountMax);
  EXPECT_EQ(load.counts().operations(0).time_ns(), MountReports::kCountMax);
  EXPECT_GT(reports.Work(At(5)), 0);
  // More errors than calls, in all and between the two.
  MountReports wrong;
  wrong.Add(With(Counts(), "read", 100, 0), At(1));
  wrong.Add(With(Counts(), "read", 110, 500), At(5));
  EXPECT_EQ(LoadOf(wrong, At(5)).counts().operations(0).errors(), 10u);
}

}  // namespace
}  // namespace cairn
