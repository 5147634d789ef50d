// The reactor's way to sleep where the kernel refuses io_uring: ppoll over everything armed. Linear
// in the number of descriptors, which is fine for a client and bearable for a small server.
#pragma once

#include <poll.h>

#include <utility>
#include <vector>

#include "common/reactor/backend.h"
#include "common/reactor/step_meter.h"

namespace cairn {

class PollBackend final : public ReactorBackend {
 public:
  explicit PollBackend(StepMeter* meter) : meter_(meter) {}

  void BindToThread() override {}
  void ArmPoll(int fd, short events, RingOperation* operation) override;
  void DisarmPoll(RingOperation* operation) override;
  void Submit() override {}
  bool Poll() override;
  void Wait(absl::Duration timeout) override;
  io_uring* ring() override { return nullptr; }
  io_uring_sqe* GetSqe(RingOperation*) override { return nullptr; }

 private:
  void Collect(const timespec* timeout);
  bool Dispatch();
  void RemoveAt(size_t index);

  StepMeter* const meter_;
  // descriptors_[i] belongs to operations_[i].
  std::vector<pollfd> descriptors_;
  std::vector<RingOperation*> operations_;
  std::vector<std::pair<RingOperation*, int32_t>> completed_;
  std::vector<std::pair<RingOperation*, int32_t>> dispatching_;
};

}  // namespace cairn
