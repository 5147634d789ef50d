// sdk_driver: the C++ SDK at the end of a pipe, for end-to-end and fault tests that kill it, stop
// it and look at what it was told. Reads one command a line, "verb key=value ...", with values
// percent-encoded where they hold spaces or odd bytes; answers each with one line of JSON: "ok",
// and "code" and "error" when it is false.
//
// Shards hold bytes that follow from the seed in their name, so that any process can tell later
// whether what it reads is what was written: see tests/e2e/content.h.
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "cairn/client.h"
#include "common/base/status_macros.h"
#include "nlohmann/json.hpp"
#include "tests/e2e/content.h"

namespace cairn::e2e {
namespace {

using nlohmann::json;

// The arguments of one command.
class Arguments {
 public:
  explicit Arguments(const std::vector<std::string>& words) {
    for (size_t i = 1; i < words.size(); ++i) {
      const std::pair<std::string, std::string> pair =
          absl::StrSplit(words[i], absl::MaxSplits('=', 1));
      values_[pair.first] = Decode(pair.second);
    }
  }
  std::string Text(const std::string& name, const std::string& otherwise = "") const {
    const auto found = values_.find(name);
    return found == values_.end() ? otherwise : found->second;
  }
  uint64_t Number(const std::string& name, uint64_t otherwise = 0) const {
    uint64_t number = 0;
    return absl::SimpleAtoi(Text(name), &number) ? number : otherwise;
  }
  bool Has(const std::string& name) const { return values_.count(name) > 0; }

 private:
  static std::string Decode(const std::string& text) {
    std::string decoded;
    for (size_t i = 0; i < text.size(); ++i) {
      if (text[i] == '%' && i + 2 < text.size()) {
        decoded += absl::HexStringToBytes(text.substr(i + 1, 2));
        i += 2;
      } else {
        decoded += text[i];
      }
    }
    return decoded;
  }
  std::map<std::string, std::string> values_;
};

json Describe(const CheckpointInfo& info) {
  json described = {{"path", info.path},
                    {"committed", info.committed},
                    {"attempt", info.attempt},
                    {"world", info.world_size},
                    {"ranks_done", info.ranks_done},
                    {"shards", info.shard_count},
                    {"bytes", info.size_bytes},
                    {"pinned", info.pinned},
                    {"job", info.job},
                    {"missing", info.missing_ranks}};
  if (info.step.has_value()) described["step"] = *info.step;
  return described;
}

json Describe(const std::vector<CheckpointInfo>& infos) {
  json described = json::array();
  for (const CheckpointInfo& info : infos) described.push_back(Describe(info));
  return described;
}

// A shard being written and the memory that it is written from, which must outlive the writer.
struct OpenShard {
  explicit OpenShard(ShardWriter started) : writer(std::move(started)) {}
  std::vector<std::vector<std::byte>> memory;
  ShardWriter writer;
};

class Driver {
 public:
  absl::StatusOr<json> Run(const std::string& verb, const Arguments& arguments) {
    const auto command = kCommands.find(verb);
    if (command == kCommands.end())
      return absl::InvalidArgumentError(absl::StrCat("unknown verb '", verb, "'"));
    if (client_ == nullptr && verb != "connect")
      return absl::FailedPreconditionError("connect first");
    return (this->*command->second)(arguments);
  }

 private:
  using Command = absl::StatusOr<json> (Driver::*)(const Arguments&);
  static const std::map<std::string, Command> kCommands;

  absl::StatusOr<json> Connect(const Arguments& arguments) {
    ClientOptions options;
    options.endpoint = arguments.Text("endpoint");
    options.timeout = absl::Milliseconds(arguments.Number("timeout_ms", 60000));
    options.window = static_cast<int>(arguments.Number("window", 8));
    ASSIGN_OR_RETURN(client_, Client::Connect(options));
    return json::object();
  }

  // ---- writing, step by step ----

  absl::StatusOr<json> Begin(const Arguments& arguments) {
    BeginOptions options;
    options.world_size = static_cast<uint32_t>(arguments.Number("world", 1));
    options.rank = static_cast<uint32_t>(arguments.Number("rank"));
    options.attempt = arguments.Number("attempt");
    options.job = arguments.Text("job");
    if (arguments.Has("step")) options.step = arguments.Number("step");
    ASSIGN_OR_RETURN(CheckpointWriter writer,
                     client_->BeginCheckpoint(arguments.Text("path"), options));
    const uint64_t attempt = writer.attempt();
    writers_.erase(arguments.Text("id"));
    writers_.emplace(arguments.Text("id"), std::move(writer));
    return json{{"attempt", attempt}};
  }

  absl::StatusOr<json> NewShard(const Arguments& arguments) {
    ASSIGN_OR_RETURN(CheckpointWriter * writer, WriterOf(arguments));
    ASSIGN_OR_RETURN(ShardWriter shard, writer->NewShard(arguments.Text("name")));
    shards_.erase(arguments.Text("shard"));
    shards_.emplace(arguments.Text("shard"), std::move(shard));
    return json::object();
  }

  absl::StatusOr<json> Write(const Arguments& arguments) {
    ASSIGN_OR_RETURN(OpenShard * shard, ShardOf(arguments));
    shard->memory.push_back(SeededContent(arguments.Number("seed"), arguments.Number("bytes")));
    RETURN_IF_ERROR(shard->writer.Write(shard->memory.back()));
    return json{{"bytes", shard->writer.size_bytes()}};
  }

  absl::StatusOr<json> Close(const Arguments& arguments) {
    ASSIGN_OR_RETURN(OpenShard * shard, ShardOf(arguments));
    RETURN_IF_ERROR(shard->writer.Close());
    return json::object();
  }

  absl::StatusOr<json> Abandon(const Arguments& arguments) {
    ASSIGN_OR_RETURN(OpenShard * shard, ShardOf(arguments));
    shard->writer.Abandon();
    return json::object();
  }

  absl::StatusOr<json> Done(const Arguments& arguments) {
    ASSIGN_OR_RETURN(CheckpointWriter * writer, WriterOf(arguments));
    RETURN_IF_ERROR(writer->RankDone());
    return json::object();
  }

  absl::StatusOr<json> Commit(const Arguments& arguments) {
    ASSIGN_OR_RETURN(CheckpointWriter * writer, WriterOf(arguments));
    ASSIGN_OR_RETURN(CheckpointInfo info,
                     writer->Commit(absl::Milliseconds(arguments.Number("timeout_ms", 30000))));
    return Describe(info);
  }

  absl::StatusOr<json> Abort(const Arguments& arguments) {
    ASSIGN_OR_RETURN(CheckpointWriter * writer, WriterOf(arguments));
    RETURN_IF_ERROR(writer->Abort(arguments.Text("reason", "a test said so")));
    return json::object();
  }

  // ---- whole operations ----

  // All ranks of a checkpoint, one after the other, and the commit.
  absl::StatusOr<json> Save(const Arguments& arguments) {
    const auto world = static_cast<uint32_t>(arguments.Number("world", 1));
    const uint64_t seed = arguments.Number("seed", 1);
    std::optional<CheckpointWriter> coordinator;
    uint64_t attempt = arguments.Number("attempt");
    for (uint32_t rank = 0; rank < world; ++rank) {
      BeginOptions options;
      options.world_size = world;
      options.rank = rank;
      options.attempt = attempt;
      options.job = arguments.Text("job");
      ASSIGN_OR_RETURN(CheckpointWriter writer,
                       client_->BeginCheckpoint(arguments.Text("path"), options));
      attempt = writer.attempt();
      const std::vector<std::byte> content =
          SeededContent(seed + rank, arguments.Number("bytes", 1 << 20));
      ASSIGN_OR_RETURN(ShardWriter shard, writer.NewShard(SeededName(rank, seed + rank)));
      RETURN_IF_ERROR(shard.Write(content));
      RETURN_IF_ERROR(shard.Close());
      RETURN_IF_ERROR(writer.RankDone());
      if (rank == 0) coordinator.emplace(std::move(writer));
    }
    ASSIGN_OR_RETURN(
        CheckpointInfo info,
        coordinator->Commit(absl::Milliseconds(arguments.Number("timeout_ms", 30000))));
    return Describe(info);
  }

  // Reads every shard of a checkpoint and compares it with what the seed in its name gives.
  absl::StatusOr<json> Verify(const Arguments& arguments) {
    const std::string path = arguments.Text("path");
    std::vector<ShardInfo> shards;
    ASSIGN_OR_RETURN(CheckpointInfo info, client_->ShowCheckpoint(path, &shards));
    uint64_t bytes = 0;
    for (const ShardInfo& shard : shards) {
      RETURN_IF_ERROR(VerifyFile(absl::StrCat(path, "/", shard.name), shard.size_bytes));
      bytes += shard.size_bytes;
    }
    json described = Describe(info);
    described["shards_read"] = shards.size();
    described["bytes_read"] = bytes;
    return described;
  }

  absl::Status VerifyFile(const std::string& path, uint64_t size_bytes) {
    const std::optional<uint64_t> seed = SeedOfName(path);
    if (!seed.has_value())
      return absl::InvalidArgumentError(absl::StrCat(path, " has no seed in its name"));
    ASSIGN_OR_RETURN(File file, client_->OpenFile(path));
    std::vector<std::byte> content(file.size_bytes());
    RETURN_IF_ERROR(file.Read(0, content));
    if (file.size_bytes() != size_bytes || content != SeededContent(*seed, size_bytes)) {
      return absl::InternalError(absl::StrCat("WRONG BYTES RETURNED for ", path));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<json> Put(const Arguments& arguments) {
    const std::vector<std::byte> content =
        SeededContent(arguments.Number("seed", 1), arguments.Number("bytes"));
    const ConstBuffer piece(content);
    RETURN_IF_ERROR(client_->PutFile(arguments.Text("path"), {&piece, 1}));
    return json::object();
  }

  absl::StatusOr<json> Get(const Arguments& arguments) {
    ASSIGN_OR_RETURN(Entry entry, client_->Stat(arguments.Text("path")));
    RETURN_IF_ERROR(VerifyFile(arguments.Text("path"), entry.size_bytes));
    return json{{"bytes", entry.size_bytes}};
  }

  // ---- looking and tidying ----

  absl::StatusOr<json> List(const Arguments& arguments) {
    Client::ListCheckpointsOptions options;
    options.include_writing = arguments.Number("writing") != 0;
    options.recursive = arguments.Number("recursive") != 0;
    ASSIGN_OR_RETURN(std::vector<CheckpointInfo> infos,
                     client_->ListCheckpoints(arguments.Text("path"), options));
    return json{{"checkpoints", Describe(infos)}};
  }

  absl::StatusOr<json> Entries(const Arguments& arguments) {
    ASSIGN_OR_RETURN(std::vector<Entry> entries, client_->List(arguments.Text("path")));
    json names = json::array();
    for (const Entry& entry : entries) names.push_back(entry.name);
    return json{{"names", names}};
  }

  absl::StatusOr<json> Show(const Arguments& arguments) {
    ASSIGN_OR_RETURN(CheckpointInfo info, client_->ShowCheckpoint(arguments.Text("path")));
    return Describe(info);
  }

  absl::StatusOr<json> Latest(const Arguments& arguments) {
    ASSIGN_OR_RETURN(CheckpointInfo info, client_->LatestCheckpoint(arguments.Text("path")));
    return Describe(info);
  }

  absl::StatusOr<json> Stat(const Arguments& arguments) {
    ASSIGN_OR_RETURN(Entry entry, client_->Stat(arguments.Text("path")));
    return json{{"bytes", entry.size_bytes}};
  }

  absl::StatusOr<json> Remove(const Arguments& arguments) {
    const auto mode = arguments.Number("recursive") != 0 ? Client::RemoveMode::kRecursive
                                                         : Client::RemoveMode::kOne;
    RETURN_IF_ERROR(client_->Remove(arguments.Text("path"), mode));
    return json::object();
  }

  absl::StatusOr<json> Rename(const Arguments& arguments) {
    RETURN_IF_ERROR(client_->Rename(arguments.Text("path"), arguments.Text("to")));
    return json::object();
  }

  absl::StatusOr<json> MakeDirectory(const Arguments& arguments) {
    RETURN_IF_ERROR(client_->MakeDirectory(arguments.Text("path")));
    return json::object();
  }

  absl::StatusOr<json> MakeBucket(const Arguments& arguments) {
    BucketOptions options;
    options.redundancy = arguments.Text("redundancy", options.redundancy);
    if (arguments.Text("spread") == "targets") options.spread = BucketOptions::Spread::kTargets;
    RETURN_IF_ERROR(client_->MakeBucket(arguments.Text("name"), options));
    return json::object();
  }

  absl::StatusOr<json> Pin(const Arguments& arguments) {
    RETURN_IF_ERROR(client_->PinCheckpoint(arguments.Text("path")));
    return json::object();
  }

  absl::StatusOr<json> Retain(const Arguments& arguments) {
    RetentionPolicy policy;
    policy.keep_last = static_cast<uint32_t>(arguments.Number("keep_last"));
    policy.keep_every_steps = arguments.Number("keep_every");
    RETURN_IF_ERROR(client_->SetRetention(arguments.Text("path"), policy));
    return json::object();
  }

  absl::StatusOr<json> Status(const Arguments&) {
    ASSIGN_OR_RETURN(std::string text, client_->StatusJson());
    return json{{"status", json::parse(text, nullptr, false)}};
  }

  absl::StatusOr<CheckpointWriter*> WriterOf(const Arguments& arguments) {
    const auto found = writers_.find(arguments.Text("id"));
    if (found == writers_.end()) return absl::InvalidArgumentError("no writer of that id");
    return &found->second;
  }
  absl::StatusOr<OpenShard*> ShardOf(const Arguments& arguments) {
    const auto found = shards_.find(arguments.Text("shard"));
    if (found == shards_.end()) return absl::InvalidArgumentError("no shard of that id");
    return &found->second;
  }

  // Destroyed in this order reversed: shards before writers before the client.
  std::unique_ptr<Client> client_;
  std::map<std::string, CheckpointWriter> writers_;
  std::map<std::string, OpenShard> shards_;
};

const std::map<std::string, Driver::Command> Driver::kCommands = {
    {"connect", &Driver::Connect},   {"begin", &Driver::Begin},   {"shard", &Driver::NewShard},
    {"write", &Driver::Write},       {"close", &Driver::Close},   {"abandon", &Driver::Abandon},
    {"done", &Driver::Done},         {"commit", &Driver::Commit}, {"abort", &Driver::Abort},
    {"save", &Driver::Save},         {"verify", &Driver::Verify}, {"put", &Driver::Put},
    {"get", &Driver::Get},           {"list", &Driver::List},     {"entries", &Driver::Entries},
    {"show", &Driver::Show},         {"latest", &Driver::Latest}, {"stat", &Driver::Stat},
    {"remove", &Driver::Remove},     {"rename", &Driver::Rename}, {"mkdir", &Driver::MakeDirectory},
    {"pin", &Driver::Pin},           {"retain", &Driver::Retain}, {"status", &Driver::Status},
    {"bucket", &Driver::MakeBucket},
};

int Main() {
  Driver driver;
  for (std::string line; std::getline(std::cin, line) && line != "quit";) {
    const std::vector<std::string> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
    if (words.empty()) continue;
    absl::StatusOr<json> result = driver.Run(words[0], Arguments(words));
    json answer = result.ok() ? *result : json::object();
    answer["ok"] = result.ok();
    if (!result.ok()) {
      answer["code"] = absl::StatusCodeToString(result.status().code());
      answer["error"] = std::string(result.status().message());
    }
    // Messages may quote any bytes of a bad name.
    std::cout << answer.dump(-1, ' ', true, json::error_handler_t::replace) << std::endl;
  }
  return 0;
}

}  // namespace
}  // namespace cairn::e2e

int main() { return cairn::e2e::Main(); }
