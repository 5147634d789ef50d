// `cairn ckpt verify`: reads every byte of every shard back. The SDK checks each block's CRC on the
// way; this checks the CRC of each whole shard against the manifest on top.
#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/arguments.h"
#include "client/cli/format.h"
#include "client/cli/json_shapes.h"
#include "client/cli/parallel.h"
#include "client/cli/transfer.h"
#include "common/base/crc32c.h"
#include "common/base/status_macros.h"

namespace cairn::cli {
namespace {

struct VerifyOptions {
  std::string path;
  // Each reads one shard into two buffers of kVerifyBufferBytes: 128 MiB in all.
  size_t jobs = 4;
};

constexpr size_t kVerifyBufferBytes = size_t{16} << 20;

absl::Status VerifyShard(Client& client, const std::string& checkpoint, const ShardInfo& shard,
                         TransferHooks hooks) {
  ASSIGN_OR_RETURN(File file, client.OpenFile(JoinPath(checkpoint, shard.name)));
  if (file.size_bytes() != shard.size_bytes) {
    return absl::DataLossError(absl::StrCat("the manifest says ", shard.size_bytes,
                                            " bytes, the file has ", file.size_bytes()));
  }
  uint32_t crc = 0;
  ReadAhead reader(&file, kVerifyBufferBytes);
  while (true) {
    RETURN_IF_ERROR(hooks.interrupts->Check());
    ASSIGN_OR_RETURN(const ConstBuffer piece, reader.Next());
    if (piece.empty()) break;
    crc = ExtendCrc32c(crc, piece);
    hooks.progress->Add(piece.size());
  }
  if (crc != shard.crc32c) {
    return absl::DataLossError(absl::StrCat("the content has CRC32C ", CrcText(crc),
                                            ", the manifest says ", CrcText(shard.crc32c)));
  }
  return absl::OkStatus();
}

struct VerifyResult {
  std::vector<ShardInfo> shards;
  std::vector<absl::Status> statuses;  // one a shard
  CheckpointInfo info;
  uint64_t read_bytes = 0;
  absl::Duration elapsed;
};

int Report(Context& context, const VerifyResult& result) {
  Outcomes outcomes;
  Json shards = Json::array();
  Json bad = Json::array();
  std::vector<std::string> bad_names;
  for (size_t i = 0; i < result.shards.size(); ++i) {
    const absl::Status& status = result.statuses[i];
    Json shard = ShardJson(result.shards[i]);
    shard["ok"] = status.ok();
    if (!status.ok()) {
      shard["error"] = FailureJson({"bad shard", result.shards[i].name, status});
      bad.push_back(result.shards[i].name);
      bad_names.push_back(result.shards[i].name);
      outcomes.Failed(status);
    } else {
      outcomes.Succeeded();
    }
    shards.push_back(std::move(shard));
  }
  // A commit counts ranks and shards; so do we, lest a manifest that lost a line passes.
  const bool complete = result.info.shard_count == result.shards.size();
  const bool good = bad_names.empty() && complete;
  if (context.json()) {
    context.PrintJson({{"path", result.info.path},
                       {"ok", good},
                       {"shard_count", result.info.shard_count},
                       {"bad_shards", std::move(bad)},
                       {"size_bytes", result.info.size_bytes},
                       {"read_bytes", result.read_bytes},
                       {"seconds", absl::ToDoubleSeconds(result.elapsed)},
                       {"shards", std::move(shards)}});
  } else {
    context.Print(absl::StrCat(
        Printable(result.info.path), ": ",
        good ? "ok" : absl::StrCat(std::max<size_t>(bad_names.size(), 1), " bad"), ", ",
        result.shards.size(), result.shards.size() == 1 ? " shard, " : " shards, ",
        HumanBytes(result.read_bytes), " read in ", HumanDuration(result.elapsed), " (",
        HumanRate(result.read_bytes, result.elapsed), ")\n"));
    for (const std::string& name : bad_names) context.Print("bad: " + Printable(name) + "\n");
  }
  if (good) return kExitOk;
  // Nothing could be read at all: that says nothing about the shards.
  const int code = outcomes.ExitCode();
  return code == kExitUnreachable ? code : kExitPartial;
}

int RunVerify(Context& context, const VerifyOptions& options) {
  int code = kExitOk;
  Client* client = context.Connect(&code);
  if (client == nullptr) return code;
  const std::string path = PlainPath(options.path);
  VerifyResult result;
  auto info = client->ShowCheckpoint(path, &result.shards);
  if (!info.ok()) return context.Fail({"cannot verify", path, info.status()});
  if (!info->committed) {
    return context.Fail(
        {"cannot verify", path,
         absl::FailedPreconditionError("it is still being written; wait until it is committed")});
  }
  result.info = *std::move(info);
  result.statuses.resize(result.shards.size(), absl::CancelledError("not read"));
  if (result.info.shard_count != result.shards.size()) {
    context.Complain(
        {"bad manifest of", path,
         absl::DataLossError(absl::StrCat(result.shards.size(), " shards are listed, ",
                                          result.info.shard_count, " were committed"))});
  }
  uint64_t total = 0;
  for (const ShardInfo& shard : result.shards) total += shard.size_bytes;
  Progress progress(&context.console(), &context.clock(), context.options.progress,
                    "verify " + BaseName(path), total);
  ForEachParallel(options.jobs, result.shards.size(), context.interrupts(), [&](size_t i) {
    result.statuses[i] =
        VerifyShard(*client, path, result.shards[i], {&progress, &context.interrupts()});
    if (!result.statuses[i].ok() && context.interrupts().signal() == 0) {
      context.Complain({"bad shard", JoinPath(path, result.shards[i].name), result.statuses[i]},
                       &progress);
    }
  });
  progress.Finish();
  if (const absl::Status stopped = context.interrupts().Check(); !stopped.ok()) {
    return context.Fail({"stopped verifying", path, stopped});
  }
  result.read_bytes = progress.done_bytes();
  result.elapsed = progress.elapsed();
  return Report(context, result);
}

}  // namespace

void AddVerifyCommand(CLI::App* checkpoint, Command* chosen) {
  auto options = std::make_shared<VerifyOptions>();
  CLI::App* verify =
      checkpoint->add_subcommand("verify", "Read every byte back and check every checksum");
  verify->add_option("path", options->path, "Checkpoint")->required()->type_name("PATH");
  verify->add_option("-j,--jobs", options->jobs, "Shards read at once (4)")
      ->check(CLI::Range(1, 256));
  verify->footer(R"(Exit code 2 when shards are bad; their names are on stdout.

Examples:
  cairn ckpt verify models/run7/step-1000
  cairn ckpt verify models/run7/step-1000 --output json)");
  verify->callback([options, chosen] {
    *chosen = [options](Context& context) { return RunVerify(context, *options); };
  });
}

}  // namespace cairn::cli
