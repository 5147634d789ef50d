// A full file system is said to be full, leaves nothing of the refused object, and serves on.
// Method: a small tmpfs that a child process mounts in a mount namespace of its own.
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "server/tier/digest.h"
#include "server/tier/directory_store.h"

namespace cairn {
namespace {

// How the child ends.
constexpr int kPassed = 0;
constexpr int kFailed = 1;
constexpr int kNoMount = 77;

uint64_t FreeBytes(const std::string& root) {
  struct statvfs filesystem {};
  EXPECT_EQ(statvfs(root.c_str(), &filesystem), 0);
  return uint64_t{filesystem.f_bavail} * filesystem.f_frsize;
}

void FillAndGoOn(const std::string& root) {
  SystemClock clock;
  SystemRandom random;
  ASSERT_EQ(DirectoryStore::Prepare(root, random), absl::OkStatus());
  auto store = DirectoryStore::Open(root, clock, random);
  ASSERT_TRUE(store.ok()) << store.status();
  const std::string content(3 << 20, 'x');
  const ConstBytes pieces[] = {BytesOf(content)};
  ASSERT_TRUE((*store)->Put("a", pieces, {}, {}).ok());
  ASSERT_TRUE((*store)->Put("b", pieces, {}, {}).ok());
  const uint64_t free_before = FreeBytes(root);
  const absl::Status full = (*store)->Put("c", pieces, {}, {}).status();
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted) << full;
  EXPECT_NE(full.message().find("the file system is full"), absl::string_view::npos) << full;
  EXPECT_EQ(FreeBytes(root), free_before);
  EXPECT_TRUE(absl::IsNotFound((*store)->Stat("c", {}).status()));
  EXPECT_EQ((*store)->Stat("a", {})->size_bytes, content.size());
  const std::vector<std::string> one = {"a"};
  EXPECT_EQ((*store)->Delete(one, {}), absl::OkStatus());
  EXPECT_TRUE((*store)->Put("c", pieces, {}, {}).ok());
}

TEST(FullDirectory, IsSaidToBeFullAndServesOnOnceThereIsRoom) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const std::string root = std::filesystem::temp_directory_path();
    if (unshare(CLONE_NEWNS) != 0 ||
        mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        mount("cairn_test", root.c_str(), "tmpfs", 0, "size=8m") != 0) {
      _exit(kNoMount);
    }
    FillAndGoOn(root);
    _exit(testing::Test::HasFailure() ? kFailed : kPassed);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status)) << status;
  if (WEXITSTATUS(status) == kNoMount) GTEST_SKIP() << "this process may not mount";
  EXPECT_EQ(WEXITSTATUS(status), kPassed);
}

}  // namespace
}  // namespace cairn
