#include "client/cli/scrub_report.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "client/cli/format.h"
#include "client/cli/table.h"

namespace cairn::cli {
namespace {

absl::Time AsTime(int64_t ns) { return absl::FromUnixNanos(ns); }

Json TimeJson(int64_t ns) { return ns == 0 ? Json(nullptr) : Json(UtcTime(AsTime(ns))); }

std::string PassText(const ScrubInfo& scrub, absl::Time now) {
  if (scrub.began_at_ns == 0) return "none since the metadata's node has started";
  const std::string began =
      absl::StrCat("began ", HumanAge(AsTime(scrub.began_at_ns), now), " ago");
  if (!scrub.running) return absl::StrCat(began, ", not under way");
  const uint64_t all = std::max(scrub.stripes, scrub.stripes_done);
  const auto percent = static_cast<int>(
      all == 0 ? 0 : 100.0 * static_cast<double>(scrub.stripes_done) / static_cast<double>(all));
  return absl::StrCat(began, ", ", percent, "% of about ", all, " stripes");
}

std::string Render(const ScrubInfo& scrub, absl::Time now, TextStyle style) {
  const bool ended = scrub.ended_at_ns != 0;
  return RenderProperties(
      {{"pass", PassText(scrub, now)},
       {"last ended",
        ended ? absl::StrCat(HumanAge(AsTime(scrub.ended_at_ns), now), " ago") : "none yet"},
       {"read",
        absl::StrCat(HumanBytes(scrub.verified_bytes), ", ", scrub.stripes_done, " stripes")},
       {"found", absl::StrCat(scrub.findings, ", of which ", scrub.repaired, " are repaired")},
       {"reported",
        absl::StrCat(scrub.reported, " stripes by clients that read around something")}},
      style);
}

}  // namespace

Json ScrubJson(const ScrubInfo& scrub) {
  return {{"running", scrub.running},
          {"began_at", TimeJson(scrub.began_at_ns)},
          {"ended_at", TimeJson(scrub.ended_at_ns)},
          {"stripes_done", scrub.stripes_done},
          {"stripes", scrub.stripes},
          {"verified_bytes", scrub.verified_bytes},
          {"findings", scrub.findings},
          {"repaired", scrub.repaired},
          {"reported", scrub.reported}};
}

Look LookAtScrub(Context& context) {
  int code = kExitOk;
  Client* client = context.Connect(&code);
  if (client == nullptr) return {code};
  Admin admin(*client);
  const auto info = admin.RebuildStatus();
  if (!info.ok()) return {context.Fail({"cannot get the state of the scrub", "", info.status()})};
  if (context.json()) {
    context.PrintJson(ScrubJson(info->scrub));
  } else {
    context.Print(Render(info->scrub, context.clock().WallNow(), context.style()));
  }
  return {kExitOk};
}

}  // namespace cairn::cli
