// fabric_probe: the limit that the fabric sets to any server of ours. One server process moves
// blocks between its buffers and the memory of client processes by RMA, through the same Net and
// Reactor as cairnd, with no RPC, no checksum and no disk. Clients only wait on their endpoint's
// file descriptor.
#include <sys/mman.h>

#include <chrono>
#include <cstring>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "bench/load/worker_group.h"
#include "common/base/status_macros.h"
#include "common/base/units.h"
#include "common/fabric/libfabric_net.h"
#include "common/reactor/reactor.h"
#include "common/task/scope.h"
#include "common/task/when_all.h"
#include "nlohmann/json.hpp"

namespace cairn::load {
namespace {

using nlohmann::json;

constexpr char kHelp[] =
    R"(Measures the bare fabric: RMA between one server and several clients, without a disk.

Commands on stdin, one a line; one line of JSON answers each:
  read     the server pulls all clients' memory (the direction of a save)
  write    the server pushes into all clients' memory, delivery complete (the direction of a restore)
  quit

Example:
  printf 'read\nwrite\n' | fabric_probe --clients 4 --mib 1024
)";

struct Options {
  std::string provider = "tcp";
  std::string host = "127.0.0.1";
  int clients = 4;
  uint64_t mib = 1024;  // moved a client and command
  uint64_t memory_mib =
      256;  // the client's memory, passed over again until `mib` have moved; beyond any cache
  uint64_t block_kib = 4096;
  int depth = 3;  // blocks in flight a client
};

absl::StatusOr<MutableBytes> MapFilled(size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED)
    return absl::ResourceExhaustedError("no memory; give a smaller --memory-mib");
  memset(memory, 0x5a, bytes);
  return MutableBytes(static_cast<std::byte*>(memory), bytes);
}

// ---- a client ----

// Serves until the parent hangs up: all work is done by the endpoint's progress.
Task<void> WaitForHangUp(Reactor* reactor, Net* net, int fd) {
  (void)co_await reactor->WaitReadable(fd, Deadline::Infinite());  // ends with the parent
  co_await net->Stop();
  reactor->Stop();
}

absl::Status ServeMemory(const Options& options, LineChannel& parent) {
  ASSIGN_OR_RETURN(std::unique_ptr<Reactor> reactor, Reactor::Create({}));
  ASSIGN_OR_RETURN(
      std::unique_ptr<LibfabricNet> net,
      LibfabricNet::Create(*reactor, {.provider = options.provider, .bind_host = options.host}));
  ASSIGN_OR_RETURN(MutableBytes memory, MapFilled(options.memory_mib * kMiB));
  ASSIGN_OR_RETURN(std::unique_ptr<MemoryRegion> readable,
                   net->Register(memory, MemoryAccess::kRemoteRead));
  ASSIGN_OR_RETURN(std::unique_ptr<MemoryRegion> writable,
                   net->Register(memory, MemoryAccess::kRemoteWrite));
  json hello = {{"address", absl::BytesToHexString(net->address())}};
  for (const auto& [name, region] :
       {std::pair("read", readable.get()), std::pair("write", writable.get())}) {
    const BulkDescriptor bulk = region->descriptor();
    hello[name] = {{"key", bulk.key}, {"address", bulk.address}, {"length", bulk.length_bytes}};
  }
  RETURN_IF_ERROR(parent.WriteLine(hello.dump()));
  Scope scope;
  reactor->PostRemote([&scope, reactor = reactor.get(), net = net.get(), fd = parent.read_fd()] {
    scope.Spawn(WaitForHangUp(reactor, net, fd));
  });
  reactor->Run();
  return absl::OkStatus();
}

// ---- the server ----

struct Client {
  PeerId peer;
  BulkDescriptor readable;
  BulkDescriptor writable;
  uint64_t next_block = 0;  // of the command under way
};

enum class Direction { kRead, kWrite };

struct Server {
  const Options& options;
  Reactor& reactor;
  LibfabricNet& net;
  MutableBytes buffers;
  std::vector<Client> clients;

  uint64_t block_bytes() const { return options.block_kib * kKiB; }
};

// Moves one client's blocks through one buffer until none is left. `depth` of these run for each
// client.
Task<absl::Status> Pump(Server* server, Client* client, MutableBytes buffer, Direction direction) {
  const uint64_t blocks = server->options.mib * kMiB / server->block_bytes();
  const uint64_t blocks_in_memory = server->options.memory_mib * kMiB / server->block_bytes();
  while (client->next_block < blocks) {
    const uint64_t offset = client->next_block++ % blocks_in_memory * server->block_bytes();
    const Deadline deadline = Deadline::After(server->reactor.clock(), absl::Seconds(60));
    if (direction == Direction::kRead) {
      const absl::Status pulled =
          co_await server->net.Read(client->peer, client->readable, offset, buffer, deadline);
      CO_RETURN_IF_ERROR(pulled);
    } else {
      const absl::Status pushed =
          co_await server->net.Write(client->peer, client->writable, offset, buffer, deadline);
      CO_RETURN_IF_ERROR(pushed);
    }
  }
  co_return absl::OkStatus();
}

Task<json> Measure(Server* server, Direction direction) {
  std::vector<Task<absl::Status>> pumps;
  size_t buffer = 0;
  for (Client& client : server->clients) {
    client.next_block = 0;
    for (int i = 0; i < server->options.depth; ++i) {
      const MutableBytes memory =
          server->buffers.subspan(buffer++ * server->block_bytes(), server->block_bytes());
      pumps.push_back(Pump(server, &client, memory, direction));
    }
  }
  const auto start = std::chrono::steady_clock::now();
  const absl::Status status = co_await WhenAllOk(std::move(pumps));
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  json report = {{"op", direction == Direction::kRead ? "read" : "write"}, {"ok", status.ok()}};
  if (!status.ok()) report["error"] = std::string(status.message());
  report["bytes"] = server->options.mib * kMiB * server->clients.size();
  report["seconds"] = elapsed.count();
  co_return report;
}

Task<void> ServeCommands(Server* server, LineChannel* commands) {
  while (true) {
    // Sleeping in the reactor, not in read(): the endpoint goes on making progress between
    // commands.
    if (!commands->has_line()) {
      const absl::Status readable = co_await server->reactor.WaitReadable(
          commands->read_fd(), Deadline::Infinite());  // the user's pace
      if (!readable.ok()) break;
    }
    absl::StatusOr<std::string> line = commands->ReadLine();
    if (!line.ok() || *line == "quit") break;
    if (*line != "read" && *line != "write") {
      std::cout << R"({"ok":false,"error":"expected: read, write or quit"})" << std::endl;
      continue;
    }
    const json report =
        co_await Measure(server, *line == "read" ? Direction::kRead : Direction::kWrite);
    std::cout << report.dump() << std::endl;
  }
  co_await server->net.Stop();
  server->reactor.Stop();
}

absl::Status RunServer(const Options& options, WorkerGroup& group) {
  ASSIGN_OR_RETURN(std::unique_ptr<Reactor> reactor, Reactor::Create({}));
  ASSIGN_OR_RETURN(
      std::unique_ptr<LibfabricNet> net,
      LibfabricNet::Create(*reactor, {.provider = options.provider, .bind_host = options.host}));
  ASSIGN_OR_RETURN(
      MutableBytes buffers,
      MapFilled(options.block_kib * kKiB * static_cast<uint64_t>(options.depth * options.clients)));
  ASSIGN_OR_RETURN(std::unique_ptr<MemoryRegion> registered,
                   net->Register(buffers, MemoryAccess::kLocal));
  Server server = {options, *reactor, *net, buffers, {}};
  for (int i = 0; i < options.clients; ++i) {
    ASSIGN_OR_RETURN(std::string line, group.worker(i).ReadLine());
    const json hello = json::parse(line, nullptr, false);
    if (!hello.is_object() || !hello.contains("address")) return absl::UnavailableError(line);
    Client client;
    ASSIGN_OR_RETURN(client.peer,
                     net->AddPeer(absl::HexStringToBytes(hello["address"].get<std::string>())));
    const auto bulk = [](const json& value) {
      return BulkDescriptor{value["key"], value["address"], value["length"]};
    };
    client.readable = bulk(hello["read"]);
    client.writable = bulk(hello["write"]);
    server.clients.push_back(client);
  }
  std::cout << json{{"op", "ready"}, {"ok", true}, {"pids", group.pids()}}.dump() << std::endl;
  LineChannel commands(0, 1);
  Scope scope;
  reactor->PostRemote(
      [&scope, &server, &commands] { scope.Spawn(ServeCommands(&server, &commands)); });
  reactor->Run();
  return absl::OkStatus();
}

int Main(const Options& options) {
  absl::StatusOr<WorkerGroup> group =
      WorkerGroup::Start(options.clients, [&options](int, LineChannel& parent) {
        const absl::Status status = ServeMemory(options, parent);
        if (!status.ok()) (void)parent.WriteLine(std::string(status.message()));
        return status.ok() ? 0 : 1;
      });
  const absl::Status status = group.ok() ? RunServer(options, *group) : group.status();
  if (!status.ok()) std::cerr << "fabric_probe: " << status.message() << "\n";
  return status.ok() ? 0 : 1;
}

}  // namespace
}  // namespace cairn::load

int main(int argc, char** argv) {
  cairn::load::Options options;
  CLI::App app(cairn::load::kHelp);
  app.add_option("--provider", options.provider, "libfabric provider");
  app.add_option("--host", options.host, "address of the interface to use");
  app.add_option("--clients", options.clients, "client processes")->check(CLI::Range(1, 256));
  app.add_option("--mib", options.mib, "MiB moved a client and command")
      ->check(CLI::Range(4, 1 << 20));
  app.add_option("--memory-mib", options.memory_mib, "MiB of memory a client")
      ->check(CLI::Range(4, 1 << 20));
  app.add_option("--block-kib", options.block_kib, "KiB a block")->check(CLI::Range(4, 65536));
  app.add_option("--depth", options.depth, "blocks in flight a client")->check(CLI::Range(1, 64));
  CLI11_PARSE(app, argc, argv);
  return cairn::load::Main(options);
}
