// Goal: an examination of a whole cluster names what is slow, stopped, off or unsteady in it, ends
// in seconds whatever hangs, and fits messages however large the cluster is; what is sound has no
// finding. Method: real nodes over the simulated network and disks, asked as the SDK does.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "common/base/strings.h"
#include "proto/wire/examine.pb.h"
#include "tests/unit/client/cluster_world.h"

namespace cairn {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr absl::Duration kSeconds = absl::Seconds(10);

class ExamineSim : public Cluster {
 public:
  explicit ExamineSim(uint32_t nodes, uint64_t seed = 1) : Cluster(nodes, seed) {}

  absl::StatusOr<wire::ExamineClusterReply> Ask(uint64_t examination, uint32_t offset) {
    wire::ExamineClusterRequest request;
    request.set_examination(examination);
    request.set_offset(offset);
    return executor.Run(
        session->Meta<wire::ExamineClusterReply>(wire::EXAMINE_CLUSTER, request, Soon()));
  }
  // Until it is done and all is told.
  void Examine() {
    findings.clear();
    facts.clear();
    parts = 0;
    const MonoTime began = executor.clock().Now();
    uint64_t examination = 0;
    uint32_t offset = 0;
    while (parts < 1000) {
      const auto reply = Ask(examination, offset);
      ASSERT_TRUE(reply.ok()) << reply.status();
      examination = reply->examination();
      if (!reply->done()) continue;
      ++parts;
      findings.insert(findings.end(), reply->findings().begin(), reply->findings().end());
      facts.insert(facts.end(), reply->facts().begin(), reply->facts().end());
      EXPECT_EQ(reply->nodes_done(), reply->nodes());
      if (reply->next() == 0) break;
      ASSERT_GT(reply->next(), offset);
      offset = reply->next();
    }
    EXPECT_LT(executor.clock().Now() - began, kSeconds);
  }
  std::vector<std::string> Codes() {
    Examine();
    std::vector<std::string> codes;
    for (const wire::ExamineFinding& finding : findings) {
      std::string code = finding.item().code();
      for (uint32_t id : finding.item().nodes()) code += StrCat(" ", id);
      codes.push_back(std::move(code));
    }
    return codes;
  }
  SimNode& Member(uint32_t id) {
    for (const auto& other : others)
      if (other->node_id() == id) return *other;
    return node;
  }
  static std::string Process(uint32_t id) { return "node-" + std::to_string(id - 1); }
  void SlowBothWays(uint32_t a, uint32_t b, absl::Duration delay) {
    fabric.SlowDown(Process(a), Process(b), delay);
    fabric.SlowDown(Process(b), Process(a), delay);
  }

  std::vector<wire::ExamineFinding> findings;
  std::vector<wire::NodeFacts> facts;
  int parts = 0;
};

TEST(ExamineSim, ASoundClusterHasNoFindingsAndAllTheFacts) {
  ExamineSim cluster(5);
  EXPECT_THAT(cluster.Codes(), IsEmpty());
  ASSERT_THAT(cluster.facts, SizeIs(5));
  for (uint32_t i = 0; i < 5; ++i) {
    const wire::NodeFacts& facts = cluster.facts[i];
    EXPECT_EQ(facts.node(), i + 1);
    EXPECT_EQ(facts.code(), 0u) << facts.error();
    EXPECT_EQ(facts.reply().node(), i + 1);
    EXPECT_EQ(facts.reply().software_version(), "simulated");
    EXPECT_GT(facts.rtt_us(), 0u);
    EXPECT_LE(facts.clock_error_us(), facts.rtt_us());
    EXPECT_GT(facts.reply().uptime_ms(), 0u);
    ASSERT_THAT(facts.reply().targets(), SizeIs(1));
    const wire::TargetFacts& target = facts.reply().targets(0);
    EXPECT_EQ(target.probe().samples(), 9u);
    EXPECT_EQ(target.probe_error(), "");
    EXPECT_GT(target.target().capacity_bytes(), 0u);
    ASSERT_THAT(facts.reply().links(), SizeIs(4));
    for (const wire::LinkFacts& link : facts.reply().links()) {
      EXPECT_EQ(link.code(), 0u) << link.error();
      EXPECT_GT(link.rtt_us(), 0u);
      EXPECT_EQ(link.sent_bytes(), 8u * 60 * 1024);
    }
  }
}

TEST(ExamineSim, ASlowDiskIsNamedByAReadOfItsOwn) {
  ExamineSim cluster(5);
  cluster.Member(3).disk(0).SetDelay(absl::Milliseconds(60));
  ASSERT_THAT(cluster.Codes(), ElementsAre("TARGET_SLOW 3"));
  EXPECT_THAT(cluster.findings[0].item().targets(), ElementsAre(3));
  EXPECT_GE(cluster.findings[0].measured(), 60);
  cluster.Member(3).disk(0).SetDelay(absl::ZeroDuration());
  EXPECT_THAT(cluster.Codes(), IsEmpty());
}

TEST(ExamineSim, ADiskThatHangsIsNamedInTimeAndStillWhenAskedAgain) {
  ExamineSim cluster(4);
  cluster.Member(2).disk(0).SetDelay(absl::Minutes(1));
  EXPECT_THAT(cluster.Codes(), ElementsAre("TARGET_STUCK 2"));
  const int64_t reads = cluster.Member(2).disk(0).reads();
  EXPECT_THAT(cluster.Codes(), ElementsAre("TARGET_STUCK 2"));
  // The first read is still under way, and has not been joined by another.
  EXPECT_EQ(cluster.Member(2).disk(0).reads(), reads);
  EXPECT_GT(cluster.findings[0].measured(), 3000);
  cluster.Member(2).disk(0).SetDelay(absl::ZeroDuration());
  cluster.executor.RunFor(absl::Minutes(2));
  EXPECT_THAT(cluster.Codes(), IsEmpty());
}

TEST(ExamineSim, ASlowLinkIsToldFromASlowNode) {
  ExamineSim cluster(6);
  cluster.SlowBothWays(3, 4, absl::Milliseconds(30));
  EXPECT_THAT(cluster.Codes(), ElementsAre("LINK_SLOW 3 4"));
  for (uint32_t other : {1u, 2u, 5u, 6u}) cluster.SlowBothWays(3, other, absl::Milliseconds(30));
  ASSERT_THAT(cluster.Codes(), ElementsAre("NODE_NETWORK_SLOW 3"));
  EXPECT_EQ(cluster.findings[0].unit(), "ms");
  EXPECT_GE(cluster.findings[0].measured(), 60);
}

TEST(ExamineSim, ALinkThatDoesNotWorkIsBroken) {
  ExamineSim cluster(6);
  cluster.fabric.Cut(ExamineSim::Process(3), ExamineSim::Process(4));
  cluster.fabric.Cut(ExamineSim::Process(4), ExamineSim::Process(3));
  EXPECT_THAT(cluster.Codes(), ElementsAre("LINK_BROKEN 3 4"));
}

TEST(ExamineSim, ANodeThatStandsStillIsNamedBeforeAndAfterItCountsAsDown) {
  ExamineSim cluster(5);
  cluster.fabric.Freeze(ExamineSim::Process(4));
  EXPECT_THAT(cluster.Codes(), ElementsAre("NODE_SILENT 4"));
  cluster.executor.RunFor(absl::Seconds(10));
  EXPECT_THAT(cluster.Codes(), ElementsAre("NODE_DOWN 4"));
  cluster.fabric.Thaw(ExamineSim::Process(4));
  cluster.executor.RunFor(absl::Seconds(10));
  EXPECT_THAT(cluster.Codes(), IsEmpty());
}

TEST(ExamineSim, ANodeThatComesAndGoesFlaps) {
  ExamineSim cluster(4);
  for (int i = 0; i < 3; ++i) {
    EXPECT_THAT(cluster.Codes(), IsEmpty());
    EXPECT_EQ(cluster.executor.Run(cluster.Member(2).Restart(7, 1)), absl::OkStatus());
    cluster.executor.RunFor(absl::Seconds(10));
  }
  ASSERT_THAT(cluster.Codes(), ElementsAre("NODE_FLAPPING 2"));
  EXPECT_EQ(cluster.facts[1].restarts(), 3u);
  EXPECT_GT(cluster.findings[0].item().since_ns(), 0);
  cluster.executor.RunFor(absl::Minutes(31));
  EXPECT_THAT(cluster.Codes(), IsEmpty());
}

TEST(ExamineSim, AClockThatIsOffIsNamed) {
  ExamineSim cluster(3);
  SimNode::Options options = Cluster::Shape(9);
  options.join = cluster.node.options().endpoint;
  options.clock_ahead = absl::Seconds(-3);
  cluster.others.push_back(
      std::make_unique<SimNode>(cluster.executor, cluster.fabric, std::move(options)));
  ASSERT_EQ(cluster.executor.Run(cluster.others.back()->Start()), absl::OkStatus());
  cluster.executor.RunFor(absl::Seconds(3));
  ASSERT_THAT(cluster.Codes(), ElementsAre("NODE_CLOCK_SKEW 4"));
  EXPECT_NEAR(cluster.findings[0].measured(), -3000, 5);
  EXPECT_THAT(cluster.findings[0].item().summary(), HasSubstr("behind"));
}

TEST(ExamineSim, WhatDoesNotFitAMessageIsToldInParts) {
  ExamineSim cluster(9);
  for (uint32_t id : {2u, 3u, 4u}) cluster.Member(id).disk(0).SetDelay(absl::Milliseconds(300));
  EXPECT_THAT(cluster.Codes(), ElementsAre("TARGET_SLOW 2", "TARGET_SLOW 3", "TARGET_SLOW 4"));
  EXPECT_GT(cluster.parts, 2);
  ASSERT_THAT(cluster.facts, SizeIs(9));
  for (uint32_t i = 0; i < 9; ++i) EXPECT_EQ(cluster.facts[i].node(), i + 1);
}

TEST(ExamineSim, TheNumberOfAnExaminationLongGoneIsRefused) {
  ExamineSim cluster(2);
  cluster.Examine();
  const auto first = cluster.Ask(0, 0);
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(cluster.Ask(1, 0).status().code(), absl::StatusCode::kAborted);
  EXPECT_TRUE(cluster.Ask(first->examination(), 0).ok());
  EXPECT_EQ(cluster.Ask(77, 0).status().code(), absl::StatusCode::kAborted);
}

TEST(ExamineSim, StrangersExamineNoNode) {
  ExamineSim cluster(2);
  const auto reply = cluster.executor.Run(cluster.session->Meta<wire::ExamineNodeReply>(
      wire::EXAMINE_NODE, wire::ExamineNodeRequest(), cluster.Soon()));
  EXPECT_EQ(reply.status().code(), absl::StatusCode::kPermissionDenied);
}

TEST(ExamineSim, ANodeCanStopWhileItIsExamined) {
  ExamineSim cluster(3);
  cluster.Member(2).disk(0).SetDelay(absl::Seconds(20));
  const auto begun = cluster.Ask(0, 0);
  ASSERT_TRUE(begun.ok());
  EXPECT_FALSE(begun->done());
  // The cluster's end joins everything.
}

}  // namespace
}  // namespace cairn
