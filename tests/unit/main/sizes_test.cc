// Goal: targets are dealt out evenly to a node's reactors, and none shares one with the metadata
// where there are enough. Method: all small shapes.
#include "server/main/sizes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace cairn {
namespace {

std::vector<uint32_t> TargetsOfReactors(uint32_t targets, uint32_t reactors, bool has_metadata) {
  std::vector<uint32_t> held(reactors);
  for (uint32_t number = 0; number < targets; ++number)
    ++held.at(ReactorOf(number, reactors, has_metadata));
  return held;
}

TEST(ReactorOf, DealsTargetsOutEvenly) {
  for (uint32_t reactors = 1; reactors <= 16; ++reactors) {
    for (uint32_t targets = 1; targets <= 24; ++targets) {
      for (const bool has_metadata : {false, true}) {
        const std::vector<uint32_t> held = TargetsOfReactors(targets, reactors, has_metadata);
        const bool spares_one = has_metadata && reactors >= kReactorsToSpareOne;
        const auto first = held.begin() + (spares_one ? 1 : 0);
        const auto [fewest, most] = std::minmax_element(first, held.end());
        EXPECT_LE(*most - *fewest, 1u) << targets << " targets, " << reactors << " reactors";
        if (spares_one) EXPECT_EQ(held.front(), 0u);
      }
    }
  }
}

}  // namespace
}  // namespace cairn
