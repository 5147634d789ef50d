#include "tests/sim/sim_executor.h"

#include <sys/personality.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace cairn {
namespace {

// The order of hash tables, and of pointers, is that of addresses, which each process draws anew.
// One that replays a seed has them fixed, where the machine lets it.
[[gnu::constructor]] void FixAddresses() {
  if (std::getenv("CAIRN_SEED") == nullptr) return;
  constexpr unsigned long kAsk = 0xffffffff;
  const int now = personality(kAsk);
  if (now < 0 || (now & ADDR_NO_RANDOMIZE) != 0) return;
  if (personality(static_cast<unsigned long>(now) | ADDR_NO_RANDOMIZE) < 0) return;
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  std::string words((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  std::vector<char*> arguments;
  for (size_t at = 0; at < words.size(); at += std::strlen(&words[at]) + 1)
    arguments.push_back(&words[at]);
  arguments.push_back(nullptr);
  execv("/proc/self/exe", arguments.data());  // else it goes on as it is
}

}  // namespace

void SimExecutor::Spawn(Task<void> task) {
  Running running(this);
  scope_.Spawn(std::move(task));
}

// One of: the next message, the next due timer, any ready coroutine.
bool SimExecutor::Step() {
  Running running(this);
  const bool timer_due = timers_.next() <= clock_.Now();
  const size_t choices = ready_.size() + (messages_.empty() ? 0 : 1) + (timer_due ? 1 : 0);
  if (choices == 0) return false;
  const size_t choice = random_.Below(choices);
  if (choice < ready_.size()) {
    const std::coroutine_handle<> next = std::exchange(ready_[choice], ready_.back());
    ready_.pop_back();
    next.resume();
  } else if (choice == ready_.size() && !messages_.empty()) {
    absl::AnyInvocable<void()> message = std::move(messages_.front());
    messages_.pop_front();
    message();
  } else {
    timers_.TakeDue(clock_.Now())();
  }
  return true;
}

void SimExecutor::RunUntilIdle() {
  while (Step()) {
  }
}

void SimExecutor::RunFor(absl::Duration duration) {
  const MonoTime end = clock_.Now() + duration;
  RunUntilIdle();
  while (timers_.next() <= end) {
    clock_.Advance(timers_.next() - clock_.Now());
    RunUntilIdle();
  }
  clock_.Advance(end - clock_.Now());
}

void SimExecutor::RunUntil(const bool* done) {
  const MonoTime limit = clock_.Now() + hang_limit_;
  while (!*done) {
    if (Step()) continue;
    if (timers_.next() == MonoTime::Never())
      Fail("deadlock: the task waits and nothing can run any more");
    if (timers_.next() > limit)
      Fail("hang: the task did not end within the limit of simulated time");
    clock_.Advance(timers_.next() - clock_.Now());
  }
}

void SimExecutor::Fail(const char* what) const {
  std::fprintf(stderr, "simulation, seed %" PRIu64 ": %s\n", seed_, what);
  std::fflush(stderr);
  std::abort();
}

namespace {

struct RunAsMessage {
  absl::AnyInvocable<void()>& function;
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> caller) {
    Executor& executor = Executor::Current();
    executor.PostRemote([this, caller, &executor] {
      function();
      executor.Post(caller);
    });
  }
  void await_resume() const {}
};

}  // namespace

Task<void> SimBlockingRunner::Run(absl::AnyInvocable<void()> function) {
  RunAsMessage run{function};
  co_await run;
}

}  // namespace cairn
