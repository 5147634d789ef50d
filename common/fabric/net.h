// The network seam: one fabric endpoint of one core. Messages, server-driven RMA, and the control
// connection on which nodes and clients first meet. The real one is libfabric (libfabric_net.h);
// the simulation has another. Next on the data path: common/rpc/rpc_server.h.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/ids.h"
#include "common/base/units.h"
#include "common/task/deadline.h"
#include "common/task/event.h"
#include "common/task/executor.h"
#include "common/task/task.h"

namespace cairn {

// The largest message. Bulk bytes never travel in messages; listings and extent lists are paged to
// fit.
inline constexpr size_t kMaxMessageBytes = 64 * kKiB;
// The largest hello, either way.
inline constexpr size_t kMaxHelloBytes = 16 * kKiB;

// A peer of this endpoint, valid until RemovePeer(). Never reused.
using PeerId = StrongId<struct PeerIdTag>;

// What a remote side needs to reach exposed memory. Travels in RPC headers.
struct BulkDescriptor {
  uint64_t key = 0;
  // The address to use in an RMA call: the provider may want a pointer or an offset; the owner has
  // chosen.
  uint64_t address = 0;
  uint64_t length_bytes = 0;
};

enum class MemoryAccess {
  kLocal,        // own buffers of RMA calls and receives
  kRemoteRead,   // a peer may read it (a save pulls from it)
  kRemoteWrite,  // a peer may write it (a restore pushes into it)
};

// Memory known to the endpoint, until destroyed. Keys are never reused, so a late access by a peer
// fails instead of reaching other memory; on TCP it also costs that peer its connection.
class MemoryRegion {
 public:
  virtual ~MemoryRegion() = default;
  // The descriptor of the whole region. REQUIRES: remote access was asked for.
  virtual BulkDescriptor descriptor() const = 0;
};

// One end of a control connection: a plain byte stream that stays open as long as both live, so
// that the death of either process is known at once on the other side. Carries nothing after the
// hello.
class ControlConnection {
 public:
  virtual ~ControlConnection() = default;  // closes it
  // What the other side said in its hello.
  virtual const std::string& hello() const = 0;
  // Set when the other side is gone.
  virtual Event& closed() = 0;
  // Ends the connection from this side; closed() is set soon after.
  virtual void HangUp() = 0;
};

// Answers a hello with the reply to send, or an error whose message the stranger gets to read.
// `connection` comes right before the reply is sent, so that a call which follows the reply at once
// finds its session; destroying it hangs up, and no reply is sent then.
class HelloHandler {
 public:
  virtual ~HelloHandler() = default;
  virtual absl::StatusOr<std::string> OnHello(std::string_view hello,
                                              std::string_view peer_name) = 0;
  virtual void OnConnected(std::unique_ptr<ControlConnection> connection,
                           std::string_view reply) = 0;
};

// Lives on one executor; not thread-safe. Peer failure shows as UNAVAILABLE; a passed deadline as
// DEADLINE_EXCEEDED.
class Net {
 public:
  using Receiver = absl::AnyInvocable<void(ConstBytes message)>;

  virtual ~Net() = default;

  virtual const std::string& provider() const = 0;
  // The opaque address by which peers reach this endpoint. Changes after Reset().
  virtual const std::string& address() const = 0;

  // Makes the endpoint at `address` known. INVALID_ARGUMENT when the blob is not an address of this
  // provider.
  virtual absl::StatusOr<PeerId> AddPeer(std::string_view address) = 0;
  // Forgets a peer. What waits for its connection ends with UNAVAILABLE, without having left;
  // operations under way still end by themselves.
  virtual void RemovePeer(PeerId peer) = 0;

  // Called for every message that arrives, on the executor, with bytes valid during the call only.
  // REQUIRES: set once, before the first message can arrive.
  virtual void SetReceiver(Receiver receiver) = 0;
  // Called on the executor when a message that Send() had taken is lost with its connection: what
  // waits for an answer to it waits in vain. May call the Net. A hint: no network tells of every
  // loss, and the simulation's of none. Null for nobody; as the receiver, it outlives the Net or is
  // taken back.
  using PeerLost = absl::AnyInvocable<void(PeerId peer)>;
  virtual void SetPeerLost(PeerLost lost) = 0;
  // OK when the message is on its way; not a receipt. INVALID_ARGUMENT above kMaxMessageBytes.
  virtual Task<absl::Status> Send(PeerId peer, ConstBytes message, Deadline deadline) = 0;

  // The memory stays the caller's and must outlive the region. While a failed Reset() has left no
  // endpoint, the region gets its key at the next that succeeds.
  virtual absl::StatusOr<std::unique_ptr<MemoryRegion>> Register(MutableBytes memory,
                                                                 MemoryAccess access) = 0;

  // Server-driven RMA. `local` lies in a region registered kLocal and belongs to the endpoint until
  // the call returns. It returns only when the NIC works on that memory no more, which after a
  // passed deadline can be long after it (a stopped peer): the buffer is in quarantine meanwhile,
  // of bounded length where the provider has no NIC to bound it (LibfabricNet::Options). Reset()
  // ends all of them at once.
  //
  // Read pulls remote[offset, offset + local.size()) into `local`.
  virtual Task<absl::Status> Read(PeerId peer, const BulkDescriptor& remote, uint64_t offset_bytes,
                                  MutableBytes local, Deadline deadline) = 0;
  // Write pushes `local` to remote[offset, ...). OK means delivered to the peer's memory; an error
  // means undefined contents there.
  virtual Task<absl::Status> Write(PeerId peer, const BulkDescriptor& remote, uint64_t offset_bytes,
                                   ConstBytes local, Deadline deadline) = 0;

  // Closes the endpoint and opens a new one at a new address: every operation under way fails with
  // UNAVAILABLE, every peer loses its connection, and no remote side can reach formerly exposed
  // memory. Regions stay registered with new keys; peers added before stay valid. After an error
  // (out of descriptors or memory) the old endpoint is closed all the same and there is no new one:
  // peers, sends and RMA get UNAVAILABLE until a later Reset() succeeds.
  virtual absl::Status Reset() = 0;

  // Calls the node at HOST:PORT and exchanges hellos. UNAVAILABLE when nobody answers; the other
  // side's own error when it refuses.
  virtual Task<absl::StatusOr<std::unique_ptr<ControlConnection>>> Dial(std::string host_port,
                                                                        std::string hello,
                                                                        Deadline deadline) = 0;
  // Accepts hellos on HOST:PORT (port 0: any). Returns the address listened on. `handler` outlives
  // the endpoint.
  virtual absl::StatusOr<std::string> Listen(std::string_view host_port, HelloHandler* handler) = 0;
  virtual void StopListening() = 0;

  // Stops listening, hangs up every control connection and waits for the coroutines that watched
  // them. REQUIRES: no operation is under way. To be called before destruction wherever control
  // connections were used.
  virtual Task<void> Stop() = 0;
};

}  // namespace cairn
