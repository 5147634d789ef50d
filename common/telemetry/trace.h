// Trace spans: where the time of one request went, file by file. Off by default; then a span costs
// one load. On, each thread keeps its last spans in a ring of its own, and a dump shows them in
// chrome://tracing or Perfetto.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

namespace cairn {

// Process-wide, because a trace is of the process. From any thread.
void SetTracing(bool on);

// The last spans of all threads as Chrome trace JSON. From any thread.
std::string DumpTraceJson();

namespace trace_internal {

extern std::atomic<bool> enabled;
int64_t NowNanoseconds();
void Record(const char* name, uint64_t subject, int64_t start_nanoseconds);

}  // namespace trace_internal

// Records from its construction to its destruction, on one thread; awaits in between are fine.
// `name` is a literal: the name of the function or await it covers. `subject` tells spans of one
// name apart (a stripe, a request).
class TraceSpan {
 public:
  explicit TraceSpan(const char* name, uint64_t subject = 0) {
    if (!trace_internal::enabled.load(std::memory_order_relaxed)) [[likely]]
      return;
    name_ = name;
    subject_ = subject;
    start_nanoseconds_ = trace_internal::NowNanoseconds();
  }
  ~TraceSpan() {
    if (name_ != nullptr) [[unlikely]]
      trace_internal::Record(name_, subject_, start_nanoseconds_);
  }
  TraceSpan(const TraceSpan&) = delete;
  TraceSpan& operator=(const TraceSpan&) = delete;

 private:
  const char* name_ = nullptr;
  uint64_t subject_ = 0;
  int64_t start_nanoseconds_ = 0;
};

}  // namespace cairn
