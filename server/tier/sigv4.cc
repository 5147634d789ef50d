#include "server/tier/sigv4.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "common/base/strings.h"
#include "server/tier/digest.h"

namespace cairn {
namespace {

constexpr std::string_view kAlgorithm = "AWS4-HMAC-SHA256";
constexpr std::string_view kTerminator = "aws4_request";

// Spaces at the ends go, runs of them become one.
std::string Trimmed(std::string_view value) {
  std::string out(value);
  absl::RemoveExtraAsciiWhitespace(&out);
  return out;
}

// Lower-case names in order; values of the same name joined by commas.
HttpHeaders CanonicalHeaders(const HttpHeaders& headers) {
  HttpHeaders sorted;
  for (const auto& [name, value] : headers)
    sorted.emplace_back(absl::AsciiStrToLower(name), Trimmed(value));
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  HttpHeaders joined;
  for (auto& header : sorted) {
    if (!joined.empty() && joined.back().first == header.first) {
      joined.back().second += StrCat(",", header.second);
    } else {
      joined.push_back(std::move(header));
    }
  }
  return joined;
}

std::string SignedHeaders(const HttpHeaders& canonical) {
  std::string names;
  for (const auto& [name, value] : canonical) names += StrCat(names.empty() ? "" : ";", name);
  return names;
}

std::string Day(const SigV4Scope& scope) { return SigV4Time(scope.time).substr(0, 8); }

std::string ScopeText(const SigV4Scope& scope) {
  return StrCat(Day(scope), "/", scope.region, "/", scope.service, "/", kTerminator);
}

std::string SigningKey(const SigV4Scope& scope, const Secret& secret) {
  std::string key = HmacSha256(StrCat("AWS4", secret.reveal()), Day(scope));
  key = HmacSha256(key, scope.region);
  key = HmacSha256(key, scope.service);
  return HmacSha256(key, kTerminator);
}

}  // namespace

std::string SigV4Time(absl::Time time) {
  return absl::FormatTime("%Y%m%dT%H%M%SZ", time, absl::UTCTimeZone());
}

std::string SigV4CanonicalRequest(const SigV4Request& request) {
  const HttpHeaders headers = CanonicalHeaders(request.headers);
  std::string out =
      StrCat(request.method, "\n", request.path, "\n", CanonicalQuery(request.query), "\n");
  for (const auto& [name, value] : headers) out += StrCat(name, ":", value, "\n");
  out += StrCat("\n", SignedHeaders(headers), "\n", request.payload_sha256);
  return out;
}

std::string SigV4StringToSign(const std::string& canonical_request, const SigV4Scope& scope) {
  return StrCat(kAlgorithm, "\n", SigV4Time(scope.time), "\n", ScopeText(scope), "\n",
                Hex(Sha256(canonical_request)));
}

std::string SigV4Authorization(const SigV4Request& request, const SigV4Scope& scope,
                               const Credentials& credentials) {
  const std::string to_sign = SigV4StringToSign(SigV4CanonicalRequest(request), scope);
  const std::string signature =
      Hex(HmacSha256(SigningKey(scope, credentials.secret_access_key), to_sign));
  return StrCat(kAlgorithm, " Credential=", credentials.access_key_id, "/", ScopeText(scope),
                ", SignedHeaders=", SignedHeaders(CanonicalHeaders(request.headers)),
                ", Signature=", signature);
}

}  // namespace cairn
