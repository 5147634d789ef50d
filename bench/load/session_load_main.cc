// session_load: many client sessions with one cluster, of which some are at work. Each session is
// an SDK client of its own, with its own thread, fabric endpoint and connections, as a rank of a
// job has them; several share one process only because thousands of processes would measure the
// machine. It reads commands from stdin and answers each with one line of JSON. Asked for small
// files by one session it tells latencies, by many sessions throughput. Driven by bench/compare.
#include <dirent.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "bench/load/worker_group.h"
#include "cairn/client.h"
#include "common/base/random.h"
#include "common/base/status_macros.h"
#include "nlohmann/json.hpp"

namespace cairn::load {
namespace {

using nlohmann::json;

constexpr char kHelp[] =
    R"(Opens many client sessions with a cluster and lets some of them put and get files.

Commands on stdin, one a line; one line of JSON answers each:
  connect N                        opens or ends sessions until there are N
  put DIR ACTIVE BYTES COUNT       each of ACTIVE sessions puts COUNT files of BYTES, one after the other
  get DIR ACTIVE BYTES COUNT       and reads them, as they were put with the same numbers
  remove DIR                       removes them
  quit

"latencies_ms" has each file's time, "seconds" that of all together.

Examples:
  printf 'connect 1\nput bench/small 1 4096 100\nget bench/small 1 4096 100\n' | session_load
  printf 'connect 2000\nput bench/many 64 4194304 8\n' | session_load --endpoint 127.0.0.1:7440
)";

constexpr int kCommandWords = 5;  // of put and get

struct Options {
  std::string endpoint;
  int processes = 8;
  double timeout_s = 120;
};

double Seconds(std::chrono::steady_clock::time_point since) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - since).count();
}

// Of `total` things, those of process `index`: as even as can be.
int ShareOf(int total, int index, int processes) {
  return total / processes + (index < total % processes ? 1 : 0);
}

uint64_t OpenDescriptors() {
  DIR* directory = opendir("/proc/self/fd");
  if (directory == nullptr) return 0;
  uint64_t count = 0;
  while (readdir(directory) != nullptr) ++count;
  closedir(directory);
  return count;
}

// As many descriptors as the system lets this process have.
uint64_t RaiseDescriptorLimit() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur;
}

// What put and get are asked for.
struct Work {
  bool put = false;
  std::string directory;
  int active = 0;  // of this process
  uint64_t bytes = 0;
  int count = 0;
};

// One process with its share of the sessions.
class Process {
 public:
  Process(const Options& options, int index)
      : options_(options), index_(index), descriptors_max_(RaiseDescriptorLimit()) {}

  absl::StatusOr<json> Run(const std::vector<std::string>& words) {
    int number = 0;
    if (words.size() < 2) return absl::InvalidArgumentError("a command without its arguments");
    if (words[0] == "remove") return Remove(words[1]);
    if (words[0] == "connect") {
      if (!absl::SimpleAtoi(words[1], &number)) return absl::InvalidArgumentError("connect what?");
      return Connect(ShareOf(number, index_, options_.processes));
    }
    ASSIGN_OR_RETURN(Work work, ParseWork(words));
    if (words[0] == "prepare") return Prepare(work);
    return Move(work);
  }

 private:
  absl::StatusOr<Work> ParseWork(const std::vector<std::string>& words) const {
    Work work;
    int active = 0;
    if (words.size() != kCommandWords || !absl::SimpleAtoi(words[2], &active) ||
        !absl::SimpleAtoi(words[3], &work.bytes) || !absl::SimpleAtoi(words[4], &work.count)) {
      return absl::InvalidArgumentError("expected: put|get DIR ACTIVE BYTES COUNT");
    }
    work.put = words[0] == "put";
    work.directory = words[1];
    work.active = ShareOf(active, index_, options_.processes);
    if (static_cast<size_t>(work.active) > clients_.size())
      return absl::FailedPreconditionError("more sessions at work than there are: connect more");
    return work;
  }

  absl::StatusOr<json> Connect(int count) {
    if (static_cast<size_t>(count) < clients_.size()) clients_.resize(count);
    const uint64_t before = OpenDescriptors();
    for (int opened = 0; clients_.size() < static_cast<size_t>(count); ++opened) {
      ClientOptions client_options;
      client_options.endpoint = options_.endpoint;
      client_options.timeout = absl::Seconds(options_.timeout_s);
      ASSIGN_OR_RETURN(std::unique_ptr<Client> client, Client::Connect(client_options));
      // The fabric's connection, too, which the first call makes.
      RETURN_IF_ERROR(client->List("").status());
      clients_.push_back(std::move(client));
      if (opened == 0) RETURN_IF_ERROR(CheckDescriptors(OpenDescriptors() - before, count));
    }
    return json{{"sessions", clients_.size()}, {"descriptors", OpenDescriptors()}};
  }

  absl::Status CheckDescriptors(uint64_t per_session, int sessions) const {
    const uint64_t needed = OpenDescriptors() + per_session * sessions;
    if (needed <= descriptors_max_) return absl::OkStatus();
    return absl::ResourceExhaustedError(absl::StrCat(
        sessions, " sessions in one process need about ", needed,
        " file descriptors, and the limit is ", descriptors_max_,
        ": raise it (ulimit -Hn, or LimitNOFILE= of the service), or give more --processes"));
  }

  // Memory of the sessions at work, outside the stop-watch.
  absl::StatusOr<json> Prepare(const Work& work) {
    buffers_.resize(work.active);
    for (size_t i = 0; i < buffers_.size(); ++i) {
      buffers_[i].resize(work.bytes);
      SeededRandom random(static_cast<uint64_t>(index_) * 4096 + i + 1);
      for (std::byte& byte : buffers_[i]) byte = static_cast<std::byte>(random.Next());
    }
    return json::object();
  }

  absl::StatusOr<json> Move(const Work& work) {
    std::vector<std::vector<double>> times(work.active);
    std::vector<absl::Status> ends(work.active);
    std::vector<std::thread> threads;
    for (int i = 0; i < work.active; ++i) {
      threads.emplace_back([&, i] { ends[i] = MoveFiles(work, i, &times[i]); });
    }
    for (std::thread& thread : threads) thread.join();
    json all = json::array();
    for (int i = 0; i < work.active; ++i) {
      RETURN_IF_ERROR(ends[i]);
      for (const double seconds : times[i]) all.push_back(seconds * 1000);
    }
    return json{{"latencies_ms", std::move(all)}};
  }

  absl::Status MoveFiles(const Work& work, int session, std::vector<double>* times) {
    Client& client = *clients_[session];
    std::vector<std::byte>& buffer = buffers_[session];
    for (int i = 0; i < work.count; ++i) {
      const std::string path = absl::StrCat(work.directory, "/", index_, "-", session, "-", i);
      const auto start = std::chrono::steady_clock::now();
      if (work.put) {
        const ConstBuffer piece = buffer;
        RETURN_IF_ERROR(client.PutFile(path, std::span(&piece, 1)));
      } else {
        ASSIGN_OR_RETURN(File file, client.OpenFile(path));
        RETURN_IF_ERROR(file.Read(0, buffer));
      }
      times->push_back(Seconds(start));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<json> Remove(const std::string& directory) {
    if (index_ != 0) return json::object();
    if (clients_.empty()) return absl::FailedPreconditionError("no session: connect first");
    RETURN_IF_ERROR(clients_.front()->Remove(directory, Client::RemoveMode::kRecursive));
    return json::object();
  }

  const Options& options_;
  const int index_;
  const uint64_t descriptors_max_;
  std::vector<std::unique_ptr<Client>> clients_;
  std::vector<std::vector<std::byte>> buffers_;
};

int RunProcess(const Options& options, int index, LineChannel& parent) {
  Process process(options, index);
  while (true) {
    absl::StatusOr<std::string> line = parent.ReadLine();
    if (!line.ok()) return 0;
    absl::StatusOr<json> result = process.Run(absl::StrSplit(*line, ' '));
    json answer = result.ok() ? *result : json{{"error", std::string(result.status().message())}};
    answer["ok"] = result.ok();
    if (!parent.WriteLine(answer.dump()).ok()) return 1;
  }
}

// Adds the processes' answers to `report`; false when one of them failed.
bool Collect(const absl::StatusOr<std::vector<std::string>>& answers, json* report) {
  if (!answers.ok()) {
    (*report)["error"] = std::string(answers.status().message());
    return false;
  }
  bool all_ok = true;
  json latencies = json::array();
  for (const std::string& line : *answers) {
    const json answer = json::parse(line, nullptr, false);
    if (!answer.is_object() || !answer.value("ok", false)) {
      all_ok = false;
      (*report)["error"] =
          answer.is_object() ? answer.value("error", "") : std::string("unreadable answer");
    }
    if (answer.is_object() && answer.contains("latencies_ms")) {
      for (const json& each : answer["latencies_ms"]) latencies.push_back(each);
    }
  }
  if (!latencies.empty()) (*report)["latencies_ms"] = std::move(latencies);
  return all_ok;
}

json Execute(const std::string& line, WorkerGroup& group) {
  std::vector<std::string> words = absl::StrSplit(line, ' ');
  json report = {{"op", words[0]}, {"ok", false}};
  const bool moves = words[0] == "put" || words[0] == "get";
  if (moves ? words.size() != kCommandWords
            : words.size() != 2 || (words[0] != "connect" && words[0] != "remove")) {
    report["error"] = "expected: connect N, put|get DIR ACTIVE BYTES COUNT, remove DIR or quit";
    return report;
  }
  if (moves) {
    words[0] = "prepare";
    if (!Collect(group.Ask(absl::StrJoin(words, " ")), &report)) return report;
  }
  const auto start = std::chrono::steady_clock::now();
  report["ok"] = Collect(group.Ask(line), &report);
  report["seconds"] = Seconds(start);
  if (!moves || !report["ok"].get<bool>()) return report;
  uint64_t bytes = 0;
  if (absl::SimpleAtoi(words[3], &bytes)) report["bytes"] = bytes * report["latencies_ms"].size();
  return report;
}

int Main(const Options& options) {
  absl::StatusOr<WorkerGroup> group = WorkerGroup::Start(
      options.processes,
      [&options](int index, LineChannel& parent) { return RunProcess(options, index, parent); });
  if (!group.ok()) {
    std::cerr << "session_load: " << group.status().message() << "\n";
    return 1;
  }
  std::cout << json{{"op", "ready"}, {"ok", true}, {"pids", group->pids()}}.dump() << std::endl;
  int exit_code = 0;
  for (std::string line; std::getline(std::cin, line) && line != "quit";) {
    const json report = Execute(line, *group);
    if (!report["ok"].get<bool>()) exit_code = 1;
    std::cout << report.dump() << std::endl;
  }
  return exit_code;
}

}  // namespace
}  // namespace cairn::load

int main(int argc, char** argv) {
  // libfabric's TCP provider keeps 1,024 buffers of this size an endpoint, of 16 KiB by default: 17
  // MiB a session here, 34 GiB for 2,000. They are for messages that come unexpected, of which
  // larger ones get memory of their own. Nothing changes for the server.
  setenv("FI_TCP_MAX_RX_SIZE", "512", /*overwrite=*/0);
  cairn::load::Options options;
  CLI::App app(cairn::load::kHelp);
  app.add_option("--endpoint", options.endpoint,
                 "HOST:PORT of cairnd (default: CAIRN_ENDPOINT, 127.0.0.1:7440)");
  app.add_option("--processes", options.processes, "processes that share the sessions (8)")
      ->check(CLI::Range(1, 256));
  app.add_option("--timeout", options.timeout_s, "seconds for any one call");
  CLI11_PARSE(app, argc, argv);
  return cairn::load::Main(options);
}
