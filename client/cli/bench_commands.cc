// `cairn bench ckpt` and `cairn bench meta`: what a job would see of this cluster, measured from
// here.
#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/arguments.h"
#include "client/cli/bench_rank.h"
#include "client/cli/format.h"
#include "client/cli/parallel.h"
#include "client/cli/status_document.h"
#include "common/base/crc32c.h"
#include "common/base/status_macros.h"

namespace cairn::cli {
namespace {

struct CheckpointBenchOptions {
  uint32_t ranks = 4;
  uint64_t size_bytes = uint64_t{1} << 30;
  uint32_t rounds = 5;
  std::string directory = "cairn-bench";
  bool keep = false;
};

struct MetadataBenchOptions {
  uint32_t ranks = 10000;
  uint64_t size_bytes = 1024;
  // Ranks at once. Each waits for three group commits after the other, so that many fill each
  // commit.
  size_t jobs = 128;
  std::string directory = "cairn-bench";
  bool keep = false;
};

// The node's counters of metadata requests.
constexpr const char* kMetadataRequests[] = {"cairn_meta_mutations_total",
                                             "cairn_meta_queries_total"};

double Median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

// Removes what a run left; a failure is told and does not change its result.
void CleanUp(Context& context, Client& client, const std::string& path) {
  const absl::Status removed = client.Remove(path, Client::RemoveMode::kRecursive);
  if (!removed.ok() && !absl::IsNotFound(removed)) {
    context.Complain({"cannot remove", path, removed});
  }
}

// A name of its own for each run: runs side by side do not meet, and a run that was killed is not
// in the way.
std::string RunDirectory(const Context& context, const std::string& directory) {
  return absl::StrCat(directory, "/run-", absl::ToUnixMillis(context.clock().WallNow()));
}

// What the node counts: requests, flushes, bytes. Empty when it does not say; a bench runs without.
using Counters = std::map<std::string, uint64_t>;

Counters ReadCounters(Client& client) {
  Counters counters;
  auto text = client.StatusJson();
  if (!text.ok()) return counters;
  auto status = NormalizeStatus(*text, client.endpoint());
  if (!status.ok()) return counters;
  for (const auto& [name, value] : (*status)["counters"].items()) {
    counters[name] = value.get<uint64_t>();
  }
  return counters;
}

// How far each counter went during a run. Other clients' work is in it, too.
Counters CountersSince(const Counters& before, const Counters& after) {
  Counters went;
  for (const auto& [name, value] : after) {
    const auto at = before.find(name);
    const uint64_t old = at == before.end() ? 0 : at->second;
    // A gauge may fall; only what was counted up is of use here.
    if (value > old) went[name] = value - old;
  }
  return went;
}

// Metadata requests of all kinds; nothing when the node does not count them.
std::optional<uint64_t> MetadataRequests(const Counters& counters) {
  std::optional<uint64_t> requests;
  for (const char* name : kMetadataRequests) {
    const auto at = counters.find(name);
    if (at != counters.end()) requests = requests.value_or(0) + at->second;
  }
  return requests;
}

// ---- bench ckpt ----

struct CheckpointBenchResult {
  std::vector<double> save_seconds;
  std::vector<double> restore_seconds;
  Counters counters;
};

absl::Status RunRound(Context& context, BenchRanks& ranks, const std::string& path,
                      CheckpointBenchResult* result) {
  RETURN_IF_ERROR(context.interrupts().Check());
  const MonoTime save_start = context.clock().Now();
  RETURN_IF_ERROR(ranks.Do("save " + path));
  result->save_seconds.push_back(absl::ToDoubleSeconds(context.clock().Now() - save_start));
  // What is not read again would otherwise still be in the memory and pass the check.
  RETURN_IF_ERROR(ranks.Do("clear"));
  RETURN_IF_ERROR(context.interrupts().Check());
  const MonoTime restore_start = context.clock().Now();
  RETURN_IF_ERROR(ranks.Do("restore " + path));
  result->restore_seconds.push_back(absl::ToDoubleSeconds(context.clock().Now() - restore_start));
  return ranks.Do("check");
}

absl::Status RunRounds(Context& context, Client& client, const CheckpointBenchOptions& options,
                       const std::string& directory, CheckpointBenchResult* result) {
  ASSIGN_OR_RETURN(BenchRanks ranks,
                   BenchRanks::Start(context.options, options.ranks, options.size_bytes));
  RETURN_IF_ERROR(ranks.WaitReady());
  for (uint32_t round = 0; round < options.rounds; ++round) {
    const std::string path = absl::StrCat(directory, "/step-", round);
    RETURN_IF_ERROR(RunRound(context, ranks, path, result));
    if (!context.json()) {
      const uint64_t bytes = options.ranks * options.size_bytes;
      auto rate = [&](double seconds) { return HumanRate(bytes, absl::Seconds(seconds)); };
      context.Print(absl::StrFormat("round %d: save %s (%s), restore %s (%s)\n", round + 1,
                                    HumanDuration(absl::Seconds(result->save_seconds.back())),
                                    rate(result->save_seconds.back()),
                                    HumanDuration(absl::Seconds(result->restore_seconds.back())),
                                    rate(result->restore_seconds.back())));
    }
    // Room for the next one: a bench must not need more space than one checkpoint.
    if (!options.keep) RETURN_IF_ERROR(client.Remove(path, Client::RemoveMode::kRecursive));
  }
  return absl::OkStatus();
}

Json CheckpointBenchJson(const CheckpointBenchOptions& options, const std::string& directory,
                         const CheckpointBenchResult& result) {
  const double bytes = static_cast<double>(options.ranks) * static_cast<double>(options.size_bytes);
  auto side = [&](const std::vector<double>& seconds) -> Json {
    return {{"median_gb_per_second", bytes / 1e9 / Median(seconds)},
            {"median_seconds", Median(seconds)},
            {"seconds", seconds}};
  };
  return {{"ranks", options.ranks},
          {"bytes_per_rank", options.size_bytes},
          {"rounds", options.rounds},
          {"directory", directory},
          {"kept", options.keep},
          {"save", side(result.save_seconds)},
          {"restore", side(result.restore_seconds)},
          {"node_counters", result.counters}};
}

int RunCheckpointBench(Context& context, const CheckpointBenchOptions& options) {
  int code = kExitOk;
  Client* client = context.Connect(&code);
  if (client == nullptr) return code;
  const std::string directory = RunDirectory(context, PlainPath(options.directory));
  if (const absl::Status made = client->MakeDirectory(directory); !made.ok()) {
    return context.Fail({"cannot make", directory, made});
  }
  CheckpointBenchResult result;
  const Counters before = ReadCounters(*client);
  const absl::Status ran = RunRounds(context, *client, options, directory, &result);
  result.counters = CountersSince(before, ReadCounters(*client));
  if (!options.keep) CleanUp(context, *client, directory);
  if (!ran.ok()) return context.Fail({"the benchmark failed in", directory, ran});
  const Json json = CheckpointBenchJson(options, directory, result);
  if (context.json()) {
    context.PrintJson(json);
  } else {
    context.Print(absl::StrFormat(
        "median of %d rounds, %d ranks of %s: save %.2f GB/s (durable and committed), restore "
        "%.2f GB/s (verified)\n",
        options.rounds, options.ranks, HumanBytes(options.size_bytes),
        json["save"]["median_gb_per_second"].get<double>(),
        json["restore"]["median_gb_per_second"].get<double>()));
    if (options.keep) context.Print(absl::StrCat("kept in ", directory, "\n"));
  }
  return kExitOk;
}

// ---- bench meta ----

struct MetadataBenchResult {
  absl::Duration ranks_elapsed;   // first Begin to last RankDone
  absl::Duration commit_elapsed;  // the commit alone
  CheckpointInfo info;
  Counters counters;
};

// One shard, closed, and the rank done.
absl::Status FinishRank(CheckpointWriter& writer, uint32_t rank, ConstBuffer content) {
  ASSIGN_OR_RETURN(ShardWriter shard, writer.NewShard(absl::StrFormat("rank-%06d.bin", rank)));
  RETURN_IF_ERROR(shard.Write(content));
  RETURN_IF_ERROR(shard.Close());
  return writer.RankDone();
}

absl::Status SaveAllRanks(Context& context, Client& client, const MetadataBenchOptions& options,
                          const std::string& path, MetadataBenchResult* result) {
  const std::vector<std::byte> content(options.size_bytes, std::byte{0x5a});
  const Counters before = ReadCounters(client);
  const MonoTime start = context.clock().Now();
  BeginOptions begin;
  begin.world_size = options.ranks;
  begin.job = "cairn-bench";
  ASSIGN_OR_RETURN(CheckpointWriter coordinator, client.BeginCheckpoint(path, begin));
  begin.attempt = coordinator.attempt();
  Progress progress(&context.console(), &context.clock(), context.options.progress, "ranks",
                    options.ranks * options.size_bytes);
  std::mutex mutex;
  absl::Status first;
  std::atomic<bool> failed = false;
  ForEachParallel(options.jobs, options.ranks, context.interrupts(), [&](size_t i) {
    if (failed.load(std::memory_order_relaxed)) return;
    const auto rank = static_cast<uint32_t>(i);
    absl::Status status;
    if (rank == 0) {
      status = FinishRank(coordinator, rank, content);
    } else {
      BeginOptions join = begin;
      join.rank = rank;
      auto writer = client.BeginCheckpoint(path, join);
      status = writer.ok() ? FinishRank(*writer, rank, content) : writer.status();
    }
    progress.Add(options.size_bytes);
    if (status.ok()) return;
    failed = true;
    std::lock_guard lock(mutex);
    first.Update(status);
  });
  progress.Finish();
  first.Update(context.interrupts().Check());
  if (!first.ok()) {
    // The error that ended it is the one to tell; the lease ends the attempt if this fails too.
    static_cast<void>(coordinator.Abort("the benchmark failed"));
    return first;
  }
  const MonoTime ranks_done = context.clock().Now();
  result->ranks_elapsed = ranks_done - start;
  ASSIGN_OR_RETURN(result->info, coordinator.Commit());
  result->commit_elapsed = context.clock().Now() - ranks_done;
  result->counters = CountersSince(before, ReadCounters(client));
  return absl::OkStatus();
}

// Asks the service, not the reply of the commit: what counts is what a reader finds.
absl::Status CheckCommitted(Client& client, const MetadataBenchOptions& options,
                            const std::string& path) {
  std::vector<ShardInfo> shards;
  ASSIGN_OR_RETURN(const CheckpointInfo info, client.ShowCheckpoint(path, &shards));
  const uint32_t crc = Crc32c(std::vector<std::byte>(options.size_bytes, std::byte{0x5a}));
  const bool same = std::all_of(shards.begin(), shards.end(), [&](const ShardInfo& shard) {
    return shard.size_bytes == options.size_bytes && shard.crc32c == crc;
  });
  if (info.committed && shards.size() == options.ranks && info.shard_count == options.ranks &&
      same) {
    return absl::OkStatus();
  }
  return absl::DataLossError(absl::StrCat("it has ", shards.size(), " shards of ", options.ranks,
                                          info.committed ? "" : " and is not committed",
                                          "; look at it with 'cairn ckpt show'"));
}

int ReportMetadataBench(Context& context, const MetadataBenchOptions& options,
                        const std::string& path, const MetadataBenchResult& result) {
  const double total = absl::ToDoubleSeconds(result.ranks_elapsed + result.commit_elapsed);
  const double per_second = options.ranks / total;
  const std::optional<uint64_t> requests = MetadataRequests(result.counters);
  const double per_rank = static_cast<double>(requests.value_or(0)) / options.ranks;
  if (context.json()) {
    context.PrintJson(
        {{"path", path},
         {"ranks", options.ranks},
         {"bytes_per_rank", options.size_bytes},
         {"jobs", options.jobs},
         {"seconds", total},
         {"ranks_seconds", absl::ToDoubleSeconds(result.ranks_elapsed)},
         {"commit_seconds", absl::ToDoubleSeconds(result.commit_elapsed)},
         {"ranks_per_second", per_second},
         {"metadata_calls_per_rank", requests.has_value() ? Json(per_rank) : Json(nullptr)},
         {"shards_committed", result.info.shard_count},
         {"verified", true},
         {"node_counters", result.counters},
         {"kept", options.keep}});
    return kExitOk;
  }
  context.Print(absl::StrFormat(
      "%d ranks with a shard of %s each, committed and verified in %s: %.0f ranks/s; the commit "
      "alone took %s\n",
      options.ranks, HumanBytes(options.size_bytes), HumanDuration(absl::Seconds(total)),
      per_second, HumanDuration(result.commit_elapsed)));
  if (requests.has_value()) {
    context.Print(absl::StrFormat("%.2f metadata calls per rank\n", per_rank));
  }
  if (options.keep) context.Print(absl::StrCat("kept in ", path, "\n"));
  return kExitOk;
}

int RunMetadataBench(Context& context, const MetadataBenchOptions& options) {
  int code = kExitOk;
  Client* client = context.Connect(&code);
  if (client == nullptr) return code;
  const std::string directory = RunDirectory(context, PlainPath(options.directory));
  if (const absl::Status made = client->MakeDirectory(directory); !made.ok()) {
    return context.Fail({"cannot make", directory, made});
  }
  const std::string path = directory + "/step-0";
  MetadataBenchResult result;
  absl::Status ran = SaveAllRanks(context, *client, options, path, &result);
  if (ran.ok()) ran = CheckCommitted(*client, options, path);
  if (!options.keep) CleanUp(context, *client, directory);
  if (!ran.ok()) return context.Fail({"the benchmark failed on", path, ran});
  return ReportMetadataBench(context, options, path, result);
}

// ---- arguments ----

void AddCheckpointBench(CLI::App* bench, Command* chosen) {
  auto options = std::make_shared<CheckpointBenchOptions>();
  CLI::App* ckpt =
      bench->add_subcommand("ckpt", "Save and restore checkpoints with one process a rank");
  ckpt->add_option("--ranks", options->ranks, "Processes that save side by side (4)")
      ->check(CLI::Range(1, 4096));
  AddBytesOption(ckpt, "--size", &options->size_bytes, "Bytes a rank, held in memory (1GiB)");
  ckpt->add_option("--rounds", options->rounds, "Saves and restores; the median counts (5)")
      ->check(CLI::Range(1, 1000));
  ckpt->add_option("--dir", options->directory, "Where to work (cairn-bench)")->type_name("DIR");
  ckpt->add_flag("--keep", options->keep, "Leave the checkpoints there");
  ckpt->footer(
      R"(A save counts until it is durable and committed, a restore until every byte is verified.
Rates are of all ranks together, in decimal GB/s.

Examples:
  cairn bench ckpt
  cairn bench ckpt --ranks 8 --size 256MiB --rounds 3 --output json)");
  ckpt->callback([options, chosen] {
    *chosen = [options](Context& context) { return RunCheckpointBench(context, *options); };
  });
}

void AddMetadataBench(CLI::App* bench, Command* chosen) {
  auto options = std::make_shared<MetadataBenchOptions>();
  CLI::App* meta =
      bench->add_subcommand("meta", "Commit one checkpoint of very many ranks with small shards");
  meta->add_option("--ranks", options->ranks, "Ranks of the checkpoint (10000)")
      ->check(CLI::Range(1, 1000000));
  AddBytesOption(meta, "--size", &options->size_bytes, "Bytes a rank (1KiB)");
  meta->add_option("-j,--jobs", options->jobs, "Ranks at work at once (128)")
      ->check(CLI::Range(1, 200));  // a node runs 256 calls of a session
  meta->add_option("--dir", options->directory, "Where to work (cairn-bench)")->type_name("DIR");
  meta->add_flag("--keep", options->keep, "Leave the checkpoint there");
  meta->footer(R"(Examples:
  cairn bench meta
  cairn bench meta --ranks 1000 --output json)");
  meta->callback([options, chosen] {
    *chosen = [options](Context& context) { return RunMetadataBench(context, *options); };
  });
}

// Not for people: `bench ckpt` starts it.
void AddRank(CLI::App* bench, Command* chosen) {
  auto options = std::make_shared<BenchRankOptions>();
  CLI::App* rank = bench->add_subcommand("rank", "One rank of bench ckpt");
  rank->group("");
  rank->add_option("--rank", options->rank)->required();
  rank->add_option("--ranks", options->ranks)->required();
  rank->add_option("--size", options->size_bytes)->required();
  rank->callback([options, chosen] {
    *chosen = [options](Context& context) { return RunBenchRank(context, *options); };
  });
}

}  // namespace

void AddBenchCommands(CLI::App* app, Command* chosen) {
  CLI::App* bench = app->add_subcommand("bench", "Measure saves, restores and metadata from here");
  bench->require_subcommand(1);
  bench->footer(
      "Examples:\n  cairn bench ckpt --ranks 4 --size 1GiB\n  cairn bench meta --ranks 10000");
  AddCheckpointBench(bench, chosen);
  AddMetadataBench(bench, chosen);
  AddRank(bench, chosen);
}

}  // namespace cairn::cli
