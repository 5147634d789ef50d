// Goal: everything that stands out in a cluster is told under its code, of the right node, target
// or link; and what is only slow together, or within what machines differ by, is not. Method:
// clusters made of facts, each with one thing that stands out.

#include "server/cluster/diagnosis.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/base/strings.h"
#include "server/cluster/link_ring.h"

namespace cairn {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr uint32_t kUnavailable = static_cast<uint32_t>(absl::StatusCode::kUnavailable);
const absl::Time kNow = absl::FromUnixSeconds(1000);

class DiagnosisTest : public testing::Test {
 protected:
  // Nodes 1, 2, ... with a target each of ten times the id and links as they are tried; all sound.
  void AddNodes(uint32_t count) {
    for (uint32_t id = 1; id <= count; ++id) {
      wire::NodeInfo* node = map_.add_nodes();
      node->set_id(id);
      wire::NodeFacts& facts = facts_.emplace_back();
      facts.set_node(id);
      facts.set_window_s(1800);
      facts.set_rtt_us(200);
      facts.set_clock_error_us(100);
      wire::TargetFacts* target = facts.mutable_reply()->add_targets();
      target->mutable_target()->set_id(10 * id);
      target->mutable_target()->set_node(id);
      target->mutable_target()->set_state(wire::TARGET_UP);
      target->mutable_target()->set_capacity_bytes(1000);
      target->mutable_target()->set_used_bytes(500);
      Set(target->mutable_probe(), 9, 300);
      *map_.add_targets() = target->target();
      for (size_t peer : LinksOf(id - 1, count)) {
        wire::LinkFacts* link = facts.mutable_reply()->add_links();
        link->set_from(id);
        link->set_to(static_cast<uint32_t>(peer) + 1);
        link->set_rtt_us(150);
        link->set_sent_bytes(400'000);
        link->set_sent_us(1000);  // 400 MB/s
      }
    }
  }
  static void Set(wire::LatencyFacts* latency, uint64_t samples, uint64_t p50_us) {
    latency->set_samples(samples);
    latency->set_p50_us(p50_us);
  }
  wire::NodeFacts& Node(uint32_t id) { return facts_[id - 1]; }
  wire::TargetFacts& Target(uint32_t node) {
    return *Node(node).mutable_reply()->mutable_targets(0);
  }
  wire::LinkFacts& Link(uint32_t from, uint32_t to) {
    for (wire::LinkFacts& link : *Node(from).mutable_reply()->mutable_links())
      if (link.to() == to) return link;
    ADD_FAILURE() << "no link from " << from << " to " << to;
    return *Node(from).mutable_reply()->add_links();
  }
  // All links of the node in one direction.
  template <class Change>
  void ChangeOutgoing(uint32_t node, Change change) {
    for (wire::LinkFacts& link : *Node(node).mutable_reply()->mutable_links()) change(link);
  }
  template <class Change>
  void ChangeIncoming(uint32_t node, Change change) {
    for (wire::NodeFacts& facts : facts_) {
      for (wire::LinkFacts& link : *facts.mutable_reply()->mutable_links())
        if (link.to() == node) change(link);
    }
  }
  static void MakeFar(wire::LinkFacts& link) { link.set_rtt_us(40'000); }
  static void MakeThin(wire::LinkFacts& link) { link.set_sent_us(330'000); }  // 1.2 MB/s
  static void Break(wire::LinkFacts& link) { link.set_code(kUnavailable); }

  std::vector<wire::ExamineFinding> Findings() { return Diagnose(map_, facts_, kNow); }
  // "ERROR NODE_SILENT 3": severity, code, and nodes.
  std::vector<std::string> Codes() {
    std::vector<std::string> codes;
    for (const wire::ExamineFinding& finding : Findings()) {
      const wire::HealthItem& item = finding.item();
      std::string code =
          StrCat(wire::HealthSeverity_Name(item.severity()).substr(7), " ", item.code());
      for (uint32_t node : item.nodes()) code += StrCat(" ", node);
      EXPECT_FALSE(item.summary().empty() || item.todo().empty()) << item.DebugString();
      codes.push_back(code);
    }
    return codes;
  }

  wire::ClusterMap map_;
  std::vector<wire::NodeFacts> facts_;
};

TEST_F(DiagnosisTest, ASoundClusterHasNothingThatStandsOut) {
  EXPECT_THAT(Codes(), IsEmpty());
  for (uint32_t count : {1u, 2u, 3u, 40u}) {
    map_.Clear();
    facts_.clear();
    AddNodes(count);
    EXPECT_THAT(Codes(), IsEmpty()) << count;
  }
}

TEST_F(DiagnosisTest, ANodeThatCountsAsAliveAndDoesNotAnswerIsSilent) {
  AddNodes(5);
  map_.mutable_nodes(2)->set_state(wire::NODE_SUSPECT);
  Node(3).set_code(kUnavailable);
  Node(3).set_error("timed out");
  Node(3).clear_reply();
  // That others do not reach it is no finding of its own.
  ChangeIncoming(3, Break);
  EXPECT_THAT(Codes(), ElementsAre("ERROR NODE_SILENT 3"));
  EXPECT_THAT(Findings()[0].item().summary(), HasSubstr("timed out"));
}

TEST_F(DiagnosisTest, ANodeThatIsDownIsToldAsHealthDoes) {
  AddNodes(5);
  map_.mutable_nodes(2)->set_state(wire::NODE_DOWN);
  Node(3).set_code(static_cast<uint32_t>(absl::StatusCode::kFailedPrecondition));
  Node(3).clear_reply();
  ChangeIncoming(3, Break);
  EXPECT_THAT(Codes(), ElementsAre("ERROR NODE_DOWN 3"));
}

TEST_F(DiagnosisTest, AnOldReleaseIsAWarning) {
  AddNodes(3);
  Node(2).set_code(static_cast<uint32_t>(absl::StatusCode::kUnimplemented));
  EXPECT_THAT(Codes(), ElementsAre("WARNING NODE_UNEXAMINED 2"));
}

TEST_F(DiagnosisTest, ADiskMuchSlowerThanTheOthersIsNamedWithTheirMedian) {
  AddNodes(5);
  Set(Target(4).mutable_probe(), 9, 80'000);
  ASSERT_THAT(Codes(), ElementsAre("WARNING TARGET_SLOW 4"));
  const wire::ExamineFinding finding = Findings()[0];
  EXPECT_THAT(finding.item().targets(), ElementsAre(40));
  EXPECT_EQ(finding.measured(), 80);
  EXPECT_EQ(finding.usual(), 0.3);
  EXPECT_EQ(finding.unit(), "ms");
  EXPECT_THAT(finding.item().summary(), HasSubstr("median of the others: 0.30 ms"));
}

TEST_F(DiagnosisTest, ADiskIsNotSlowWithinWhatDisksDifferBy) {
  AddNodes(5);
  Set(Target(4).mutable_probe(), 9, 19'000);  // 60 times as slow, and who cares
  EXPECT_THAT(Codes(), IsEmpty());
  // All of them busy: none stands out.
  for (uint32_t node = 1; node <= 5; ++node)
    Set(Target(node).mutable_probe(), 9, 40'000 + 10'000 * node);
  EXPECT_THAT(Codes(), IsEmpty());
}

TEST_F(DiagnosisTest, ADiskSlowBeyondAllDoubtNeedsNoOthers) {
  AddNodes(1);
  Set(Target(1).mutable_probe(), 9, 249'000);
  EXPECT_THAT(Codes(), IsEmpty());
  Set(Target(1).mutable_probe(), 9, 250'000);
  EXPECT_THAT(Codes(), ElementsAre("WARNING TARGET_SLOW 1"));
}

TEST_F(DiagnosisTest, ClientsOperationsTellADiskOnceThereAreEnough) {
  for (auto kind : {&wire::TargetFacts::mutable_flush, &wire::TargetFacts::mutable_write,
                    &wire::TargetFacts::mutable_read}) {
    map_.Clear();
    facts_.clear();
    AddNodes(4);
    for (uint32_t node = 1; node <= 4; ++node) Set((Target(node).*kind)(), 100, 8000);
    Set((Target(2).*kind)(), 15, 90'000);
    EXPECT_THAT(Codes(), IsEmpty());
    Set((Target(2).*kind)(), 16, 90'000);
    EXPECT_THAT(Codes(), ElementsAre("WARNING TARGET_SLOW 2"));
    Set((Target(2).*kind)(), 16, 39'000);
    EXPECT_THAT(Codes(), IsEmpty());
    // Nobody else has done anything.
    Set((Target(2).*kind)(), 16, 90'000);
    for (uint32_t node : {1u, 3u, 4u}) Set((Target(node).*kind)(), 0, 0);
    EXPECT_THAT(Codes(), IsEmpty());
  }
}

TEST_F(DiagnosisTest, AReadThatDoesNotReturnIsAnErrorSinceItBegan) {
  AddNodes(3);
  Set(Target(2).mutable_probe(), 0, 0);
  Target(2).set_probe_pending_us(2'500'000);
  ASSERT_THAT(Codes(), ElementsAre("ERROR TARGET_STUCK 2"));
  EXPECT_EQ(Findings()[0].item().since_ns(), absl::ToUnixNanos(kNow - absl::Milliseconds(2500)));
  Target(2).set_probe_pending_us(900'000);
  EXPECT_THAT(Codes(), IsEmpty());
}

TEST_F(DiagnosisTest, FullAndFailedTargetsAreToldAsHealthDoesByWhatNodesSayNow) {
  AddNodes(4);
  Target(1).mutable_target()->set_used_bytes(949);
  Target(2).mutable_target()->set_used_bytes(950);
  Target(3).mutable_target()->set_used_bytes(849);
  Target(4).set_failure("the device is gone");
  EXPECT_THAT(Codes(),
              ElementsAre("ERROR TARGET_FAILED 4", "ERROR TARGET_FULL", "WARNING TARGET_NEARFULL"));
  EXPECT_THAT(Findings()[1].item().targets(), ElementsAre(20));
  EXPECT_THAT(Findings()[2].item().targets(), ElementsAre(10));
}

TEST_F(DiagnosisTest, WhatAnOperatorWantsOfANodeIsNoTrouble) {
  AddNodes(3);
  map_.mutable_nodes(1)->set_draining(true);
  EXPECT_THAT(Codes(), IsEmpty());
}

TEST_F(DiagnosisTest, AClockIsOffWhenTheRoundTripDoesNotExplainIt) {
  AddNodes(4);
  Node(3).set_clock_ahead_us(499'000);
  EXPECT_THAT(Codes(), IsEmpty());
  Node(3).set_clock_ahead_us(-900'000);
  ASSERT_THAT(Codes(), ElementsAre("WARNING NODE_CLOCK_SKEW 3"));
  EXPECT_THAT(Findings()[0].item().summary(), HasSubstr("900 ms behind"));
  EXPECT_EQ(Findings()[0].measured(), -900);
  Node(3).set_clock_error_us(500'000);
  EXPECT_THAT(Codes(), IsEmpty());
}

TEST_F(DiagnosisTest, TheAskersOwnClockIsNamedWhenAllOthersDiffer) {
  AddNodes(4);
  for (uint32_t node : {2u, 3u, 4u}) Node(node).set_clock_ahead_us(60'000'000);
  EXPECT_THAT(Codes(), ElementsAre("WARNING NODE_CLOCK_SKEW 1"));
}

TEST_F(DiagnosisTest, ANodeThatComesAndGoesFlaps) {
  AddNodes(3);
  Node(2).set_downs(2);
  Node(2).set_restarts(2);
  Node(2).set_suspects(5);
  EXPECT_THAT(Codes(), IsEmpty());
  Node(2).set_unrest_since_ns(5);
  Node(2).set_downs(3);
  ASSERT_THAT(Codes(), ElementsAre("WARNING NODE_FLAPPING 2"));
  EXPECT_EQ(Findings()[0].item().since_ns(), 5);
  EXPECT_THAT(Findings()[0].item().summary(), HasSubstr("30 min"));
  Node(2).set_downs(0);
  Node(2).set_restarts(3);
  EXPECT_THAT(Codes(), ElementsAre("WARNING NODE_FLAPPING 2"));
  Node(2).set_restarts(0);
  Node(2).set_suspects(6);
  EXPECT_THAT(Codes(), ElementsAre("WARNING NODE_FLAPPING 2"));
}

TEST_F(DiagnosisTest, OneSlowLinkIsNamedByItsEndsAndDirection) {
  AddNodes(6);
  MakeThin(Link(2, 4));
  ASSERT_THAT(Codes(), ElementsAre("WARNING LINK_SLOW 2 4"));
  EXPECT_TRUE(Findings()[0].is_link());
  EXPECT_EQ(Findings()[0].unit(), "MB/s");
  EXPECT_EQ(Findings()[0].usual(), 400);
  EXPECT_THAT(Findings()[0].item().summary(), HasSubstr("from node 2 to node 4"));
  // Both ways, it is one.
  map_.Clear();
  facts_.clear();
  AddNodes(3);
  MakeFar(Link(2, 3));
  MakeFar(Link(3, 2));
  ASSERT_THAT(Codes(), ElementsAre("WARNING LINK_SLOW 2 3"));
  EXPECT_EQ(Findings()[0].unit(), "ms");
  EXPECT_THAT(Findings()[0].item().summary(), HasSubstr("between node 2 and node 3"));
}

TEST_F(DiagnosisTest, ANodeWhoseLinksAreAllSlowIsToldOnceInTheirPlace) {
  for (uint32_t count : {3u, 6u, 40u}) {
    map_.Clear();
    facts_.clear();
    AddNodes(count);
    ChangeOutgoing(2, MakeThin);
    EXPECT_THAT(Codes(), ElementsAre("WARNING NODE_NETWORK_SLOW 2")) << count;
    ChangeOutgoing(2, MakeFar);
    ChangeIncoming(2, MakeFar);
    EXPECT_THAT(Codes(), ElementsAre("WARNING NODE_NETWORK_SLOW 2")) << count;
  }
}

TEST_F(DiagnosisTest, ASlowNodeDoesNotHideASlowLink) {
  AddNodes(40);
  ChangeOutgoing(2, MakeThin);
  ChangeIncoming(2, MakeThin);
  MakeThin(Link(20, 22));
  EXPECT_THAT(Codes(), ElementsAre("WARNING LINK_SLOW 20 22", "WARNING NODE_NETWORK_SLOW 2"));
}

TEST_F(DiagnosisTest, OfTwoNodesTheLinkIsNamedAsNeitherIsKnownToBeToBlame) {
  AddNodes(2);
  MakeThin(Link(1, 2));
  MakeThin(Link(2, 1));
  EXPECT_THAT(Codes(), ElementsAre("WARNING LINK_SLOW 1 2"));
}

TEST_F(DiagnosisTest, LinksThatAreAsSlowAsTheOthersDoNotStandOut) {
  AddNodes(6);
  for (uint32_t node = 1; node <= 6; ++node) {
    ChangeOutgoing(node, [](wire::LinkFacts& link) {
      link.set_rtt_us(20'000);   // another town
      link.set_sent_us(40'000);  // 10 MB/s
    });
  }
  EXPECT_THAT(Codes(), IsEmpty());
  // Under the floor, if many times the usual.
  map_.Clear();
  facts_.clear();
  AddNodes(6);
  Link(1, 2).set_rtt_us(9'000);
  Link(1, 2).set_sent_us(8'000);  // 50 MB/s
  EXPECT_THAT(Codes(), IsEmpty());
}

TEST_F(DiagnosisTest, ALinkThatDoesNotWorkIsBrokenUnlessItsEndIsTold) {
  AddNodes(6);
  Break(Link(2, 4));
  ASSERT_THAT(Codes(), ElementsAre("ERROR LINK_BROKEN 2 4"));
  EXPECT_THAT(Findings()[0].item().summary(), HasSubstr("does not work"));
  ChangeIncoming(4, Break);
  EXPECT_THAT(Codes(), ElementsAre("ERROR NODE_NETWORK_SLOW 4"));
  // A refusal is an answer: the link works.
  ChangeIncoming(4, [](wire::LinkFacts& link) {
    link.set_code(static_cast<uint32_t>(absl::StatusCode::kUnimplemented));
  });
  EXPECT_THAT(Codes(), IsEmpty());
}

TEST_F(DiagnosisTest, WhoMayHaveHadBadLuckIsTriedAgain) {
  AddNodes(6);
  EXPECT_THAT(NodesToTryAgain(Findings()), IsEmpty());
  Target(1).mutable_target()->set_used_bytes(1000);
  Node(2).set_downs(9);
  EXPECT_THAT(NodesToTryAgain(Findings()), IsEmpty());
  Set(Target(5).mutable_probe(), 9, 80'000);
  MakeThin(Link(2, 4));
  Node(3).set_clock_ahead_us(5'000'000);
  EXPECT_THAT(NodesToTryAgain(Findings()), ElementsAre(2, 3, 4, 5));
}

TEST_F(DiagnosisTest, OfTwoLooksTheBetterOfEachMeasurementCounts) {
  AddNodes(6);
  const wire::NodeFacts sound = Node(2);
  wire::NodeFacts unlucky = sound;
  Set(unlucky.mutable_reply()->mutable_targets(0)->mutable_probe(), 9, 80'000);
  MakeFar(*unlucky.mutable_reply()->mutable_links(0));
  MakeThin(*unlucky.mutable_reply()->mutable_links(1));
  Break(*unlucky.mutable_reply()->mutable_links(2));
  unlucky.set_clock_ahead_us(700'000);
  unlucky.set_clock_error_us(200'000);
  for (const auto& [first, second] : {std::pair(sound, unlucky), std::pair(unlucky, sound)}) {
    Node(2) = BetterOf(first, second);
    EXPECT_THAT(Codes(), IsEmpty());
    EXPECT_EQ(Node(2).clock_ahead_us(), 0);
  }
  Node(2) = BetterOf(unlucky, unlucky);
  EXPECT_THAT(Codes(), Not(IsEmpty()));
  // Silent by now is what it is.
  wire::NodeFacts silent;
  silent.set_node(2);
  silent.set_code(kUnavailable);
  EXPECT_EQ(BetterOf(sound, silent).code(), kUnavailable);
  EXPECT_EQ(BetterOf(silent, sound).code(), 0);
}

TEST_F(DiagnosisTest, FactsOfAnyKindAreSurvived) {
  AddNodes(3);
  map_.Clear();
  for (wire::NodeFacts& node : facts_) {
    node.mutable_reply()->mutable_links(0)->set_sent_us(UINT64_MAX);
    node.mutable_reply()->mutable_targets(0)->mutable_probe()->set_p50_us(UINT64_MAX / 2);
    node.set_clock_ahead_us(INT64_MAX / 2);
  }
  Node(1).set_clock_ahead_us(INT64_MIN / 4);
  (void)Findings();
}

}  // namespace
}  // namespace cairn
