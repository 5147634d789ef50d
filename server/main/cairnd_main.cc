// cairnd: flags, start, the board, and a clean end on SIGTERM or SIGINT. What a node is made of is
// in node.h.

#include <pthread.h>
#include <sys/resource.h>

#include <csignal>
#include <cstdio>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "common/base/strings.h"
#include "common/telemetry/log.h"
#include "server/main/config_file.h"
#include "server/main/node.h"

namespace cairn {
namespace {

constexpr char kExamples[] = R"(Examples:
  cairnd --data /var/lib/cairn
  cairnd --data /mnt/nvme/cairn --listen 10.0.0.5:7440 --target-size 2TiB
  cairnd --config /etc/cairn/cairnd.toml
  cairnd --data /mnt/nvme/cairn --listen 10.0.0.6:7440 --join 10.0.0.5:7440 --secret-file /etc/cairn/cluster.secret

A node without --join founds a cluster and keeps its metadata. Its data directory has the file cluster.secret, which
the nodes that join need. A node that has joined once finds its cluster again without --join.
Without --listen the node is reachable from this machine only. The fabric ports beside the listening port must be
unreachable for strangers: put them behind a firewall or on a private network.)";

struct Flags {
  std::string config;
  std::string data;
  std::string listen;
  std::string advertise;
  std::vector<std::string> join;
  std::string secret_file;
  std::string rack;
  std::string target_size;
  std::string slab_memory;
  std::string log_level;
  std::string metrics_listen;
};

// Flags win over the file.
absl::StatusOr<config::Server> Configure(const Flags& flags) {
  config::Server config;
  if (!flags.config.empty()) {
    absl::StatusOr<config::Server> read = ReadServerConfig(flags.config);
    if (!read.ok()) return read.status();
    config = *std::move(read);
  }
  if (!flags.data.empty()) config.set_data(flags.data);
  if (!flags.listen.empty()) config.set_listen(flags.listen);
  if (!flags.advertise.empty()) config.set_advertise(flags.advertise);
  if (!flags.join.empty()) config.mutable_join()->Assign(flags.join.begin(), flags.join.end());
  if (!flags.secret_file.empty()) config.set_secret_file(flags.secret_file);
  if (!flags.rack.empty()) config.set_rack(flags.rack);
  if (!flags.slab_memory.empty()) config.set_slab_memory(flags.slab_memory);
  if (!flags.log_level.empty()) config.set_log_level(flags.log_level);
  if (!flags.metrics_listen.empty()) config.set_metrics_listen(flags.metrics_listen);
  if (!flags.target_size.empty()) {
    if (config.targets_size() > 1) {
      return absl::InvalidArgumentError(
          "--target-size needs a configuration with at most one target");
    }
    if (config.targets_size() == 0) config.add_targets();
    config.mutable_targets(0)->set_size(flags.target_size);
  }
  if (config.data().empty()) {
    return absl::InvalidArgumentError(
        "say where to keep data: --data DIR, or `data` in the configuration");
  }
  return config;
}

absl::Status OpenLog(const config::Server& config) {
  LogOptions options;
  options.file = config.log_file();
  if (!config.log_level().empty()) {
    absl::Status parsed = ParseLogLevel(config.log_level(), &options.level);
    if (!parsed.ok()) return parsed;
  }
  return InitLog(options);
}

// Two descriptors a client: its control connection and its fabric connection.
void RaiseDescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

// Also while the node starts, when nothing waits for signals yet.
bool StopSignalled() {
  sigset_t pending;
  sigpending(&pending);
  return sigismember(&pending, SIGTERM) == 1 || sigismember(&pending, SIGINT) == 1;
}

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "cairnd: %s\n", std::string(status.message()).c_str());
  return 1;
}

int Main(int argc, char** argv) {
  CLI::App app("Cairn's storage server: keeps checkpoints and files, serves them to clients.",
               "cairnd");
  app.footer(kExamples);
  app.set_version_flag("--version", CAIRN_VERSION);
  Flags flags;
  app.add_option("--data", flags.data,
                 "Directory for metadata, indexes and (by default) the target. Made if missing");
  app.add_option("--listen", flags.listen,
                 "HOST:PORT for clients; port 0 takes a free one [127.0.0.1:7440]");
  app.add_option("--advertise", flags.advertise,
                 "HOST:PORT told to clients where it differs from --listen");
  app.add_option("--join", flags.join,
                 "HOST:PORT of a node of the cluster to join; several with commas between them")
      ->delimiter(',');
  app.add_option("--secret-file", flags.secret_file,
                 "File with the cluster's secret, of mode 600 [DATA/cluster.secret, or the "
                 "environment's CAIRN_CLUSTER_SECRET]");
  app.add_option("--rack", flags.rack, "Name of the rack the node stands in");
  app.add_option("--target-size", flags.target_size,
                 "Size of the target's file, as 64GiB [half of what is free on its filesystem]");
  app.add_option("--slab-memory", flags.slab_memory, "Memory that data passes through [256MiB]");
  app.add_option("--config", flags.config,
                 "TOML file with these and more settings (proto/config/server.proto)");
  app.add_option("--metrics-listen", flags.metrics_listen,
                 "HOST:PORT where GET /metrics answers Prometheus; port 0 takes a free one [off]");
  app.add_option("--log-level", flags.log_level, "debug, info, warn or error [info]");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 1;
  }

  // Before any thread exists, so that all inherit the mask and only the wait below sees the
  // signals.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  RaiseDescriptorLimit();

  absl::StatusOr<config::Server> config = Configure(flags);
  if (!config.ok()) return Fail(config.status());
  if (absl::Status logging = OpenLog(*config); !logging.ok()) return Fail(logging);
  absl::StatusOr<std::unique_ptr<Node>> node = Node::Start(*config, StopSignalled);
  if (!node.ok()) return Fail(node.status());
  std::fputs((*node)->Board().c_str(), stdout);
  std::fflush(stdout);

  int received = 0;
  sigwait(&signals, &received);
  CAIRN_LOG_INFO("{}: finishing what is under way; once more ends at once", strsignal(received));
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
  (*node)->Stop();
  CAIRN_LOG_INFO("stopped");
  return 0;
}

}  // namespace
}  // namespace cairn

int main(int argc, char** argv) { return cairn::Main(argc, argv); }
