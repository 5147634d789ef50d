// The libfabric objects of one core: fabric, domain, completion queue, address vector and endpoint.
// All but the fabric can be closed and opened again, always together: the TCP provider keeps
// half-open connections of a closed endpoint in its domain, and touches freed memory when that
// domain makes progress once more. Knows what the provider demands of memory (mr_mode). Owned by
// LibfabricNet.
#pragma once

#include <rdma/fabric.h>
#include <rdma/fi_cm.h>
#include <rdma/fi_domain.h>
#include <rdma/fi_endpoint.h>
#include <rdma/fi_errno.h>
#include <rdma/fi_rma.h>
#include <sys/socket.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/units.h"
#include "common/fabric/net.h"

namespace cairn {

// "reading: Connection reset by peer".
absl::Status FabricError(absl::StatusCode code, const std::string& doing, ssize_t error);

struct FidCloser {
  template <class Fid>
  void operator()(Fid* object) const {
    (void)fi_close(&object->fid);
  }
};
template <class Fid>
using FidPtr = std::unique_ptr<Fid, FidCloser>;

// One registered piece of memory. `mr` is null where the provider needs no registration of local
// memory, and between the closing of an endpoint and the opening of the next.
struct FabricMemory {
  MutableBytes bytes;
  MemoryAccess access = MemoryAccess::kLocal;
  FidPtr<fid_mr> mr;
  BulkDescriptor descriptor;

  void* local_descriptor() const { return mr == nullptr ? nullptr : fi_mr_desc(mr.get()); }
};

// Not thread-safe.
class LibfabricEndpoint {
 public:
  // Finds the provider. FAILED_PRECONDITION in words.
  // `socket_buffer_bytes` is that of LibfabricNet::Options.
  static absl::StatusOr<std::unique_ptr<LibfabricEndpoint>> Create(const std::string& provider,
                                                                   const std::string& bind_host,
                                                                   size_t completions_max,
                                                                   int socket_buffer_bytes);

  // Opens everything. The address differs from all before.
  absl::Status Open();
  // Nothing reaches the endpoint's memory afterwards. First of two steps; what was under way gets
  // no completion. An error is that of a provider that wants its memory closed first: close the
  // regions and call again.
  absl::Status CloseEndpoint();
  // Second step. REQUIRES: all memory of the domain is closed.
  void CloseDomain();

  // Fills in mr and descriptor as the provider wants it. A null mr is right for local memory that
  // needs none.
  absl::Status Register(FabricMemory& memory);

  // INVALID_ARGUMENT when it is no address of this provider.
  absl::StatusOr<fi_addr_t> InsertAddress(std::string_view address);
  void RemoveAddress(fi_addr_t address);
  // What can be tuned of connections within this machine, and doing it for those to `address` that
  // are there now.
  bool HasSameHostOptions(std::string_view address) const;
  void SetSameHostOptions(std::string_view address);
  // Whether a transfer may need the process at its other end to come to an end: there is no NIC
  // that moves the bytes, or fails, without it.
  bool NeedsPeerProcess() const { return tcp_sockets_; }
  // Fails what has moved no byte to or from the peer's host for `idle`.
  void EndIdleConnections(std::string_view peer_address, absl::Duration idle);

  // Right before sleeping: false when completions are there.
  bool TryWait();

  fid_ep* ep() const { return endpoint_.get(); }
  fid_cq* cq() const { return queue_.get(); }
  int wait_fd() const { return wait_fd_; }
  const std::string& address() const { return address_; }
  size_t inject_bytes() const { return info_->tx_attr->inject_size; }
  size_t message_bytes_max() const { return info_->ep_attr->max_msg_size; }

 private:
  struct InfoFreer {
    void operator()(fi_info* info) const { fi_freeinfo(info); }
  };
  using InfoPtr = std::unique_ptr<fi_info, InfoFreer>;

  LibfabricEndpoint() = default;
  static absl::StatusOr<InfoPtr> FindProvider(const std::string& provider,
                                              const std::string& bind_host);
  absl::Status OpenDomain();
  absl::Status OpenQueue();
  absl::Status ReadAddress();
  uint64_t NextKey();
  bool Demands(int mr_mode_bit) const { return (info_->domain_attr->mr_mode & mr_mode_bit) != 0; }

  // In the order of their dependence: destroyed from the last to the first.
  InfoPtr info_;
  FidPtr<fid_fabric> fabric_;
  FidPtr<fid_domain> domain_;
  FidPtr<fid_cq> queue_;
  FidPtr<fid_av> addresses_;
  FidPtr<fid_ep> endpoint_;
  size_t completions_max_ = 0;
  bool tcp_sockets_ = false;
  int socket_buffer_bytes_ = 0;
  int wait_fd_ = -1;
  std::string address_;
  uint64_t next_key_ = 0;
};

}  // namespace cairn
