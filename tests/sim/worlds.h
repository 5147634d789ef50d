// The executors on which the same typed test runs: the reactor on io_uring, the reactor on ppoll,
// the simulation.
//
//   template <class World> class MyTest : public ::testing::Test { protected: World world_; };
//   TYPED_TEST_SUITE(MyTest, Worlds);
//   TYPED_TEST(MyTest, ...) { absl::Status status = this->world_.Run(Something()); }
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <utility>

#include "common/reactor/blocking_pool.h"
#include "common/reactor/reactor.h"
#include "tests/sim/run_on.h"
#include "tests/sim/sim_executor.h"

namespace cairn {

template <Reactor::Backend kBackend>
class ReactorWorld {
 public:
  ReactorWorld() {
    auto reactor = Reactor::Create({.backend = kBackend});
    if (reactor.ok()) reactor_ = *std::move(reactor);
  }
  // False where the kernel refuses io_uring: skip the test.
  bool available() const { return reactor_ != nullptr; }
  Executor& executor() { return *reactor_; }
  Reactor& reactor() { return *reactor_; }
  BlockingRunner& blocking() { return pool_; }
  template <class T>
  T Run(Task<T> task) {
    return RunOn(*reactor_, std::move(task));
  }

 private:
  BlockingPool pool_{1};
  std::unique_ptr<Reactor> reactor_;
};
using RingWorld = ReactorWorld<Reactor::Backend::kIoUring>;
using PollWorld = ReactorWorld<Reactor::Backend::kPoll>;

class SimWorld {
 public:
  bool available() const { return true; }
  SimExecutor& executor() { return executor_; }
  BlockingRunner& blocking() { return blocking_; }
  template <class T>
  T Run(Task<T> task) {
    return executor_.Run(std::move(task));
  }

 private:
  SimExecutor executor_{::testing::UnitTest::GetInstance()->random_seed() + uint64_t{1}};
  SimBlockingRunner blocking_;
};

using Worlds = ::testing::Types<RingWorld, PollWorld, SimWorld>;
using ReactorWorlds = ::testing::Types<RingWorld, PollWorld>;

}  // namespace cairn
