// Goal: an operator sees what moves, by node, target, client, tier and mount, once or again and
// again.
// Method: rates of two samples as values, and command lines against a fake Admin.
#include <gmock/gmock.h>

#include <string>

#include "client/cli/top_rates.h"
#include "tests/unit/cli/cli_fixture.h"

namespace cairn::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

constexpr uint64_t kMB = 1'000'000;

// A node with one target of its number.
NodeLoad Node(uint32_t id, int seconds, uint64_t written, uint64_t read, uint64_t life = 1) {
  NodeLoad node;
  node.node = id;
  node.life = life;
  node.uptime = absl::Seconds(seconds);
  node.sessions = 3;
  node.targets = {{id, written, read}};
  return node;
}

TEST(TopRates, AreDifferencesOverTheNodesOwnTime) {
  const TopRates rates = RatesBetween({Node(1, 10, 100, 0), Node(2, 50, 0, 1000)},
                                      {Node(2, 54, 0, 9000), Node(1, 12, 300, 0)});
  ASSERT_THAT(rates.nodes, SizeIs(2));
  EXPECT_EQ(rates.nodes[0].node, 1u);
  EXPECT_EQ(rates.nodes[0].rate.written, 100);
  EXPECT_EQ(rates.nodes[1].rate.read, 2000);
  EXPECT_EQ(rates.targets[0].target, 2u);  // the busiest
  EXPECT_EQ(rates.total.total(), 2100);
}

TEST(TopRates, ANodeThatRestartedOrIsNewCountsAsStill) {
  const TopRates rates =
      RatesBetween({Node(1, 10, 100, 0)}, {Node(1, 3, 900, 0, /*life=*/2), Node(2, 12, 900, 900)});
  ASSERT_THAT(rates.nodes, SizeIs(2));
  EXPECT_EQ(rates.total.total(), 0);
}

TEST(TopRates, AClientIsSummedOverItsNodesAndATierOverTheirs) {
  NodeLoad one = Node(1, 1, 0, 0), two = Node(2, 1, 0, 0);
  NodeLoad one_later = Node(1, 2, 0, 0), two_later = Node(2, 2, 0, 0);
  one_later.clients = {{"a:1", 10, 1}, {"b:2", 5, 0}};
  two_later.clients = {{"a:1", 20, 2}};
  two.tiers = {{"still", 7, 7, 7}, {"t", 5, 0, 0}};
  one_later.tiers = {{"t", 10, 0, 0}};
  two_later.tiers = {{"still", 7, 7, 7}, {"t", 25, 3, 0}};
  const TopRates rates = RatesBetween({one, two}, {one_later, two_later});
  ASSERT_THAT(rates.clients, SizeIs(2));
  EXPECT_EQ(rates.clients[0].name, "a:1");
  EXPECT_EQ(rates.clients[0].nodes, 2u);
  EXPECT_EQ(rates.clients[0].rate.written, 30);
  EXPECT_EQ(rates.clients[0].rate.read, 3);
  ASSERT_THAT(rates.tiers, SizeIs(1));
  EXPECT_EQ(rates.tiers[0].archived, 30);
  EXPECT_EQ(rates.tiers[0].recalled, 3);
}

// Of eight seconds.
MountLoad Mount(const std::string& name) {
  MountLoad mount;
  mount.name = name;
  mount.client = "trainer:7";
  mount.path = "b/run";
  mount.open_files = 3;
  mount.locks = 1;
  mount.interval = absl::Seconds(8);
  mount.written_bytes = 16 * kMB;
  mount.operations = {{"lookup", 800, 4, absl::Milliseconds(400)},
                      {"getattr", 9600, 0, absl::Milliseconds(2880)},
                      {"write", 16, 0, absl::Milliseconds(160)},
                      {"fsync", 2, 0, absl::Seconds(1)}};
  return mount;
}

MountLoad IdleMount(const std::string& name, const std::string& client) {
  MountLoad mount;
  mount.name = name;
  mount.client = client;
  return mount;
}

TEST(TopRates, OfMountsAreThoseOfTheirOwnInterval) {
  NodeLoad now = Node(1, 2, 0, 0);
  now.mounts = {Mount("/mnt"), IdleMount("/idle", "b:2")};
  now.mount_count = 40;
  // The node's own time, and whether it was there before, make no difference.
  const TopRates rates = RatesBetween({}, {now});
  EXPECT_EQ(rates.mount_count, 40u);
  ASSERT_THAT(rates.mounts, SizeIs(2));
  const MountRate& mount = rates.mounts[0];
  EXPECT_EQ(mount.rate.written, 2 * kMB);
  EXPECT_EQ(mount.rate.read, 0);
  EXPECT_EQ(mount.all.calls, 10418 / 8.0);
  EXPECT_EQ(mount.all.errors, 0.5);
  EXPECT_NEAR(absl::ToDoubleMicroseconds(mount.all.latency), 4'440'000 / 10418.0, 0.01);
  ASSERT_THAT(mount.operations, SizeIs(4));
  EXPECT_EQ(mount.operations[0].name, "getattr");
  EXPECT_EQ(mount.operations[0].calls, 1200);
  EXPECT_EQ(mount.operations[0].latency, absl::Microseconds(300));
  EXPECT_EQ(mount.operations[3].name, "fsync");
  EXPECT_EQ(rates.mounts[1].all.calls, 0);
  EXPECT_THAT(rates.mounts[1].operations, IsEmpty());
  EXPECT_EQ(rates.total.total(), 0);
}

class TopTest : public CliTest {
 protected:
  TopTest() {
    NodeLoad later = Node(1, 12, 4000 * kMB, 0);
    later.clients = {{"trainer:7", 2000 * kMB, 0}};
    NodeLoad silent;
    silent.node = 2;
    silent.status = absl::DeadlineExceededError("no answer");
    admin_.loads = {{Node(1, 10, 0, 0)}, {later, silent}};
  }
  testing::FakeAdmin& admin_ = cluster_.admin;
};

TEST_F(TopTest, OnceShowsOneSampleAndEnds) {
  const RunResult shown = Run({"top", "--once"});
  EXPECT_EQ(shown.code, 0);
  EXPECT_THAT(shown.out, HasSubstr("write 2.00 GB/s, read -\n"));
  EXPECT_THAT(shown.out, HasSubstr("   1  2.00 GB/s     -         3  -\n"));
  EXPECT_THAT(shown.out, HasSubstr("no answer"));
  EXPECT_THAT(shown.out, HasSubstr("trainer:7\n"));
  EXPECT_THAT(shown.out, Not(HasSubstr("TIER")));
  EXPECT_EQ(admin_.load_looks, 2u);
}

TEST_F(TopTest, ProgramsGetNumbers) {
  const auto json = Run({"top", "--once", "-o", "json"}).json();
  EXPECT_EQ(json["total"]["written_bytes_per_second"], 2000 * kMB);
  EXPECT_EQ(json["targets"][0]["target"], 1);
  EXPECT_EQ(json["clients"][0]["name"], "trainer:7");
  EXPECT_EQ(json["nodes"][1]["error"], "no answer");
  EXPECT_THAT(json["tiers"], IsEmpty());
}

TEST_F(TopTest, TablesAreCutAndSayByHowMuch) {
  std::vector<NodeLoad> before, after;
  for (uint32_t id = 1; id <= 5; ++id) {
    before.push_back(Node(id, 1, 0, 0));
    after.push_back(Node(id, 2, id * kMB, 0));
  }
  admin_.loads = {before, after};
  const std::string out = Run({"top", "--once", "--limit", "2"}).out;
  EXPECT_THAT(out, HasSubstr("and 3 more\n"));
  EXPECT_THAT(out, HasSubstr("5.00 MB/s"));
  EXPECT_THAT(out, Not(HasSubstr("1.00 MB/s")));
  EXPECT_THAT(out, HasSubstr("no client moves anything\n"));
}

TEST_F(TopTest, MountsAreShownWithWhatTheyDoMost) {
  NodeLoad later = Node(1, 12, 0, 0);
  later.mounts = {Mount("/mnt/runs"), IdleMount("", "loader:9")};
  later.mount_count = 40;
  admin_.loads = {{Node(1, 10, 0, 0)}, {later}};
  const std::string out = Run({"top", "--once"}).out;
  EXPECT_THAT(out, HasSubstr("\n\nMOUNT                OPS/S      WRITE  READ  LATENCY  ERRORS/S  "
                             "BUSIEST\n"));
  EXPECT_THAT(out,
              HasSubstr("trainer:/mnt/runs  1.30k/s  2.00 MB/s     -   426 us    0.50/s  "
                        "getattr 1.20k/s 300 us, lookup 100/s 500 us, write 2.00/s 10.0 ms\n"));
  EXPECT_THAT(out,
              HasSubstr("loader:9                 -          -     -        -         -  -\n"));
  EXPECT_THAT(out, HasSubstr("and 38 more\n"));
  EXPECT_THAT(Run({"top", "--once", "--limit", "1"}).out, HasSubstr("and 39 more\n"));
}

TEST_F(TopTest, ProgramsGetAllOperationsOfAMount) {
  NodeLoad later = Node(1, 12, 0, 0);
  later.mounts = {Mount("/mnt/runs")};
  later.mount_count = 1;
  admin_.loads = {{Node(1, 10, 0, 0)}, {later}};
  const auto json = Run({"top", "--once", "-o", "json"}).json();
  EXPECT_EQ(json["mount_count"], 1);
  const auto& mount = json["mounts"][0];
  EXPECT_EQ(mount["name"], "/mnt/runs");
  EXPECT_EQ(mount["client"], "trainer:7");
  EXPECT_EQ(mount["path"], "b/run");
  EXPECT_EQ(mount["interval_ms"], 8000);
  EXPECT_EQ(mount["open_files"], 3);
  EXPECT_EQ(mount["locks"], 1);
  EXPECT_EQ(mount["calls_per_second"], 1302.25);
  EXPECT_EQ(mount["errors_per_second"], 0.5);
  EXPECT_EQ(mount["mean_us"], 426);
  EXPECT_EQ(mount["written_bytes_per_second"], 2 * kMB);
  EXPECT_EQ(mount["read_bytes_per_second"], 0);
  ASSERT_THAT(mount["operations"], SizeIs(4));
  EXPECT_EQ(mount["operations"][3]["operation"], "fsync");
  EXPECT_EQ(mount["operations"][3]["calls_per_second"], 0.25);
  EXPECT_EQ(mount["operations"][3]["errors_per_second"], 0);
  EXPECT_EQ(mount["operations"][3]["mean_us"], 500'000);
}

TEST_F(TopTest, WithoutMountsThereIsNoTableOfThem) {
  EXPECT_THAT(Run({"top", "--once"}).out, Not(HasSubstr("MOUNT")));
  EXPECT_THAT(Run({"top", "--once", "-o", "json"}).json()["mounts"], IsEmpty());
}

TEST_F(TopTest, WhatCannotBeAskedIsTold) {
  cluster_.errors["load"] = absl::UnavailableError("no node");
  EXPECT_EQ(Run({"top", "--once"}).code, 4);
  EXPECT_EQ(Run({"top", "--interval", "100ms"}).code, 1);
}

}  // namespace
}  // namespace cairn::cli
