// Trace spans: recorded only when switched on, bounded, and readable as JSON.
#include "common/telemetry/trace.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

namespace cairn {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class TraceTest : public ::testing::Test {
 protected:
  void TearDown() override { SetTracing(false); }
  static size_t Count(const std::string& text, const std::string& what) {
    size_t count = 0;
    for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1))
      ++count;
    return count;
  }
};

TEST_F(TraceTest, SpansAreRecordedOnlyWhenOn) {
  { TraceSpan span("WhileOff"); }
  SetTracing(true);
  { TraceSpan span("WhileOn", 42); }
  const std::string json = DumpTraceJson();
  EXPECT_THAT(json, Not(HasSubstr("WhileOff")));
  EXPECT_EQ(Count(json, "WhileOn"), 2u) << "one begin and one end";
  EXPECT_THAT(json, HasSubstr("\"subject\":\"42\""));
  EXPECT_EQ(Count(json, "{"), Count(json, "}"));
}

TEST_F(TraceTest, SpanThatBeganWhileOnIsRecordedAfterSwitchingOff) {
  SetTracing(true);
  {
    TraceSpan span("Straddles");
    SetTracing(false);
  }
  EXPECT_EQ(Count(DumpTraceJson(), "Straddles"), 2u);
}

TEST_F(TraceTest, EachThreadKeepsItsLastSpansPastItsEnd) {
  SetTracing(true);
  std::thread thread([] {
    { TraceSpan span("Overwritten"); }
    for (int i = 0; i < 8192; ++i) TraceSpan span("Kept");
  });
  thread.join();
  const std::string json = DumpTraceJson();
  EXPECT_EQ(Count(json, "\"Kept\""), 2u * 8192);
  EXPECT_THAT(json, Not(HasSubstr("Overwritten")));
}

}  // namespace
}  // namespace cairn
