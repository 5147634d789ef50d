// Finds a provider, opens its objects and obeys its memory modes. Everything asked of libfabric
// here is what the portable subset gives: FI_EP_RDM, FI_MSG and FI_RMA, manual progress, a
// completion queue that can be slept on.
#include "common/fabric/libfabric_endpoint.h"

#include <cstdlib>
#include <cstring>
#include <mutex>

#include "absl/strings/str_cat.h"
#include "common/base/random.h"
#include "common/base/status_macros.h"
#include "common/fabric/provider_sockets.h"
#include "common/fabric/quirks.h"

namespace cairn {
namespace {

// 2.1 is the first native TCP provider that we know to be safe for this pattern (ARCHITECTURE.md).
constexpr uint32_t kApiVersion = FI_VERSION(2, 1);

// The longest address of a known provider is 32 bytes (efa); libfabric has no limit of its own.
constexpr size_t kMaxAddressBytes = 256;

bool IsWildcard(const std::string& host) {
  return host.empty() || host == "0.0.0.0" || host == "::";
}

// libfabric reads its variables once, at the first call of the process.
void SetEnvironment(const ProviderQuirks& quirks) {
  static std::mutex mutex;
  const std::lock_guard<std::mutex> lock(mutex);
  for (const EnvironmentSetting& setting : quirks.environment) {
    if (setting.name != nullptr) setenv(setting.name, setting.value, /*overwrite=*/0);
  }
}

uint64_t AccessFlags(MemoryAccess access) {
  switch (access) {
    case MemoryAccess::kLocal:
      return FI_READ | FI_WRITE | FI_SEND | FI_RECV;
    case MemoryAccess::kRemoteRead:
      return FI_REMOTE_READ;
    case MemoryAccess::kRemoteWrite:
      return FI_REMOTE_WRITE;
  }
  return 0;
}

bool IsSocketAddress(uint32_t format) {
  return format == FI_SOCKADDR || format == FI_SOCKADDR_IN || format == FI_SOCKADDR_IN6;
}

}  // namespace

absl::Status FabricError(absl::StatusCode code, const std::string& doing, ssize_t error) {
  const int number = static_cast<int>(error < 0 ? -error : error);
  return absl::Status(code, absl::StrCat(doing, ": ", fi_strerror(number)));
}

absl::StatusOr<LibfabricEndpoint::InfoPtr> LibfabricEndpoint::FindProvider(
    const std::string& provider, const std::string& bind_host) {
  const ProviderQuirks& quirks = QuirksOf(provider);
  SetEnvironment(quirks);
  const InfoPtr hints(fi_allocinfo());
  if (hints == nullptr) return absl::ResourceExhaustedError("no memory for libfabric's hints");
  hints->caps =
      FI_MSG | FI_RMA | FI_SEND | FI_RECV | FI_READ | FI_WRITE | FI_REMOTE_READ | FI_REMOTE_WRITE;
  // Every context we pass is a slot with room for the provider's own use.
  hints->mode = FI_CONTEXT | FI_CONTEXT2;
  hints->ep_attr->type = FI_EP_RDM;
  hints->domain_attr->mr_mode =
      FI_MR_LOCAL | FI_MR_VIRT_ADDR | FI_MR_ALLOCATED | FI_MR_PROV_KEY | FI_MR_ENDPOINT;
  hints->domain_attr->threading = FI_THREAD_DOMAIN;
  hints->domain_attr->control_progress = FI_PROGRESS_MANUAL;
  hints->domain_attr->data_progress = FI_PROGRESS_MANUAL;
  hints->domain_attr->resource_mgmt = FI_RM_ENABLED;
  hints->fabric_attr->prov_name = strdup(provider.c_str());

  const bool bind = quirks.ip_addressed && !IsWildcard(bind_host);
  fi_info* found = nullptr;
  const int error = fi_getinfo(kApiVersion, bind ? bind_host.c_str() : nullptr, nullptr,
                               bind ? FI_SOURCE : 0, hints.get(), &found);
  InfoPtr info(found);
  if (error != 0 || info == nullptr) {
    return FabricError(absl::StatusCode::kFailedPrecondition,
                       absl::StrCat("libfabric has no usable provider \"", provider, "\"",
                                    bind ? absl::StrCat(" at ", bind_host) : "",
                                    " (fi_info -p names what there is)"),
                       error);
  }
  if (info->domain_attr->mr_key_size > sizeof(uint64_t)) {
    return absl::FailedPreconditionError(
        absl::StrCat("provider \"", provider, "\" has memory keys of ",
                     info->domain_attr->mr_key_size, " bytes; Cairn can carry 8"));
  }
  return info;
}

absl::Status LibfabricEndpoint::OpenDomain() {
  constexpr auto kFailed = absl::StatusCode::kUnavailable;
  fid_domain* domain = nullptr;
  if (int error = fi_domain(fabric_.get(), info_.get(), &domain, nullptr); error != 0) {
    return FabricError(kFailed, "opening the fabric's domain", error);
  }
  domain_.reset(domain);
  RETURN_IF_ERROR(OpenQueue());
  fi_av_attr attributes = {};
  attributes.type = FI_AV_UNSPEC;
  fid_av* addresses = nullptr;
  if (int error = fi_av_open(domain, &attributes, &addresses, nullptr); error != 0) {
    return FabricError(kFailed, "opening an address vector", error);
  }
  addresses_.reset(addresses);
  return absl::OkStatus();
}

absl::Status LibfabricEndpoint::OpenQueue() {
  fi_cq_attr attributes = {};
  attributes.size = completions_max_;
  attributes.format = FI_CQ_FORMAT_MSG;
  attributes.wait_obj = FI_WAIT_FD;
  fid_cq* queue = nullptr;
  if (int error = fi_cq_open(domain_.get(), &attributes, &queue, nullptr); error != 0) {
    return FabricError(absl::StatusCode::kFailedPrecondition,
                       "opening a completion queue that can be slept on", error);
  }
  queue_.reset(queue);
  if (int error = fi_control(&queue->fid, FI_GETWAIT, &wait_fd_); error != 0) {
    return FabricError(absl::StatusCode::kFailedPrecondition,
                       "asking for the completion queue's descriptor", error);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<LibfabricEndpoint>> LibfabricEndpoint::Create(
    const std::string& provider, const std::string& bind_host, size_t completions_max,
    int socket_buffer_bytes) {
  std::unique_ptr<LibfabricEndpoint> made(new LibfabricEndpoint);
  ASSIGN_OR_RETURN(made->info_, FindProvider(provider, bind_host));
  // A random start makes a key of an earlier process, still used by a peer that does not know of
  // its end, miss. The top half is left free to count in: keys are never reused.
  made->next_key_ = SystemRandom().Next() >> 1;
  made->completions_max_ = completions_max;
  made->tcp_sockets_ = QuirksOf(provider).tcp_sockets;
  made->socket_buffer_bytes_ = socket_buffer_bytes;
  fid_fabric* fabric = nullptr;
  if (int error = fi_fabric(made->info_->fabric_attr, &fabric, nullptr); error != 0) {
    return FabricError(absl::StatusCode::kFailedPrecondition, "opening the fabric", error);
  }
  made->fabric_.reset(fabric);
  return made;
}

absl::Status LibfabricEndpoint::Open() {
  constexpr auto kFailed = absl::StatusCode::kUnavailable;
  RETURN_IF_ERROR(OpenDomain());
  fid_ep* endpoint = nullptr;
  if (int error = fi_endpoint(domain_.get(), info_.get(), &endpoint, nullptr); error != 0) {
    return FabricError(kFailed, "opening an endpoint", error);
  }
  FidPtr<fid_ep> opened(endpoint);
  if (int error = fi_ep_bind(endpoint, &addresses_->fid, 0); error != 0) {
    return FabricError(kFailed, "giving the endpoint its address vector", error);
  }
  if (int error = fi_ep_bind(endpoint, &queue_->fid, FI_TRANSMIT | FI_RECV); error != 0) {
    return FabricError(kFailed, "giving the endpoint its completion queue", error);
  }
  if (int error = fi_enable(endpoint); error != 0) {
    return FabricError(kFailed, "enabling the endpoint", error);
  }
  endpoint_ = std::move(opened);
  RETURN_IF_ERROR(ReadAddress());
  if (tcp_sockets_) {
    // Before anyone knows the address: a connection accepted earlier would go without.
    const int listening = FindListeningSocket(address_);
    if (listening >= 0) SetAcceptedOptions(listening, socket_buffer_bytes_);
  }
  return absl::OkStatus();
}

absl::Status LibfabricEndpoint::ReadAddress() {
  char name[kMaxAddressBytes];
  size_t length = sizeof name;
  if (int error = fi_getname(&endpoint_->fid, name, &length); error != 0) {
    return FabricError(absl::StatusCode::kUnavailable, "asking for the endpoint's address", error);
  }
  address_.assign(name, length);
  return absl::OkStatus();
}

absl::Status LibfabricEndpoint::CloseEndpoint() {
  if (endpoint_ == nullptr) return absl::OkStatus();
  if (int error = fi_close(&endpoint_->fid); error != 0) {
    return FabricError(absl::StatusCode::kUnavailable, "closing the endpoint", error);
  }
  (void)endpoint_.release();
  return absl::OkStatus();
}

void LibfabricEndpoint::CloseDomain() {
  addresses_.reset();
  queue_.reset();
  domain_.reset();
  wait_fd_ = -1;
}

uint64_t LibfabricEndpoint::NextKey() {
  const size_t bits = info_->domain_attr->mr_key_size * 8;
  const uint64_t mask = bits >= 64 ? ~uint64_t{0} : (uint64_t{1} << bits) - 1;
  return next_key_++ & mask;
}

absl::Status LibfabricEndpoint::Register(FabricMemory& memory) {
  const bool local = memory.access == MemoryAccess::kLocal;
  if (local && !Demands(FI_MR_LOCAL)) return absl::OkStatus();
  constexpr auto kFailed = absl::StatusCode::kResourceExhausted;
  const std::string doing = absl::StrCat("registering ", memory.bytes.size(), " bytes of memory");
  fid_mr* region = nullptr;
  int error = -FI_ENOKEY;
  // A provider with short keys wraps around and can meet a key that is still in use.
  for (int tries = 0; tries < 16 && error == -FI_ENOKEY; ++tries) {
    error = fi_mr_reg(domain_.get(), memory.bytes.data(), memory.bytes.size(),
                      AccessFlags(memory.access), 0, NextKey(), 0, &region, nullptr);
  }
  if (error != 0) return FabricError(kFailed, doing, error);
  FidPtr<fid_mr> registered(region);
  if (Demands(FI_MR_ENDPOINT)) {
    error = fi_mr_bind(region, &endpoint_->fid, 0);
    if (error == 0) error = fi_mr_enable(region);
    if (error != 0) return FabricError(kFailed, doing, error);
  }
  if (!local) {
    const uint64_t key = fi_mr_key(region);
    if (key == FI_KEY_NOTAVAIL)
      return absl::ResourceExhaustedError(absl::StrCat(doing, ": no key"));
    memory.descriptor.key = key;
    memory.descriptor.address =
        Demands(FI_MR_VIRT_ADDR) ? reinterpret_cast<uint64_t>(memory.bytes.data()) : 0;
    memory.descriptor.length_bytes = memory.bytes.size();
  }
  memory.mr = std::move(registered);
  return absl::OkStatus();
}

absl::StatusOr<fi_addr_t> LibfabricEndpoint::InsertAddress(std::string_view address) {
  // libfabric takes a pointer without a length: what is not as long as our own address is never
  // passed on.
  const size_t family_bytes = sizeof(sa_family_t);
  if (address.size() != address_.size() || address.size() < family_bytes ||
      (IsSocketAddress(info_->addr_format) &&
       std::memcmp(address.data(), address_.data(), family_bytes) != 0)) {
    return absl::InvalidArgumentError(absl::StrCat("a fabric address of ", address.size(),
                                                   " bytes is not one of this provider's"));
  }
  const std::string aligned(address);
  fi_addr_t inserted = FI_ADDR_UNSPEC;
  const int count = fi_av_insert(addresses_.get(), aligned.data(), 1, &inserted, 0, nullptr);
  if (count != 1 || inserted == FI_ADDR_NOTAVAIL) {
    return absl::InvalidArgumentError("the provider refuses a fabric address");
  }
  return inserted;
}

void LibfabricEndpoint::RemoveAddress(fi_addr_t address) {
  (void)fi_av_remove(addresses_.get(), &address, 1, 0);
}

bool LibfabricEndpoint::HasSameHostOptions(std::string_view address) const {
  return tcp_sockets_ && AreOnOneHost(address_, address);
}

void LibfabricEndpoint::SetSameHostOptions(std::string_view address) {
  SetSameHostOptionsTo(address);
}

void LibfabricEndpoint::EndIdleConnections(std::string_view peer_address, absl::Duration idle) {
  cairn::EndIdleConnections(address_, peer_address, idle);
}

bool LibfabricEndpoint::TryWait() {
  fid* const queue = &queue_->fid;
  fid* waited[] = {queue};
  return fi_trywait(fabric_.get(), waited, 1) == FI_SUCCESS;
}

}  // namespace cairn
