// What counting costs where it happens: a duration of a device's operation, and a step of a
// reactor. The clock's reads are measured apart, since they were there before anybody counted.
#include "benchmark/benchmark.h"

#include "common/base/clock.h"
#include "common/reactor/step_meter.h"
#include "common/telemetry/operation_times.h"

namespace cairn {
namespace {

void BM_ClockRead(benchmark::State& state) {
  const SystemClock clock;
  for (auto unused : state) benchmark::DoNotOptimize(clock.Now());
}
BENCHMARK(BM_ClockRead);

void BM_WindowAlone(benchmark::State& state) {
  LatencyWindow window;
  benchmark::DoNotOptimize(&window);
  int64_t at = 0;
  for (auto unused : state) {
    at += 977;
    window.Record(MonoTime(at), MonoTime(at * 3));
    benchmark::ClobberMemory();
  }
}
BENCHMARK(BM_WindowAlone);

void BM_OperationTimesRecord(benchmark::State& state) {
  OperationTimes times;
  benchmark::DoNotOptimize(&times);
  int64_t at = 0;
  for (auto unused : state) {
    at += 977;
    times.Record(MonoTime(at), MonoTime(at * 3));
    benchmark::ClobberMemory();
  }
}
BENCHMARK(BM_OperationTimesRecord);

// Its clock read included.
void BM_ReactorStep(benchmark::State& state) {
  StepMeter meter;
  benchmark::DoNotOptimize(&meter);
  meter.Start();
  for (auto unused : state) {
    meter.StepDone();
    benchmark::ClobberMemory();
  }
}
BENCHMARK(BM_ReactorStep);

}  // namespace
}  // namespace cairn
