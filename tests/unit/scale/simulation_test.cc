// Goal: a wrong model is found. Method: cases so simple that their time can be worked out by hand,
// and sums that must come out whatever the case is.

#include "bench/scale/simulation.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "bench/scale/limits.h"
#include "common/base/units.h"

namespace cairn::scale {
namespace {

constexpr uint32_t kCallBytes = 1'000'000;

// One rank's calls of one item each, the same target always or all in turn.
Work MakeWork(Direction direction, uint32_t ranks, uint32_t calls_each, uint32_t targets) {
  Work work;
  work.direction = direction;
  uint32_t target = 0;
  for (uint32_t rank = 0; rank < ranks; ++rank) {
    work.first_item.push_back(static_cast<uint32_t>(work.item_ends.size()));
    for (uint32_t i = 0; i < calls_each; ++i) {
      work.calls.push_back({target++ % targets, kCallBytes});
      work.item_ends.push_back(static_cast<uint32_t>(work.calls.size()));
      work.item_content.push_back(kCallBytes);
    }
  }
  work.first_item.push_back(static_cast<uint32_t>(work.item_ends.size()));
  work.content_bytes = uint64_t{ranks} * calls_each * kCallBytes;
  return work;
}

// Everything but the disk takes next to no time.
Hardware OnlyDisk() {
  Hardware hardware;
  hardware.nodes = 1;
  hardware.disks_per_node = 1;
  hardware.reactors_per_node = 1;
  hardware.disk_write = hardware.disk_read = 1e9;
  hardware.disk_write_latency = hardware.disk_read_latency = 0;
  hardware.disk_flush = hardware.index_sync = hardware.index_record = 0;
  hardware.node_nic = hardware.host_nic = 1e15;
  hardware.reactor_bytes = hardware.rank_encode = hardware.rank_copies = 1e15;
  hardware.reactor_call = hardware.rank_call = 1e-9;
  hardware.latency = 1e-6;
  hardware.meta_call = hardware.meta_begin = hardware.meta_done = 1e-9;
  hardware.meta_sync = hardware.meta_query = 1e-9;
  return hardware;
}

double Seconds(const Hardware& hardware, const Software& software, const Work& work) {
  return Simulation(hardware, software, work).Run().seconds;
}

TEST(Simulation, OneDiskTakesItsBytesOverItsRate) {
  for (Direction direction : {Direction::kSave, Direction::kRestore}) {
    const Work work = MakeWork(direction, 4, 50, 1);
    // 200 MB at 1 GB/s.
    EXPECT_NEAR(Seconds(OnlyDisk(), {}, work), 0.2, 0.002);
  }
}

TEST(Simulation, TheSlowestResourceOfThePathCounts) {
  const Work save = MakeWork(Direction::kSave, 4, 50, 1);
  Hardware hardware = OnlyDisk();
  hardware.node_nic = 0.25e9;
  EXPECT_NEAR(Seconds(hardware, {}, save), 0.8, 0.01);
  hardware = OnlyDisk();
  hardware.oversubscription = 1e15 / 0.5e9;
  EXPECT_NEAR(Seconds(hardware, {}, save), 0.4, 0.01);
  hardware = OnlyDisk();
  hardware.rank_encode = 0.125e9;  // each rank has a thread of its own
  EXPECT_NEAR(Seconds(hardware, {}, save), 0.4, 0.01);
  hardware = OnlyDisk();
  hardware.reactor_bytes = 0.5e9;
  EXPECT_NEAR(Seconds(hardware, {}, save), 0.4, 0.01);
}

// A call at a time goes there and back: request, request for the bytes, the bytes, reply.
TEST(Simulation, AWindowOfOneWaitsForEachCall) {
  Hardware hardware = OnlyDisk();
  hardware.latency = 1e-3;
  const Work save = MakeWork(Direction::kSave, 1, 50, 1);
  // Beside the calls: begin, seal, rank done and commit, each there and back.
  EXPECT_NEAR(Seconds(hardware, {.window = 1}, save), 50 * (4 * 1e-3 + 1e-3) + 8e-3, 0.001);
  // The request, the bytes, their acknowledgement, the reply; beside them: the stat.
  const Work restore = MakeWork(Direction::kRestore, 1, 50, 1);
  EXPECT_NEAR(Seconds(hardware, {.window = 1}, restore), 50 * (4 * 1e-3 + 1e-3) + 2e-3, 0.001);
}

TEST(Simulation, AWindowOfManyOverlapsLatency) {
  Hardware hardware = OnlyDisk();
  hardware.latency = 10e-3;
  const Work save = MakeWork(Direction::kSave, 1, 160, 1);
  // Sixteen at once take 40 ms and 16 ms of the disk's time, overlapped.
  const double seconds = Seconds(hardware, {.window = 16}, save);
  EXPECT_NEAR(seconds, 10 * 0.041 + 0.08, 0.04);
  EXPECT_GT(Seconds(hardware, {.window = 8}, save), 1.8 * (seconds - 0.08));
}

// Of 64 sessions and 64 slabs each has one credit: the rest of its window does not help it.
TEST(Simulation, CreditsAreAFairShareOfTheSlabs) {
  Hardware hardware = OnlyDisk();
  const Work work = MakeWork(Direction::kSave, 64, 4, 1);
  Outcome outcome = Simulation(hardware, {}, work).Run();
  EXPECT_EQ(outcome.sessions_max, 64u);
  EXPECT_EQ(outcome.credits_min, 1u);
  EXPECT_EQ(outcome.calls_in_line_max, 0u);
  hardware.slab_memory = 16 * kSlabBytes;
  outcome = Simulation(hardware, {}, work).Run();
  EXPECT_EQ(outcome.calls_in_line_max, 48u);
  outcome = Simulation(OnlyDisk(), {}, MakeWork(Direction::kSave, 4, 4, 1)).Run();
  EXPECT_EQ(outcome.credits_min, 16u);
}

TEST(Simulation, EveryByteCrossesEveryResourceOnce) {
  Hardware hardware;
  hardware.nodes = 6;
  for (Direction direction : {Direction::kSave, Direction::kRestore}) {
    const Work work = MakeWork(direction, 48, 33, hardware.targets());
    const Outcome outcome = Simulation(hardware, {}, work).Run();
    std::vector<uint64_t> bytes(kResourceKinds);
    for (const Resource& resource : outcome.resources)
      bytes[static_cast<size_t>(resource.kind)] += resource.bytes;
    for (uint64_t each : bytes) EXPECT_EQ(each, work.content_bytes);
    EXPECT_EQ(outcome.bytes_on_disk, work.content_bytes);
  }
}

TEST(Simulation, NothingIsBusyForLongerThanItTakes) {
  Hardware hardware;
  hardware.nodes = 2;
  const Work work = MakeWork(Direction::kSave, 16, 100, hardware.targets());
  const Outcome outcome = Simulation(hardware, {}, work).Run();
  for (const Resource& resource : outcome.resources) EXPECT_LE(resource.busy, outcome.seconds);
  EXPECT_LE(outcome.begun_seconds, outcome.moved_seconds);
  EXPECT_LE(outcome.moved_seconds, outcome.sealed_seconds);
  EXPECT_LE(outcome.sealed_seconds, outcome.seconds);
}

// Ranks are begun and done one after the other in the metadata, whatever else is fast.
TEST(Simulation, MutationsTakeTheirTurns) {
  Hardware hardware = OnlyDisk();
  hardware.disk_write = 1e15;
  hardware.meta_begin = hardware.meta_done = 1e-3;
  const Outcome outcome = Simulation(hardware, {}, MakeWork(Direction::kSave, 100, 1, 1)).Run();
  EXPECT_EQ(outcome.meta_commands, 201u);
  EXPECT_NEAR(outcome.meta_seconds, 0.201, 0.001);
  EXPECT_NEAR(outcome.seconds, 0.201, 0.005);
}

// All seals that wait are one flush.
TEST(Simulation, SealsShareAFlush) {
  Hardware hardware = OnlyDisk();
  hardware.disk_write = 1e15;
  hardware.disk_flush = 0.1;
  const double seconds = Seconds(hardware, {}, MakeWork(Direction::kSave, 100, 1, 1));
  EXPECT_GE(seconds, 0.1);
  EXPECT_LT(seconds, 0.22) << "the first alone, all others together";
}

TEST(HardwareLimit, IsTheLeastCapacityAndCountsParity) {
  Hardware hardware;
  hardware.nodes = 4;
  const Shape shape{1024, kGiB, *ParseRedundancy("ec:4+2")};
  Limit limit = HardwareLimit(hardware, shape, Direction::kSave);
  EXPECT_EQ(limit.kind, ResourceKind::kDisk);
  EXPECT_DOUBLE_EQ(limit.bytes_per_second, 4 * 8 * 6e9 / 1.5);
  limit = HardwareLimit(hardware, shape, Direction::kRestore);
  EXPECT_DOUBLE_EQ(limit.bytes_per_second, 4 * 8 * 6.5e9);
  hardware.oversubscription = 4;
  limit = HardwareLimit(hardware, shape, Direction::kRestore);
  EXPECT_EQ(limit.kind, ResourceKind::kNodeLeaf);
  EXPECT_DOUBLE_EQ(limit.bytes_per_second, 4 * 100e9 / 4);
}

}  // namespace
}  // namespace cairn::scale
