// Locks of live and of dead processes. A process that was killed keeps its lock while its last I/O
// is under way; here a child that inherited the open file stands for that I/O.
#include "common/base/file_lock.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <string>
#include <thread>

#include "absl/time/clock.h"

namespace cairn {
namespace {

using ::testing::HasSubstr;

class FileLockTest : public ::testing::Test {
 protected:
  FileLockTest() {
    const int made = mkstemp(path_.data());
    EXPECT_GE(made, 0);
    close(made);
    fd_ = Open();
    EXPECT_EQ(pipe2(life_, O_CLOEXEC), 0);
  }
  ~FileLockTest() override {
    close(life_[0]);
    if (life_[1] >= 0) close(life_[1]);
    close(fd_);
    unlink(path_.c_str());
  }

  int Open() const { return open(path_.c_str(), O_RDWR | O_CLOEXEC); }

  // A process that locks the file and dies, while a child of its own keeps the file open until
  // EndIo(). Returns once the process is gone.
  void LockAndDie() {
    const pid_t owner = fork();
    if (owner == 0) {
      const int fd = Open();
      if (!LockExclusively(fd, "it").ok()) _exit(1);
      if (fork() == 0) {
        close(life_[1]);
        char byte;
        (void)!read(life_[0], &byte, 1);
        _exit(0);
      }
      _exit(0);
    }
    int status = -1;
    ASSERT_EQ(waitpid(owner, &status, 0), owner);
    ASSERT_EQ(status, 0);
  }
  void EndIo() {
    close(life_[1]);
    life_[1] = -1;
  }

  std::string path_ = "/tmp/cairn_file_lock_test_XXXXXX";
  int fd_ = -1;
  int life_[2] = {-1, -1};
};

TEST_F(FileLockTest, LastIoOfADeadProcessIsWaitedFor) {
  LockAndDie();
  std::thread io([this] {
    // lint: allow sleep: stands for I/O that outlasts a lock tried once
    absl::SleepFor(absl::Milliseconds(100));
    EndIo();
  });
  const absl::Status locked = LockExclusively(fd_, "it");
  io.join();
  EXPECT_TRUE(locked.ok()) << locked;
}

TEST_F(FileLockTest, IoThatDoesNotEndIsGivenUp) {
  LockAndDie();
  const absl::Status locked = LockExclusively(fd_, "it", absl::Milliseconds(50));
  EndIo();
  EXPECT_EQ(locked.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(locked.message()), HasSubstr("it: already in use"));
}

TEST_F(FileLockTest, ALiveHolderIsNamedLongBeforePatienceEnds) {
  const pid_t owner = fork();
  if (owner == 0) {
    const int fd = Open();
    if (!LockExclusively(fd, "it").ok()) _exit(1);
    (void)!write(life_[1], "x", 1);
    pause();
  }
  char byte;
  ASSERT_EQ(read(life_[0], &byte, 1), 1);
  const absl::Status locked = LockExclusively(fd_, "it", absl::Hours(1));
  kill(owner, SIGKILL);
  waitpid(owner, nullptr, 0);
  EXPECT_THAT(std::string(locked.message()), HasSubstr("(pid " + std::to_string(owner) + ")"));
}

}  // namespace
}  // namespace cairn
