// Parsing and resolving of HOST:PORT, with the C library's resolver.
#include "common/fabric/host_port.h"

#include <cstring>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace cairn {

absl::StatusOr<HostPort> ParseHostPort(std::string_view text) {
  const auto malformed = [text] {
    return absl::InvalidArgumentError(absl::StrCat("\"", std::string(text.substr(0, 200)),
                                                   "\" is not HOST:PORT (or [IPV6]:PORT)"));
  };
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return malformed();
  std::string_view host = text.substr(0, colon);
  const std::string port(text.substr(colon + 1));
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return malformed();
  }
  uint32_t number = 0;
  if (!absl::SimpleAtoi(port, &number) || number > 65535) return malformed();
  return HostPort{std::string(host), absl::StrCat(number)};
}

absl::StatusOr<std::vector<SocketAddress>> ResolveHost(const HostPort& where, NameLookup lookup) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV | (lookup == NameLookup::kNumeric ? AI_NUMERICHOST : 0);
  // A null host with AI_PASSIVE is "every local address"; dialers give a host.
  if (where.host.empty()) hints.ai_flags |= AI_PASSIVE;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(where.host.empty() ? nullptr : where.host.c_str(),
                                where.port.c_str(), &hints, &found);
  if (error == EAI_NONAME && lookup == NameLookup::kNumeric) {
    return absl::NotFoundError(absl::StrCat("\"", where.host, "\" is not a numeric address"));
  }
  if (error != 0) {
    return absl::UnavailableError(
        absl::StrCat("cannot resolve \"", where.host, "\": ", gai_strerror(error)));
  }
  std::vector<SocketAddress> addresses;
  for (const addrinfo* each = found; each != nullptr; each = each->ai_next) {
    SocketAddress address;
    std::memcpy(&address.storage, each->ai_addr, each->ai_addrlen);
    address.length = each->ai_addrlen;
    addresses.push_back(address);
  }
  freeaddrinfo(found);
  if (addresses.empty()) {
    return absl::UnavailableError(absl::StrCat("\"", where.host, "\" has no address"));
  }
  return addresses;
}

std::string FormatAddress(const SocketAddress& address) {
  char host[NI_MAXHOST];
  char port[NI_MAXSERV];
  if (getnameinfo(address.get(), address.length, host, sizeof host, port, sizeof port,
                  NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return "unknown address";
  }
  return std::strchr(host, ':') != nullptr ? absl::StrCat("[", host, "]:", port)
                                           : absl::StrCat(host, ":", port);
}

}  // namespace cairn
