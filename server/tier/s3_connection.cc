#include "server/tier/s3_connection.h"

#include <utility>

#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "server/tier/digest.h"
#include "server/tier/s3_xml.h"
#include "server/tier/sigv4.h"

namespace cairn {
namespace {

// An <Error> is short; a page of a listing need not be read twice.
constexpr size_t kErrorBytesMax = 64 * kKiB;

// `before` is what went wrong until time ran out: the reason that the reader wants.
absl::Status CannotDo(const S3Request& request, const absl::Status& status, int attempts,
                      const absl::Status& before) {
  std::string message = StrCat("cannot ", request.what, ": ", ToStd(status.message()));
  if (attempts > 1) message += StrCat(" (tried ", attempts, " times)");
  if (absl::IsDeadlineExceeded(status) && !before.ok())
    message += StrCat("; before that: ", ToStd(before.message()));
  return absl::Status(status.code(), ToAbsl(message));
}

}  // namespace

S3Connection::S3Connection(S3ConnectionOptions options, CredentialsProvider& credentials,
                           const Clock& clock, Random& random)
    : options_(std::move(options)),
      credentials_(credentials),
      clock_(clock),
      http_(options_.http, clock),
      random_(random) {
  CAIRN_CHECK(options_.retry.attempts >= 1);
}

HttpRequest S3Connection::Sign(const S3Request& request, const Credentials& credentials) const {
  const bool by_path = options_.addressing == S3Addressing::kPath;
  const std::string authority = by_path
                                    ? options_.endpoint.Authority()
                                    : StrCat(options_.bucket, ".", options_.endpoint.Authority());
  std::string path = by_path ? StrCat("/", options_.bucket) : "";
  if (!request.key.empty() || !by_path)
    path += StrCat("/", PercentEncode(request.key, Slashes::kKeep));
  const absl::Time now = clock_.WallNow();

  SigV4Request signed_request{
      .method = request.method,
      .path = path,
      .query = request.query,
      .headers = request.headers,
      .payload_sha256 = Hex(request.body_sha256.empty() ? Sha256("") : request.body_sha256)};
  HttpHeaders& headers = signed_request.headers;
  headers.emplace_back("host", authority);
  headers.emplace_back("x-amz-date", SigV4Time(now));
  headers.emplace_back("x-amz-content-sha256", signed_request.payload_sha256);
  if (!credentials.session_token.empty())
    headers.emplace_back("x-amz-security-token", credentials.session_token.reveal());
  const std::string authorization = SigV4Authorization(
      signed_request, {.time = now, .region = options_.region, .service = "s3"}, credentials);
  headers.emplace_back("authorization", authorization);

  const std::string query = CanonicalQuery(request.query);
  return {.method = request.method,
          .url = StrCat(options_.endpoint.tls ? "https://" : "http://", authority, path,
                        query.empty() ? "" : "?", query),
          .headers = std::move(headers),
          .body = request.body,
          .into = request.into};
}

absl::StatusOr<HttpResponse> S3Connection::TryOnce(const S3Request& request,
                                                   const Credentials& credentials,
                                                   const CallBounds& bounds, S3Verdict* verdict) {
  absl::StatusOr<HttpResponse> response = http_.Perform(Sign(request, credentials), bounds);
  if (!response.ok()) {
    *verdict = JudgeTransportFailure(response.status());
    return verdict->status;
  }
  const bool success = response->status >= 200 && response->status < 300;
  // Some operations begin a 200 before they know how they end.
  if (!success ||
      (response->body.size() <= kErrorBytesMax && ParseS3Error(response->body).has_value())) {
    *verdict = JudgeS3Answer(*response, {.bucket = options_.bucket,
                                         .endpoint_url = options_.endpoint.Url(),
                                         .now = clock_.WallNow()});
    return verdict->status;
  }
  const absl::Status checked = request.check ? request.check(*response) : absl::OkStatus();
  if (!checked.ok()) {
    *verdict = {.status = checked,
                .try_again = absl::IsDataLoss(checked) || absl::IsUnavailable(checked)};
    return checked;
  }
  return response;
}

absl::Duration S3Connection::DrawPause(int attempt, const S3Verdict& verdict) {
  std::lock_guard<std::mutex> lock(random_mutex_);
  return PauseBefore(options_.retry, attempt, verdict.retry_after, random_);
}

absl::StatusOr<S3Answer> S3Connection::Call(const S3Request& request, const CallBounds& bounds,
                                            S3Verdict* judged) {
  S3Verdict unwanted;
  S3Verdict& verdict = judged == nullptr ? unwanted : *judged;
  absl::Status before;
  bool renewed = false;
  for (int attempt = 1;; ++attempt) {
    const absl::StatusOr<Credentials> credentials = credentials_.Get(bounds);
    if (!credentials.ok()) return CannotDo(request, credentials.status(), attempt, before);
    absl::StatusOr<HttpResponse> response = TryOnce(request, *credentials, bounds, &verdict);
    if (response.ok()) return S3Answer{.response = *std::move(response), .attempts = attempt};
    if (absl::IsCancelled(verdict.status)) return verdict.status;
    if (attempt >= options_.retry.attempts)
      return CannotDo(request, verdict.status, attempt, before);
    if (verdict.credentials_refused && !renewed) {
      // Keys may have been changed since they were read: once, and only if there are others.
      renewed = true;
      credentials_.Refused(*credentials);
      const absl::StatusOr<Credentials> others = credentials_.Get(bounds);
      if (others.ok() && *others != *credentials) continue;
    }
    if (!verdict.try_again) return CannotDo(request, verdict.status, attempt, before);
    before = verdict.status;
    const absl::Duration pause = DrawPause(attempt, verdict);
    // Waiting for longer than anyone waits for the answer would only hide the reason.
    if (pause >= bounds.deadline.Remaining(clock_)) {
      const absl::Status status(
          before.code(),
          absl::StrCat(before.message(), "; the next try would come after the deadline"));
      return CannotDo(request, status, attempt, before);
    }
    const absl::Status waited =
        options_.pause ? options_.pause(pause, bounds) : PauseWithin(pause, bounds, clock_);
    if (absl::IsCancelled(waited)) return waited;
    if (!waited.ok()) return CannotDo(request, waited, attempt, before);
  }
}

}  // namespace cairn
