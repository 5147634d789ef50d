// The real Net: one libfabric endpoint (FI_EP_RDM), address vector and completion queue on one
// reactor. Its completion queue is a Poller of the reactor; its control connections are plain
// sockets (control_plane.h). Next on the data path: common/rpc.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/fabric/net.h"
#include "common/fabric/quirks.h"
#include "common/reactor/reactor.h"

namespace cairn {

// Lives on the reactor's thread (create and destroy it there, or while the reactor does not run)
// and not longer than the reactor.
//
// Security: the fabric port must be unreachable for strangers. libfabric's TCP provider trusts its
// peers: a forged handshake can crash the process.
class LibfabricNet final : public Net {
 public:
  struct Options {
    std::string provider = std::string(kDefaultProvider);
    // The numeric address of the local interface to use, on IP fabrics. "" or a wildcard: the
    // provider chooses, which on a machine with several networks may be the wrong one (see
    // LocalAddressTowards).
    std::string bind_host;
    // Posted for messages that have not been looked at yet. When none is left, senders wait in
    // their sockets. Clients have few peers; servers take bursts of small requests from thousands
    // (64 is right for them).
    size_t receive_buffers = 16;
    // SO_RCVBUF and SO_SNDBUF of the connections that others make to a TCP endpoint; 0 leaves them
    // to the kernel, which tunes them by itself. For measurements.
    int socket_buffer_bytes = 0;
    // How long past its deadline a transfer may wait for a peer that moves no byte, where only the
    // peer's process could end it (TCP: the process is stopped, its kernel lives). Then the
    // connection is ended: a job that stands still must not keep a node's memory from all others.
    absl::Duration overdue_patience = absl::Seconds(30);
  };
  // FAILED_PRECONDITION when the provider is not there or lacks what Cairn needs, in words.
  static absl::StatusOr<std::unique_ptr<LibfabricNet>> Create(Reactor& reactor, Options options);
  ~LibfabricNet() override;

  // The numeric local address from which HOST:PORT is reached, for Options::bind_host of a client;
  // "" (the provider chooses) for unknown names and without a route. Asks the system's resolver:
  // for threads that may block.
  static std::string LocalAddressTowards(const std::string& host_port);

  // What happened since the start, for metrics and for tests that something did not happen.
  struct Counters {
    uint64_t polls = 0;  // completion queue reads
    uint64_t completions = 0;
    uint64_t errors = 0;        // completions with an error
    uint64_t busy_retries = 0;  // posts that the provider answered with EAGAIN
    uint64_t messages_sent = 0;
    uint64_t messages_received = 0;
    uint64_t bytes_read = 0;
    uint64_t bytes_written = 0;
    uint64_t operations_in_flight = 0;  // now, the ones in quarantine among them
  };
  Counters counters() const;

  const std::string& provider() const override;
  const std::string& address() const override;
  absl::StatusOr<PeerId> AddPeer(std::string_view address) override;
  void RemovePeer(PeerId peer) override;
  void SetReceiver(Receiver receiver) override;
  void SetPeerLost(PeerLost lost) override;
  Task<absl::Status> Send(PeerId peer, ConstBytes message, Deadline deadline) override;
  absl::StatusOr<std::unique_ptr<MemoryRegion>> Register(MutableBytes memory,
                                                         MemoryAccess access) override;
  Task<absl::Status> Read(PeerId peer, const BulkDescriptor& remote, uint64_t offset_bytes,
                          MutableBytes local, Deadline deadline) override;
  Task<absl::Status> Write(PeerId peer, const BulkDescriptor& remote, uint64_t offset_bytes,
                           ConstBytes local, Deadline deadline) override;
  absl::Status Reset() override;
  Task<absl::StatusOr<std::unique_ptr<ControlConnection>>> Dial(std::string host_port,
                                                                std::string hello,
                                                                Deadline deadline) override;
  absl::StatusOr<std::string> Listen(std::string_view host_port, HelloHandler* handler) override;
  void StopListening() override;
  Task<void> Stop() override;

 private:
  struct Impl;
  explicit LibfabricNet(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace cairn
