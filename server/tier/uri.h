// Percent-encoding and endpoints, as S3 and its signatures have them. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace cairn {

// Names and values as they are, not encoded.
using QueryParameters = std::vector<std::pair<std::string, std::string>>;

enum class Slashes { kKeep, kEncode };

// Every byte as %XX but letters, digits, "-._~" and, with kKeep, "/".
std::string PercentEncode(std::string_view text, Slashes slashes);

// The inverse. None where a "%" is not followed by two hex digits. A "+" stays one.
std::optional<std::string> PercentDecode(std::string_view text);

// "a=1&b=": encoded, in the order of the encoded names, then values, as signatures want it.
std::string CanonicalQuery(const QueryParameters& parameters);

struct Endpoint {
  bool tls = false;
  // A name, an IPv4 address, or an IPv6 address in brackets. Lower case.
  std::string host;
  uint16_t port = 0;

  // "host", or "host:port" where the port is not the scheme's own: the Host header.
  std::string Authority() const;
  // "https://host:port".
  std::string Url() const;
  // The host is this machine's loopback.
  bool IsLoopback() const;
  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

// Of "http://host", "https://host:port" and the like, with or without one slash at the end.
// INVALID_ARGUMENT says what is wrong with it: another scheme, a path, a user name, a bad port.
absl::StatusOr<Endpoint> ParseEndpoint(std::string_view url);

}  // namespace cairn
