// Where a tier's cold store is and how it is reached, as people write it and as the server keeps
// it. Pure.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "server/tier/credentials.h"
#include "server/tier/s3_connection.h"
#include "server/tier/s3_store.h"
#include "server/tier/uri.h"

namespace cairn {

// Complete: what was left out when it was written has its default here. Holds no secret.
struct ColdStoreSpec {
  enum class Kind { kDirectory, kS3 };
  Kind kind = Kind::kDirectory;
  // Of kDirectory: a path from the root, without a slash at its end.
  std::string directory = {};
  // The rest is of kS3. The prefix has no slash at its end; empty: none.
  std::string bucket = {};
  std::string prefix = {};
  Endpoint endpoint = {};
  std::string region = {};
  S3Addressing addressing = S3Addressing::kPath;
  // Empty: the system's authorities.
  std::string ca_file = {};
  CredentialsSource credentials = {};
  S3StoreOptions::Etag etag = S3StoreOptions::Etag::kMd5;
  friend bool operator==(const ColdStoreSpec&, const ColdStoreSpec&) = default;
};

// A location and options by name, as on a command line.
struct ColdStoreText {
  std::string location = {};
  std::vector<std::pair<std::string, std::string>> options = {};
};

// The location is "s3://BUCKET[/PREFIX]", "dir:///PATH" or "/PATH". Options of S3:
//   endpoint     https://HOST[:PORT] or http://...; default: AWS's in the region
//   region       needed for AWS; default with an endpoint: us-east-1
//   path-style   yes or no; default: yes with an endpoint, and for a bucket with dots in its name
//   ca-file      PEM file that the endpoint's certificate is checked by; default: the system's
//   credentials  env (the default), file:/PATH[#PROFILE], instance, container
//   etag         md5 (the default) or opaque: what the service's ETags are
// INVALID_ARGUMENT says what is wrong and how to write it.
absl::StatusOr<ColdStoreSpec> ParseColdStoreSpec(const ColdStoreText& text);

// What ParseColdStoreSpec() makes the same of again.
ColdStoreText FormatColdStoreSpec(const ColdStoreSpec& spec);

}  // namespace cairn
