// Goal: a data directory made by any release is known to every later one. Method: a golden file of
// the bytes of cairn.id, which must also read back as the identity they were made from.
#include <gtest/gtest.h>

#include "server/main/data_directory.h"
#include "tests/compat/golden.h"

namespace cairn {
namespace {

TEST(IdentityGolden, DataDirectory) {
  disk::NodeIdentity identity;
  identity.set_format_version(1);
  identity.set_cluster_id("01020304-0506-4708-890a-0b0c0d0e0f10");
  identity.set_node_id(1);
  const std::string bytes = EncodeIdentity(identity);
  ExpectGolden("identity.txt", GoldenLine("cairn.id", bytes));
  const auto read = DecodeIdentity(bytes);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->DebugString(), identity.DebugString());
}

}  // namespace
}  // namespace cairn
