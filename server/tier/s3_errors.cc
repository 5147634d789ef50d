#include "server/tier/s3_errors.h"

#include <algorithm>
#include <cstdint>
#include <iterator>

#include "common/base/strings.h"
#include "server/tier/cold_key.h"
#include "server/tier/retry.h"
#include "server/tier/s3_xml.h"

namespace cairn {
namespace {

using absl::StatusCode;

enum class Again { kNo, kYes };
enum class Renew { kNo, kYes };

struct KnownCode {
  std::string_view code;
  StatusCode status;
  Again again;
  Renew renew;
  // What to do; follows the service's own words.
  std::string_view advice;
};

// Codes that say more than their HTTP status does.
constexpr KnownCode kCodes[] = {
    {"NoSuchKey", StatusCode::kNotFound, Again::kNo, Renew::kNo, ""},
    {"NoSuchUpload", StatusCode::kNotFound, Again::kNo, Renew::kNo, ""},
    {"NoSuchBucket", StatusCode::kFailedPrecondition, Again::kNo, Renew::kNo,
     "make the bucket, or correct its name"},
    {"AllAccessDisabled", StatusCode::kFailedPrecondition, Again::kNo, Renew::kNo,
     "the bucket's owner has disabled it"},
    {"InvalidBucketName", StatusCode::kInvalidArgument, Again::kNo, Renew::kNo, ""},
    {"InvalidObjectState", StatusCode::kFailedPrecondition, Again::kNo, Renew::kNo,
     "the object is archived; restore it there first, and keep lifecycle rules from archiving it"},
    {"AccessDenied", StatusCode::kPermissionDenied, Again::kNo, Renew::kNo,
     "the credentials need rights to get, put, list and delete objects in this bucket"},
    {"AccountProblem", StatusCode::kPermissionDenied, Again::kNo, Renew::kNo, ""},
    {"InvalidAccessKeyId", StatusCode::kPermissionDenied, Again::kNo, Renew::kYes,
     "the access key is unknown there; check the credentials and the endpoint"},
    {"SignatureDoesNotMatch", StatusCode::kPermissionDenied, Again::kNo, Renew::kYes,
     "the secret key is not the one of this access key, or a proxy changes requests"},
    {"ExpiredToken", StatusCode::kPermissionDenied, Again::kNo, Renew::kYes,
     "the session token has ended; renew the credentials"},
    {"InvalidToken", StatusCode::kPermissionDenied, Again::kNo, Renew::kYes,
     "the session token is wrong; renew the credentials"},
    {"TokenRefreshRequired", StatusCode::kPermissionDenied, Again::kNo, Renew::kYes, ""},
    {"RequestTimeTooSkewed", StatusCode::kPermissionDenied, Again::kNo, Renew::kNo,
     "set the clocks by NTP"},
    {"RequestExpired", StatusCode::kPermissionDenied, Again::kNo, Renew::kNo,
     "set the clocks by NTP"},
    {"AuthorizationHeaderMalformed", StatusCode::kFailedPrecondition, Again::kNo, Renew::kNo,
     "the region is another one; set it"},
    {"IllegalLocationConstraintException", StatusCode::kFailedPrecondition, Again::kNo, Renew::kNo,
     "the region is another one; set it"},
    {"SlowDown", StatusCode::kResourceExhausted, Again::kYes, Renew::kNo, "it throttles requests"},
    {"SlowDownRead", StatusCode::kResourceExhausted, Again::kYes, Renew::kNo, ""},
    {"SlowDownWrite", StatusCode::kResourceExhausted, Again::kYes, Renew::kNo, ""},
    {"TooManyRequests", StatusCode::kResourceExhausted, Again::kYes, Renew::kNo, ""},
    {"RequestLimitExceeded", StatusCode::kResourceExhausted, Again::kYes, Renew::kNo, ""},
    {"QuotaExceeded", StatusCode::kResourceExhausted, Again::kNo, Renew::kNo,
     "raise the quota or delete what is not needed"},
    {"XMinioStorageFull", StatusCode::kResourceExhausted, Again::kNo, Renew::kNo,
     "its storage is full"},
    {"XMinioAdminBucketQuotaExceeded", StatusCode::kResourceExhausted, Again::kNo, Renew::kNo,
     "raise the quota or delete what is not needed"},
    {"InternalError", StatusCode::kUnavailable, Again::kYes, Renew::kNo, ""},
    {"ServiceUnavailable", StatusCode::kUnavailable, Again::kYes, Renew::kNo, ""},
    {"OperationAborted", StatusCode::kUnavailable, Again::kYes, Renew::kNo, ""},
    {"RequestTimeout", StatusCode::kUnavailable, Again::kYes, Renew::kNo, ""},
    // What arrived there is not what was sent: another try sends it again.
    {"BadDigest", StatusCode::kDataLoss, Again::kYes, Renew::kNo,
     "what arrived there is not what was sent; check the network and what is between"},
    {"InvalidDigest", StatusCode::kDataLoss, Again::kYes, Renew::kNo, ""},
    {"XAmzContentSHA256Mismatch", StatusCode::kDataLoss, Again::kYes, Renew::kNo,
     "what arrived there is not what was sent; check the network and what is between"},
    {"IncompleteBody", StatusCode::kDataLoss, Again::kYes, Renew::kNo, ""},
    {"EntityTooLarge", StatusCode::kInvalidArgument, Again::kNo, Renew::kNo,
     "the service takes only smaller objects or parts"},
    {"EntityTooSmall", StatusCode::kInvalidArgument, Again::kNo, Renew::kNo,
     "parts must be larger"},
    {"InvalidRange", StatusCode::kOutOfRange, Again::kNo, Renew::kNo, ""},
    {"PreconditionFailed", StatusCode::kDataLoss, Again::kNo, Renew::kNo,
     "the object is not the one that was written"},
    {"NotImplemented", StatusCode::kUnimplemented, Again::kNo, Renew::kNo, ""},
    {"MethodNotAllowed", StatusCode::kUnimplemented, Again::kNo, Renew::kNo, ""},
};

// What a HTTP status means where no code is known.
KnownCode MeaningOf(int status) {
  const auto of = [](StatusCode code, Again again, std::string_view advice) {
    return KnownCode{"", code, again, Renew::kNo, advice};
  };
  switch (status) {
    case 401:
    case 403:
      return of(StatusCode::kPermissionDenied, Again::kNo,
                "check the credentials, and that they may use this bucket");
    case 404:
      return of(StatusCode::kNotFound, Again::kNo, "");
    case 405:
    case 501:
      return of(StatusCode::kUnimplemented, Again::kNo, "");
    case 408:
    case 425:
      return of(StatusCode::kUnavailable, Again::kYes, "");
    case 412:
      return of(StatusCode::kDataLoss, Again::kNo, "the object is not the one that was written");
    case 416:
      return of(StatusCode::kOutOfRange, Again::kNo, "");
    case 429:
      return of(StatusCode::kResourceExhausted, Again::kYes, "it throttles requests");
    case 507:
      return of(StatusCode::kResourceExhausted, Again::kNo, "its storage is full");
    default:
      break;
  }
  if (status >= 500) return of(StatusCode::kUnavailable, Again::kYes, "");
  if (status >= 300 && status < 400) return of(StatusCode::kFailedPrecondition, Again::kNo, "");
  return of(StatusCode::kInvalidArgument, Again::kNo, "");
}

// Clocks this far apart are beyond what services allow, or soon will be.
constexpr absl::Duration kSkewMax = absl::Minutes(4);

// " (this machine's clock is 12m ahead of the service's)", where it is by minutes.
std::string SkewNote(const HttpResponse& response, absl::Time now) {
  const std::optional<absl::Time> theirs = ParseHttpDate(response.Header("date"));
  if (!theirs.has_value()) return "";
  const absl::Duration ahead = now - *theirs;
  if (absl::AbsDuration(ahead) < kSkewMax) return "";
  return StrCat(" (this machine's clock is ", absl::ToInt64Minutes(absl::AbsDuration(ahead)),
                " minutes ", ahead > absl::ZeroDuration() ? "ahead of" : "behind",
                " the service's: that alone makes it refuse; set the clocks by NTP)");
}

// What a redirect, or a signature for the wrong region, asks to set. "" where it does not say.
std::string RegionNote(const HttpResponse& response, const S3Error& error) {
  const std::string region =
      error.region.empty() ? std::string(response.Header("x-amz-bucket-region")) : error.region;
  if (!region.empty())
    return StrCat("the bucket is in the region ", QuotedKey(region), ": set that");
  if (!error.endpoint.empty())
    return StrCat("the bucket is at the endpoint ", QuotedKey(error.endpoint), ": set that");
  return "";
}

// The service's own words, which are not ours: printable, and short.
std::string Told(const HttpResponse& response, const S3Error& error) {
  std::string told = StrCat("status ", response.status);
  if (!error.code.empty()) told += StrCat(" ", QuotedKey(error.code));
  // This one's message repeats the request that was signed.
  if (!error.message.empty() && error.code != "SignatureDoesNotMatch")
    told += StrCat(" ", QuotedKey(error.message));
  return told;
}

std::string RedirectAdvice(const HttpResponse& response, const std::string& region) {
  if (!region.empty()) return region;
  const std::string_view location = response.Header("location");
  // Up to the query, which may be a signed one.
  const std::string shown = QuotedKey(location.substr(0, location.find('?')));
  return location.empty() ? "it redirects elsewhere; correct the endpoint or the region"
                          : StrCat("it redirects to ", shown,
                                   ", which is not followed; correct the endpoint or the region");
}

}  // namespace

S3Verdict JudgeS3Answer(const HttpResponse& response, const S3Subject& subject) {
  const S3Error error = ParseS3Error(response.body).value_or(S3Error{});
  const auto* known = std::find_if(std::begin(kCodes), std::end(kCodes),
                                   [&](const KnownCode& k) { return k.code == error.code; });
  const bool redirect = response.status >= 300 && response.status < 400;
  const bool coded = !error.code.empty() && known != std::end(kCodes) && !redirect;
  // An <Error> of an unknown code in a 2xx counts as a fault of the service.
  const KnownCode meaning =
      coded ? *known : MeaningOf(response.status < 300 ? 500 : response.status);

  std::string advice(meaning.advice);
  const std::string region = RegionNote(response, error);
  if (redirect) {
    advice = RedirectAdvice(response, region);
  } else if (meaning.status == StatusCode::kFailedPrecondition && !region.empty()) {
    advice = region;
  }
  std::string message =
      StrCat("the service at ", subject.endpoint_url, " answered with ", Told(response, error));
  if (meaning.status == StatusCode::kFailedPrecondition || redirect)
    message += StrCat(", bucket ", QuotedKey(subject.bucket));
  if (!advice.empty()) message += StrCat(": ", advice);
  if (meaning.status == StatusCode::kPermissionDenied) message += SkewNote(response, subject.now);
  return {.status = absl::Status(meaning.status, ToAbsl(message)),
          .try_again = meaning.again == Again::kYes,
          .retry_after = ParseRetryAfter(response.Header("retry-after"), subject.now),
          .credentials_refused = meaning.renew == Renew::kYes,
          .code = error.code};
}

S3Verdict JudgeTransportFailure(const absl::Status& status) {
  return {.status = status, .try_again = status.code() == StatusCode::kUnavailable};
}

}  // namespace cairn
