// AWS Signature Version 4, in the Authorization header: what every S3-compatible service checks.
// Pure; the format is AWS's "Signature Version 4 signing process", and its published examples are
// the tests.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "server/tier/credentials.h"
#include "server/tier/uri.h"

namespace cairn {

using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

// What is signed of a request.
struct SigV4Request {
  std::string method;
  // Percent-encoded once, as it is sent: PercentEncode() with Slashes::kKeep.
  std::string path;
  QueryParameters query;
  // All of them are signed. "host" and "x-amz-date" must be there, and "x-amz-content-sha256" for
  // S3. Names in any case.
  HttpHeaders headers;
  // The body's SHA-256 in hex, or UNSIGNED-PAYLOAD.
  std::string payload_sha256;
};

// For what a signature is valid.
struct SigV4Scope {
  absl::Time time;
  std::string region;
  std::string service;
};

// "20130524T000000Z": the form of x-amz-date.
std::string SigV4Time(absl::Time time);

std::string SigV4CanonicalRequest(const SigV4Request& request);
std::string SigV4StringToSign(const std::string& canonical_request, const SigV4Scope& scope);

// The value of the Authorization header. It shows the access key's id and not the secret, but
// whoever has it can send the same request for some minutes: not to be logged.
std::string SigV4Authorization(const SigV4Request& request, const SigV4Scope& scope,
                               const Credentials& credentials);

}  // namespace cairn
