// Access keys of an S3-compatible store, where they come from, and how they are kept from being
// shown. Getting and renewing them while a store is in use: credentials_provider.h.
#pragma once

#include <spdlog/fmt/fmt.h>

#include <functional>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace cairn {

// A text that is never shown: whatever prints or logs it gets "(hidden)".
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string text) : text_(std::move(text)) {}
  // The text itself, for signing and sending only.
  const std::string& reveal() const { return text_; }
  bool empty() const { return text_.empty(); }
  friend bool operator==(const Secret&, const Secret&) = default;
  friend std::ostream& operator<<(std::ostream& out, const Secret&) { return out << "(hidden)"; }

 private:
  std::string text_;
};

struct Credentials {
  // Not secret: services show it in their logs.
  std::string access_key_id = {};
  Secret secret_access_key = {};
  // Empty but for temporary credentials.
  Secret session_token = {};
  absl::Time expires = absl::InfiniteFuture();
  friend bool operator==(const Credentials&, const Credentials&) = default;
  friend std::ostream& operator<<(std::ostream& out, const Credentials& credentials) {
    return out << "credentials " << credentials.access_key_id;
  }
};

// Where credentials come from.
struct CredentialsSource {
  enum class Kind {
    kEnvironment,  // AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN
    kFile,         // a shared credentials file, as AWS's tools have it
    kInstance,     // the metadata service of a virtual machine (IMDSv2)
    kContainer,    // the endpoint that AWS_CONTAINER_CREDENTIALS_FULL_URI or _RELATIVE_URI names
  };
  Kind kind = Kind::kEnvironment;
  // Of kFile.
  std::string file = {};
  std::string profile = "default";
  friend bool operator==(const CredentialsSource&, const CredentialsSource&) = default;
};

// "env", "instance", "container", "file:/PATH" or "file:/PATH#PROFILE". INVALID_ARGUMENT names the
// choices.
absl::StatusOr<CredentialsSource> ParseCredentialsSource(std::string_view text);
// The inverse.
std::string FormatCredentialsSource(const CredentialsSource& source);

// The keys of `profile` in a shared credentials file's `text`; `file` names it in errors, which
// show no value. NOT_FOUND: no such profile. INVALID_ARGUMENT: a line that is none, or a key that
// is missing or has characters that keys do not have. Pure.
absl::StatusOr<Credentials> ParseCredentialsFile(std::string_view text, std::string_view profile,
                                                 std::string_view file);

// ParseCredentialsFile() of a file. NOT_FOUND: there is none. FAILED_PRECONDITION: it is no regular
// file, or others than its owner and group may read it, or others than its owner write it; the
// message says how to change that. Blocks the thread.
absl::StatusOr<Credentials> ReadCredentialsFile(const std::string& path, std::string_view profile);

// The process's variables, or what a test has instead.
using VariableLookup = std::function<std::optional<std::string>(const std::string& name)>;
std::optional<std::string> ProcessVariable(const std::string& name);

// NOT_FOUND: a variable that must be set is not. INVALID_ARGUMENT: one has characters that keys do
// not have.
absl::StatusOr<Credentials> CredentialsFromEnvironment(const VariableLookup& lookup);

// What instance and container endpoints answer: JSON with AccessKeyId, SecretAccessKey, Token and
// Expiration. `from` names the endpoint in errors. UNAVAILABLE: no such answer. Pure.
absl::StatusOr<Credentials> ParseCredentialsAnswer(std::string_view json, std::string_view from);

}  // namespace cairn

template <>
struct fmt::formatter<cairn::Secret> : fmt::formatter<std::string_view> {
  template <class Context>
  auto format(const cairn::Secret&, Context& context) const {
    return fmt::formatter<std::string_view>::format("(hidden)", context);
  }
};
