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
  if (shard.crc32c_known && crc != shard.crc32c) {
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

// Only damage makes a shard bad: one that nobody could read may be good.
bool IsBad(const absl::Status& status) { return absl::IsDataLoss(status); }

const char* Complaint(const absl::Status& status) {
  return IsBad(status) ? "bad shard" : "cannot read shard";
}

// ABORTED when the checkpoint is another one now: then what was read says nothing about it.
absl::Status CheckUnchanged(Client& client, const CheckpointInfo& before) {
  const auto now = client.ShowCheckpoint(before.path, nullptr);
  const bool gone = absl::IsNotFound(now.status());
  if (gone || (now.ok() && (!now->committed || now->attempt != before.attempt ||
                            now->committed_at != before.committed_at))) {
    return absl::AbortedError(absl::StrCat("it was ", gone ? "removed" : "replaced",
                                           " while it was read; verify what is there now"));
  }
  return absl::OkStatus();
}

std::string Verdict(bool good, size_t bad, size_t unread) {
  if (good) return "ok";
  if (unread == 0) return absl::StrCat(std::max<size_t>(bad, 1), " bad");
  return absl::StrCat(bad, " bad, ", unread, " not read");
}

int Report(Context& context, const VerifyResult& result) {
  Json shards = Json::array();
  std::vector<std::string> bad, unread;
  absl::Status first_unread;
  for (size_t i = 0; i < result.shards.size(); ++i) {
    const absl::Status& status = result.statuses[i];
    Json shard = ShardJson(result.shards[i]);
    shard["ok"] = status.ok();
    if (!status.ok()) {
      shard["error"] = FailureJson({Complaint(status), result.shards[i].name, status});
      (IsBad(status) ? bad : unread).push_back(result.shards[i].name);
      if (!IsBad(status)) first_unread.Update(status);
    }
    shards.push_back(std::move(shard));
  }
  // A commit counts ranks and shards; so do we, lest a manifest that lost a line passes.
  const bool complete = result.info.shard_count == result.shards.size();
  const bool good = bad.empty() && unread.empty() && complete;
  if (context.json()) {
    context.PrintJson({{"path", result.info.path},
                       {"ok", good},
                       {"shard_count", result.info.shard_count},
                       {"bad_shards", bad},
                       {"unread_shards", unread},
                       {"size_bytes", result.info.size_bytes},
                       {"read_bytes", result.read_bytes},
                       {"seconds", absl::ToDoubleSeconds(result.elapsed)},
                       {"shards", std::move(shards)}});
  } else {
    context.Print(absl::StrCat(
        Printable(result.info.path), ": ", Verdict(good, bad.size(), unread.size()), ", ",
        result.shards.size(), result.shards.size() == 1 ? " shard, " : " shards, ",
        HumanBytes(result.read_bytes), " read in ", HumanDuration(result.elapsed), " (",
        HumanRate(result.read_bytes, result.elapsed), ")\n"));
    for (const std::string& name : bad) context.Print("bad: " + Printable(name) + "\n");
    for (const std::string& name : unread) context.Print("not read: " + Printable(name) + "\n");
  }
  if (good) return kExitOk;
  return bad.empty() && complete ? ExitCodeOf(first_unread) : kExitPartial;
}

// Tells the shards that failed. Not before all were read: a checkpoint that is replaced meanwhile
// looks damaged. ABORTED when it was.
absl::Status JudgeFailures(Context& context, Client& client, VerifyResult* result) {
  bool asked = false;
  for (size_t i = 0; i < result->shards.size(); ++i) {
    absl::Status& status = result->statuses[i];
    if (status.ok()) continue;
    if (!std::exchange(asked, true)) RETURN_IF_ERROR(CheckUnchanged(client, result->info));
    if (absl::IsNotFound(status)) {
      status = absl::DataLossError("the manifest has it, and there is no such file");
    }
    context.Complain(
        {Complaint(status), JoinPath(result->info.path, result->shards[i].name), status});
  }
  return absl::OkStatus();
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
  });
  progress.Finish();
  if (const absl::Status stopped = context.interrupts().Check(); !stopped.ok()) {
    return context.Fail({"stopped verifying", path, stopped});
  }
  if (const absl::Status unchanged = JudgeFailures(context, *client, &result); !unchanged.ok()) {
    return context.Fail({"cannot verify", path, unchanged});
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
  verify->footer(
      R"(Exit code 2 when shards are bad, 4 or 1 when some could not be read; their names are on stdout.

Examples:
  cairn ckpt verify models/run7/step-1000
  cairn ckpt verify models/run7/step-1000 --output json)");
  verify->callback([options, chosen] {
    *chosen = [options](Context& context) { return RunVerify(context, *options); };
  });
}

}  // namespace cairn::cli
