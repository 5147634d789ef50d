#include "server/admin/fit_status.h"

#include <utility>

#include "common/base/strings.h"

namespace cairn {
namespace {

// Room for the warnings that say what else is left out.
constexpr size_t kNoticeBytes = 512;

bool Fits(size_t bytes_max, const wire::StatusReply& reply) {
  return reply.ByteSizeLong() + kNoticeBytes <= bytes_max;
}

// As StatusReply.shortened says. Twelve bytes or so a target are left.
void LeaveToTheMap(wire::StatusReply* reply) {
  reply->set_shortened(true);
  wire::ClusterMap* map = reply->mutable_map();
  map->clear_nodes();
  for (wire::TargetInfo& target : *map->mutable_targets()) {
    wire::TargetInfo kept;
    kept.set_id(target.id());
    kept.set_state(target.state());
    kept.set_used_bytes(target.used_bytes());
    target = std::move(kept);
  }
}

void LeaveOutTargets(wire::StatusReply* reply) {
  reply->add_warnings(StrCat("this status would not fit a message with what is used of the ",
                             reply->map().targets_size(),
                             " targets: it is left out, and counts as nothing"));
  reply->mutable_map()->clear_targets();
}

// From the end: errors come first.
void LeaveOutHealth(size_t bytes_max, wire::StatusReply* reply) {
  int left_out = 0;
  // Not measured anew for each: there may be thousands.
  size_t bytes = reply->ByteSizeLong() + kNoticeBytes;
  while (bytes > bytes_max && !reply->health().empty()) {
    bytes -= reply->health().rbegin()->ByteSizeLong();
    reply->mutable_health()->RemoveLast();
    ++left_out;
  }
  if (left_out > 0) {
    reply->add_warnings(StrCat(left_out,
                               " more things are wrong than this status has room for: "
                               "mend what it names first"));
  }
}

}  // namespace

void FitStatus(size_t bytes_max, wire::StatusReply* reply) {
  reply->set_placement_groups(static_cast<uint64_t>(reply->map().groups_size()));
  if (reply->has_map()) reply->mutable_map()->clear_groups();
  if (Fits(bytes_max, *reply)) return;
  LeaveToTheMap(reply);
  if (!Fits(bytes_max, *reply)) LeaveOutTargets(reply);
  LeaveOutHealth(bytes_max, reply);
  if (!Fits(bytes_max, *reply)) {
    reply->clear_counters();
    reply->add_warnings("the counters are left out: this status would not fit a message with them");
  }
}

}  // namespace cairn
