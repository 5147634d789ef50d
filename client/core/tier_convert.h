// Tiers as the wire has them, as users see them.
#pragma once

#include "cairn/tier_types.h"
#include "proto/wire/tier.pb.h"

namespace cairn {

TierInfo ToTierInfo(const wire::TierInfo& tier);

}  // namespace cairn
