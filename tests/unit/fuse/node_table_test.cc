// Goal: the kernel and the file system mean the same node by a number, and the file system forgets
// an inode exactly when the kernel's last reference is gone. Method: the table alone.
#include "client/fuse/node_table.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace cairn {
namespace {

TEST(NodeTable, TheRootOfTheMountIsNodeOneWhateverItsInode) {
  const NodeTable table(57);
  EXPECT_EQ(table.NodeOf(57), kRootNode);
  EXPECT_EQ(table.InodeOf(kRootNode), 57u);
}

TEST(NodeTable, OthersAreCalledByTheirInodes) {
  const NodeTable table(57);
  const InodeNumber latest = 300 | (uint64_t{1} << 63);
  for (const InodeNumber inode : {InodeNumber{2}, InodeNumber{300}, latest}) {
    EXPECT_EQ(table.NodeOf(inode), inode);
    EXPECT_EQ(table.InodeOf(inode), inode);
  }
}

TEST(NodeTable, TheClustersRootStaysNodeOne) {
  const NodeTable table(1);
  EXPECT_EQ(table.NodeOf(1), kRootNode);
  EXPECT_EQ(table.InodeOf(kRootNode), 1u);
}

TEST(NodeTable, OnlyTheLastReferenceForgets) {
  NodeTable table(57);
  for (int i = 0; i < 3; ++i) table.Refer(300);
  EXPECT_EQ(table.size(), 1u);
  EXPECT_FALSE(table.Release(300, 1));
  EXPECT_TRUE(table.Release(300, 2));
  EXPECT_EQ(table.size(), 0u);
}

TEST(NodeTable, ReferencesAfterTheLastAreNewOnes) {
  NodeTable table(57);
  table.Refer(300);
  EXPECT_TRUE(table.Release(300, 1));
  table.Refer(300);
  table.Refer(300);
  EXPECT_FALSE(table.Release(300, 1));
  EXPECT_TRUE(table.Release(300, 1));
}

TEST(NodeTable, WhatWasNeverReferredToIsNotForgotten) {
  NodeTable table(57);
  EXPECT_FALSE(table.Release(300, 1));
}

TEST(NodeTable, TheRootIsNeverForgotten) {
  NodeTable table(57);
  table.Refer(57);
  EXPECT_FALSE(table.Release(57, 1));
  EXPECT_FALSE(table.Release(57, 1));
  EXPECT_EQ(table.size(), 0u);
}

TEST(NodeTable, ThreadsCountEachReference) {
  constexpr int kThreads = 4;
  constexpr int kEach = 1000;
  NodeTable table(57);
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&table] {
      for (int j = 0; j < kEach; ++j) table.Refer(static_cast<InodeNumber>(300 + j % 7));
    });
  }
  for (std::thread& thread : threads) thread.join();
  // 1,000 in seven parts: the first six have 143, the last has 142.
  EXPECT_FALSE(table.Release(300, kThreads * 143 - 1));
  EXPECT_TRUE(table.Release(300, 1));
  EXPECT_TRUE(table.Release(306, kThreads * 142));
  EXPECT_EQ(table.size(), 5u);
}

}  // namespace
}  // namespace cairn
