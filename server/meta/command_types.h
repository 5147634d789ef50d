// How requests are tied to commands and replies: commands.h and fs_commands.h say which.
#pragma once

#include <cstdint>

#include "proto/disk/meta_log.pb.h"

namespace cairn {

// Names a mutation across retries; a zero client: it is not retried.
struct MutationId {
  uint64_t client = 0;
  uint64_t sequence = 0;
};

namespace meta_internal {

template <class R>
struct Answer {
  using Reply = R;
};

// Mutation<Request>::Reply, and Body() which puts the request into a command.
template <class Request>
struct Mutation;

// Query<Request>::Reply: what reads the store and changes nothing.
template <class Request>
struct Query;
}  // namespace meta_internal

template <class Request>
using MutationReply = typename meta_internal::Mutation<Request>::Reply;
template <class Request>
using QueryReply = typename meta_internal::Query<Request>::Reply;
// Such a query may take long; others are a few reads.
template <class Request>
inline constexpr bool kQueryWalks = requires {
  meta_internal::Query<Request>::kWalks;
};

}  // namespace cairn
