// Goal: memory under RMA stays the endpoint's own until the NIC is done with it, whatever becomes
// of the process at the other end: stopped, it holds the memory past the deadline; killed, it fails
// what is under way; and other peers are served meanwhile. Method: real peers on libfabric over
// loopback, each this program started anew, stopped and killed by real signals. They are hit at the
// end of the first transfer of many: the kernel's buffers hold only a part of what is left then.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "tests/sim/seeds.h"
#include "tests/unit/fabric/net_worlds.h"

extern char** environ;

namespace cairn {
namespace {

constexpr char kRoleVariable[] = "CAIRN_FABRIC_TEST_PEER";
constexpr size_t kMemoryBytes = 8 * kMiB;
// Together 256 MiB. A connection's two socket buffers hold 36 MiB at most with common settings.
constexpr size_t kReads = 32;
// Only 8 MiB of writes to one peer are on their way at once.
constexpr size_t kWrites = 8;
#if defined(__SANITIZE_THREAD__)
constexpr bool kThreadSanitized = true;
#else
constexpr bool kThreadSanitized = false;
#endif

// What every peer lets read. In words: byte by byte, without optimization, it would take seconds.
const std::vector<std::byte>& SharedBytes() {
  static const std::vector<std::byte> bytes = [] {
    SeededRandom random(77);
    std::vector<std::byte> made(kMemoryBytes);
    for (size_t at = 0; at < made.size(); at += sizeof(uint64_t)) {
      const uint64_t word = random.Next();
      std::memcpy(made.data() + at, &word, sizeof word);
    }
    return made;
  }();
  return bytes;
}

// --- The peer ---

// What the peer tells of itself, once it can be reached.
struct Introduction {
  BulkDescriptor readable;  // holds SharedBytes()
  BulkDescriptor writable;  // as many
  size_t address_bytes = 0;
  char address[256] = {};
};

bool SendWhole(int fd, const Introduction& introduction) {
  return send(fd, &introduction, sizeof introduction, MSG_NOSIGNAL) ==
         static_cast<ssize_t>(sizeof introduction);
}

// Serves RMA until the test closes its end of the connection on standard input.
Task<bool> ServeMemory(Reactor& reactor, Net& net) {
  std::vector<std::byte> source = SharedBytes();
  std::vector<std::byte> sink(kMemoryBytes);
  const auto readable = net.Register(source, MemoryAccess::kRemoteRead);
  const auto writable = net.Register(sink, MemoryAccess::kRemoteWrite);
  Introduction introduction;
  if (!readable.ok() || !writable.ok() || net.address().size() > sizeof introduction.address) {
    co_return false;
  }
  introduction.readable = (*readable)->descriptor();
  introduction.writable = (*writable)->descriptor();
  introduction.address_bytes = net.address().size();
  std::memcpy(introduction.address, net.address().data(), net.address().size());
  if (!SendWhole(STDIN_FILENO, introduction)) co_return false;
  const absl::Status over = co_await reactor.WaitReadable(STDIN_FILENO, Deadline::Infinite());
  co_return over.ok();
}

[[noreturn]] void BePeer() {
  // A stopped peer would outlive a test that is killed: it cannot see its input end.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  auto reactor = Reactor::Create({.backend = Reactor::Backend::kPoll});
  if (!reactor.ok()) _exit(1);
  auto net = LibfabricNet::Create(**reactor, {.bind_host = "127.0.0.1"});
  if (!net.ok()) _exit(2);
  _exit(RunOn(**reactor, ServeMemory(**reactor, **net)) ? 0 : 3);
}

// Turns the process into a peer before the first test when it was started as one. A fork without
// exec would inherit libfabric's and the reactors' state of the tests that ran before.
class PeerRole final : public ::testing::Environment {
 public:
  void SetUp() override {
    if (std::getenv(kRoleVariable) != nullptr) BePeer();
  }
};
[[maybe_unused]] ::testing::Environment* const kPeerRole =
    ::testing::AddGlobalTestEnvironment(new PeerRole);

// --- The test's side ---

// A peer in a process of its own, killed and reaped at the end.
class PeerProcess {
 public:
  PeerProcess() {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return;
    const bool started = Spawn(ends[1]);
    close(ends[1]);
    if (started) {
      // Blocks until the peer has introduced itself, or has ended.
      ready_ = recv(ends[0], &introduction_, sizeof introduction_, MSG_WAITALL) ==
               static_cast<ssize_t>(sizeof introduction_);
    }
    connection_ = ends[0];
  }
  ~PeerProcess() {
    Kill();
    if (connection_ >= 0) close(connection_);
  }
  PeerProcess(const PeerProcess&) = delete;
  PeerProcess& operator=(const PeerProcess&) = delete;

  bool ready() const { return ready_; }
  std::string address() const { return {introduction_.address, introduction_.address_bytes}; }
  const BulkDescriptor& readable() const { return introduction_.readable; }
  const BulkDescriptor& writable() const { return introduction_.writable; }

  // Returns when the process stands still.
  void Stop() {
    ASSERT_EQ(kill(pid_, SIGSTOP), 0);
    int status = 0;
    ASSERT_EQ(waitpid(pid_, &status, WUNTRACED), pid_);
    ASSERT_TRUE(WIFSTOPPED(status));
  }
  void Resume() { ASSERT_EQ(kill(pid_, SIGCONT), 0); }
  // Returns when the process, stopped or not, is gone.
  void Kill() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }

 private:
  // With `connection` as its standard input.
  bool Spawn(int connection) {
    std::vector<char*> environment;
    for (char** each = environ; *each != nullptr; ++each) environment.push_back(*each);
    std::string role = std::string(kRoleVariable) + "=1";
    environment.push_back(role.data());
    environment.push_back(nullptr);
    std::string program = "/proc/self/exe";
    char* arguments[] = {program.data(), nullptr};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, connection, STDIN_FILENO);
    // Not a second report of tests on the test's own output.
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    const int error =
        posix_spawn(&pid_, program.c_str(), &actions, nullptr, arguments, environment.data());
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0) pid_ = -1;
    return error == 0;
  }

  pid_t pid_ = -1;
  int connection_ = -1;
  bool ready_ = false;
  Introduction introduction_;
};

template <class World>
class PeerProcessTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!world_.available()) GTEST_SKIP() << "the kernel refuses io_uring";
    ASSERT_TRUE(victim_.ready() && other_.ready()) << "a peer process did not start";
    auto made = LibfabricNet::Create(world_.reactor(), {.bind_host = "127.0.0.1"});
    ASSERT_TRUE(made.ok()) << made.status();
    net_ = *std::move(made);
  }

  World world_;
  PeerProcess victim_;
  PeerProcess other_;
  std::unique_ptr<LibfabricNet> net_;
};
TYPED_TEST_SUITE(PeerProcessTest, ReactorWorlds);

// The server's half of a transfer: its registered memory and the peer it moves bytes from and to.
struct Server {
  explicit Server(LibfabricNet& net_in) : net(net_in), local(kMemoryBytes) {
    auto registered = net.Register(local, MemoryAccess::kLocal);
    EXPECT_TRUE(registered.ok()) << registered.status();
    if (registered.ok()) region = *std::move(registered);
  }
  PeerId Add(const PeerProcess& process) const {
    const absl::StatusOr<PeerId> added = net.AddPeer(process.address());
    EXPECT_TRUE(added.ok()) << added.status();
    return added.ok() ? *added : PeerId();
  }

  LibfabricNet& net;
  std::vector<std::byte> local;
  std::unique_ptr<MemoryRegion> region;
};

enum class Direction { kRead, kWrite };

// Transfers side by side. The end of the first one, in whatever way, is an event to act on.
struct Transfers {
  explicit Transfers(size_t count) : results(count) {}
  size_t unfinished() const {
    return static_cast<size_t>(std::count(results.begin(), results.end(), std::nullopt));
  }
  size_t failed() const {
    return static_cast<size_t>(
        std::count_if(results.begin(), results.end(),
                      [](const auto& result) { return result.has_value() && !result->ok(); }));
  }
  std::vector<std::optional<absl::Status>> results;
  Event one_ended;
};

Task<void> Move(Server* server, Direction direction, PeerId peer, const PeerProcess* process,
                Deadline deadline, Transfers* transfers, size_t index) {
  absl::Status moved;
  if (direction == Direction::kRead) {
    moved = co_await server->net.Read(peer, process->readable(), 0, server->local, deadline);
  } else {
    moved = co_await server->net.Write(peer, process->writable(), 0, server->local, deadline);
  }
  transfers->results[index] = std::move(moved);
  transfers->one_ended.Set();
}

// A read that connects, so that what follows meets an open connection; also the proof that `peer`
// is served. Into memory of its own: the server's is busy.
Task<void> ExpectServed(LibfabricNet* net, PeerId peer, const PeerProcess* process) {
  std::vector<std::byte> local(kMemoryBytes);
  const auto region = net->Register(local, MemoryAccess::kLocal);
  EXPECT_TRUE(region.ok()) << region.status();
  absl::Status moved = co_await net->Read(peer, process->readable(), 0, local, InSeconds(30));
  EXPECT_TRUE(moved.ok()) << moved;
  EXPECT_TRUE(local == SharedBytes());
  moved = co_await net->Write(peer, process->writable(), 0, local, InSeconds(30));
  EXPECT_TRUE(moved.ok()) << moved;
}

enum class Ending { kResumed, kKilled };

Task<void> StopInReads(LibfabricNet* net, PeerProcess* victim, PeerProcess* other, Ending ending) {
  Server server(*net);
  const PeerId stopped = server.Add(*victim);
  const PeerId living = server.Add(*other);
  co_await ExpectServed(net, stopped, victim);
  co_await ExpectServed(net, living, other);

  Transfers reads(kReads);
  const Deadline deadline = InSeconds(0.5);
  Scope scope;
  for (size_t i = 0; i < kReads; ++i) {
    scope.Spawn(Move(&server, Direction::kRead, stopped, victim, deadline, &reads, i));
  }
  co_await reads.one_ended;
  victim->Stop();
  StopSource never;
  (void)co_await SleepUntil(deadline, never);
  // Two whole transfers beyond the deadline: whoever gave up at it would have returned by now.
  co_await ExpectServed(net, living, other);
  EXPECT_GT(reads.unfinished(), 0u);
  EXPECT_GE(net->counters().operations_in_flight, reads.unfinished());

  const size_t in_quarantine = reads.unfinished();
  if (ending == Ending::kResumed) {
    victim->Resume();
  } else {
    victim->Kill();
  }
  co_await scope.Join();
  EXPECT_GE(reads.failed(), in_quarantine);
  for (const auto& result : reads.results) {
    if (result->ok()) continue;
    EXPECT_TRUE(absl::IsDeadlineExceeded(*result) ||
                (ending == Ending::kKilled && absl::IsUnavailable(*result)))
        << *result;
  }
  EXPECT_EQ(net->counters().operations_in_flight, 0u);
  if (ending == Ending::kResumed) {
    // Late, but whole: the transfers went on into memory that was still theirs.
    EXPECT_TRUE(server.local == SharedBytes());
    co_await ExpectServed(net, stopped, victim);
  }
  co_await ExpectServed(net, living, other);
}

TYPED_TEST(PeerProcessTest, StoppedPeerHoldsReadsPastTheirDeadlineUntilItIsResumed) {
  this->world_.Run(StopInReads(this->net_.get(), &this->victim_, &this->other_, Ending::kResumed));
}

TYPED_TEST(PeerProcessTest, StoppedPeerHoldsReadsPastTheirDeadlineUntilItIsKilled) {
  this->world_.Run(StopInReads(this->net_.get(), &this->victim_, &this->other_, Ending::kKilled));
}

// The way out of quarantine that does not depend on the peer.
Task<void> ResetInQuarantine(LibfabricNet* net, PeerProcess* victim, PeerProcess* other) {
  Server server(*net);
  const PeerId stopped = server.Add(*victim);
  const PeerId living = server.Add(*other);
  co_await ExpectServed(net, stopped, victim);
  Transfers reads(kReads);
  const Deadline deadline = InSeconds(0.2);
  Scope scope;
  for (size_t i = 0; i < kReads; ++i) {
    scope.Spawn(Move(&server, Direction::kRead, stopped, victim, deadline, &reads, i));
  }
  co_await reads.one_ended;
  victim->Stop();
  StopSource never;
  (void)co_await SleepUntil(deadline, never);
  EXPECT_EQ(net->Reset(), absl::OkStatus());
  co_await scope.Join();
  // The memory is the caller's again: what the peer still sends must not reach it.
  std::fill(server.local.begin(), server.local.end(), std::byte{0x5a});
  victim->Resume();
  co_await ExpectServed(net, stopped, victim);
  co_await ExpectServed(net, living, other);
  EXPECT_EQ(std::count(server.local.begin(), server.local.end(), std::byte{0x5a}),
            static_cast<std::ptrdiff_t>(kMemoryBytes));
}

TYPED_TEST(PeerProcessTest, ResetEndsTheQuarantineAndNothingLateArrives) {
  this->world_.Run(ResetInQuarantine(this->net_.get(), &this->victim_, &this->other_));
}

// The way out that needs no reset of everybody's endpoint.
Task<void> LosePatience(LibfabricNet* net, PeerProcess* victim, PeerProcess* other) {
  Server server(*net);
  const PeerId stopped = server.Add(*victim);
  const PeerId living = server.Add(*other);
  co_await ExpectServed(net, stopped, victim);
  Transfers reads(kReads);
  Scope scope;
  for (size_t i = 0; i < kReads; ++i) {
    scope.Spawn(Move(&server, Direction::kRead, stopped, victim, InSeconds(0.2), &reads, i));
  }
  co_await reads.one_ended;
  victim->Stop();
  co_await scope.Join();
  EXPECT_GT(reads.failed(), 0u);
  EXPECT_EQ(net->counters().operations_in_flight, 0u);
  std::fill(server.local.begin(), server.local.end(), std::byte{0x5a});
  co_await ExpectServed(net, living, other);
  victim->Resume();
  co_await ExpectServed(net, stopped, victim);
  EXPECT_EQ(std::count(server.local.begin(), server.local.end(), std::byte{0x5a}),
            static_cast<std::ptrdiff_t>(kMemoryBytes));
}

TYPED_TEST(PeerProcessTest, StoppedPeerLosesItsConnectionWhenPatienceEnds) {
  auto impatient =
      LibfabricNet::Create(this->world_.reactor(),
                           {.bind_host = "127.0.0.1", .overdue_patience = absl::Milliseconds(500)});
  ASSERT_TRUE(impatient.ok()) << impatient.status();
  this->world_.Run(LosePatience(impatient->get(), &this->victim_, &this->other_));
}

Task<void> KillInTransfers(LibfabricNet* net, PeerProcess* victim, PeerProcess* other,
                           Direction direction) {
  Server server(*net);
  const PeerId killed = server.Add(*victim);
  const PeerId living = server.Add(*other);
  co_await ExpectServed(net, killed, victim);

  Transfers transfers(direction == Direction::kRead ? kReads : kWrites);
  // Bounds those that had not begun: providers go on trying to connect to a dead peer.
  // Sanitized, the other peer's transfers in between alone take as long.
  const Deadline deadline = InSeconds(kSanitized ? 20 : 1.5);
  Scope scope;
  for (size_t i = 0; i < transfers.results.size(); ++i) {
    scope.Spawn(Move(&server, direction, killed, victim, deadline, &transfers, i));
  }
  co_await transfers.one_ended;
  victim->Kill();
  EXPECT_GT(transfers.unfinished(), 0u);
  // Served while the dead peer's operations are still being failed.
  co_await ExpectServed(net, living, other);
  co_await scope.Join();
  EXPECT_GT(transfers.failed(), 0u);
  for (const auto& result : transfers.results) {
    EXPECT_TRUE(result->ok() || absl::IsUnavailable(*result) || absl::IsDeadlineExceeded(*result))
        << *result;
  }
  // Of a loss that the connection reports, not of the clock. Under ThreadSanitizer writing is so
  // slow that all that were under way may have ended before the kill, and the others never begin.
  EXPECT_TRUE(kThreadSanitized || std::any_of(transfers.results.begin(), transfers.results.end(),
                                              [](const std::optional<absl::Status>& result) {
                                                return absl::IsUnavailable(*result);
                                              }));
  EXPECT_EQ(net->counters().operations_in_flight, 0u);
  co_await ExpectServed(net, living, other);
}

TYPED_TEST(PeerProcessTest, KilledPeerFailsReadsUnderWayAndOthersAreServed) {
  this->world_.Run(
      KillInTransfers(this->net_.get(), &this->victim_, &this->other_, Direction::kRead));
}

TYPED_TEST(PeerProcessTest, KilledPeerFailsWritesUnderWayAndOthersAreServed) {
  this->world_.Run(
      KillInTransfers(this->net_.get(), &this->victim_, &this->other_, Direction::kWrite));
}

}  // namespace
}  // namespace cairn
