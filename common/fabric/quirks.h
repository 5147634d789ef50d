// What is special about each libfabric provider: the only place where provider names occur. Used by
// libfabric_endpoint.cc.
#pragma once

#include <string_view>

namespace cairn {

// Ethernet and one machine: the native RDM provider over TCP. Not the same over ofi_rxm, which
// takes 140 MiB a process and stays broken after one bad key.
inline constexpr std::string_view kDefaultProvider = "tcp";

struct EnvironmentSetting {
  const char* name;
  const char* value;
};

struct ProviderQuirks {
  std::string_view provider;
  // Endpoints have IP addresses: a local address can be asked for. Others know only their own
  // device.
  bool ip_addressed;
  // Connections are TCP sockets of this process, without keepalive: without our help, the slabs of
  // transfers with a host that lost power stay in quarantine for ever.
  bool tcp_sockets;
  // Set before libfabric starts, unless the operator has set them.
  EnvironmentSetting environment[4];
};

inline constexpr ProviderQuirks kProviderQuirks[] = {
    {kDefaultProvider, true, true, {}},
    {"verbs;ofi_rxm",
     true,
     false,
     {
         // Receive buffers for all connections together; one set a connection is 2 MiB times 10,000
         // clients.
         {"FI_OFI_RXM_USE_SRX", "1"},
         // The completion queue is sized by the number of peers expected, and overruns above it.
         {"FI_UNIVERSE_SIZE", "2048"},
         // We register long-lived memory only; a cache of registrations would keep freed memory
         // pinned.
         {"FI_MR_CACHE_MAX_COUNT", "0"},
     }},
    {"efa", false, false, {{"FI_MR_CACHE_MAX_COUNT", "0"}}},
    {"cxi", false, false, {{"FI_MR_CACHE_MAX_COUNT", "0"}}},
};

// Of a provider that is not in the table: the ones of an IP fabric.
constexpr const ProviderQuirks& QuirksOf(std::string_view provider) {
  for (const ProviderQuirks& quirks : kProviderQuirks) {
    if (quirks.provider == provider) return quirks;
  }
  return kProviderQuirks[0];
}

}  // namespace cairn
