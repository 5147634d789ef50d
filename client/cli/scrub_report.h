// What the check that goes on by itself has done: `cairn scrub status`, and a part of `cairn
// rebuild status --output json`.
#pragma once

#include "cairn/admin.h"
#include "client/cli/context.h"
#include "client/cli/watch.h"

namespace cairn::cli {

// Times are RFC 3339 in UTC, null when there is none.
Json ScrubJson(const ScrubInfo& scrub);

Look LookAtScrub(Context& context);

}  // namespace cairn::cli
