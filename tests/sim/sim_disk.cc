#include "tests/sim/sim_disk.h"

#include <algorithm>
#include <coroutine>
#include <cstring>
#include <utility>

#include "common/base/check.h"
#include "common/task/executor.h"
#include "common/task/stop.h"

namespace cairn {
namespace {

struct NextStep {
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> self) { Executor::Current().Post(self); }
  void await_resume() const {}
};

absl::Status PowerIsOff() { return absl::UnavailableError("simulated: the power is off"); }

}  // namespace

SimDisk::SimDisk(uint64_t size_bytes, uint64_t seed)
    : random_(seed), live_(size_bytes), durable_(size_bytes) {
  CAIRN_CHECK(size_bytes % block_bytes() == 0);
}

SimDisk::~SimDisk() { CAIRN_CHECK(under_way_ == 0); }

Task<void> SimDisk::SomeSteps() {
  const uint64_t steps = 1 + random_.Below(4);
  for (uint64_t i = 0; i < steps; ++i) {
    NextStep step;
    co_await step;
  }
  if (delay_ > absl::ZeroDuration()) {
    StopSource never;
    (void)co_await SleepFor(delay_, never);
  }
}

absl::Status SimDisk::TakeFault(Kind kind) {
  Fault& fault = faults_[static_cast<int>(kind)];
  if (fault.every) {
    ++faults_fired_;
    return fault.error;
  }
  if (fault.skip < 0 || fault.skip-- > 0) return absl::OkStatus();
  ++faults_fired_;
  return std::exchange(fault.error, absl::OkStatus());
}

// Sectors (512 B) or pages (4 KiB) arrive on their own; a write may also be lost or kept whole.
void SimDisk::ApplyTorn(const Unsynced& write, Random& random) {
  const uint64_t fate = random.Below(4);
  if (fate == 0) return;
  const size_t piece = random.Below(2) == 0 ? 512 : 4 * kKiB;
  for (size_t at = 0; at < write.data.size(); at += piece) {
    if (fate != 1 && random.Below(2) == 0) continue;
    const size_t length = std::min(piece, write.data.size() - at);
    std::memcpy(durable_.data() + write.offset_bytes + at, write.data.data() + at, length);
  }
}

Task<absl::Status> SimDisk::Write(uint64_t offset_bytes, ConstBytes data) {
  CAIRN_CHECK(offset_bytes % block_bytes() == 0 && data.size() % block_bytes() == 0);
  CAIRN_CHECK(reinterpret_cast<uintptr_t>(data.data()) % block_bytes() == 0);
  CAIRN_CHECK(offset_bytes + data.size() <= live_.size());
  if (!powered_) co_return PowerIsOff();
  const uint64_t power_cycle = power_cycles_;
  const int64_t misdirected = std::exchange(misdirect_to_, -1);
  if (misdirected >= 0) {
    offset_bytes = static_cast<uint64_t>(misdirected);
    ++faults_fired_;
  }
  const absl::Status fault = TakeFault(Kind::kWrite);
  const auto place =
      unsynced_.emplace(next_write_++, Unsynced{offset_bytes, {data.begin(), data.end()}, false})
          .first;
  ++under_way_;
  co_await SomeSteps();
  --under_way_;
  if (power_cycle != power_cycles_) co_return PowerIsOff();
  // The disk owns the buffer until it returns.
  CAIRN_CHECK(std::memcmp(place->second.data.data(), data.data(), data.size()) == 0);
  ++writes_;
  if (dropping_) {
    unsynced_.erase(place);
    co_return absl::OkStatus();
  }
  place->second.completed = true;
  size_t written = place->second.data.size();
  if (!fault.ok()) {
    written = AlignDown(random_.Below(written), 512);
    place->second.data.resize(written);
  }
  std::memcpy(live_.data() + offset_bytes, place->second.data.data(), written);
  co_return fault;
}

Task<absl::Status> SimDisk::Read(uint64_t offset_bytes, MutableBytes data) {
  CAIRN_CHECK(offset_bytes % block_bytes() == 0 && data.size() % block_bytes() == 0);
  CAIRN_CHECK(reinterpret_cast<uintptr_t>(data.data()) % block_bytes() == 0);
  CAIRN_CHECK(offset_bytes + data.size() <= live_.size());
  if (!powered_) co_return PowerIsOff();
  const uint64_t power_cycle = power_cycles_;
  const absl::Status fault = TakeFault(Kind::kRead);
  ++under_way_;
  co_await SomeSteps();
  --under_way_;
  if (power_cycle != power_cycles_) co_return PowerIsOff();
  ++reads_;
  bytes_read_ += data.size();
  if (fault.ok()) std::memcpy(data.data(), live_.data() + offset_bytes, data.size());
  co_return fault;
}

Task<absl::Status> SimDisk::Flush() {
  if (!powered_) co_return PowerIsOff();
  const uint64_t power_cycle = power_cycles_;
  const absl::Status fault = TakeFault(Kind::kFlush);
  // Only what had completed before the call is promised.
  std::vector<uint64_t> promised;
  for (const auto& [number, write] : unsynced_) {
    if (write.completed) promised.push_back(number);
  }
  ++under_way_;
  co_await SomeSteps();
  --under_way_;
  if (power_cycle != power_cycles_) co_return PowerIsOff();
  ++flushes_;
  for (const uint64_t number : promised) {
    const auto write = unsynced_.find(number);
    if (write == unsynced_.end()) continue;  // another flush was faster
    if (!fault.ok()) {
      ApplyTorn(write->second, random_);
    } else if (!dropping_) {
      std::memcpy(durable_.data() + write->second.offset_bytes, write->second.data.data(),
                  write->second.data.size());
    }
    unsynced_.erase(write);
  }
  co_return fault;
}

void SimDisk::Crash(uint64_t seed) {
  SeededRandom random(seed);
  std::vector<const Unsynced*> lost;
  for (const auto& [number, write] : unsynced_) lost.push_back(&write);
  for (size_t i = lost.size(); i > 1; --i) std::swap(lost[i - 1], lost[random.Below(i)]);
  for (const Unsynced* write : lost) ApplyTorn(*write, random);
  unsynced_.clear();
  live_ = durable_;
  powered_ = false;
  ++power_cycles_;
  dropping_ = false;
  Disarm();
}

void SimDisk::Disarm() {
  misdirect_to_ = -1;
  for (Fault& fault : faults_) fault = {};
}

void SimDisk::FailNext(Kind kind, absl::Status error, int skip) {
  faults_[static_cast<int>(kind)] = {std::move(error), skip, false};
}

void SimDisk::FailEvery(Kind kind, absl::Status error) {
  faults_[static_cast<int>(kind)] = {std::move(error), -1, true};
}

void SimDisk::MisdirectNextWrite(uint64_t offset_bytes) {
  misdirect_to_ = static_cast<int64_t>(offset_bytes);
}

void SimDisk::FlipBit(uint64_t offset_bytes, int bit) {
  const std::byte mask{static_cast<uint8_t>(1u << bit)};
  live_[offset_bytes] ^= mask;
  durable_[offset_bytes] ^= mask;
}

}  // namespace cairn
