#include "client/core/tier_convert.h"

namespace cairn {

TierInfo ToTierInfo(const wire::TierInfo& tier) {
  TierInfo info;
  info.spec.name = tier.spec().name();
  info.spec.location = tier.spec().location();
  for (const wire::TierOption& option : tier.spec().options())
    info.spec.options.emplace_back(option.name(), option.value());
  info.added_at_ns = tier.added_at_ns();
  info.control.archive_paused = tier.control().archive_paused();
  info.control.recall_paused = tier.control().recall_paused();
  for (const wire::TierControl::Limit& limit : tier.control().limits())
    info.control.limits.push_back(
        {limit.from_minute(), limit.to_minute(), limit.bytes_per_second()});
  info.objects = tier.objects();
  info.stored_bytes = tier.stored_bytes();
  info.live_bytes = tier.live_bytes();
  return info;
}

}  // namespace cairn
