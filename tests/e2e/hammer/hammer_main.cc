// mount_hammer: processes that change one tree by several mounts and the SDK, and look at what the
// others have done. What is to be seen follows from close-to-open consistency: slots.h has what
// must be there, player.h who does what. With --controlled it obeys tests/fault/mount_campaign,
// which kills mounts, servers and these processes meanwhile.
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "common/base/random.h"
#include "common/base/strings.h"
#include "nlohmann/json.hpp"
#include "tests/e2e/hammer/player.h"
#include "tests/e2e/hammer/slots.h"
#include "tests/e2e/hammer/view.h"

namespace cairn::hammer {
namespace {

using nlohmann::json;

constexpr char kHelp[] =
    R"(Has several processes change one tree by several mounts and the SDK, and checks that each sees what the others did.

Examples:
  mount_hammer --seconds 60 /mnt/a/tree /mnt/b/tree                               two mounts of one bucket
  mount_hammer --sdk 127.0.0.1:7440:/b/tree --seconds 600 /mnt/a/tree /mnt/b/tree  and the SDK
  mount_hammer --kill-every 2 --seconds 600 /mnt/a/tree /mnt/b/tree               its processes are killed, too

With --controlled, commands on stdin, one a line; one line of JSON answers each:
  down N     view N (mounts in their order, then the SDK) is about to be killed: errors by it mean nothing
  up N       it is there again
  kill       kills one of the processes, and starts another
  check      lets all rest, and checks everything by every view that is there
  stop       the same, and ends
)";

struct Options {
  std::vector<std::string> directories;
  std::string sdk;
  double seconds = 0;
  double kill_every = 0;
  double settle = 5;
  double stuck_after = 180;
  uint32_t processes = 6;
  uint64_t seed = 0;
  std::string syncing = "sometimes";
  bool controlled = false;
};

class Hammer {
 public:
  explicit Hammer(Options options)
      : options_(std::move(options)), board_(*MakeBoard()), dice_(options_.seed) {
    workers_.resize(options_.processes);
    last_done_.resize(options_.processes);
    moved_at_ns_.assign(options_.processes, NowNs());
  }

  int Run() {
    if (!MakeTree()) return 2;
    for (uint32_t i = 0; i < options_.processes; ++i) Start(i);
    if (options_.controlled) {
      Obey();
    } else {
      const int64_t end = NowNs() + Ns(options_.seconds);
      int64_t kill_at = NowNs() + Ns(options_.kill_every);
      while (NowNs() < end && board_.stop == 0) {
        usleep(kLook);
        Watch();
        if (options_.kill_every > 0 && NowNs() > kill_at) {
          KillOne();
          kill_at = NowNs() + Ns(options_.kill_every);
        }
      }
      CheckAll();
    }
    EndAll();
    return Tell();
  }

 private:
  static constexpr useconds_t kLook = 50'000;

  static int64_t Ns(double seconds) { return static_cast<int64_t>(seconds * 1e9); }
  uint32_t Views() const {
    return static_cast<uint32_t>(options_.directories.size() + (options_.sdk.empty() ? 0 : 1));
  }
  bool IsSdk(uint32_t view) const { return view >= options_.directories.size(); }
  std::string NameOfView(uint32_t view) const {
    return IsSdk(view) ? options_.sdk : options_.directories[view];
  }

  bool MakeTree() {
    const std::string& top = options_.directories.front();
    for (uint32_t i = 0; i <= kDirectories; ++i) {
      const std::string path = i == 0 ? top : StrCat(top, "/", DirectoryPath(i - 1));
      if (mkdir(path.c_str(), 0755) == 0 || (i == 0 && errno == EEXIST)) continue;
      std::cerr << "mount_hammer: " << path << ": " << strerror(errno) << "\n";
      return false;
    }
    return true;
  }

  // ---- processes

  absl::StatusOr<std::unique_ptr<View>> MakeView(uint32_t view, const std::string& tag) const {
    if (IsSdk(view)) return MakeSdkView(options_.sdk);
    return MakePosixView(options_.directories[view], tag);
  }

  PlayerOptions OptionsOf(uint32_t worker, uint32_t view, uint64_t seed) const {
    PlayerOptions options;
    options.worker = worker;
    options.view = view;
    options.seed = seed;
    options.settle_ns = Ns(options_.settle);
    options.syncing = options_.syncing == "always"  ? Syncing::kAlways
                      : options_.syncing == "never" ? Syncing::kNever
                                                    : Syncing::kSometimes;
    return options;
  }

  // Runs `work` in a child, which ends with this process.
  static pid_t Fork(const std::function<void()>& work) {
    const pid_t parent = getpid();
    const pid_t pid = fork();
    if (pid != 0) return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == parent) work();
    std::_Exit(0);
  }

  void Start(uint32_t worker) {
    const uint32_t view = worker % Views();
    const uint64_t seed = dice_.Next();
    board_.workers[worker].resting = 0;
    workers_[worker] = Fork([this, worker, view, seed] {
      auto made = MakeView(view, StrCat(worker));
      if (!made.ok()) {
        board_.Fail(StrCat(NameOfView(view), ": ", std::string(made.status().message())));
        return;
      }
      Player(&board_, made->get(), OptionsOf(worker, view, seed)).Play();
    });
    board_.workers[worker].pid = workers_[worker];
    moved_at_ns_[worker] = NowNs();
  }

  void KillOne() {
    const auto worker = static_cast<uint32_t>(dice_.Below(options_.processes));
    kill(workers_[worker], SIGKILL);
    if (!Reap(worker)) return;
    Bury(board_, worker);
    ++kills_;
    Start(worker);
  }

  // Waits for its end, which only a call that hangs can hold up.
  bool Reap(uint32_t worker) {
    const int64_t end = NowNs() + Ns(options_.stuck_after);
    while (waitpid(workers_[worker], nullptr, WNOHANG) == 0) {
      if (NowNs() > end) {
        board_.Fail(StrCat("process ", workers_[worker],
                           " does not end: ", board_.workers[worker].doing.data()));
        return false;
      }
      usleep(kLook);
    }
    workers_[worker] = 0;
    return true;
  }

  // Whether all go on, and none has ended by itself.
  void Watch() {
    for (uint32_t i = 0; i < options_.processes && board_.stop == 0; ++i) {
      Worker& each = board_.workers[i];
      int status = 0;
      if (workers_[i] != 0 && waitpid(workers_[i], &status, WNOHANG) == workers_[i]) {
        workers_[i] = 0;
        if (board_.stop == 0)
          board_.Fail(StrCat("a process ended with ", status, ": ", each.doing.data()));
        return;
      }
      if (each.done != last_done_[i] || each.resting != 0) {
        last_done_[i] = each.done;
        moved_at_ns_[i] = NowNs();
      } else if (NowNs() - moved_at_ns_[i] > Ns(options_.stuck_after)) {
        board_.Fail(StrCat("nothing goes on for ", options_.stuck_after, " s: ", each.doing.data(),
                           " by ", NameOfView(i % Views())));
      }
    }
  }

  // ---- checks

  // All rest, or something has been found that is wrong.
  bool LetRest() {
    board_.pause = 1;
    while (board_.stop == 0) {
      Watch();
      const bool all =
          std::all_of(board_.workers.begin(), board_.workers.begin() + options_.processes,
                      [](const Worker& each) { return each.resting != 0; });
      if (all) break;
      usleep(kLook);
    }
    return board_.stop == 0;
  }

  void CheckAll() {
    if (LetRest()) {
      // The kernel forgets what names it had.
      usleep(2'000'000);
      for (uint32_t view = 0; view < Views() && board_.failed == 0; ++view) {
        if (board_.down[view] == 0) CheckBy(view);
      }
      ++checks_;
    }
    board_.pause = 0;
  }

  // In a process of its own: the SDK does not outlive a fork.
  void CheckBy(uint32_t view) {
    // It holds nothing: all others rest.
    const uint32_t worker = kWorkersMax - 1;
    const pid_t pid = Fork([this, view, worker] {
      auto made = MakeView(view, "check");
      absl::Status status = made.status();
      if (status.ok()) status = Player(&board_, made->get(), OptionsOf(worker, view, 1)).CheckAll();
      if (!status.ok())
        board_.Fail(StrCat("check by ", NameOfView(view), ": ", std::string(status.message())));
    });
    const int64_t end = NowNs() + Ns(options_.stuck_after);
    int status = 0;
    while (waitpid(pid, &status, WNOHANG) == 0) {
      if (NowNs() > end) {
        board_.Fail(StrCat("a check does not end: ", board_.workers[worker].doing.data()));
        return;
      }
      usleep(kLook);
    }
    if (status != 0) board_.Fail(StrCat("a check ended with ", status));
  }

  void EndAll() {
    board_.stop = 1;
    for (uint32_t i = 0; i < options_.processes; ++i) {
      if (workers_[i] != 0 && !Reap(i)) kill(workers_[i], SIGKILL);
      workers_[i] = 0;
    }
  }

  uint64_t Done() const {
    uint64_t done = 0;
    for (const Worker& each : board_.workers) done += each.done;
    return done;
  }

  int Tell() const {
    if (board_.failed != 0) {
      std::cerr << "mount_hammer: FAILED, seed " << options_.seed << ": " << board_.failure.data()
                << std::endl;
      return 1;
    }
    if (!options_.controlled) {
      std::cout << "mount_hammer: " << Done() << " operations and looks of " << options_.processes
                << " processes, " << kills_ << " of them killed, all as they must be" << std::endl;
    }
    return 0;
  }

  // ---- under control

  void Answer(const std::string& command) const {
    json answer = {{"command", command},
                   {"ok", board_.failed == 0},
                   {"operations", Done()},
                   {"kills", kills_},
                   {"checks", checks_}};
    if (board_.failed != 0) answer["error"] = board_.failure.data();
    std::cout << answer.dump() << std::endl;
  }

  // False: it is to end.
  bool Execute(const std::string& line) {
    const std::vector<std::string> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
    if (words.empty()) return true;
    uint32_t view = 0;
    if (words.size() == 2 && absl::SimpleAtoi(words[1], &view) && view < Views()) {
      if (words[0] == "down") {
        board_.down[view] = 1;
        ++board_.downs[view];
      } else if (words[0] == "up") {
        board_.down[view] = 0;
      }
    } else if (words[0] == "kill") {
      KillOne();
    } else if (words[0] == "check" || words[0] == "stop") {
      CheckAll();
      // Whoever hears of the end may unmount.
      if (words[0] == "stop") EndAll();
    }
    Answer(line);
    return words[0] != "stop" && board_.failed == 0;
  }

  void Obey() {
    Answer("start");
    std::string pending;
    bool ends = false;
    while (!ends) {
      pollfd input = {STDIN_FILENO, POLLIN, 0};
      if (poll(&input, 1, static_cast<int>(kLook / 1000)) > 0) {
        char text[256];
        const ssize_t got = read(STDIN_FILENO, text, sizeof(text));
        if (got <= 0) break;
        pending.append(text, got);
      }
      Watch();
      for (size_t end = 0; !ends && (end = pending.find('\n')) != std::string::npos;) {
        ends = !Execute(pending.substr(0, end));
        pending.erase(0, end + 1);
      }
    }
  }

  Options options_;
  Board& board_;
  SeededRandom dice_;
  std::vector<pid_t> workers_;
  std::vector<uint64_t> last_done_;
  std::vector<int64_t> moved_at_ns_;
  uint64_t kills_ = 0;
  uint64_t checks_ = 0;
};

}  // namespace
}  // namespace cairn::hammer

int main(int argc, char** argv) {
  cairn::hammer::Options options;
  options.seed = cairn::SystemRandom().Next() >> 32;
  CLI::App app(cairn::hammer::kHelp);
  app.add_option("DIRECTORY", options.directories, "the tree, by each of the mounts")->required();
  app.add_option("--sdk", options.sdk, "ENDPOINT:/bucket/path of the tree: the SDK takes part");
  app.add_option("--seconds", options.seconds, "how long (60)");
  app.add_option("--processes", options.processes, "processes (6)")
      ->check(CLI::Range(1u, cairn::hammer::kWorkersMax - 1));
  app.add_option("--seed", options.seed, "repeats the choices, though not the order of processes");
  app.add_option("--kill-every", options.kill_every,
                 "kills one of the processes every so many seconds");
  app.add_option("--syncing", options.syncing, "never, sometimes or always: fsync (sometimes)")
      ->check(CLI::IsMember({"never", "sometimes", "always"}));
  app.add_option("--settle", options.settle,
                 "seconds until what a killed process had on its way has arrived (5)");
  app.add_option("--stuck-after", options.stuck_after, "seconds that a call may take (180)");
  app.add_flag("--controlled", options.controlled, "commands come on stdin");
  CLI11_PARSE(app, argc, argv);
  if (options.seconds <= 0) options.seconds = 60;
  if (!options.controlled) std::cout << "mount_hammer: seed " << options.seed << std::endl;
  return cairn::hammer::Hammer(options).Run();
}
