#include "server/tier/credentials_provider.h"

#include <chrono>
#include <fstream>
#include <sstream>

#include "absl/strings/ascii.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "server/tier/uri.h"

namespace cairn {
namespace {

// Instance and container endpoints have new credentials ready by then.
constexpr absl::Duration kRenewBefore = absl::Minutes(5);
// How long a change of a file goes unnoticed; also how soon a failed renewal is tried again.
constexpr absl::Duration kReadAgainAfter = absl::Minutes(1);
// These endpoints are on the same machine: what takes longer will not come.
constexpr absl::Duration kAskTimeout = absl::Seconds(3);
constexpr int kAskAttempts = 3;
constexpr absl::Duration kAskPause = absl::Milliseconds(100);
constexpr uint64_t kAnswerBytesMax = 64 * kKiB;

constexpr std::string_view kInstanceEndpoint = "http://169.254.169.254";
constexpr std::string_view kContainerEndpoint = "http://169.254.170.2";

HttpClientOptions ClientOptions() {
  HttpClientOptions options;
  // Link-local addresses that a proxy would look for on itself.
  options.proxy = HttpClientOptions::Proxy::kNone;
  options.connect_timeout = kAskTimeout;
  options.stall_window = kAskTimeout;
  options.body_bytes_max = kAnswerBytesMax;
  return options;
}

bool IsHeaderValue(std::string_view text) {
  for (const char c : text) {
    if (c < 0x20 || c >= 0x7f) return false;
  }
  return !text.empty();
}

// A full URI may lead only where nobody can listen in on the credentials: by TLS anywhere, else to
// this machine or to the addresses that container agents have.
absl::Status CheckContainerUri(const std::string& uri) {
  const size_t path = uri.find('/', uri.find("://") + 3);
  ASSIGN_OR_RETURN(const Endpoint endpoint, ParseEndpoint(uri.substr(0, path)));
  if (endpoint.tls || endpoint.IsLoopback() || endpoint.host == "169.254.170.2" ||
      endpoint.host == "169.254.170.23" || endpoint.host == "[fd00:ec2::23]") {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      StrCat("AWS_CONTAINER_CREDENTIALS_FULL_URI leads to ", endpoint.host,
             " without TLS; only https, this machine and container agents are asked"));
}

absl::StatusOr<std::string> ReadTokenFile(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  std::string text(kAnswerBytesMax, '\0');
  if (!stream ||
      (!stream.read(text.data(), static_cast<std::streamsize>(text.size())) && !stream.eof())) {
    return absl::NotFoundError(StrCat("cannot read the file ", path,
                                      " that AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE names"));
  }
  text.resize(static_cast<size_t>(stream.gcount()));
  return std::string(ToStd(absl::StripAsciiWhitespace(text)));
}

}  // namespace

CredentialsProvider::CredentialsProvider(CredentialsSource source, const Clock& clock,
                                         VariableLookup lookup)
    : source_(std::move(source)),
      clock_(clock),
      lookup_(std::move(lookup)),
      http_(ClientOptions(), clock) {}

bool CredentialsProvider::Fresh() const {
  if (!kept_.has_value()) return false;
  if (clock_.Now() < read_again_) return kept_->expires > clock_.WallNow();
  using Kind = CredentialsSource::Kind;
  const bool renewed = source_.kind == Kind::kInstance || source_.kind == Kind::kContainer;
  return renewed && kept_->expires > clock_.WallNow() + kRenewBefore;
}

absl::StatusOr<Credentials> CredentialsProvider::Get(const CallBounds& bounds) {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    if (Fresh()) return *kept_;
    if (!fetching_) break;
    fetched_.wait_for(lock, absl::ToChronoMilliseconds(kStopPollInterval));
    if (absl::Status status = CheckBounds(bounds, clock_); !status.ok()) return status;
  }
  fetching_ = true;
  lock.unlock();
  absl::StatusOr<Credentials> credentials = Fetch(bounds);
  lock.lock();
  fetching_ = false;
  fetched_.notify_all();
  const bool old_serve = kept_.has_value() && kept_->expires > clock_.WallNow();
  if (!credentials.ok() && !old_serve) {
    kept_.reset();
    return credentials.status();
  }
  read_again_ = clock_.Now() + kReadAgainAfter;
  if (credentials.ok()) kept_ = *std::move(credentials);
  return *kept_;
}

void CredentialsProvider::Refused(const Credentials& credentials) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (kept_ == credentials) kept_.reset();
}

absl::StatusOr<Credentials> CredentialsProvider::Fetch(const CallBounds& bounds) {
  switch (source_.kind) {
    case CredentialsSource::Kind::kEnvironment:
      return CredentialsFromEnvironment(lookup_);
    case CredentialsSource::Kind::kFile:
      return ReadCredentialsFile(source_.file, source_.profile);
    case CredentialsSource::Kind::kInstance:
      return FetchFromInstance(bounds);
    case CredentialsSource::Kind::kContainer:
      return FetchFromContainer(bounds);
  }
  return absl::InternalError("no such source of credentials");
}

// The body of a 200.
absl::StatusOr<std::string> CredentialsProvider::Ask(const HttpRequest& request,
                                                     const CallBounds& bounds) {
  absl::Status failure;
  for (int attempt = 0; attempt < kAskAttempts; ++attempt) {
    if (attempt > 0) RETURN_IF_ERROR(PauseWithin(kAskPause * attempt, bounds, clock_));
    const CallBounds within{
        .deadline = Earlier(bounds.deadline, Deadline::After(clock_, kAskTimeout)),
        .stop = bounds.stop};
    absl::StatusOr<HttpResponse> response = http_.Perform(request, within);
    RETURN_IF_ERROR(CheckBounds(bounds, clock_));
    if (response.ok() && response->status == 200) return std::move(response->body);
    if (!response.ok()) {
      failure = absl::UnavailableError(
          StrCat("no credentials from ", Describe(), ": ", ToStd(response.status().message())));
      continue;
    }
    failure = absl::UnavailableError(StrCat("no credentials from ", Describe(), ": ", request.url,
                                            " answered with status ", response->status));
    if (response->status == 401 || response->status == 403 || response->status == 404) {
      return absl::PermissionDeniedError(
          StrCat(ToStd(failure.message()),
                 source_.kind == CredentialsSource::Kind::kInstance
                     ? "; this machine needs a role, and its metadata service with IMDSv2"
                     : "; this container needs a role, and a valid authorization token"));
    }
  }
  return failure;
}

absl::StatusOr<Credentials> CredentialsProvider::FetchFromInstance(const CallBounds& bounds) {
  const std::string base =
      lookup_("AWS_EC2_METADATA_SERVICE_ENDPOINT").value_or(std::string(kInstanceEndpoint));
  ASSIGN_OR_RETURN(const Endpoint endpoint, ParseEndpoint(base));
  ASSIGN_OR_RETURN(const std::string token,
                   Ask({.method = "PUT",
                        .url = StrCat(endpoint.Url(), "/latest/api/token"),
                        .headers = {{"x-aws-ec2-metadata-token-ttl-seconds", "300"}}},
                       bounds));
  if (!IsHeaderValue(token))
    return absl::UnavailableError("the instance's metadata service answered with no token");
  const HttpHeaders headers = {{"x-aws-ec2-metadata-token", token}};
  const std::string roles = StrCat(endpoint.Url(), "/latest/meta-data/iam/security-credentials/");
  ASSIGN_OR_RETURN(const std::string answer,
                   Ask({.method = "GET", .url = roles, .headers = headers}, bounds));
  const std::string_view role = ToStd(
      absl::StripAsciiWhitespace(ToAbsl(std::string_view(answer).substr(0, answer.find('\n')))));
  if (role.empty()) {
    return absl::PermissionDeniedError(
        "this machine has no role, so its metadata service has no credentials; give it one");
  }
  const std::string url = StrCat(roles, PercentEncode(role, Slashes::kEncode));
  ASSIGN_OR_RETURN(const std::string json,
                   Ask({.method = "GET", .url = url, .headers = headers}, bounds));
  return ParseCredentialsAnswer(json, "the instance's metadata service");
}

absl::StatusOr<Credentials> CredentialsProvider::FetchFromContainer(const CallBounds& bounds) {
  std::string uri = lookup_("AWS_CONTAINER_CREDENTIALS_FULL_URI").value_or("");
  if (uri.empty()) {
    const std::string path = lookup_("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI").value_or("");
    if (path.empty() || path[0] != '/') {
      return absl::NotFoundError(
          "neither AWS_CONTAINER_CREDENTIALS_FULL_URI nor AWS_CONTAINER_CREDENTIALS_RELATIVE_URI "
          "is set for this process; does it run in a container that has a role?");
    }
    uri = StrCat(kContainerEndpoint, path);
  }
  RETURN_IF_ERROR(CheckContainerUri(uri));
  std::string token = lookup_("AWS_CONTAINER_AUTHORIZATION_TOKEN").value_or("");
  // The file is read each time: its token changes.
  if (const std::string file = lookup_("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE").value_or("");
      !file.empty()) {
    ASSIGN_OR_RETURN(token, ReadTokenFile(file));
  }
  HttpRequest request{.method = "GET", .url = uri};
  if (!token.empty()) {
    if (!IsHeaderValue(token))
      return absl::InvalidArgumentError("the container's authorization token has a line break");
    request.headers.emplace_back("authorization", token);
  }
  ASSIGN_OR_RETURN(const std::string json, Ask(request, bounds));
  return ParseCredentialsAnswer(json, "the container's credentials endpoint");
}

}  // namespace cairn
