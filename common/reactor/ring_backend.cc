#include "common/reactor/ring_backend.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"

namespace cairn {
namespace {

// user_data is the operation's address. Polls, which the reactor arms for itself, have the low bit
// set, so that only operations of GetSqe() count as outstanding; 0 is a cancel request, whose
// result nobody needs.
constexpr uint64_t kPollTag = 1;

// Linux 6.1 has them all.
constexpr unsigned kWantedFlags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                                  IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
                                  IORING_SETUP_SUBMIT_ALL;
// Waiting with a timeout without a timeout entry, and no lost completions (Linux 5.11).
constexpr unsigned kNeededFeatures = IORING_FEAT_EXT_ARG | IORING_FEAT_NODROP;

// Counts rings closed. A new ring may be given the memory of one that another thread has closed;
// the kernel sees to the order, and this tells ThreadSanitizer, which does not see liburing's
// munmap().
std::atomic<uint64_t> rings_closed = 0;

uint64_t PollData(RingOperation* operation) {
  return reinterpret_cast<uint64_t>(operation) | kPollTag;
}

std::string DisabledSetting() {
  std::ifstream file("/proc/sys/kernel/io_uring_disabled");
  std::string value;
  return file >> value ? value : "unknown";
}

absl::Status Refusal(int error) {
  std::string advice;
  switch (error) {
    case EPERM:
      advice =
          absl::StrCat("kernel.io_uring_disabled is ", DisabledSetting(),
                       "; set it to 0, or allow io_uring_setup in the container's seccomp profile");
      break;
    case ENOSYS:
      advice = "this kernel has no io_uring, or a seccomp profile hides it";
      break;
    case ENOMEM:
      advice = "raise the locked memory limit (ulimit -l)";
      break;
    case EINVAL:
      advice = "the kernel is too old; Linux 5.11 or later is needed, 6.1 is better";
      break;
    default:
      advice = "see io_uring_setup(2)";
  }
  return absl::FailedPreconditionError(
      absl::StrCat("the kernel refuses io_uring (", std::strerror(error), "): ", advice));
}

// What a submission may report without anything being wrong: try again later.
bool IsTransient(int result) {
  return result >= 0 || result == -EINTR || result == -EAGAIN || result == -EBUSY ||
         result == -ETIME;
}

}  // namespace

absl::StatusOr<std::unique_ptr<RingBackend>> RingBackend::Create(unsigned entries,
                                                                 StepMeter* meter) {
  auto backend = std::unique_ptr<RingBackend>(new RingBackend(meter));
  int result = -EINVAL;
  io_uring_params params{};
  // Disabled until Run(): the thread that enables a SINGLE_ISSUER ring is its issuer.
  for (const unsigned flags :
       {kWantedFlags | IORING_SETUP_R_DISABLED, unsigned{IORING_SETUP_R_DISABLED}}) {
    params = {};
    params.flags = flags;
    result = io_uring_queue_init_params(entries, &backend->ring_, &params);
    if (result != -EINVAL) break;
  }
  if (result < 0) {
    backend->ring_.ring_fd = -1;
    return Refusal(-result);
  }
  (void)rings_closed.load(std::memory_order_acquire);
  if ((params.features & kNeededFeatures) != kNeededFeatures) return Refusal(EINVAL);
  return backend;
}

RingBackend::~RingBackend() {
  // The kernel may still write to the memory of whatever is outstanding.
  CAIRN_CHECK(outstanding_ == 0);
  if (ring_.ring_fd < 0) return;
  rings_closed.fetch_add(1, std::memory_order_release);
  io_uring_queue_exit(&ring_);
}

void RingBackend::BindToThread() {
  if (enabled_) return;
  // Not io_uring_enable_rings(): liburing before 2.4 declares it but does not export it.
  CAIRN_CHECK(syscall(__NR_io_uring_register, ring_.ring_fd, IORING_REGISTER_ENABLE_RINGS, nullptr,
                      0) == 0);
  enabled_ = true;
}

io_uring_sqe* RingBackend::NextSqe() {
  io_uring_sqe* entry = io_uring_get_sqe(&ring_);
  while (entry == nullptr) {
    CAIRN_CHECK(IsTransient(io_uring_submit_and_get_events(&ring_)));
    Collect();  // a full completion queue makes older kernels refuse submissions
    entry = io_uring_get_sqe(&ring_);
  }
  return entry;
}

io_uring_sqe* RingBackend::GetSqe(RingOperation* operation) {
  io_uring_sqe* entry = NextSqe();
  ++outstanding_;
  io_uring_sqe_set_data(entry, operation);
  return entry;
}

void RingBackend::ArmPoll(int fd, short events, RingOperation* operation) {
  io_uring_sqe* entry = NextSqe();
  io_uring_prep_poll_add(entry, fd, static_cast<unsigned short>(events));
  io_uring_sqe_set_data64(entry, PollData(operation));
}

void RingBackend::DisarmPoll(RingOperation* operation) {
  io_uring_sqe* entry = NextSqe();
  io_uring_prep_poll_remove(entry, PollData(operation));
  io_uring_sqe_set_data64(entry, 0);
}

void RingBackend::Submit() {
  if (io_uring_sq_ready(&ring_) > 0) CAIRN_CHECK(IsTransient(io_uring_submit(&ring_)));
}

bool RingBackend::Poll() {
  const unsigned flags = IO_URING_READ_ONCE(*ring_.sq.kflags);
  if (io_uring_sq_ready(&ring_) > 0 || (flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0) {
    CAIRN_CHECK(IsTransient(io_uring_submit_and_get_events(&ring_)));
  }
  Collect();
  return Dispatch();
}

void RingBackend::Wait(absl::Duration timeout) {
  if (!completed_.empty()) timeout = absl::ZeroDuration();
  const int64_t nanoseconds = absl::ToInt64Nanoseconds(timeout);
  __kernel_timespec limit{nanoseconds / 1'000'000'000, nanoseconds % 1'000'000'000};
  io_uring_cqe* first = nullptr;
  CAIRN_CHECK(IsTransient(io_uring_submit_and_wait_timeout(
      &ring_, &first, 1, timeout == absl::InfiniteDuration() ? nullptr : &limit, nullptr)));
  meter_->Start();
  Collect();
  Dispatch();
}

bool RingBackend::Collect() {
  unsigned head = 0;
  unsigned count = 0;
  io_uring_cqe* completion = nullptr;
  io_uring_for_each_cqe(&ring_, head, completion) {
    completed_.emplace_back(completion->user_data, completion->res);
    ++count;
  }
  io_uring_cq_advance(&ring_, count);
  return count > 0;
}

bool RingBackend::Dispatch() {
  dispatching_.swap(completed_);
  bool any = false;
  for (const auto& [data, result] : dispatching_) {
    if (data == 0) continue;
    any = true;
    if ((data & kPollTag) == 0) --outstanding_;
    reinterpret_cast<RingOperation*>(data & ~kPollTag)->OnCompletion(result);
    meter_->StepDone();
  }
  dispatching_.clear();
  return any;
}

}  // namespace cairn
