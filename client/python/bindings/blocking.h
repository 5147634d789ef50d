// Waiting for the SDK from Python: without the GIL, and never deaf to Ctrl-C. Python runs signal
// handlers on the main thread only and only between bytecodes, so there a call works on a thread of
// its own while the main thread waits in short slices; on any other thread it runs in place.
#pragma once

#include <pybind11/pybind11.h>

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <type_traits>
#include <utility>

namespace cairn::python {

// How long Ctrl-C may wait. A call that ends wakes its waiter at once, so this costs no latency.
inline constexpr std::chrono::milliseconds kSignalPoll{50};

// REQUIRES: the GIL is held.
bool OnMainThread();

// Runs `body` and returns its value. `body` owns by value all that it uses: when a signal handler
// raises, this throws at once and `body` goes on behind it until its own deadline. REQUIRES: the
// GIL is held.
template <class Body>
std::invoke_result_t<Body&> Blocking(Body body) {
  using Result = std::invoke_result_t<Body&>;
  if (!OnMainThread()) {
    pybind11::gil_scoped_release release;
    return body();
  }
  struct Call {
    explicit Call(Body b) : body(std::move(b)) {}
    Body body;
    std::mutex mutex;
    std::condition_variable ended;
    std::optional<Result> result;
  };
  auto call = std::make_shared<Call>(std::move(body));
  // Detached: it shares nothing with this frame but `call`, and the SDK's deadlines end it.
  std::thread([call] {
    Result result = call->body();
    std::lock_guard lock(call->mutex);
    call->result.emplace(std::move(result));
    call->ended.notify_all();
  }).detach();
  while (true) {
    {
      pybind11::gil_scoped_release release;
      std::unique_lock lock(call->mutex);
      if (call->ended.wait_for(lock, kSignalPoll, [&] { return call->result.has_value(); })) {
        return *std::move(call->result);
      }
    }
    if (PyErr_CheckSignals() != 0) throw pybind11::error_already_set();
  }
}

}  // namespace cairn::python
