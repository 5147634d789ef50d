// The credentials of a store in use: fetched when first needed, kept, and renewed before they end.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "server/tier/call_bounds.h"
#include "server/tier/credentials.h"
#include "server/tier/http_client.h"

namespace cairn {

// Thread-safe. Instance and container credentials are renewed five minutes before they end, while
// the old ones serve if that fails; files and variables are read again every minute, so that keys
// can be changed under a running server.
class CredentialsProvider {
 public:
  // `clock` outlives it. Reads nothing yet.
  CredentialsProvider(CredentialsSource source, const Clock& clock,
                      VariableLookup lookup = ProcessVariable);

  // Valid credentials. Several threads that need new ones wait for one that fetches them.
  // NOT_FOUND, FAILED_PRECONDITION, INVALID_ARGUMENT: as credentials.h has it for the source.
  // UNAVAILABLE: the endpoint does not answer, or has none. PERMISSION_DENIED: it refuses. Messages
  // name the source and what to do. Blocks the thread, for as long as `bounds` allows.
  absl::StatusOr<Credentials> Get(const CallBounds& bounds);

  // A service has refused these: if they are the ones kept, the next Get() fetches anew.
  void Refused(const Credentials& credentials);

  // For people: "env", "file:/PATH#PROFILE", ...
  std::string Describe() const { return FormatCredentialsSource(source_); }

 private:
  absl::StatusOr<Credentials> Fetch(const CallBounds& bounds);
  absl::StatusOr<Credentials> FetchFromInstance(const CallBounds& bounds);
  absl::StatusOr<Credentials> FetchFromContainer(const CallBounds& bounds);
  absl::StatusOr<std::string> Ask(const HttpRequest& request, const CallBounds& bounds);
  bool Fresh() const;

  const CredentialsSource source_;
  const Clock& clock_;
  const VariableLookup lookup_;
  HttpClient http_;

  std::mutex mutex_;
  std::condition_variable fetched_;
  bool fetching_ = false;
  std::optional<Credentials> kept_;
  MonoTime read_again_;
};

}  // namespace cairn
