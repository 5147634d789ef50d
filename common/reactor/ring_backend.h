// The reactor's io_uring ring. It belongs to one thread, so that the kernel takes no lock
// (SINGLE_ISSUER) and runs completion work only when that thread asks for it (DEFER_TASKRUN): no
// interrupted steps, better batches.
#pragma once

#include <liburing.h>

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "common/reactor/backend.h"
#include "common/reactor/step_meter.h"

namespace cairn {

class RingBackend final : public ReactorBackend {
 public:
  // FAILED_PRECONDITION when the kernel refuses; the message says why and which setting to change.
  static absl::StatusOr<std::unique_ptr<RingBackend>> Create(unsigned entries, StepMeter* meter);
  // REQUIRES: every operation of GetSqe() has completed.
  ~RingBackend() override;

  void BindToThread() override;
  void ArmPoll(int fd, short events, RingOperation* operation) override;
  void DisarmPoll(RingOperation* operation) override;
  void Submit() override;
  bool Poll() override;
  void Wait(absl::Duration timeout) override;
  io_uring* ring() override { return &ring_; }
  io_uring_sqe* GetSqe(RingOperation* operation) override;

 private:
  explicit RingBackend(StepMeter* meter) : meter_(meter) {}
  io_uring_sqe* NextSqe();
  bool Collect();
  bool Dispatch();

  StepMeter* const meter_;
  io_uring ring_{};
  bool enabled_ = false;
  // Operations of GetSqe() that the kernel still works on.
  int64_t outstanding_ = 0;
  // Completions taken from the ring. Apart from it, because an operation that completes may need
  // the ring.
  std::vector<std::pair<uint64_t, int32_t>> completed_;
  std::vector<std::pair<uint64_t, int32_t>> dispatching_;
};

}  // namespace cairn
