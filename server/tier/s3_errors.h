// What an S3-compatible service's answer means: which status, and whether another try may do
// better. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/tier/http_client.h"

namespace cairn {

struct S3Verdict {
  // The message says what is wrong and what to do, not what was tried.
  absl::Status status;
  bool try_again = false;
  // The least time to wait before that.
  std::optional<absl::Duration> retry_after = {};
  // Newer credentials may do better.
  bool credentials_refused = false;
  // <Code> of the answer, or "".
  std::string code = {};
};

// What of the request matters to the meaning of its answer.
struct S3Subject {
  std::string bucket;
  std::string endpoint_url;
  // Whose clock signatures bear.
  absl::Time now;
};

// Of an answer that is no success: a status that is not 2xx, or an <Error> in the body of one.
S3Verdict JudgeS3Answer(const HttpResponse& response, const S3Subject& subject);

// Of a request that got no answer.
S3Verdict JudgeTransportFailure(const absl::Status& status);

}  // namespace cairn
