// Signed requests to one bucket, tried again as long as that may help: what s3_store.h is made of.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/random.h"
#include "server/tier/call_bounds.h"
#include "server/tier/credentials_provider.h"
#include "server/tier/http_client.h"
#include "server/tier/retry.h"
#include "server/tier/s3_errors.h"
#include "server/tier/uri.h"

namespace cairn {

enum class S3Addressing {
  kPath,         // https://endpoint/bucket/key
  kVirtualHost,  // https://bucket.endpoint/key
};

// How one waits between two tries: PauseWithin(), or what a test has instead.
using PauseFunction = std::function<absl::Status(absl::Duration, const CallBounds&)>;

struct S3ConnectionOptions {
  Endpoint endpoint;
  std::string bucket;
  std::string region;
  S3Addressing addressing = S3Addressing::kPath;
  HttpClientOptions http = {};
  RetryPolicy retry = {};
  // Empty: PauseWithin().
  PauseFunction pause = {};
};

struct S3Request {
  std::string method;
  // Whole, with the tier's prefix. Empty: the bucket itself.
  std::string key = {};
  QueryParameters query = {};
  HttpHeaders headers = {};
  std::vector<ConstBytes> body = {};
  // Of the body, raw; empty: it has none.
  std::string body_sha256 = {};
  std::optional<MutableBytes> into = {};
  // Looks at a 2xx answer. DATA_LOSS and UNAVAILABLE are tried again, others are not. Empty: takes
  // all.
  std::function<absl::Status(const HttpResponse&)> check = {};
  // For messages, as in "cannot <what>": "put \"a/b\"".
  std::string what = {};
};

struct S3Answer {
  HttpResponse response;
  // Of how many tries it is the answer.
  int attempts = 1;
};

// Thread-safe.
class S3Connection {
 public:
  // All but `options` outlive it. `random` is used under a lock of the connection's.
  S3Connection(S3ConnectionOptions options, CredentialsProvider& credentials, const Clock& clock,
               Random& random);

  // Signs and sends the request until it has a 2xx answer that passes `check`, or an answer that
  // another try would not change, or tries or time are spent. `judged`, where not null, gets the
  // verdict of the last try that failed. Errors as cold_store.h has them; the message begins with
  // what could not be done. The request's memory is not used after it returns. Blocks the thread.
  absl::StatusOr<S3Answer> Call(const S3Request& request, const CallBounds& bounds,
                                S3Verdict* judged = nullptr);

  const S3ConnectionOptions& options() const { return options_; }

 private:
  HttpRequest Sign(const S3Request& request, const Credentials& credentials) const;
  absl::StatusOr<HttpResponse> TryOnce(const S3Request& request, const Credentials& credentials,
                                       const CallBounds& bounds, S3Verdict* verdict);
  absl::Duration DrawPause(int attempt, const S3Verdict& verdict);

  const S3ConnectionOptions options_;
  CredentialsProvider& credentials_;
  const Clock& clock_;
  HttpClient http_;
  std::mutex random_mutex_;
  Random& random_;
};

}  // namespace cairn
