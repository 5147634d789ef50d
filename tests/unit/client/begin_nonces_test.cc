// Which begins of a process the service is to take for one.
#include "client/core/begin_nonces.h"

#include <gtest/gtest.h>

#include <string>

namespace cairn::client_internal {
namespace {

class BeginNoncesTest : public ::testing::Test {
 protected:
  SeededRandom random_{7};
  BeginNonces nonces_{random_};
};

TEST_F(BeginNoncesTest, ACallAfterOneWhoseEndIsUnknownRepeatsIt) {
  for (const absl::Status& unknown :
       {absl::UnavailableError("no node"), absl::DeadlineExceededError("late")}) {
    const uint64_t nonce = nonces_.Take("a", 1);
    EXPECT_NE(nonce, 0u);
    nonces_.Ended("a", 1, nonce, unknown);
    EXPECT_NE(nonces_.Take("a", 2), nonce);
    EXPECT_NE(nonces_.Take("b", 1), nonce);
    EXPECT_EQ(nonces_.Take("a", 1), nonce);
  }
}

TEST_F(BeginNoncesTest, ACallAfterOneThatEndedIsAnother) {
  for (const absl::Status& ended : {absl::OkStatus(), absl::AlreadyExistsError("a file")}) {
    const uint64_t nonce = nonces_.Take("a", 1);
    nonces_.Ended("a", 1, nonce, ended);
    EXPECT_NE(nonces_.Take("a", 1), nonce);
  }
}

TEST_F(BeginNoncesTest, CallsAtTheSameTimeAreDifferentOnes) {
  const uint64_t nonce = nonces_.Take("a", 1);
  nonces_.Ended("a", 1, nonce, absl::UnavailableError("no node"));
  EXPECT_EQ(nonces_.Take("a", 1), nonce);
  EXPECT_NE(nonces_.Take("a", 1), nonce);
}

TEST_F(BeginNoncesTest, RemembersSoManyAndNoMore) {
  uint64_t last = 0;
  for (int i = 0; i < 2000; ++i) {
    const std::string path = std::to_string(i);
    last = nonces_.Take(path, 0);
    nonces_.Ended(path, 0, last, absl::UnavailableError("no node"));
  }
  EXPECT_NE(nonces_.Take("1999", 0), last);
}

}  // namespace
}  // namespace cairn::client_internal
