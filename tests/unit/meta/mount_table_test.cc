// Goal: operators are told of the mounts that do most, with what they have open and locked, as long
// as these live. Method: renewals by hand, on a clock that the test moves.
#include "server/meta/mount_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/sim/sim_clock.h"

namespace cairn {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class MountTableTest : public testing::Test {
 protected:
  MountTableTest() { table_.Start(clock_, false); }

  // A mount that has read so often since it began.
  void Renew(uint64_t mount, uint64_t calls) {
    wire::RenewMountRequest request;
    request.set_mount(mount);
    request.set_all(true);
    request.set_name("/mnt/" + std::to_string(mount));
    request.set_client("host:" + std::to_string(mount));
    request.set_path("b/" + std::to_string(mount));
    wire::OperationCount* count = request.mutable_counts()->add_operations();
    count->set_name("read");
    count->set_calls(calls);
    table_.Renew(request);
  }
  std::vector<std::string> BusiestNames(size_t count) {
    std::vector<std::string> names;
    for (const wire::MountLoad& load : table_.Busiest(count)) names.push_back(load.name());
    return names;
  }

  SimClock clock_;
  MountTable table_;
};

TEST_F(MountTableTest, TheBusiestAreToldFirst) {
  EXPECT_THAT(table_.Busiest(32), IsEmpty());
  for (uint64_t mount = 1; mount <= 5; ++mount) Renew(mount, 1000);
  clock_.Advance(absl::Seconds(5));
  for (uint64_t mount = 1; mount <= 5; ++mount) Renew(mount, 1000 + mount * 3 % 5);
  EXPECT_THAT(BusiestNames(3), ElementsAre("/mnt/3", "/mnt/1", "/mnt/4"));
  EXPECT_THAT(BusiestNames(32), SizeIs(5));
  EXPECT_EQ(table_.mounts(), 5u);
}

TEST_F(MountTableTest, AMountIsDescribed) {
  Renew(1, 10);
  table_.Open(1, 100);
  table_.Open(1, 101);
  wire::FileLock lock;
  lock.set_inode(100);
  lock.set_type(wire::FILE_LOCK_EXCLUSIVE);
  lock.set_end_bytes(UINT64_MAX);
  EXPECT_TRUE(table_.locks().Set(1, lock).granted);
  clock_.Advance(absl::Seconds(5));
  Renew(1, 25);
  const std::vector<wire::MountLoad> loads = table_.Busiest(32);
  ASSERT_THAT(loads, SizeIs(1));
  EXPECT_EQ(loads[0].name(), "/mnt/1");
  EXPECT_EQ(loads[0].client(), "host:1");
  EXPECT_EQ(loads[0].path(), "b/1");
  EXPECT_EQ(loads[0].open_files(), 2u);
  EXPECT_EQ(loads[0].locks(), 1u);
  EXPECT_EQ(loads[0].interval_ms(), 5000u);
  EXPECT_EQ(loads[0].counts().operations(0).calls(), 15u);
}

TEST_F(MountTableTest, OneThatIsGoneOrSilentIsNotToldOf) {
  Renew(1, 1);
  Renew(2, 1);
  wire::RenewMountRequest bye;
  bye.set_mount(1);
  bye.set_bye(true);
  table_.Renew(bye);
  EXPECT_THAT(BusiestNames(32), ElementsAre("/mnt/2"));
  for (int i = 0; i < 4; ++i) {
    clock_.Advance(MountTable::kTtl / 3);
    table_.AnyLive();
  }
  EXPECT_THAT(BusiestNames(32), IsEmpty());
  EXPECT_EQ(table_.mounts(), 0u);
}

// As of an earlier release, or by a program's own file system.
TEST_F(MountTableTest, OneThatTellsNothingIsToldOfWithWhatIsKnown) {
  wire::RenewMountRequest request;
  request.set_mount(1);
  table_.Renew(request);
  clock_.Advance(absl::Seconds(5));
  table_.Renew(request);
  const std::vector<wire::MountLoad> loads = table_.Busiest(32);
  ASSERT_THAT(loads, SizeIs(1));
  EXPECT_EQ(loads[0].name(), "");
  EXPECT_EQ(loads[0].interval_ms(), 0u);
}

TEST_F(MountTableTest, LongTextsAreCutInWholeCharacters) {
  wire::RenewMountRequest request;
  request.set_mount(1);
  request.set_name(std::string(MountTable::kTextBytesMax - 1, 'x') + "\xC3\xA9\xC3\xA9");
  request.set_client(std::string(MountTable::kTextBytesMax - 2, 'x') + "\xC3\xA9\xC3\xA9");
  request.set_path(std::string(50'000, 'p'));
  table_.Renew(request);
  const wire::MountLoad load = table_.Busiest(1).at(0);
  EXPECT_EQ(load.name(), std::string(MountTable::kTextBytesMax - 1, 'x'));
  EXPECT_EQ(load.client(), std::string(MountTable::kTextBytesMax - 2, 'x') + "\xC3\xA9");
  EXPECT_THAT(load.path(), SizeIs(MountTable::kTextBytesMax));
}

}  // namespace
}  // namespace cairn
