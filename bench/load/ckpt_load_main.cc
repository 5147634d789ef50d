// ckpt_load: saves and restores checkpoints from several client processes at once and times the
// whole. Each process is one rank with one shard, kept in one anonymous mapping as a training job
// keeps its tensors. It reads commands from stdin and answers each with one line of JSON, so that
// bench/compare can interleave it with others.
#include <sys/mman.h>
#include <sys/resource.h>

#include <chrono>
#include <cstring>
#include <iostream>
#include <optional>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "bench/load/worker_group.h"
#include "cairn/client.h"
#include "common/base/crc32c.h"
#include "common/base/random.h"
#include "common/base/status_macros.h"
#include "common/base/units.h"
#include "nlohmann/json.hpp"

namespace cairn::load {
namespace {

using nlohmann::json;

// Made by every run, so that a fresh cluster will do.
constexpr char kBucket[] = "bench";

constexpr char kHelp[] =
    R"(Saves and restores checkpoints from several client processes and times them.

Commands on stdin, one a line; one line of JSON answers each:
  save PATH      begin, write, close and rank done on every rank, then the commit
  restore PATH   every rank reads its shard back, verified, into the memory it saved from (overwritten before)
  remove PATH    removes the checkpoint
  status         the node's own status
  quit

Examples:
  echo "save bench/run/step-1" | ckpt_load --endpoint 127.0.0.1:7440 --clients 4 --mib 1024
  printf 'save bench/a/step-1\nrestore bench/a/step-1\nremove bench/a/step-1\n' | ckpt_load --mib 256
)";

struct Options {
  std::string endpoint;
  int clients = 4;
  uint64_t mib = 1024;
  int window = ClientOptions().window;
  double timeout_s = 120;
};

double Seconds(std::chrono::steady_clock::time_point since) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - since).count();
}

// User and system time of this process, all threads.
double CpuSeconds() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) { return time.tv_sec + time.tv_usec / 1e6; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// Times the steps of one command of one rank.
class Steps {
 public:
  void Mark(const char* name) {
    times_[name] = Seconds(last_);
    last_ = std::chrono::steady_clock::now();
  }
  json times() const { return times_; }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
  json times_ = json::object();
};

// One client process.
class Rank {
 public:
  Rank(const Options& options, int index) : options_(options), index_(index) {}

  // Maps and fills the tensors and connects.
  absl::Status Start() {
    const size_t bytes = options_.mib * kMiB;
    void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
      return absl::ResourceExhaustedError("no memory for the tensors; give a smaller --mib");
    tensors_ = MutableBuffer(static_cast<std::byte*>(memory), bytes);
    SeededRandom random(static_cast<uint64_t>(index_) + 1);
    auto* words = reinterpret_cast<uint64_t*>(memory);
    for (size_t i = 0; i < bytes / sizeof(uint64_t); ++i) words[i] = random.Next();
    crc_ = Crc32c(tensors_);
    ClientOptions client_options;
    client_options.endpoint = options_.endpoint;
    client_options.window = options_.window;
    client_options.timeout = absl::Seconds(options_.timeout_s);
    ASSIGN_OR_RETURN(client_, Client::Connect(client_options));
    return client_->MakeDirectory(kBucket);
  }

  absl::StatusOr<json> Run(const std::string& command, const std::string& path) {
    if (command == "save") return Save(path);
    if (command == "commit") return Commit();
    if (command == "poison") return Poison();
    if (command == "restore") return Restore(path);
    if (command == "check") return Check();
    if (command == "remove") return Remove(path);
    if (command == "status") return Status();
    return absl::InvalidArgumentError(absl::StrCat("unknown command '", command, "'"));
  }

 private:
  std::string shard_name() const { return absl::StrCat("rank", index_, ".bin"); }

  absl::StatusOr<json> Save(const std::string& path) {
    Steps steps;
    BeginOptions begin;
    begin.world_size = static_cast<uint32_t>(options_.clients);
    begin.rank = static_cast<uint32_t>(index_);
    ASSIGN_OR_RETURN(CheckpointWriter writer, client_->BeginCheckpoint(path, begin));
    steps.Mark("begin_s");
    ASSIGN_OR_RETURN(ShardWriter shard, writer.NewShard(shard_name()));
    RETURN_IF_ERROR(shard.Write(tensors_));
    steps.Mark("write_s");
    RETURN_IF_ERROR(shard.Close());
    steps.Mark("close_s");
    RETURN_IF_ERROR(writer.RankDone());
    steps.Mark("done_s");
    writer_.emplace(std::move(writer));
    return steps.times();
  }

  absl::StatusOr<json> Commit() {
    Steps steps;
    RETURN_IF_ERROR(writer_->Commit(absl::Seconds(options_.timeout_s)).status());
    steps.Mark("commit_s");
    return steps.times();
  }

  // A restore that wrote nothing must not pass.
  absl::StatusOr<json> Poison() {
    writer_.reset();
    memset(tensors_.data(), 0xa5, tensors_.size());
    return json::object();
  }

  absl::StatusOr<json> Restore(const std::string& path) {
    Steps steps;
    ASSIGN_OR_RETURN(File file, client_->OpenFile(absl::StrCat(path, "/", shard_name())));
    steps.Mark("open_s");
    RETURN_IF_ERROR(file.Read(0, tensors_));
    steps.Mark("read_s");
    return steps.times();
  }

  absl::StatusOr<json> Check() {
    if (Crc32c(tensors_) != crc_)
      return absl::DataLossError("restored bytes differ from those saved");
    return json::object();
  }

  absl::StatusOr<json> Remove(const std::string& path) {
    if (index_ == 0) RETURN_IF_ERROR(client_->Remove(path, Client::RemoveMode::kRecursive));
    return json::object();
  }

  absl::StatusOr<json> Status() {
    ASSIGN_OR_RETURN(std::string text, client_->StatusJson());
    return json{{"status", json::parse(text, nullptr, false)}};
  }

  const Options& options_;
  const int index_;
  MutableBuffer tensors_;
  uint32_t crc_ = 0;
  std::unique_ptr<Client> client_;
  std::optional<CheckpointWriter> writer_;
};

int RunRank(const Options& options, int index, LineChannel& parent) {
  Rank rank(options, index);
  absl::Status status = rank.Start();
  while (true) {
    json answer = {{"ok", status.ok()}};
    if (!status.ok()) answer["error"] = std::string(status.message());
    if (!parent.WriteLine(answer.dump()).ok()) return 1;
    while (true) {
      absl::StatusOr<std::string> line = parent.ReadLine();
      if (!line.ok()) return 0;
      const std::vector<std::string> words = absl::StrSplit(*line, ' ');
      const double cpu_before = CpuSeconds();
      absl::StatusOr<json> result = rank.Run(words[0], words.size() > 1 ? words[1] : "");
      if (!result.ok()) {
        status = result.status();
        break;
      }
      (*result)["ok"] = true;
      (*result)["cpu_s"] = CpuSeconds() - cpu_before;
      if (!parent.WriteLine(result->dump()).ok()) return 1;
    }
  }
}

// Adds the ranks' answers to `report`; false when one of them failed.
bool Collect(const absl::StatusOr<std::vector<std::string>>& answers, json* report) {
  if (!answers.ok()) {
    (*report)["error"] = std::string(answers.status().message());
    return false;
  }
  json ranks = json::array();
  bool all_ok = true;
  for (size_t i = 0; i < answers->size(); ++i) {
    json rank = json::parse((*answers)[i], nullptr, false);
    if (rank.is_discarded()) rank = {{"ok", false}, {"error", "unreadable answer"}};
    if (!rank["ok"].get<bool>()) {
      all_ok = false;
      (*report)["error"] = absl::StrCat("rank ", i, ": ", rank.value("error", ""));
    }
    ranks.push_back(std::move(rank));
  }
  (*report)["ranks"] = std::move(ranks);
  return all_ok;
}

json Execute(const std::string& command, const std::string& path, const Options& options,
             WorkerGroup& group) {
  json report = {{"op", command}, {"path", path}, {"bytes", options.mib * kMiB * options.clients}};
  report["ok"] = false;
  json ignored;
  if (command == "status") {
    absl::StatusOr<std::string> answer = group.AskOne(0, command);
    return answer.ok() ? json::parse(*answer, nullptr, false) : report;
  }
  if (command == "restore" && !Collect(group.Ask("poison"), &report)) return report;
  const auto start = std::chrono::steady_clock::now();
  if (!Collect(group.Ask(absl::StrCat(command, " ", path)), &report)) return report;
  if (command == "save") {
    const auto all_done = std::chrono::steady_clock::now();
    absl::StatusOr<std::string> committed = group.AskOne(0, "commit");
    json answer = committed.ok() ? json::parse(*committed, nullptr, false) : json::object();
    report["commit_s"] = Seconds(all_done);
    if (!answer.value("ok", false)) {
      report["error"] = absl::StrCat("commit: ", answer.value("error", "the coordinator has gone"));
      return report;
    }
  }
  report["seconds"] = Seconds(start);
  if (command == "restore" && !Collect(group.Ask("check"), &ignored)) {
    report["error"] = ignored["error"];
    return report;
  }
  report["ok"] = true;
  return report;
}

int Main(const Options& options) {
  absl::StatusOr<WorkerGroup> group = WorkerGroup::Start(
      options.clients,
      [&options](int index, LineChannel& parent) { return RunRank(options, index, parent); });
  if (!group.ok()) {
    std::cerr << "ckpt_load: " << group.status().message() << "\n";
    return 1;
  }
  json ready = {{"op", "ready"}, {"ok", true}, {"pids", group->pids()}};
  for (int i = 0; i < options.clients; ++i) {
    absl::StatusOr<std::string> answer = group->worker(i).ReadLine();
    json rank = answer.ok() ? json::parse(*answer, nullptr, false) : json::object();
    if (rank.value("ok", false)) continue;
    ready["ok"] = false;
    ready["error"] = absl::StrCat("rank ", i, ": ", rank.value("error", "has gone"));
  }
  std::cout << ready.dump() << std::endl;
  if (!ready["ok"].get<bool>()) return 1;
  int exit_code = 0;
  for (std::string line; std::getline(std::cin, line) && line != "quit";) {
    const std::vector<std::string> words = absl::StrSplit(line, ' ');
    const bool known = words[0] == "save" || words[0] == "restore" || words[0] == "remove";
    const bool complete = (known && words.size() == 2) || line == "status";
    json report = complete ? Execute(words[0], words.back(), options, *group)
                           : json{{"ok", false},
                                  {"error", "expected: save|restore|remove PATH, status or quit"}};
    if (!report["ok"].get<bool>()) exit_code = 1;
    std::cout << report.dump() << std::endl;
  }
  return exit_code;
}

}  // namespace
}  // namespace cairn::load

int main(int argc, char** argv) {
  cairn::load::Options options;
  CLI::App app(cairn::load::kHelp);
  app.add_option("--endpoint", options.endpoint,
                 "HOST:PORT of cairnd (default: CAIRN_ENDPOINT, 127.0.0.1:7440)");
  app.add_option("--clients", options.clients, "client processes")->check(CLI::Range(1, 256));
  app.add_option("--mib", options.mib, "MiB a client")->check(CLI::Range(1, 1 << 20));
  app.add_option("--window", options.window, "fragments in flight a client")
      ->check(CLI::Range(1, 64));
  app.add_option("--timeout", options.timeout_s, "seconds for any one call");
  CLI11_PARSE(app, argc, argv);
  return cairn::load::Main(options);
}
