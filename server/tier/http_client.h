// One HTTP request, one answer, through libcurl: connection reuse, time limits, what went wrong.
// Knows nothing of S3, and tries once; what is tried again decides s3_connection.h.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/units.h"
#include "server/tier/call_bounds.h"
#include "server/tier/sigv4.h"

namespace cairn {

struct HttpRequest {
  std::string method = {};
  // Whole, percent-encoded. Sent as it is.
  std::string url = {};
  HttpHeaders headers = {};
  // Views of the caller's memory, sent one after the other with their length declared.
  std::vector<ConstBytes> body = {};
  // Where the body of a 2xx answer goes. Else, and of all other answers, into HttpResponse::body.
  std::optional<MutableBytes> into = {};
};

struct HttpResponse {
  int status = 0;
  // Names in lower case.
  HttpHeaders headers = {};
  std::string body = {};
  // How much of HttpRequest::into was filled.
  uint64_t filled_bytes = 0;

  // Of the first header of that name; empty where there is none.
  std::string_view Header(std::string_view name) const;
};

struct HttpClientOptions {
  // PEM file with the authorities that a server's certificate is checked by. Empty: the system's.
  std::string ca_file = {};
  enum class Proxy { kFromEnvironment, kNone };
  Proxy proxy = Proxy::kFromEnvironment;
  absl::Duration connect_timeout = absl::Seconds(10);
  // A transfer that moves less than so much in so long is given up: its connection is dead or as
  // good as dead, and another one may do better. Servers may be silent for as long before they
  // answer.
  absl::Duration stall_window = absl::Seconds(60);
  uint64_t stall_bytes = 16 * kKiB;
  // Of an answer that does not go into the caller's memory. A list of 1,000 keys has 4 MiB at most.
  uint64_t body_bytes_max = 16 * kMiB;
};

// Thread-safe. Keeps connections open and takes them up again; as many calls at once as there are
// threads.
class HttpClient {
 public:
  // `clock` outlives it.
  HttpClient(HttpClientOptions options, const Clock& clock);
  // REQUIRES: no call is under way.
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // Sends the request and returns the answer, whatever its status; redirects are answers like
  // others. The memory of the request is not used after it returns. CANCELLED, DEADLINE_EXCEEDED:
  // `bounds`. UNAVAILABLE: no answer or half of one; may do better when tried again.
  // FAILED_PRECONDITION: the server's certificate is not trusted, or the CA file cannot be read.
  // DATA_LOSS: a longer body than there is room for. INVALID_ARGUMENT: no URL. Blocks the thread.
  absl::StatusOr<HttpResponse> Perform(const HttpRequest& request, const CallBounds& bounds);

 private:
  class Line;
  std::unique_ptr<Line> TakeLine();
  void GiveBack(std::unique_ptr<Line> line);

  const HttpClientOptions options_;
  const Clock& clock_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Line>> idle_;
};

}  // namespace cairn
