// One request, one answer, over connections that break in every way. Method: a server on the
// loopback that does what each test tells it.
#include "server/tier/http_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>

#include "server/tier/digest.h"
#include "tests/unit/tier/fault_server.h"

namespace cairn {
namespace {

using ::testing::HasSubstr;
using Then = Reply::Then;

class HttpClientTest : public ::testing::Test {
 protected:
  HttpClientTest() {
    options_.proxy = HttpClientOptions::Proxy::kNone;
    options_.stall_window = absl::Milliseconds(200);
  }
  absl::StatusOr<HttpResponse> Perform(HttpClient& client, const FaultServer& server,
                                       HttpRequest request, const CallBounds& bounds = {}) {
    if (request.method.empty()) request.method = "GET";
    request.url = server.url() + "/path?a=%2F";
    return client.Perform(request, bounds);
  }
  absl::StatusOr<HttpResponse> GetFrom(const Reply& reply, size_t room = 10) {
    FaultServer server({reply});
    HttpClient client(options_, clock_);
    into_.assign(room, '\0');
    return Perform(client, server,
                   {.into = MutableBytes(reinterpret_cast<std::byte*>(into_.data()), room)});
  }

  HttpClientOptions options_;
  SystemClock clock_;
  std::string into_;
};

TEST_F(HttpClientTest, ABodyInPiecesArrivesWhole) {
  FaultServer server({Reply::Of(200, "fine", {{"ETag", "\"x\""}})});
  HttpClient client(options_, clock_);
  const std::string body(300'000, 'b');
  const ConstBytes bytes = BytesOf(body);
  const auto response = Perform(
      client, server,
      {.method = "PUT", .headers = {{"x-a", "1"}}, .body = {bytes.first(7), bytes.subspan(7)}});
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->status, 200);
  EXPECT_EQ(response->body, "fine");
  EXPECT_EQ(response->Header("etag"), "\"x\"");
  const SeenRequest seen = server.seen().at(0);
  EXPECT_EQ(seen.method, "PUT");
  EXPECT_EQ(seen.target, "/path?a=%2F");
  EXPECT_EQ(seen.body, body);
  EXPECT_EQ(seen.Header("x-a"), "1");
  EXPECT_THAT(seen.Header("user-agent"), HasSubstr("cairn/"));
}

TEST_F(HttpClientTest, ALargeBodyWaitsForTheServersConsent) {
  FaultServer server({Reply::Of(200)});
  HttpClient client(options_, clock_);
  const std::string body(3 << 20, 'b');
  ASSERT_TRUE(Perform(client, server, {.method = "PUT", .body = {BytesOf(body)}}).ok());
  EXPECT_EQ(server.seen().at(0).body.size(), body.size());
  EXPECT_EQ(server.seen().at(0).Header("expect"), "100-continue");
}

TEST_F(HttpClientTest, AnEmptyBodyHasALength) {
  FaultServer server({Reply::Of(200)});
  HttpClient client(options_, clock_);
  ASSERT_TRUE(Perform(client, server, {.method = "POST"}).ok());
  EXPECT_EQ(server.seen().at(0).Header("content-length"), "0");
}

TEST_F(HttpClientTest, ConnectionsAreUsedAgain) {
  FaultServer server({Reply::Of(200, "x")});
  HttpClient client(options_, clock_);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(Perform(client, server, {}).ok());
  EXPECT_EQ(server.seen().back().connection, 0);
}

TEST_F(HttpClientTest, AClosedKeptConnectionIsReplacedAndTheBodySentAgain) {
  // Closed without a word, as idle ones are.
  FaultServer server({Reply::Of(200, "x").And(Then::kClose)});
  HttpClient client(options_, clock_);
  const std::string body(1000, 'b');
  for (int i = 0; i < 3; ++i) {
    const auto response = Perform(client, server, {.method = "PUT", .body = {BytesOf(body)}});
    ASSERT_TRUE(response.ok()) << response.status();
    EXPECT_EQ(server.seen().back().body, body);
  }
}

TEST_F(HttpClientTest, TheCallersMemoryIsFilledOnSuccessOnly) {
  const auto whole = GetFrom(Reply::Of(206, "0123456789"));
  ASSERT_TRUE(whole.ok()) << whole.status();
  EXPECT_EQ(into_, "0123456789");
  EXPECT_EQ(whole->filled_bytes, 10u);
  const auto error = GetFrom(Reply::Of(404, "0123456789"));
  ASSERT_TRUE(error.ok()) << error.status();
  EXPECT_EQ(error->body, "0123456789");
  EXPECT_EQ(into_, std::string(10, '\0'));
}

TEST_F(HttpClientTest, ATooLongBodyIsDataLoss) {
  EXPECT_EQ(GetFrom(Reply::Of(200, "0123456789A")).status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(HttpClientTest, ATruncatedBodyIsUnavailable) {
  const auto response = GetFrom(Reply::Of(200, "0123456789").CutBy(3, Then::kClose));
  EXPECT_EQ(response.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(response.status().message()), HasSubstr("in the middle of an answer"));
}

TEST_F(HttpClientTest, AResetInTheBodyIsUnavailable) {
  EXPECT_EQ(GetFrom(Reply::Of(200, "0123456789").CutBy(3, Then::kReset)).status().code(),
            absl::StatusCode::kUnavailable);
}

TEST_F(HttpClientTest, AStalledBodyIsGivenUp) {
  const auto response = GetFrom(Reply::Of(200, "0123456789").CutBy(3, Then::kStall));
  EXPECT_EQ(response.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(response.status().message()), HasSubstr("moved less than"));
}

TEST_F(HttpClientTest, AServerThatSaysNothingIsGivenUp) {
  EXPECT_EQ(GetFrom(Reply{.bytes = "", .then = Then::kStall}).status().code(),
            absl::StatusCode::kUnavailable);
}

TEST_F(HttpClientTest, TheDeadlineEndsACall) {
  options_.stall_window = absl::Minutes(1);
  FaultServer server({Reply{.bytes = "", .then = Then::kStall}});
  HttpClient client(options_, clock_);
  const CallBounds bounds{.deadline = Deadline::After(clock_, absl::Milliseconds(50))};
  EXPECT_EQ(Perform(client, server, {}, bounds).status().code(),
            absl::StatusCode::kDeadlineExceeded);
}

TEST_F(HttpClientTest, AnotherThreadsStopEndsACall) {
  options_.stall_window = absl::Minutes(1);
  std::atomic<bool> stop = false;
  // Set once the request has arrived: the call is then sure to be waiting.
  FaultServer server([&](const SeenRequest&) {
    stop = true;
    return Reply{.bytes = "", .then = Then::kStall};
  });
  HttpClient client(options_, clock_);
  EXPECT_EQ(Perform(client, server, {}, {.stop = &stop}).status().code(),
            absl::StatusCode::kCancelled);
}

TEST_F(HttpClientTest, ARefusedConnectionIsUnavailable) {
  std::string url;
  {
    FaultServer gone({Reply::Of(200)});
    url = gone.url();
  }
  HttpClient client(options_, clock_);
  const auto response = client.Perform({.method = "GET", .url = url + "/"}, {});
  EXPECT_EQ(response.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(response.status().message()), HasSubstr("cannot connect to " + url));
}

TEST_F(HttpClientTest, ANameThatDoesNotResolveIsUnavailable) {
  HttpClient client(options_, clock_);
  const auto response = client.Perform({.method = "GET", .url = "http://nowhere.invalid/"}, {});
  EXPECT_EQ(response.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(response.status().message()), HasSubstr("does not resolve"));
}

TEST_F(HttpClientTest, RedirectsAreNotFollowed) {
  FaultServer server({Reply::Of(301, "", {{"Location", "http://127.0.0.1:1/"}})});
  HttpClient client(options_, clock_);
  const auto response = Perform(client, server, {});
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->status, 301);
}

TEST_F(HttpClientTest, AMissingCaFileIsAFailedPrecondition) {
  options_.ca_file = "/nowhere/ca.pem";
  HttpClient client(options_, clock_);
  FaultServer server({Reply::Of(200)});
  const auto response = client.Perform(
      {.method = "GET", .url = "https://127.0.0.1:" + std::to_string(server.port()) + "/"}, {});
  EXPECT_EQ(response.status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(HttpClientTest, GarbageInsteadOfAnAnswerIsUnavailable) {
  EXPECT_EQ(GetFrom(Reply{.bytes = "SSH-2.0-OpenSSH\r\n", .then = Then::kClose}).status().code(),
            absl::StatusCode::kUnavailable);
  std::string endless = "HTTP/1.1 200 OK\r\n";
  for (int i = 0; i < 5000; ++i) endless += "x-h: 0123456789012345678901234567890\r\n";
  EXPECT_EQ(GetFrom(Reply{.bytes = endless, .then = Then::kClose}).status().code(),
            absl::StatusCode::kUnavailable);
}

TEST_F(HttpClientTest, AHugeErrorBodyIsCut) {
  const auto response = GetFrom(Reply::Of(500, std::string(1 << 20, 'x')));
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->body.size(), 64u << 10);
}

TEST_F(HttpClientTest, ManyThreadsShareOne) {
  FaultServer server({Reply::Of(200, "x")});
  HttpClient client(options_, clock_);
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i) EXPECT_TRUE(Perform(client, server, {}).ok());
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(server.seen_count(), 160u);
}

}  // namespace
}  // namespace cairn
