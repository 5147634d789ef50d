// One registry a process, because fork() is the process's. Its lock is held across fork(), so that
// the child finds it whole; the child runs before anything else of it does and takes no memory.
#include "common/fabric/fork_guard.h"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <mutex>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "common/fabric/provider_sockets.h"

namespace cairn {
namespace {

struct Registered {
  std::vector<int> descriptors;
  // Several endpoints may talk to one node.
  std::multiset<SocketKey> addresses;
};

struct Registry {
  std::mutex mutex;
  // A child leaves its parent's behind: those who registered are not there to take back anything.
  Registered* registered = nullptr;
};

Registry& TheRegistry() {
  // Never destroyed: threads and children outlive static objects.
  static Registry& registry = *new Registry;
  return registry;
}

void BeforeFork() { TheRegistry().mutex.lock(); }
void InParent() { TheRegistry().mutex.unlock(); }

void InChild() {
  Registry& registry = TheRegistry();
  if (const Registered* parents = std::exchange(registry.registered, nullptr)) {
    // close() alone says nothing to the other side while the parent has the socket, too.
    for (const int fd : parents->descriptors) close(fd);
    if (!parents->addresses.empty()) {
      ForEachDescriptor([parents](int fd) {
        const auto known = [parents](const std::optional<SocketKey>& key) {
          return key.has_value() && parents->addresses.contains(*key);
        };
        if (known(LocalKey(fd)) || known(PeerKey(fd))) close(fd);
      });
    }
  }
  registry.mutex.unlock();
}

void InstallOnce() {
  static const int installed = pthread_atfork(&BeforeFork, &InParent, &InChild);
  (void)installed;  // out of memory: a child keeps its copies
}

// With the registry's lock.
template <class Change>
void ChangeRegistered(Change change) {
  Registry& registry = TheRegistry();
  InstallOnce();
  std::lock_guard<std::mutex> lock(registry.mutex);
  if (registry.registered == nullptr) registry.registered = new Registered;
  change(*registry.registered);
}

}  // namespace

ClosedInChild::ClosedInChild(int fd) : fd_(fd) {
  ChangeRegistered([fd](Registered& all) { all.descriptors.push_back(fd); });
}

ClosedInChild::~ClosedInChild() {
  ChangeRegistered([this](Registered& all) {
    const auto found = std::find(all.descriptors.begin(), all.descriptors.end(), fd_);
    if (found != all.descriptors.end()) all.descriptors.erase(found);
  });
}

AddressClosedInChild::AddressClosedInChild(std::string_view address) : address_(address) {
  ChangeRegistered([this](Registered& all) {
    if (const auto key = ParseSocketKey(address_)) all.addresses.insert(*key);
  });
}

AddressClosedInChild::~AddressClosedInChild() {
  ChangeRegistered([this](Registered& all) {
    const auto key = ParseSocketKey(address_);
    const auto found = key.has_value() ? all.addresses.find(*key) : all.addresses.end();
    if (found != all.addresses.end()) all.addresses.erase(found);
  });
}

}  // namespace cairn
