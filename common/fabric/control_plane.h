// Control connections over plain TCP: dialing, listening, the hello, and watching for the other
// side's death. Owned by LibfabricNet; strangers reach nothing else of a node.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/fabric/net.h"
#include "common/reactor/reactor.h"

namespace cairn {

// Lives on the reactor's thread. The functions are those of Net.
class ControlPlane {
 public:
  explicit ControlPlane(Reactor& reactor);
  // Hangs up everyone. Coroutines still under way end by themselves when the reactor goes on.
  ~ControlPlane();

  Task<absl::StatusOr<std::unique_ptr<ControlConnection>>> Dial(std::string host_port,
                                                                std::string hello,
                                                                Deadline deadline);
  absl::StatusOr<std::string> Listen(std::string_view host_port, HelloHandler* handler);
  void StopListening();
  Task<void> Stop();

  struct State;

 private:
  std::shared_ptr<State> state_;
};

}  // namespace cairn
