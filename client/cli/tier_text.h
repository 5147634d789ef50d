// How tiering is told: the words for its steps and places, in tables and JSON alike.
#pragma once

#include <string>

#include "cairn/tiering_types.h"
#include "client/cli/context.h"

namespace cairn::cli {

// "archive", "release", "fetch", "delete"; "-" for none.
const char* StepWord(TierStep step);
// "hot", "copied", "cold", "partly cold".
const char* PlaceWord(TierPlace place);
const char* RecallWord(RecallMode mode);

Json PolicyJson(const TierPolicy& policy);
Json VerdictJson(const TierVerdict& verdict);
// "to archive; keeps 2 hot; releases the others; ...".
std::string DescribePolicy(const TierPolicy& policy);
// "2 minutes ago"-like columns are HumanAge()'s; this is for what is ahead: "in 3h", "now", "-".
std::string HumanAhead(absl::Time then, absl::Time now);
// "200 MB/s from 08:00 to 20:00, no limit else".
std::string DescribeLimits(const std::vector<TierLimit>& limits);

}  // namespace cairn::cli
