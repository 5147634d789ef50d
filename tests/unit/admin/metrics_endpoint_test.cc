// Goal: the endpoint writes what it is told as Prometheus reads it, and nobody who connects can do
// harm. Method: HTTP by hand over real sockets of this machine.
#include "server/admin/metrics_endpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "common/base/clock.h"
#include "common/base/strings.h"

namespace cairn {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// Everything a test waits for is done in milliseconds.
constexpr timeval kPatience{20, 0};

MetricSet SomeMetrics() {
  MetricSet set;
  set.AddCounter("cairn_test_calls_total", "Calls.", 12, {{"method", "say \"hi\"\\"}});
  set.AddGauge("cairn_test_free_bytes", "Free.", -1.5);
  Histogram histogram;
  for (const uint64_t value : {1, 2, 9}) histogram.Record(value);
  set.AddHistogram("cairn_test_took_seconds", "Took.", histogram, {1, 3, 0.5}, {{"core", "0"}});
  return set;
}

class Connection {
 public:
  explicit Connection(const MetricsEndpoint& endpoint) {
    const std::string& address = endpoint.address();
    uint32_t port = 0;
    EXPECT_TRUE(absl::SimpleAtoi(address.substr(address.rfind(':') + 1), &port));
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<uint16_t>(port));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof(kPatience));
    EXPECT_EQ(connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof(to)), 0);
  }
  ~Connection() { close(fd_); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void Send(std::string_view text) {
    // The other side may have hung up already, which is no matter.
    (void)!send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
  }
  // Until the other side hangs up.
  std::string ReadAll() {
    std::string text;
    char buffer[4096];
    for (ssize_t got = 0; (got = recv(fd_, buffer, sizeof(buffer), 0)) > 0;)
      text.append(buffer, static_cast<size_t>(got));
    return text;
  }

 private:
  int fd_ = -1;
};

std::string Ask(const MetricsEndpoint& endpoint, std::string_view request) {
  Connection connection(endpoint);
  connection.Send(request);
  return connection.ReadAll();
}

std::string Get(const MetricsEndpoint& endpoint, std::string_view path) {
  return Ask(endpoint, StrCat("GET ", path, " HTTP/1.1\r\nHost: x\r\n\r\n"));
}

std::unique_ptr<MetricsEndpoint> StartSome(MetricsEndpoint::Collect collect = SomeMetrics) {
  auto endpoint = MetricsEndpoint::Start("127.0.0.1:0", std::move(collect));
  EXPECT_TRUE(endpoint.ok()) << endpoint.status();
  return *std::move(endpoint);
}

TEST(MetricsEndpoint, AnswersInPrometheusTextFormat) {
  const auto endpoint = StartSome();
  EXPECT_THAT(endpoint->address(), StartsWith("127.0.0.1:"));
  EXPECT_THAT(endpoint->address(), Not(EndsWith(":0")));
  const std::string reply = Get(*endpoint, "/metrics");
  EXPECT_THAT(reply, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(reply, HasSubstr("Content-Type: text/plain"));
  EXPECT_THAT(reply, HasSubstr("# HELP cairn_test_calls_total Calls.\n"
                               "# TYPE cairn_test_calls_total counter\n"
                               "cairn_test_calls_total{method=\"say \\\"hi\\\"\\\\\"} 12\n"));
  EXPECT_THAT(reply, HasSubstr("# TYPE cairn_test_free_bytes gauge\n"
                               "cairn_test_free_bytes -1.5\n"));
  EXPECT_THAT(reply, HasSubstr("# TYPE cairn_test_took_seconds histogram\n"
                               "cairn_test_took_seconds_count{core=\"0\"} 3\n"
                               "cairn_test_took_seconds_sum{core=\"0\"} 6\n"
                               "cairn_test_took_seconds_bucket{core=\"0\",le=\"0.5\"} 1\n"
                               "cairn_test_took_seconds_bucket{core=\"0\",le=\"1.5\"} 2\n"
                               "cairn_test_took_seconds_bucket{core=\"0\",le=\"3.5\"} 2\n"
                               "cairn_test_took_seconds_bucket{core=\"0\",le=\"+Inf\"} 3\n"));
}

TEST(MetricsEndpoint, NothingButGetOfMetricsIsServed) {
  const auto endpoint = StartSome();
  for (const char* path : {"/", "/metric", "/etc/passwd", "/../../etc/passwd"})
    EXPECT_THAT(Get(*endpoint, path), StartsWith("HTTP/1.1 40")) << path;
  const std::string posted =
      Ask(*endpoint, "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
  EXPECT_THAT(posted, Not(HasSubstr("cairn_test")));
}

TEST(MetricsEndpoint, GarbageIsRefusedAndTheNextScrapeIsServed) {
  const auto endpoint = StartSome();
  for (const std::string& garbage :
       {std::string("\r\n\r\n"), std::string("GET\r\n\r\n"), std::string(100'000, 'x'),
        std::string("\0\xff\x16\x03\x01\r\n\r\n", 9),
        "GET /metrics HTTP/1.1\r\n" + std::string(50'000, 'h') + ": 1\r\n\r\n"}) {
    EXPECT_THAT(Ask(*endpoint, garbage), Not(HasSubstr("200 OK")));
  }
  EXPECT_THAT(Get(*endpoint, "/metrics"), HasSubstr("cairn_test_calls_total"));
}

TEST(MetricsEndpoint, ScrapersThatSayNothingHoldUpOthersOnlyForAWhile) {
  const auto endpoint = StartSome();
  std::vector<std::unique_ptr<Connection>> silent;
  for (int i = 0; i < 8; ++i) silent.push_back(std::make_unique<Connection>(*endpoint));
  for (const auto& connection : silent) connection->Send("GET /metr");
  EXPECT_THAT(Get(*endpoint, "/metrics"), HasSubstr("cairn_test_calls_total"));
}

TEST(MetricsEndpoint, ManyScrapesInASecondCollectOnce) {
  std::atomic<int> collected = 0;
  const auto endpoint = StartSome([&collected] {
    ++collected;
    return SomeMetrics();
  });
  const MonoTime began = SystemClock().Now();
  for (int i = 0; i < 20; ++i)
    EXPECT_THAT(Get(*endpoint, "/metrics"), HasSubstr("cairn_test_calls_total"));
  EXPECT_LE(collected, 1 + absl::ToInt64Seconds(SystemClock().Now() - began) + 1);
}

TEST(MetricsEndpoint, EndsWhileSomebodyIsConnected) {
  auto endpoint = StartSome();
  Connection silent(*endpoint);
  silent.Send("GET ");
  Connection slow(*endpoint);
  slow.Send("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
  const MonoTime began = SystemClock().Now();
  endpoint.reset();
  EXPECT_LT(SystemClock().Now() - began, absl::Seconds(10));
  EXPECT_THAT(silent.ReadAll(), Not(HasSubstr("200 OK")));
}

TEST(MetricsEndpoint, EndsAtOnceWhenNobodyIsConnected) {
  auto endpoint = StartSome();
  EXPECT_THAT(Get(*endpoint, "/metrics"), HasSubstr("200 OK"));
  const MonoTime began = SystemClock().Now();
  endpoint.reset();
  // By itself the server would take up to two seconds.
  EXPECT_LT(SystemClock().Now() - began, absl::Seconds(1));
}

TEST(MetricsEndpoint, ATakenPortIsSaidWithItsAddress) {
  const auto endpoint = StartSome();
  const auto second = MetricsEndpoint::Start(endpoint->address(), SomeMetrics);
  EXPECT_TRUE(absl::IsUnavailable(second.status())) << second.status();
  EXPECT_THAT(std::string(second.status().message()),
              HasSubstr(StrCat("cannot listen on ", endpoint->address(),
                               ": Address already in use; every node")));
}

TEST(MetricsEndpoint, WrongAddressesAreRefusedInWords) {
  for (const char* address : {"", "9744", "127.0.0.1", "127.0.0.1:http", "127.0.0.1:70000",
                              "127.0.0.1:9744s", "127.0.0.1:97,44"}) {
    const auto endpoint = MetricsEndpoint::Start(address, SomeMetrics);
    EXPECT_TRUE(absl::IsInvalidArgument(endpoint.status())) << address << endpoint.status();
    EXPECT_THAT(std::string(endpoint.status().message()), HasSubstr("is not HOST:PORT")) << address;
  }
  // TEST-NET-1: no interface of this machine has it.
  const auto elsewhere = MetricsEndpoint::Start("192.0.2.1:9744", SomeMetrics);
  EXPECT_THAT(std::string(elsewhere.status().message()), HasSubstr("Cannot assign requested"));
}

}  // namespace
}  // namespace cairn
