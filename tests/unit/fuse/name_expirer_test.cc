// Goal: what has changed is told to the kernel at once, and once more for the answers that were on
// their way to it.
#include "client/fuse/name_expirer.h"

#include <gtest/gtest.h>

#include <mutex>
#include <string>
#include <vector>

#include "absl/synchronization/notification.h"

namespace cairn {
namespace {

TEST(NameExpirer, EachChangeIsToldTwiceAndAtLeastOnceBeforeTheEnd) {
  SystemClock clock;
  std::mutex mutex;
  std::vector<std::string> told;
  absl::Notification twice;
  {
    NameExpirer expirer(&clock, absl::Milliseconds(20), [&](const FileSystem::Change& change) {
      std::lock_guard lock(mutex);
      told.push_back(change.name);
      if (told.size() == 4) twice.Notify();
    });
    expirer.Add({{1, "", 1}, {1, "a", 2}});
    twice.WaitForNotification();
    EXPECT_EQ(told, (std::vector<std::string>{"", "a", "", "a"}));
    expirer.Add({{1, "last", 3}});
  }
  ASSERT_GE(told.size(), 5u);
  EXPECT_EQ(told[4], "last");
}

}  // namespace
}  // namespace cairn
