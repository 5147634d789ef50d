#include "common/telemetry/trace.h"

#include <unistd.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/clock.h"

namespace cairn {
namespace trace_internal {

std::atomic<bool> enabled{false};

namespace {

// Some seconds of a busy core; 256 KiB a thread, allocated at its first span.
constexpr size_t kSpansPerThread = 8192;
// Threads that ended keep their spans for a dump, until this many rings are there.
constexpr size_t kMaxRings = 256;

struct Span {
  const char* name;
  uint64_t subject;
  int64_t start_nanoseconds;
  int64_t end_nanoseconds;
};

// The lock is the owner's alone but for the moment of a dump.
struct Ring {
  std::mutex mutex;
  std::vector<Span> spans;
  uint64_t recorded = 0;
  pid_t thread = gettid();
};

struct Rings {
  std::mutex mutex;
  std::vector<std::shared_ptr<Ring>> all;
};

// Never destroyed: threads may end after main().
Rings& AllRings() {
  static Rings& rings = *new Rings;
  return rings;
}

std::shared_ptr<Ring> MakeRing() {
  auto ring = std::make_shared<Ring>();
  ring->spans.reserve(kSpansPerThread);
  Rings& rings = AllRings();
  std::lock_guard<std::mutex> lock(rings.mutex);
  if (rings.all.size() >= kMaxRings) {
    std::erase_if(rings.all, [](const std::shared_ptr<Ring>& old) { return old.use_count() == 1; });
  }
  rings.all.push_back(ring);
  return ring;
}

// Asynchronous events, because the spans of coroutines on one thread overlap without nesting.
void AppendSpan(const Span& span, pid_t thread, uint64_t id, std::string* json) {
  for (const auto& [phase, nanoseconds] :
       {std::pair('b', span.start_nanoseconds), std::pair('e', span.end_nanoseconds)}) {
    absl::StrAppendFormat(
        json,
        "%s\n{\"name\":\"%s\",\"cat\":\"cairn\",\"ph\":\"%c\",\"id\":\"%d.%d\",\"pid\":%d,"
        "\"tid\":%d,\"ts\":%d.%03d,\"args\":{\"subject\":\"%d\"}}",
        json->back() == '[' ? "" : ",", span.name, phase, thread, id, getpid(), thread,
        nanoseconds / 1000, nanoseconds % 1000, span.subject);
  }
}

}  // namespace

int64_t NowNanoseconds() { return SystemClock().Now().nanoseconds(); }

void Record(const char* name, uint64_t subject, int64_t start_nanoseconds) {
  thread_local const std::shared_ptr<Ring> ring = MakeRing();
  const Span span{name, subject, start_nanoseconds, NowNanoseconds()};
  std::lock_guard<std::mutex> lock(ring->mutex);
  if (ring->spans.size() < kSpansPerThread) {
    ring->spans.push_back(span);
  } else {
    ring->spans[ring->recorded % kSpansPerThread] = span;
  }
  ++ring->recorded;
}

}  // namespace trace_internal

void SetTracing(bool on) { trace_internal::enabled.store(on, std::memory_order_relaxed); }

std::string DumpTraceJson() {
  trace_internal::Rings& rings = trace_internal::AllRings();
  std::string json = "{\"traceEvents\":[";
  std::lock_guard<std::mutex> lock(rings.mutex);
  for (const auto& ring : rings.all) {
    std::lock_guard<std::mutex> ring_lock(ring->mutex);
    uint64_t id = 0;
    for (const auto& span : ring->spans)
      trace_internal::AppendSpan(span, ring->thread, ++id, &json);
  }
  return json + "\n]}\n";
}

}  // namespace cairn
