// scale_bench: how long saves and restores take on clusters that are not here. See README.md for
// what is modelled and what is Cairn's own code.
#include <cmath>
#include <iostream>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "bench/scale/calibrate.h"
#include "bench/scale/report.h"
#include "bench/scale/study.h"
#include "common/base/status_macros.h"
#include "common/base/units.h"

namespace cairn::scale {
namespace {

using nlohmann::json;

constexpr char kHelp[] =
    R"(Models saves and restores on clusters of many nodes and jobs of many ranks.

Groups, rotation, read plans, windows, slabs and credits are Cairn's own code; disks, networks and processors are
rates and latencies. Nothing is sent, and nothing is written.

Examples:
  scale_bench                                          8, 64 and 256 nodes, 64 to 16,384 ranks, two models
  scale_bench --nodes 256 --ranks 16384 --shape 405b --output json
  scale_bench --nodes 64 --ranks 1024 --oversubscription 2 --redundancy ec:8+2
  scale_bench --nodes 64 --ranks 1024 --down-at-restore 1
  scale_bench --calibrate                              what this processor does of checksums and parity
)";

// With the optimizer's state, 16 bytes a parameter: fp32 master weights and two moments, and the
// weights and gradients of the step in bf16.
constexpr double kBytesPerParameter = 16;

struct Flags {
  std::vector<uint32_t> nodes = {8, 64, 256};
  std::vector<uint32_t> ranks = {64, 256, 1024, 4096, 16384};
  std::vector<std::string> shapes = {"405b", "1.8t-moe"};
  std::string redundancy = "ec:4+2";
  std::string output = "table";
  uint64_t rank_bytes = 0;
  uint32_t down_at_save = 0;
  uint32_t down_at_restore = 0;
  uint64_t first_turn = 1;
  uint64_t stripes_max = 1'600'000;
  double session_bytes = 64 * kKiB;
  bool calibrate = false;
  Hardware hardware;
  Software software;
};

double ParametersOf(const std::string& shape) { return shape == "405b" ? 405e9 : 1.8e12; }

// Options of the hardware, in the units that people use.
void AddHardware(CLI::App* app, Hardware* hardware) {
  struct Number {
    const char* name;
    double* value;
    double unit;
    const char* help;
  };
  const std::vector<Number> numbers = {
      {"--disk-write-gbs", &hardware->disk_write, 1e9, "GB/s of a disk"},
      {"--disk-read-gbs", &hardware->disk_read, 1e9, "GB/s of a disk"},
      {"--disk-write-us", &hardware->disk_write_latency, 1e-6, "us of a write beside its bytes"},
      {"--disk-read-us", &hardware->disk_read_latency, 1e-6, "us of a read beside its bytes"},
      {"--disk-flush-us", &hardware->disk_flush, 1e-6, "us of a flush"},
      {"--index-sync-us", &hardware->index_sync, 1e-6, "us of an index batch"},
      {"--node-nic-gbits", &hardware->node_nic, kGbps, "Gbit/s of a node"},
      {"--host-nic-gbits", &hardware->host_nic, kGbps, "Gbit/s of a host of ranks"},
      {"--rank-encode-gbs", &hardware->rank_encode, 1e9,
       "GB/s of checksums and parity, one thread"},
      {"--rank-copies-gbs", &hardware->rank_copies, 1e9, "GB/s of checksums, one thread"},
      {"--rank-call-us", &hardware->rank_call, 1e-6, "us of a call in a rank"},
      {"--reactor-gbs", &hardware->reactor_bytes, 1e9, "GB/s of checksums, one reactor"},
      {"--reactor-call-us", &hardware->reactor_call, 1e-6, "us of a call in a node"},
      {"--oversubscription", &hardware->oversubscription, 1, "of a leaf's links to the spine"},
      {"--latency-us", &hardware->latency, 1e-6, "us of the network, one way"},
      {"--meta-call-us", &hardware->meta_call, 1e-6, "us of a metadata call's handling"},
      {"--meta-begin-us", &hardware->meta_begin, 1e-6, "us of a rank's begin in a group"},
      {"--meta-done-us", &hardware->meta_done, 1e-6, "us of a rank that is done, in a group"},
      {"--meta-sync-us", &hardware->meta_sync, 1e-6, "us of a group's synced write"},
      {"--meta-query-us", &hardware->meta_query, 1e-6, "us of a query"},
      {"--cores", &hardware->cores, 1, "of --one-machine"},
      {"--loopback-gbs", &hardware->loopback, 1e9, "GB/s of --one-machine's network"},
  };
  for (const Number& number : numbers) {
    const auto set = [number](double value) { *number.value = value * number.unit; };
    app->add_option_function<double>(number.name, set, number.help)->check(CLI::PositiveNumber);
  }
  app->add_option("--disks-per-node", hardware->disks_per_node, "targets")
      ->check(CLI::Range(1, 64));
  app->add_option("--reactors-per-node", hardware->reactors_per_node)->check(CLI::Range(1, 64));
  app->add_option("--ranks-per-host", hardware->ranks_per_host)->check(CLI::Range(1, 64));
  app->add_option("--nodes-per-leaf", hardware->nodes_per_leaf)->check(CLI::Range(1, 1024));
  app->add_option("--hosts-per-leaf", hardware->hosts_per_leaf)->check(CLI::Range(1, 1024));
  app->add_option("--slab-memory", hardware->slab_memory, "bytes of a node")
      ->transform(CLI::AsSizeValue(false));
  app->add_flag("--one-machine", hardware->one_machine,
                "all nodes and ranks share one disk and the --cores");
}

Case MakeCase(const Flags& flags, const Redundancy& redundancy, uint32_t nodes, uint32_t ranks,
              const std::string& shape) {
  Case study;
  study.hardware = flags.hardware;
  study.hardware.nodes = nodes;
  study.software = flags.software;
  study.shape_name = flags.rank_bytes > 0 ? "given" : shape;
  const double bytes = ParametersOf(shape) * kBytesPerParameter;
  study.shape.ranks = ranks;
  study.shape.rank_bytes =
      flags.rank_bytes > 0 ? flags.rank_bytes : static_cast<uint64_t>(std::ceil(bytes / ranks));
  study.shape.redundancy = redundancy;
  study.down_at_save = flags.down_at_save;
  study.down_at_restore = flags.down_at_restore;
  study.first_turn = flags.first_turn;
  study.stripes_max = flags.stripes_max;
  return study;
}

// All shapes of one cluster and job: the longest shards' placement serves the others, too.
absl::Status RunShapes(const Flags& flags, const Redundancy& redundancy,
                       const wire::ClusterMap& map, uint32_t nodes, uint32_t ranks, json* cases) {
  std::vector<Case> studies;
  for (const std::string& shape : flags.shapes) {
    studies.push_back(MakeCase(flags, redundancy, nodes, ranks, shape));
    if (flags.rank_bytes > 0) break;
  }
  Shape longest = studies[0].shape;
  for (const Case& study : studies)
    longest.rank_bytes = std::max(longest.rank_bytes, study.shape.rank_bytes);
  ASSIGN_OR_RETURN(const PlacementPlan plan, PlacementPlan::Make(map, longest, flags.first_turn));
  for (const Case& study : studies) {
    ASSIGN_OR_RETURN(const CaseResult result, RunCase(study, map, plan, flags.session_bytes));
    cases->push_back(ToJson(study, result));
    std::cerr << nodes << " nodes, " << ranks << " ranks, " << study.shape_name << "\n";
  }
  return absl::OkStatus();
}

absl::Status RunAll(const Flags& flags) {
  ASSIGN_OR_RETURN(const Redundancy redundancy, ParseRedundancy(flags.redundancy));
  if (flags.calibrate) {
    ASSIGN_OR_RETURN(const ProcessorRates rates, MeasureProcessor(redundancy));
    std::cout << json{{"rank_encode_gb_per_s", rates.encode / 1e9},
                      {"rank_copies_gb_per_s", rates.checksums / 1e9}}
                     .dump()
              << "\n";
    return absl::OkStatus();
  }
  if (flags.hardware.one_machine && flags.hardware.loopback == 0)
    return absl::InvalidArgumentError("--one-machine needs --loopback-gbs");
  json cases = json::array();
  for (uint32_t nodes : flags.nodes) {
    ASSIGN_OR_RETURN(const wire::ClusterMap map,
                     MakeMap(nodes, flags.hardware.disks_per_node, redundancy, flags.down_at_save));
    for (uint32_t ranks : flags.ranks)
      RETURN_IF_ERROR(RunShapes(flags, redundancy, map, nodes, ranks, &cases));
  }
  if (flags.output == "json") {
    const json hardware = ToJson(flags.hardware);
    std::cout << json{{"hardware", hardware}, {"cases", cases}}.dump(1) << "\n";
  } else {
    std::cout << Table(cases);
  }
  return absl::OkStatus();
}

}  // namespace
}  // namespace cairn::scale

int main(int argc, char** argv) {
  cairn::scale::Flags flags;
  CLI::App app(cairn::scale::kHelp);
  app.add_option("--nodes", flags.nodes, "clusters [8,64,256]")
      ->delimiter(',')
      ->check(CLI::Range(1, 4096));
  app.add_option("--ranks", flags.ranks, "jobs [64,256,1024,4096,16384]")
      ->delimiter(',')
      ->check(CLI::Range(1, 65536));
  app.add_option("--shape", flags.shapes, "405b, 1.8t-moe [both]")
      ->delimiter(',')
      ->check(CLI::IsMember({"405b", "1.8t-moe"}));
  app.add_option("--rank-bytes", flags.rank_bytes, "of each rank, instead of a shape's")
      ->transform(CLI::AsSizeValue(false));
  app.add_option("--redundancy", flags.redundancy, "of the bucket [ec:4+2]");
  app.add_option("--down-at-save", flags.down_at_save, "nodes that are down when the save begins");
  app.add_option("--down-at-restore", flags.down_at_restore, "nodes that fail after the save");
  app.add_option("--window", flags.software.window, "of each rank")->check(CLI::Range(1, 64));
  app.add_option("--session-bytes", flags.session_bytes, "of a server's memory")
      ->transform(CLI::AsSizeValue(false));
  app.add_option("--first-turn", flags.first_turn,
                 "of the ranks' rotations: how many had begun before");
  app.add_option("--stripes-max", flags.stripes_max,
                 "simulate so many and extrapolate; 0: all [1600000]");
  app.add_option("-o,--output", flags.output, "table or json")
      ->check(CLI::IsMember({"table", "json"}));
  app.add_flag("--calibrate", flags.calibrate, "measure this processor instead");
  cairn::scale::AddHardware(&app, &flags.hardware);
  CLI11_PARSE(app, argc, argv);
  const absl::Status status = cairn::scale::RunAll(flags);
  if (status.ok()) return 0;
  std::cerr << "scale_bench: " << status.message() << "\n";
  return 1;
}
