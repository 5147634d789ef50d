#include "server/tier/uri.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "common/base/strings.h"
#include "server/tier/cold_key.h"

namespace cairn {
namespace {

// "-1" where `c` is no hex digit.
int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool IsHostCharacter(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '.' || c == '_';
}

bool IsHost(std::string_view host) {
  if (host.starts_with('[')) {
    const std::string_view address = host.substr(1, host.size() - 2);
    return host.ends_with(']') && !address.empty() &&
           std::all_of(address.begin(), address.end(),
                       [](char c) { return HexDigit(c) >= 0 || c == ':' || c == '.'; });
  }
  return !host.empty() && host.size() <= 253 &&
         std::all_of(host.begin(), host.end(), IsHostCharacter);
}

}  // namespace

std::string PercentEncode(std::string_view text, Slashes slashes) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = absl::ascii_isalnum(byte) || c == '-' || c == '.' || c == '_' || c == '~';
    if (plain || (c == '/' && slashes == Slashes::kKeep)) {
      out += c;
    } else {
      out += '%';
      out += kDigits[byte >> 4];
      out += kDigits[byte & 15];
    }
  }
  return out;
}

std::optional<std::string> PercentDecode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    if (text.size() - i < 3) return std::nullopt;
    const int high = HexDigit(text[i + 1]);
    const int low = HexDigit(text[i + 2]);
    if (high < 0 || low < 0) return std::nullopt;
    out += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return out;
}

std::string CanonicalQuery(const QueryParameters& parameters) {
  QueryParameters encoded;
  for (const auto& [name, value] : parameters) {
    encoded.emplace_back(PercentEncode(name, Slashes::kEncode),
                         PercentEncode(value, Slashes::kEncode));
  }
  std::sort(encoded.begin(), encoded.end());
  std::string out;
  for (const auto& [name, value] : encoded) {
    if (!out.empty()) out += '&';
    out += StrCat(name, "=", value);
  }
  return out;
}

std::string Endpoint::Authority() const {
  return port == (tls ? 443 : 80) ? host : StrCat(host, ":", port);
}

std::string Endpoint::Url() const { return StrCat(tls ? "https://" : "http://", Authority()); }

bool Endpoint::IsLoopback() const {
  return host == "localhost" || host == "[::1]" ||
         (host.starts_with("127.") && std::all_of(host.begin(), host.end(), [](char c) {
            return c == '.' || (c >= '0' && c <= '9');
          }));
}

absl::StatusOr<Endpoint> ParseEndpoint(std::string_view url) {
  const auto wrong = [&](std::string_view why) {
    return absl::InvalidArgumentError(
        StrCat("the endpoint ", QuotedKey(url), " ", why, "; write https://HOST[:PORT]"));
  };
  // What may be a password is not repeated in messages.
  if (url.find('@') != std::string_view::npos) {
    return absl::InvalidArgumentError(
        "the endpoint has a user name or password in it; write https://HOST[:PORT] and give "
        "credentials apart");
  }
  Endpoint endpoint;
  std::string_view rest = url;
  if (rest.starts_with("https://")) {
    endpoint.tls = true;
    rest.remove_prefix(8);
  } else if (rest.starts_with("http://")) {
    rest.remove_prefix(7);
  } else {
    return wrong("begins neither with https:// nor with http://");
  }
  if (rest.ends_with('/')) rest.remove_suffix(1);
  if (rest.find_first_of("/?#") != std::string_view::npos) return wrong("has more than a host");
  endpoint.port = endpoint.tls ? 443 : 80;
  const size_t colon = rest.rfind(':');
  const bool has_port = colon != std::string_view::npos && !rest.ends_with(']');
  if (has_port) {
    const std::string_view digits = rest.substr(colon + 1);
    uint32_t port = 0;
    const bool decimal =
        std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (!decimal || !absl::SimpleAtoi(ToAbsl(digits), &port) || port == 0 || port > 65535)
      return wrong("has a bad port");
    endpoint.port = static_cast<uint16_t>(port);
    rest = rest.substr(0, colon);
  }
  if (!IsHost(rest)) return wrong("has a bad host name");
  endpoint.host = absl::AsciiStrToLower(ToAbsl(rest));
  return endpoint;
}

}  // namespace cairn
