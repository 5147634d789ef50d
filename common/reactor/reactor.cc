// The loop itself. One turn: messages, timers, ready coroutines, pollers; then either a look at the
// backend, or a sleep on it when nothing is left to do. Submissions of a turn reach the kernel
// together, in the call that also waits.
#include "common/reactor/reactor.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/reactor/backend.h"
#include "common/reactor/mailbox.h"
#include "common/reactor/poll_backend.h"
#include "common/reactor/ring_backend.h"
#include "common/reactor/step_meter.h"
#include "common/reactor/timer_queue.h"

namespace cairn {
namespace {

// Coroutines and timers that run between two looks at the backend and the pollers. A look costs
// about as much as three short steps; 64 steps keep that below 5 % and new events waiting for some
// 10 us.
constexpr int kStepsPerTurn = 64;
// Steps that checksum a stripe take hundreds of microseconds each: after this long, what has come
// meanwhile is looked at all the same.
constexpr absl::Duration kTurnTime = absl::Microseconds(300);

// A descriptor that wakes the loop, watched only while it sleeps.
struct WakeSource final : RingOperation {
  void Arm(ReactorBackend& backend, int fd) {
    if (armed) return;
    armed = true;
    fired = false;
    backend.ArmPoll(fd, POLLIN, this);
  }
  void OnCompletion(int32_t result) override {
    armed = false;
    fired = result > 0;
  }
  bool armed = false;
  bool fired = false;
};

// A null poller was removed; its slot stays until the kernel has let go of the wake source.
struct PollerSlot {
  Poller* poller;
  WakeSource wake;
};

}  // namespace

struct Reactor::Impl {
  explicit Impl(Options options_in) : options(options_in) {}

  void Turn();
  void RunMessages();
  void FireTimers();
  void RunReady();
  bool PollPollers();
  bool PollersMaySleep();
  void Sleep();

  const Options options;
  SystemClock clock;
  StepMeter meter;
  Mailbox mailbox;
  WakeSource mail_wake;
  TimerQueue timers;
  std::deque<std::coroutine_handle<>> ready;
  std::vector<Mailbox::Message> messages;
  std::vector<std::unique_ptr<PollerSlot>> pollers;
  bool stop = false;
  bool running = false;
  MonoTime busy_until;
  std::string refusal;
  // Last: the kernel lets go of everything above before it is destroyed.
  std::unique_ptr<ReactorBackend> backend;
};

void Reactor::Impl::Turn() {
  RunMessages();
  if (stop) return;
  FireTimers();
  RunReady();
  // Before the pollers: one look at a fabric may move megabytes, and the disk would stand idle.
  backend->Submit();
  const bool progress = PollPollers();
  if (progress || !ready.empty()) {
    backend->Poll();
    if (options.spin > absl::ZeroDuration()) busy_until = meter.last() + options.spin;
    return;
  }
  if (options.spin > absl::ZeroDuration()) {
    const MonoTime now = clock.Now();
    if (backend->Poll()) busy_until = now + options.spin;
    if (now < busy_until) return;
  }
  Sleep();
}

void Reactor::Impl::RunMessages() {
  mailbox.TakeAll(&messages);
  if (messages.empty()) return;
  // What follows a Stop() waits for the next Run().
  size_t done = 0;
  while (done < messages.size() && !stop) {
    messages[done++]();
    meter.StepDone();
  }
  messages.erase(messages.begin(), messages.begin() + done);
  if (options.spin > absl::ZeroDuration()) busy_until = meter.last() + options.spin;
}

void Reactor::Impl::FireTimers() {
  if (timers.next() == MonoTime::Never()) return;
  const MonoTime now = clock.Now();
  for (int steps = 0; steps < kStepsPerTurn; ++steps) {
    absl::AnyInvocable<void()> function = timers.TakeDue(now);
    if (!function) return;
    function();
    meter.StepDone();
  }
}

void Reactor::Impl::RunReady() {
  const MonoTime until = meter.last() + kTurnTime;
  for (int steps = 0; steps < kStepsPerTurn && !ready.empty() && meter.last() < until; ++steps) {
    const std::coroutine_handle<> next = ready.front();
    ready.pop_front();
    next.resume();
    meter.StepDone();
  }
}

bool Reactor::Impl::PollPollers() {
  bool progress = false;
  // By index: a poller may add or remove pollers.
  for (size_t i = 0; i < pollers.size(); ++i) {
    if (pollers[i]->poller == nullptr || !pollers[i]->poller->Poll()) continue;
    progress = true;
    meter.StepDone();
  }
  std::erase_if(pollers, [](const std::unique_ptr<PollerSlot>& slot) {
    return slot->poller == nullptr && !slot->wake.armed;
  });
  return progress;
}

bool Reactor::Impl::PollersMaySleep() {
  for (const auto& slot : pollers) {
    if (slot->poller != nullptr && !slot->poller->PrepareToSleep()) return false;
  }
  for (const auto& slot : pollers) {
    if (slot->poller != nullptr) slot->wake.Arm(*backend, slot->poller->wait_fd());
  }
  return true;
}

void Reactor::Impl::Sleep() {
  if (!ready.empty() || !PollersMaySleep() || !mailbox.BeginSleep()) {
    backend->Poll();
    return;
  }
  mail_wake.Arm(*backend, mailbox.fd());
  absl::Duration timeout = absl::InfiniteDuration();
  if (timers.next() != MonoTime::Never()) {
    timeout = std::max(absl::ZeroDuration(), timers.next() - clock.Now());
  }
  backend->Wait(timeout);
  mailbox.EndSleep();
  if (std::exchange(mail_wake.fired, false)) mailbox.Drain();
}

absl::StatusOr<std::unique_ptr<Reactor>> Reactor::Create(Options options) {
  auto impl = std::make_unique<Impl>(options);
  if (options.backend != Backend::kPoll) {
    absl::StatusOr<std::unique_ptr<RingBackend>> ring =
        RingBackend::Create(options.ring_entries, &impl->meter);
    if (ring.ok()) {
      impl->backend = *std::move(ring);
    } else if (options.backend == Backend::kIoUring) {
      return ring.status();
    } else {
      impl->refusal = std::string(ring.status().message());
    }
  } else {
    impl->refusal = "io_uring is switched off by configuration";
  }
  if (impl->backend == nullptr) impl->backend = std::make_unique<PollBackend>(&impl->meter);
  return std::unique_ptr<Reactor>(new Reactor(std::move(impl)));
}

Reactor::Reactor(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Reactor::~Reactor() { CAIRN_CHECK(!impl_->running); }

void Reactor::Run() {
  Impl& impl = *impl_;
  CAIRN_CHECK(!impl.running);
  Running running(this);
  impl.running = true;
  impl.backend->BindToThread();
  impl.meter.Start();
  impl.stop = false;
  while (!impl.stop) impl.Turn();
  impl.running = false;
}

void Reactor::Stop() {
  // As a message, so that the caller has let go of the reactor by the time Run() returns.
  impl_->mailbox.Push([impl = impl_.get()] { impl->stop = true; });
}

void Reactor::Post(std::coroutine_handle<> handle) {
  // Before Run() its future thread may post; afterwards only coroutines of this reactor.
  CAIRN_CHECK(CurrentOrNull() == this || !impl_->running);
  impl_->ready.push_back(handle);
}

void Reactor::PostRemote(absl::AnyInvocable<void()> function) {
  impl_->mailbox.Push(std::move(function));
}

TimerId Reactor::AddTimer(MonoTime at, absl::AnyInvocable<void()> function) {
  return impl_->timers.Add(at, std::move(function));
}

bool Reactor::CancelTimer(TimerId timer) { return impl_->timers.Cancel(timer); }

Clock& Reactor::clock() { return impl_->clock; }

void Reactor::AddPoller(Poller* poller) {
  impl_->pollers.push_back(std::make_unique<PollerSlot>(PollerSlot{poller, {}}));
}

void Reactor::RemovePoller(Poller* poller) {
  for (const auto& slot : impl_->pollers) {
    if (slot->poller != poller) continue;
    slot->poller = nullptr;
    if (slot->wake.armed) impl_->backend->DisarmPoll(&slot->wake);
    return;
  }
  CheckFailed(__FILE__, __LINE__, "removed a poller that was never added");
}

namespace {

// One wait for one descriptor. It ends only with the backend's report, also after its deadline,
// because the backend holds its address until then.
struct DescriptorWait final : RingOperation {
  Executor& executor;
  ReactorBackend& backend;
  int fd;
  short events;
  Deadline deadline;
  std::coroutine_handle<> waiter;
  TimerId timer = 0;
  int32_t result = 0;

  DescriptorWait(Executor& executor_in, ReactorBackend& backend_in, int fd_in, short events_in,
                 Deadline deadline_in)
      : executor(executor_in),
        backend(backend_in),
        fd(fd_in),
        events(events_in),
        deadline(deadline_in) {}

  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> handle) {
    waiter = handle;
    backend.ArmPoll(fd, events, this);
    if (deadline.at() == MonoTime::Never()) return;
    timer = executor.AddTimer(deadline.at(), [this] {
      timer = 0;
      backend.DisarmPoll(this);
    });
  }
  void await_resume() const {}
  void OnCompletion(int32_t completed_with) override {
    result = completed_with;
    if (timer != 0) executor.CancelTimer(timer);
    executor.Post(waiter);
  }
};

Task<absl::Status> WaitForEvents(Executor& executor, ReactorBackend& backend, int fd, short events,
                                 Deadline deadline) {
  DescriptorWait wait(executor, backend, fd, events, deadline);
  co_await wait;
  if (wait.result >= 0) co_return absl::OkStatus();
  if (wait.result == -ECANCELED) {
    co_return absl::DeadlineExceededError("nothing happened on the descriptor in time");
  }
  co_return absl::ErrnoToStatus(-wait.result, absl::StrCat("waiting for descriptor ", fd));
}

}  // namespace

Task<absl::Status> Reactor::WaitReadable(int fd, Deadline deadline) {
  return WaitForEvents(*this, *impl_->backend, fd, POLLIN, deadline);
}

Task<absl::Status> Reactor::WaitWritable(int fd, Deadline deadline) {
  return WaitForEvents(*this, *impl_->backend, fd, POLLOUT, deadline);
}

io_uring* Reactor::ring() { return impl_->backend->ring(); }

io_uring_sqe* Reactor::GetSqe(RingOperation* operation) {
  return impl_->backend->GetSqe(operation);
}

const std::string& Reactor::ring_refusal() const { return impl_->refusal; }

absl::Duration Reactor::TakeLongestStep() { return impl_->meter.TakeLongest(); }

Reactor::Load Reactor::load() const {
  const StepMeter& meter = impl_->meter;
  return {meter.busy(), meter.stalled(), meter.stalls()};
}

}  // namespace cairn
