#include "common/reactor/reactor_thread.h"

#include <pthread.h>

#include "common/base/status_macros.h"
#include "common/reactor/start_thread.h"

namespace cairn {

absl::StatusOr<std::unique_ptr<ReactorThread>> ReactorThread::Start(Reactor::Options options,
                                                                    std::string name) {
  absl::StatusOr<std::unique_ptr<Reactor>> reactor = Reactor::Create(options);
  if (!reactor.ok()) return reactor.status();
  auto owner = std::unique_ptr<ReactorThread>(new ReactorThread(*std::move(reactor)));
  ASSIGN_OR_RETURN(owner->thread_,
                   StartThread([reactor = owner->reactor_.get()] { reactor->Run(); }));
  // Longer names would be refused, not cut.
  pthread_setname_np(owner->thread_.native_handle(), name.substr(0, 15).c_str());
  return owner;
}

ReactorThread::~ReactorThread() {
  if (!thread_.joinable()) return;
  reactor_->Stop();
  thread_.join();
}

}  // namespace cairn
