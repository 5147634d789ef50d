// Goal: the kernel's notion of a file's size is known while the file is open. Method: the class
// alone.
#include "client/fuse/open_sizes.h"

#include <gtest/gtest.h>

namespace cairn {
namespace {

TEST(OpenSizes, AFileThatNobodyHasOpenDoesNotGrow) {
  OpenSizes sizes;
  EXPECT_FALSE(sizes.WouldGrow(7, 1));
  sizes.Tell(7, 10);
  sizes.TellWritten(7, 10);
  EXPECT_FALSE(sizes.IsOpen(7));
  EXPECT_FALSE(sizes.WouldGrow(7, 11));
}

TEST(OpenSizes, GrowsBeyondWhatWasToldLast) {
  OpenSizes sizes;
  sizes.Open(7, 10);
  EXPECT_FALSE(sizes.WouldGrow(7, 10));
  EXPECT_TRUE(sizes.WouldGrow(7, 11));
  sizes.Tell(7, 11);
  EXPECT_FALSE(sizes.WouldGrow(7, 11));
  // Somebody has made it shorter.
  sizes.Tell(7, 3);
  EXPECT_TRUE(sizes.WouldGrow(7, 4));
  EXPECT_FALSE(sizes.WouldGrow(8, 4));
}

TEST(OpenSizes, WhatTheKernelHasWrittenIsNoNews) {
  OpenSizes sizes;
  sizes.Open(7, 10);
  sizes.TellWritten(7, 20);
  EXPECT_FALSE(sizes.WouldGrow(7, 20));
  sizes.TellWritten(7, 5);
  EXPECT_FALSE(sizes.WouldGrow(7, 20));
  EXPECT_TRUE(sizes.WouldGrow(7, 21));
}

TEST(OpenSizes, WhatIsHeardAfterItWasForgottenIsNoGrowth) {
  OpenSizes sizes;
  sizes.Open(7, 10);
  sizes.Forget(7);
  sizes.TellWritten(7, 30);
  EXPECT_FALSE(sizes.WouldGrow(7, 40));
  sizes.Tell(7, 40);
  EXPECT_TRUE(sizes.WouldGrow(7, 41));
}

TEST(OpenSizes, IsKnownUntilTheLastCloses) {
  OpenSizes sizes;
  sizes.Open(7, 10);
  sizes.Tell(7, 20);
  // It has found it shorter, and the kernel was told otherwise since.
  sizes.Open(7, 15);
  EXPECT_FALSE(sizes.WouldGrow(7, 20));
  sizes.Close(7);
  EXPECT_TRUE(sizes.WouldGrow(7, 21));
  sizes.Close(7);
  EXPECT_FALSE(sizes.IsOpen(7));
  sizes.Close(7);  // nothing to close
  sizes.Open(7, 1);
  EXPECT_TRUE(sizes.WouldGrow(7, 2));
}

}  // namespace
}  // namespace cairn
