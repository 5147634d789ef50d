// One operation of a fabric endpoint, and the peer it goes to. The slot belongs to the endpoint
// until the provider has reported its end, whoever stopped waiting: the NIC may work on its memory
// until then. Used by libfabric_net.cc.
#pragma once

#include <rdma/fabric.h>

#include <coroutine>
#include <deque>
#include <string>

#include "absl/status/status.h"
#include "common/base/units.h"
#include "common/fabric/fork_guard.h"
#include "common/fabric/message_pool.h"
#include "common/fabric/net.h"
#include "common/task/deadline.h"
#include "common/task/semaphore.h"

namespace cairn {

// Of write bytes to one peer at once: a completion queue read pumps as much as a socket takes, and
// 64 MiB of it held up a core for 14 ms.
inline constexpr int64_t kPeerWriteBytes = 8 * kMiB;
// Of messages to one peer that are not in its socket yet. A stopped peer fills no more than this.
inline constexpr int64_t kPeerSendBytes = 1 * kMiB;
// Operations that wait for one peer's connection. Above, the peer is beyond help.
inline constexpr size_t kPeerQueueMax = 1024;

// An address in the provider's vector; several peers may share it.
struct AddressEntry {
  explicit AddressEntry(const std::string& sockaddr_bytes) : in_child(sockaddr_bytes) {}
  fi_addr_t address = FI_ADDR_UNSPEC;
  size_t users = 0;
  AddressClosedInChild in_child;
};

struct Operation;

struct Peer {
  PeerId id;
  AddressEntry* entry = nullptr;
  std::string address;
  // Coroutines and slots that use the peer, and one for not being removed yet. It is freed at zero.
  size_t holds = 1;
  bool removed = false;
  Semaphore write_bytes{kPeerWriteBytes};
  Semaphore send_bytes{kPeerSendBytes};
  // Not accepted by the provider yet: the connection is being made, is full, or never comes.
  std::deque<Operation*> queue;
  // Rounds of retries without any success, and when the next is due.
  int rounds = 0;
  MonoTime retry_at;
};

inline absl::Status PeerRemoved() { return absl::UnavailableError("the peer was removed"); }

struct Operation {
  enum class Kind { kReceive, kSend, kRead, kWrite };
  enum class State { kNew, kQueued, kPosted, kDone };

  // First: the provider writes into it, and the completion's context is its address.
  fi_context2 provider_context = {};
  Kind kind = Kind::kReceive;
  State state = State::kNew;
  Peer* peer = nullptr;
  void* data = nullptr;
  size_t length_bytes = 0;
  FabricMemory* memory = nullptr;
  uint64_t remote_address = 0;
  uint64_t remote_key = 0;
  Deadline deadline = Deadline::Infinite();
  MessageBuffer message;
  absl::Status result;
  // Who waits for the end; of a send, for its acceptance.
  std::coroutine_handle<> waiter;
  // Of a send: where its caller learns that the provider has accepted it. From then on the
  // completion frees the slot, perhaps before the caller runs again.
  bool* accepted = nullptr;
  bool detached = false;
};

// For error messages: "sending a message".
const char* Doing(Operation::Kind kind);

}  // namespace cairn
