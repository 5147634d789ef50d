// Goal: each node tries a few others and is tried by as many, whatever the size of the cluster; and
// how often a node has come and gone is known for the last half hour, no longer. Method: all small
// rings, and a history with injected times.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <vector>

#include "server/cluster/link_ring.h"
#include "server/cluster/node_history.h"

namespace cairn {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(LinkRing, EachTriesAFewOthersAndIsTriedByAsMany) {
  for (size_t nodes = 1; nodes <= 70; ++nodes) {
    std::vector<size_t> tried(nodes);
    for (size_t node = 0; node < nodes; ++node) {
      const std::vector<size_t> links = LinksOf(node, nodes);
      EXPECT_EQ(links.size(), std::min(kLinksPerNode, nodes - 1));
      EXPECT_EQ(std::set<size_t>(links.begin(), links.end()).size(), links.size());
      for (size_t peer : links) {
        ASSERT_LT(peer, nodes);
        EXPECT_NE(peer, node);
        ++tried[peer];
      }
    }
    for (size_t times : tried) EXPECT_EQ(times, std::min(kLinksPerNode, nodes - 1));
  }
  EXPECT_THAT(LinksOf(0, 1), IsEmpty());
  EXPECT_THAT(LinksOf(250, 256), ElementsAre(251, 252, 254, 2));
}

MonoTime At(int64_t minutes) { return MonoTime(0) + absl::Minutes(minutes); }

TEST(NodeHistory, CountsWhatAnEachNodeDidInTheWindow) {
  NodeHistory history;
  EXPECT_EQ(history.Count(1, At(0)).downs, 0u);
  history.Note(1, NodeHistory::Event::kSuspect, At(1));
  history.Note(1, NodeHistory::Event::kDown, At(2));
  history.Note(1, NodeHistory::Event::kRestart, At(3));
  history.Note(2, NodeHistory::Event::kDown, At(3));
  history.Note(1, NodeHistory::Event::kDown, At(20));
  NodeHistory::Counts counts = history.Count(1, At(21));
  EXPECT_EQ(counts.suspects, 1u);
  EXPECT_EQ(counts.downs, 2u);
  EXPECT_EQ(counts.restarts, 1u);
  EXPECT_EQ(counts.since, absl::Minutes(20));
  // The first two are over half an hour old by then.
  counts = history.Count(1, At(33));
  EXPECT_EQ(counts.suspects, 0u);
  EXPECT_EQ(counts.downs, 1u);
  EXPECT_EQ(counts.restarts, 1u);
  EXPECT_EQ(counts.since, absl::Minutes(30));
  EXPECT_EQ(history.Count(1, At(51)).downs, 0u);
  EXPECT_EQ(history.Count(1, At(51)).since, absl::ZeroDuration());
}

TEST(NodeHistory, KeepsTheLatestOfVeryMany) {
  NodeHistory history;
  for (size_t i = 0; i < 3 * NodeHistory::kEventsMax; ++i)
    history.Note(1, NodeHistory::Event::kDown, At(1));
  history.Note(1, NodeHistory::Event::kRestart, At(2));
  EXPECT_EQ(history.Count(1, At(2)).downs, NodeHistory::kEventsMax - 1);
  EXPECT_EQ(history.Count(1, At(2)).restarts, 1u);
}

}  // namespace
}  // namespace cairn
