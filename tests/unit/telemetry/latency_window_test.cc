// Goal: a window of latencies tells the percentiles of what was lately, and forgets the rest.
// Method: injected times.
#include "common/telemetry/latency_window.h"

#include <gtest/gtest.h>

namespace cairn {
namespace {

MonoTime At(absl::Duration since_start) { return MonoTime(0) + since_start; }

TEST(LatencyWindow, TellsPercentilesOfWhatItHolds) {
  LatencyWindow window;
  EXPECT_EQ(window.Summarize(At(absl::Hours(1)), absl::Hours(1)).samples, 0u);
  for (int i = 100; i >= 1; --i) window.Record(At(absl::Seconds(1)), At(absl::Seconds(1 + i)));
  const LatencyWindow::Summary summary = window.Summarize(At(absl::Seconds(101)), absl::Hours(1));
  EXPECT_EQ(summary.samples, 100u);
  EXPECT_EQ(summary.p50, absl::Seconds(50));
  EXPECT_EQ(summary.p99, absl::Seconds(99));
  EXPECT_EQ(summary.max, absl::Seconds(100));
}

TEST(LatencyWindow, ForgetsWhatIsOldAndWhatIsTooMuch) {
  LatencyWindow window;
  window.Record(At(absl::Seconds(0)), At(absl::Seconds(10)));
  window.Record(At(absl::Seconds(60)), At(absl::Seconds(61)));
  EXPECT_EQ(window.Summarize(At(absl::Seconds(70)), absl::Seconds(60)).max, absl::Seconds(10));
  EXPECT_EQ(window.Summarize(At(absl::Seconds(71)), absl::Seconds(60)).max, absl::Seconds(1));
  for (size_t i = 0; i < LatencyWindow::kSamples; ++i)
    window.Record(At(absl::Seconds(60)), At(absl::Seconds(62)));
  const LatencyWindow::Summary summary = window.Summarize(At(absl::Seconds(70)), absl::Hours(1));
  EXPECT_EQ(summary.samples, LatencyWindow::kSamples);
  EXPECT_EQ(summary.max, absl::Seconds(2));
  EXPECT_EQ(summary.p50, absl::Seconds(2));
}

}  // namespace
}  // namespace cairn
