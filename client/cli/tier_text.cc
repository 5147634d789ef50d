#include "client/cli/tier_text.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/cli/format.h"

namespace cairn::cli {
namespace {

Json SecondsOrNull(const std::optional<absl::Duration>& duration) {
  return duration.has_value() ? Json(absl::ToInt64Seconds(*duration)) : Json(nullptr);
}

std::string Minute(uint32_t minute) {
  return absl::StrFormat("%02u:%02u", minute / 60, minute % 60);
}

}  // namespace

const char* StepWord(TierStep step) {
  switch (step) {
    case TierStep::kArchive:
      return "archive";
    case TierStep::kRelease:
      return "release";
    case TierStep::kRecall:
      return "fetch";
    case TierStep::kDelete:
      return "delete";
    case TierStep::kNone:
      break;
  }
  return "-";
}

const char* PlaceWord(TierPlace place) {
  switch (place) {
    case TierPlace::kHot:
      return "hot";
    case TierPlace::kCopied:
      return "copied";
    case TierPlace::kCold:
      return "cold";
    case TierPlace::kPartly:
      return "partly cold";
  }
  return "-";
}

const char* RecallWord(RecallMode mode) {
  switch (mode) {
    case RecallMode::kFail:
      return "fail";
    case RecallMode::kDelayed:
      return "delayed";
    case RecallMode::kBlock:
      break;
  }
  return "block";
}

Json PolicyJson(const TierPolicy& policy) {
  return {{"tier", policy.tier},
          {"archive_after_seconds", absl::ToInt64Seconds(policy.archive_after)},
          {"min_bytes", policy.min_bytes},
          {"release_after_seconds", SecondsOrNull(policy.release_after)},
          {"release_unread_seconds", SecondsOrNull(policy.release_unread)},
          {"keep_hot", policy.keep_hot},
          {"keep_every_steps", policy.keep_every_steps},
          {"delete_after_seconds", SecondsOrNull(policy.delete_after)},
          {"high_percent", policy.high_percent},
          {"low_percent", policy.low_percent},
          {"recall", RecallWord(policy.recall)},
          {"promote_reads", policy.promote_reads}};
}

Json VerdictJson(const TierVerdict& verdict) {
  Json json = {{"path", verdict.path},
               {"kind", verdict.is_checkpoint ? "checkpoint" : "file"},
               {"size_bytes", verdict.size_bytes},
               {"place", PlaceWord(verdict.place)},
               {"now", verdict.now == TierStep::kNone ? "nothing" : StepWord(verdict.now)},
               {"rule", verdict.rule},
               {"next", verdict.next == TierStep::kNone ? "nothing" : StepWord(verdict.next)}};
  json["next_at"] =
      verdict.next_at == absl::InfiniteFuture() ? Json(nullptr) : Json(UtcTime(verdict.next_at));
  return json;
}

std::string DescribePolicy(const TierPolicy& policy) {
  std::vector<std::string> parts;
  parts.push_back(policy.archive_after == absl::ZeroDuration()
                      ? absl::StrCat("copied to ", policy.tier, " at once")
                      : absl::StrCat("copied to ", policy.tier, " once ",
                                     HumanDuration(policy.archive_after), " old"));
  if (policy.min_bytes > 0)
    parts.push_back(absl::StrCat("not below ", HumanBytes(policy.min_bytes)));
  if (policy.keep_hot > 0)
    parts.push_back(absl::StrCat("the newest ", policy.keep_hot, " stay hot"));
  if (policy.release_after.has_value())
    parts.push_back(absl::StrCat("released once ", HumanDuration(*policy.release_after), " old"));
  if (policy.release_unread.has_value())
    parts.push_back(absl::StrCat("released unread for ", HumanDuration(*policy.release_unread)));
  const bool by_age = policy.release_after.has_value() || policy.release_unread.has_value();
  if (!by_age && policy.keep_hot > 0) parts.push_back("the others are released");
  if (policy.high_percent > 0)
    parts.push_back(absl::StrCat("released from ", policy.high_percent, " % to ",
                                 policy.low_percent, " % full"));
  if (policy.keep_every_steps > 0)
    parts.push_back(
        absl::StrCat("every step divisible by ", policy.keep_every_steps, " kept for ever"));
  if (policy.delete_after.has_value()) {
    parts.push_back(
        *policy.delete_after == absl::ZeroDuration()
            ? std::string("the rest deleted")
            : absl::StrCat("the rest deleted once ", HumanDuration(*policy.delete_after), " old"));
  }
  if (policy.recall != RecallMode::kBlock)
    parts.push_back(policy.recall == RecallMode::kFail ? "cold reads refused"
                                                       : "cold reads wait for a fetch");
  if (policy.promote_reads > 0)
    parts.push_back(absl::StrCat("fetched after ", policy.promote_reads, " cold reads"));
  return absl::StrJoin(parts, "; ");
}

std::string HumanAhead(absl::Time then, absl::Time now) {
  if (then == absl::InfiniteFuture() || then == absl::UnixEpoch()) return "-";
  return then <= now ? "now" : absl::StrCat("in ", HumanDuration(then - now));
}

std::string DescribeLimits(const std::vector<TierLimit>& limits) {
  if (limits.empty()) return "none";
  std::vector<std::string> parts;
  for (const TierLimit& limit : limits) {
    std::string part = limit.bytes_per_second == 0
                           ? "no limit"
                           : HumanRate(limit.bytes_per_second, absl::Seconds(1));
    if (limit.from_minute != limit.to_minute)
      absl::StrAppend(&part, " from ", Minute(limit.from_minute), " to ", Minute(limit.to_minute));
    parts.push_back(std::move(part));
  }
  return absl::StrJoin(parts, ", ");
}

}  // namespace cairn::cli
