#include "bench/scale/report.h"

#include <algorithm>
#include <cstdio>

#include "common/base/strings.h"
#include "common/base/units.h"

namespace cairn::scale {
namespace {

using nlohmann::json;

constexpr double kGB = 1e9;

json ToJson(const Measured& measured) {
  const Outcome& outcome = measured.simulated;
  json utilisation = json::object();
  for (size_t i = 0; i < kResourceKinds; ++i) {
    const auto kind = static_cast<ResourceKind>(i);
    if (outcome.BusiestOf(kind) == 0) continue;
    utilisation[NameOf(kind)] = {{"busiest", outcome.BusiestOf(kind) / outcome.seconds},
                                 {"mean", outcome.MeanOf(kind) / outcome.seconds}};
  }
  return {
      {"seconds", measured.seconds},
      {"gb_per_s", measured.bytes_per_second / kGB},
      {"limit_gb_per_s", measured.limit.bytes_per_second / kGB},
      {"limited_by", NameOf(measured.limit.kind)},
      {"efficiency", measured.efficiency},
      {"moving_efficiency", measured.moving_efficiency},
      {"busiest", NameOf(measured.busiest)},
      {"utilisation", utilisation},
      {"disk_spread", outcome.DiskSpread()},
      {"metadata_commands", outcome.meta_commands},
      {"metadata_commands_per_s", static_cast<double>(outcome.meta_commands) / measured.seconds},
      {"metadata_busy_s", outcome.meta_seconds},
      {"begun_s", outcome.begun_seconds},
      {"moved_s", outcome.moved_seconds},
      {"sealed_s", outcome.sealed_seconds},
      {"simulated_s", outcome.seconds},
      {"simulated_bytes", measured.simulated_bytes},
      {"content_bytes", measured.content_bytes},
      {"disk_bytes", outcome.bytes_on_disk},
      {"calls_in_line_max", outcome.calls_in_line_max},
      {"credits", outcome.credits_min},
      {"sessions_max", outcome.sessions_max},
      {"sessions_mean", outcome.sessions_mean},
      {"events", outcome.events},
  };
}

json ToJson(const Footprint& footprint) {
  return {
      {"map_bytes", footprint.map_bytes},
      {"map_groups", footprint.groups},
      {"map_calls_of_a_client", footprint.map_calls},
      {"begin_bytes", footprint.begin_bytes},
      {"rank_done_bytes", footprint.rank_done_bytes},
      {"stat_bytes", footprint.stat_bytes},
      {"lease_renewals_per_s", footprint.renewals_per_second},
      {"server_fixed_memory_bytes", footprint.fixed_memory_bytes},
      {"server_memory_bytes", footprint.memory_bytes},
      {"server_memory_bytes_all_sessions", footprint.memory_bytes_max},
  };
}

template <class... Values>
std::string Format(const char* format, Values... values) {
  char line[256];
  std::snprintf(line, sizeof line, format, values...);
  return line;
}

std::string Row(const json& each, const char* operation) {
  const json& of = each[operation];
  const std::string shape = each["shape"], busiest = of["busiest"], limited_by = of["limited_by"];
  const double share = of["utilisation"][busiest]["busiest"];
  return Format(
      "%5u %6u  %-9s %-7s %8.2f %8.0f %8.0f %-9s %6.2f %7.2f  %-11s %4.0f %% %6.2f %8.0f "
      "%6.2f %6u %8.0f\n",
      each["nodes"].get<unsigned>(), each["ranks"].get<unsigned>(), shape.c_str(), operation,
      of["seconds"].get<double>(), of["gb_per_s"].get<double>(), of["limit_gb_per_s"].get<double>(),
      limited_by.c_str(), of["efficiency"].get<double>(), of["moving_efficiency"].get<double>(),
      busiest.c_str(), 100 * share, of["disk_spread"].get<double>(),
      of["metadata_commands_per_s"].get<double>(), of["metadata_busy_s"].get<double>(),
      of["sessions_max"].get<unsigned>(),
      each["footprint"]["server_memory_bytes"].get<double>() / kMiB);
}

}  // namespace

json ToJson(const Hardware& hardware) {
  return {{"nodes", hardware.nodes},
          {"disks_per_node", hardware.disks_per_node},
          {"reactors_per_node", hardware.reactors_per_node},
          {"disk_write_gb_per_s", hardware.disk_write / kGB},
          {"disk_read_gb_per_s", hardware.disk_read / kGB},
          {"node_nic_gb_per_s", hardware.node_nic / kGB},
          {"host_nic_gb_per_s", hardware.host_nic / kGB},
          {"ranks_per_host", hardware.ranks_per_host},
          {"rank_encode_gb_per_s", hardware.rank_encode / kGB},
          {"rank_copies_gb_per_s", hardware.rank_copies / kGB},
          {"reactor_gb_per_s", hardware.reactor_bytes / kGB},
          {"oversubscription", hardware.oversubscription},
          {"latency_s", hardware.latency},
          {"slab_memory_bytes", hardware.slab_memory},
          {"meta_begin_s", hardware.meta_begin},
          {"meta_done_s", hardware.meta_done},
          {"meta_sync_s", hardware.meta_sync}};
}

json ToJson(const Case& study, const CaseResult& result) {
  return {{"nodes", study.hardware.nodes},
          {"ranks", study.shape.ranks},
          {"shape", study.shape_name},
          {"bytes", study.shape.ranks * study.shape.rank_bytes},
          {"redundancy", FormatRedundancy(study.shape.redundancy)},
          {"down_at_save", study.down_at_save},
          {"down_at_restore", study.down_at_restore},
          {"save", ToJson(result.save)},
          {"restore", ToJson(result.restore)},
          {"footprint", ToJson(result.footprint)}};
}

std::string Table(const json& cases) {
  std::string table =
      "nodes  ranks  shape     what     seconds     GB/s limit by         eff.  moving  busiest    "
      "    "
      "used   disks  meta/s  meta s  sess. MiB/serv.\n";
  for (const json& each : cases) table += Row(each, "save") + Row(each, "restore");
  return table +
         "\neff.: of the hardware's limit, from the first call to the last reply; moving: while "
         "bytes "
         "move.\nused: of the busiest resource. disks: bytes of the fullest over the mean. meta s: "
         "the "
         "metadata's busiest thread\nat work. sess.: sessions of the node with most.\n";
}

}  // namespace cairn::scale
