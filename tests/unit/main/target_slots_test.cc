// Goal: a node's targets keep their numbers and ids, whatever is added, removed, and written into
// its configuration or taken out of it. Method: identities as they are left behind, and the
// configurations that operators may then have.
#include "server/main/target_slots.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "common/base/strings.h"

namespace cairn {
namespace {

using testing::ElementsAre;

class TargetSlotsTest : public testing::Test {
 protected:
  TargetSlotsTest() {
    identity_.set_identity(77);
    for (uint32_t id : {4, 5}) identity_.add_targets(id);
  }
  void Place(uint32_t number, const std::string& path, bool removed) {
    disk::NodeIdentity::Place* place = identity_.add_places();
    place->set_number(number);
    place->set_path(path);
    place->set_removed(removed);
  }
  // "4 /dev/a", "- /dev/b" of one that has left.
  std::vector<std::string> Slots(const std::vector<std::string>& configured) {
    config::Server config;
    for (const std::string& path : configured) config.add_targets()->set_path(path);
    const auto slots = TargetSlots(config, identity_);
    if (!slots.ok()) return {std::string(slots.status().message())};
    std::vector<std::string> texts;
    for (const TargetSlot& slot : *slots)
      texts.push_back(StrCat(slot.removed ? "-" : StrCat(slot.id), " ", slot.settings.path()));
    return texts;
  }

  disk::NodeIdentity identity_;
};

TEST_F(TargetSlotsTest, TheConfigurationNumbersThem) {
  EXPECT_THAT(Slots({"/a", "/b"}), ElementsAre("4 /a", "5 /b"));
  EXPECT_THAT(Slots({"/a", "/b", "/c"}), ElementsAre("4 /a", "5 /b", "0 /c"));
  EXPECT_THAT(Slots({"/a"}), ElementsAre("target 5 (number 2) belongs to this cluster but is not "
                                         "configured any more; put it back"));
  EXPECT_THAT(Slots({""}), testing::SizeIs(1));
}

TEST_F(TargetSlotsTest, AnAddedOneNeedsNoConfigurationAndMayHaveIt) {
  identity_.add_targets(9);
  Place(2, "/c", false);
  EXPECT_THAT(Slots({"/a", "/b"}), ElementsAre("4 /a", "5 /b", "9 /c"));
  EXPECT_THAT(Slots({"/a", "/b", "/c"}), ElementsAre("4 /a", "5 /b", "9 /c"));
  EXPECT_THAT(Slots({"/c", "/a", "/b"}), ElementsAre("4 /a", "5 /b", "9 /c"));
  EXPECT_THAT(Slots({"/a", "/b", "/d"}), ElementsAre("4 /a", "5 /b", "9 /c", "0 /d"));
}

TEST_F(TargetSlotsTest, OneThatHasLeftMayStayInTheConfigurationOrGo) {
  identity_.set_targets(0, 0);
  Place(0, "/a", true);
  EXPECT_THAT(Slots({"/a", "/b"}), ElementsAre("- /a", "5 /b"));
  EXPECT_THAT(Slots({"/b"}), ElementsAre("- /a", "5 /b"));
  // Its device comes back as another target.
  identity_.add_targets(9);
  Place(2, "/a", false);
  EXPECT_THAT(Slots({"/a", "/b"}), ElementsAre("- /a", "5 /b", "9 /a"));
}

TEST_F(TargetSlotsTest, OneWithoutAnIdIsAskedForAgain) {
  Place(2, "/c", false);
  EXPECT_THAT(Slots({"/a", "/b"}), ElementsAre("4 /a", "5 /b", "0 /c"));
  identity_.set_identity(0);
  EXPECT_THAT(Slots({"/a", "/b"}), ElementsAre("4 /a", "5 /b")) << "the founding node forgets it";
}

TEST_F(TargetSlotsTest, TheFoundingNodesFirstOnesHaveTheFirstIds) {
  identity_.set_identity(0);
  identity_.clear_targets();
  EXPECT_THAT(Slots({"/a", "/b"}), ElementsAre("1 /a", "2 /b"));
}

TEST_F(TargetSlotsTest, WhatIsStoredIsFoundAgain) {
  config::Server config;
  for (const char* path : {"/a", ""}) config.add_targets()->set_path(path);
  auto slots = TargetSlots(config, identity_);
  ASSERT_TRUE(slots.ok()) << slots.status();
  (*slots)[1].removed = true;
  TargetSlot added;
  added.added = true;
  added.settings.set_path("/c");
  slots->push_back(added);
  StoreSlots(*slots, &identity_);
  EXPECT_THAT(identity_.targets(), ElementsAre(4, 0));
  EXPECT_THAT(Slots({"/a", ""}), ElementsAre("4 /a", "- ", "0 /c"));
  slots->back().id = 9;
  StoreSlots(*slots, &identity_);
  EXPECT_THAT(identity_.targets(), ElementsAre(4, 0, 9));
  EXPECT_THAT(Slots({"/a"}), ElementsAre("4 /a", "- ", "9 /c"));
}

}  // namespace
}  // namespace cairn
