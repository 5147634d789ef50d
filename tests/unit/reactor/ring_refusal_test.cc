// What happens where the kernel refuses io_uring, as containers make it: a seccomp filter on one
// thread answers io_uring_setup with an error of choice.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstddef>
#include <thread>

#include "common/reactor/reactor.h"
#include "common/task/stop.h"
#include "tests/sim/run_on.h"

namespace cairn {
namespace {

using ::testing::HasSubstr;

// For the calling thread, for the rest of its life.
void RefuseIoUring(int error) {
  const auto answer = static_cast<unsigned>(SECCOMP_RET_ERRNO | error);
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, answer),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  sock_fprog filter{std::size(program), program};
  ASSERT_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
  ASSERT_EQ(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter), 0);
}

Task<absl::Status> Nap() {
  StopSource stop;
  absl::Status status = co_await SleepFor(absl::Milliseconds(1), stop);
  co_return status;
}

class RingRefusal : public ::testing::TestWithParam<std::pair<int, const char*>> {};
INSTANTIATE_TEST_SUITE_P(Errors, RingRefusal,
                         ::testing::Values(std::pair(EPERM, "kernel.io_uring_disabled"),
                                           std::pair(ENOSYS, "seccomp"),
                                           std::pair(ENOMEM, "ulimit -l"),
                                           std::pair(EINVAL, "too old")));

TEST_P(RingRefusal, ReactorRunsWithoutARingAndNamesTheSetting) {
  const auto& [error, advice] = GetParam();
  std::thread thread([error = error, advice = advice] {
    RefuseIoUring(error);
    auto wanted = Reactor::Create({.backend = Reactor::Backend::kIoUring});
    EXPECT_EQ(wanted.status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(wanted.status().message(), HasSubstr(advice));

    auto reactor = Reactor::Create({});
    ASSERT_TRUE(reactor.ok()) << reactor.status();
    EXPECT_EQ((*reactor)->ring(), nullptr);
    EXPECT_THAT((*reactor)->ring_refusal(), HasSubstr(advice));
    EXPECT_TRUE(RunOn(**reactor, Nap()).ok());
  });
  thread.join();
}

}  // namespace
}  // namespace cairn
