#include "common/fabric/peer_address.h"

#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/fabric/quirks.h"

namespace cairn {
namespace {

std::string KindOf(const ProviderQuirks& quirks, std::string_view address) {
  sa_family_t family = AF_UNSPEC;
  if (quirks.ip_addressed && address.size() >= sizeof family) {
    std::memcpy(&family, address.data(), sizeof family);
  }
  if (family == AF_INET) return "an IPv4 address";
  if (family == AF_INET6) return "an IPv6 address";
  return absl::StrCat("an address of ", address.size(), " bytes");
}

}  // namespace

absl::Status CheckPeerAddress(std::string_view provider, std::string_view own,
                              std::string_view peer) {
  const auto quirks =
      std::find_if(std::begin(kProviderQuirks), std::end(kProviderQuirks),
                   [provider](const auto& each) { return each.provider == provider; });
  if (quirks == std::end(kProviderQuirks)) return absl::OkStatus();
  const std::string own_kind = KindOf(*quirks, own);
  const std::string peer_kind = KindOf(*quirks, peer);
  if (own.size() == peer.size() && own_kind == peer_kind) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("the node's fabric has ", own_kind, ", the caller's ", peer_kind,
                   ": name the node by an address of the same kind as its fabric's"));
}

}  // namespace cairn
