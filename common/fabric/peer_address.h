// Whether two endpoints' addresses are of one kind: known before either is used. Used by the node's
// hello.
#pragma once

#include <string_view>

#include "absl/status/status.h"

namespace cairn {

// FAILED_PRECONDITION, in words for whoever configures `peer`, when an endpoint of `provider` at
// `own` cannot know one at `peer`: IPv4 against IPv6, or an address of another provider. OK is no
// promise that it can be reached, nor for providers that we do not know.
absl::Status CheckPeerAddress(std::string_view provider, std::string_view own,
                              std::string_view peer);

}  // namespace cairn
