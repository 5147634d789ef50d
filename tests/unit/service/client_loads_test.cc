// Goal: what clients move is told of the last whole second, in bounded memory. Method: times as
// values.
#include "server/service/client_loads.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cairn {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

MonoTime At(int64_t ms) { return MonoTime(ms * 1'000'000); }

TEST(ClientLoads, RatesAreOfTheLastWholeWindow) {
  ClientLoads loads;
  const SessionId session(7);
  loads.Wrote(session, 100, At(10'100));
  EXPECT_THAT(loads.Rates(At(10'900)), IsEmpty());
  loads.Wrote(session, 50, At(10'950));
  loads.Read(session, 5, At(10'999));
  auto rates = loads.Rates(At(11'000));
  ASSERT_THAT(rates, SizeIs(1));
  EXPECT_EQ(rates[0].session, session);
  EXPECT_EQ(rates[0].written_bytes_per_second, 150u);
  EXPECT_EQ(rates[0].read_bytes_per_second, 5u);
  // What comes meanwhile is the next window's.
  loads.Wrote(session, 1, At(11'500));
  EXPECT_EQ(loads.Rates(At(11'900))[0].written_bytes_per_second, 150u);
  EXPECT_EQ(loads.Rates(At(12'000))[0].written_bytes_per_second, 1u);
  EXPECT_THAT(loads.Rates(At(13'000)), IsEmpty());
  // After a pause nothing old is told.
  loads.Wrote(session, 9, At(20'000));
  EXPECT_THAT(loads.Rates(At(20'500)), IsEmpty());
}

TEST(ClientLoads, IdleSessionsMakeRoomAndBusyOnesStay) {
  ClientLoads loads;
  for (uint64_t i = 1; i <= ClientLoads::kSessionsMax; ++i) loads.Wrote(SessionId(i), 1, At(1'000));
  loads.Wrote(SessionId(1'000'000), 1, At(1'500));
  EXPECT_THAT(loads.Rates(At(2'000)), SizeIs(ClientLoads::kSessionsMax));
  loads.Wrote(SessionId(1), 1, At(3'000));
  loads.Wrote(SessionId(1'000'000), 2, At(3'000));
  EXPECT_THAT(loads.Rates(At(4'000)), SizeIs(2));
}

TEST(ClientLoads, TheBusiestOfSeveralCoresAreSummed) {
  const auto busiest = Busiest(
      {{SessionId(1), 10, 0}, {SessionId(2), 3, 4}, {SessionId(1), 0, 1}, {SessionId(3), 5, 2}}, 2);
  ASSERT_THAT(busiest, SizeIs(2));
  EXPECT_EQ(busiest[0].session, SessionId(1));
  EXPECT_EQ(busiest[0].total(), 11u);
  EXPECT_EQ(busiest[1].session, SessionId(2));
}

}  // namespace
}  // namespace cairn
