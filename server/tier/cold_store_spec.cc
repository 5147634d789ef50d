#include "server/tier/cold_store_spec.h"

#include <algorithm>
#include <map>
#include <optional>

#include "absl/strings/ascii.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "server/tier/cold_key.h"

namespace cairn {
namespace {

using Options = std::map<std::string, std::string, std::less<>>;

constexpr std::string_view kOptionNames[] = {"endpoint", "region",      "path-style",
                                             "ca-file",  "credentials", "etag"};
constexpr std::string_view kDefaultRegion = "us-east-1";
// Leaves room for keys below it.
constexpr size_t kPrefixBytesMax = 512;
constexpr size_t kPathBytesMax = 2048;

absl::Status Wrong(std::string_view what, std::string_view value, std::string_view why) {
  return absl::InvalidArgumentError(StrCat(what, " ", QuotedKey(value), " ", why));
}

bool AllOf(std::string_view text, std::string_view others) {
  return std::all_of(text.begin(), text.end(), [&](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
           others.find(c) != std::string_view::npos;
  });
}

// A path from the root without "." and "..", without double slashes and one at its end.
absl::StatusOr<std::string> PlainPath(std::string_view what, std::string_view path) {
  if (!path.starts_with('/'))
    return Wrong(what, path, "must be a path from the root, as /mnt/cold");
  std::string plain;
  for (size_t begin = 1; begin <= path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view part = path.substr(begin, end - begin);
    if (part == "." || part == "..") return Wrong(what, path, "has a part \".\" or \"..\" in it");
    if (part.size() > kColdKeyPartBytesMax) return Wrong(what, path, "has too long a part");
    if (!part.empty()) plain += StrCat("/", part);
    begin = end + 1;
  }
  const bool clean = std::all_of(plain.begin(), plain.end(), [](char c) {
    return static_cast<unsigned char>(c) >= 0x20 && c != 0x7f;
  });
  if (!clean || plain.size() > kPathBytesMax) return Wrong(what, path, "is no path");
  if (plain.empty()) return Wrong(what, path, "is the root of all file systems");
  return plain;
}

absl::StatusOr<Options> ByName(const ColdStoreText& text) {
  Options options;
  for (const auto& [name, value] : text.options) {
    if (std::find(std::begin(kOptionNames), std::end(kOptionNames), name) ==
        std::end(kOptionNames)) {
      return Wrong(
          "the option", name,
          "is unknown; there are endpoint, region, path-style, ca-file, credentials, etag");
    }
    if (!options.emplace(name, value).second) return Wrong("the option", name, "is given twice");
  }
  return options;
}

absl::Status TakeBucket(std::string_view rest, ColdStoreSpec* spec) {
  const size_t slash = std::min(rest.find('/'), rest.size());
  spec->bucket = std::string(rest.substr(0, slash));
  const bool ends_well = !spec->bucket.empty() &&
                         absl::ascii_isalnum(static_cast<unsigned char>(spec->bucket.front())) &&
                         absl::ascii_isalnum(static_cast<unsigned char>(spec->bucket.back()));
  if (spec->bucket.size() < 3 || spec->bucket.size() > 63 || !AllOf(spec->bucket, ".-_") ||
      !ends_well || spec->bucket.find("..") != std::string::npos) {
    return Wrong("the bucket", spec->bucket,
                 "must have 3 to 63 letters, digits, dots and hyphens; write s3://BUCKET/PREFIX");
  }
  std::string_view prefix = rest.substr(slash);
  while (prefix.ends_with('/')) prefix.remove_suffix(1);
  if (prefix.starts_with('/')) prefix.remove_prefix(1);
  if (prefix.empty()) return absl::OkStatus();
  if (prefix.size() > kPrefixBytesMax)
    return Wrong("the prefix", prefix, StrCat("has more than ", kPrefixBytesMax, " bytes"));
  RETURN_IF_ERROR(CheckColdKey(prefix));
  spec->prefix = std::string(prefix);
  return absl::OkStatus();
}

absl::StatusOr<std::optional<bool>> YesOrNo(const Options& options, std::string_view name) {
  const auto found = options.find(name);
  if (found == options.end()) return std::nullopt;
  if (found->second == "yes" || found->second == "true") return true;
  if (found->second == "no" || found->second == "false") return false;
  return Wrong(name, found->second, "must be yes or no");
}

// Endpoint, region and addressing, which depend on each other.
absl::Status TakePlace(const Options& options, ColdStoreSpec* spec) {
  const auto region = options.find("region");
  const auto endpoint = options.find("endpoint");
  const bool aws = endpoint == options.end();
  if (region != options.end()) spec->region = region->second;
  if (spec->region.empty() && aws) {
    return absl::InvalidArgumentError(
        "give the region of the bucket, as region=eu-central-1, or the endpoint of another "
        "service");
  }
  if (spec->region.empty()) spec->region = kDefaultRegion;
  if (spec->region.size() > 64 || !AllOf(spec->region, "-_"))
    return Wrong("the region", spec->region, "must have letters, digits and hyphens only");
  const std::string url =
      aws ? StrCat("https://s3.", spec->region,
                   spec->region.starts_with("cn-") ? ".amazonaws.com.cn" : ".amazonaws.com")
          : endpoint->second;
  ASSIGN_OR_RETURN(spec->endpoint, ParseEndpoint(url));
  const bool dots = spec->bucket.find('.') != std::string::npos;
  ASSIGN_OR_RETURN(const std::optional<bool> by_path, YesOrNo(options, "path-style"));
  spec->addressing =
      by_path.value_or(!aws || dots) ? S3Addressing::kPath : S3Addressing::kVirtualHost;
  if (spec->addressing == S3Addressing::kPath) return absl::OkStatus();
  // A wildcard certificate covers one part of a name.
  if (dots && spec->endpoint.tls)
    return Wrong("the bucket", spec->bucket, "has dots in it and needs path-style=yes");
  if (spec->bucket != absl::AsciiStrToLower(spec->bucket) ||
      spec->bucket.find('_') != std::string::npos) {
    return Wrong("the bucket", spec->bucket, "is no host name and needs path-style=yes");
  }
  if (spec->endpoint.host.starts_with('[') ||
      spec->endpoint.host.find_first_not_of("0123456789.") == std::string::npos) {
    return Wrong("the endpoint", spec->endpoint.Url(), "is an address and needs path-style=yes");
  }
  return absl::OkStatus();
}

absl::StatusOr<ColdStoreSpec> ParseS3(std::string_view rest, const Options& options) {
  ColdStoreSpec spec{.kind = ColdStoreSpec::Kind::kS3};
  RETURN_IF_ERROR(TakeBucket(rest, &spec));
  RETURN_IF_ERROR(TakePlace(options, &spec));
  if (const auto found = options.find("ca-file"); found != options.end()) {
    ASSIGN_OR_RETURN(spec.ca_file, PlainPath("ca-file", found->second));
    if (!spec.endpoint.tls)
      return absl::InvalidArgumentError("ca-file is given, and the endpoint is not https://");
  }
  if (const auto found = options.find("credentials"); found != options.end()) {
    ASSIGN_OR_RETURN(spec.credentials, ParseCredentialsSource(found->second));
  }
  if (const auto found = options.find("etag"); found != options.end()) {
    if (found->second != "md5" && found->second != "opaque")
      return Wrong("etag", found->second, "must be md5 or opaque");
    spec.etag = found->second == "md5" ? S3StoreOptions::Etag::kMd5 : S3StoreOptions::Etag::kOpaque;
  }
  return spec;
}

}  // namespace

absl::StatusOr<ColdStoreSpec> ParseColdStoreSpec(const ColdStoreText& text) {
  ASSIGN_OR_RETURN(const Options options, ByName(text));
  std::string_view location = text.location;
  if (location.starts_with("s3://")) return ParseS3(location.substr(5), options);
  if (location.starts_with("dir://")) {
    location.remove_prefix(6);
  } else if (!location.starts_with('/')) {
    return Wrong("the location", location,
                 "is none of s3://BUCKET[/PREFIX], dir:///PATH and /PATH");
  }
  if (!options.empty())
    return Wrong("the option", options.begin()->first, "is for s3:// only, not for a directory");
  ColdStoreSpec spec{.kind = ColdStoreSpec::Kind::kDirectory};
  ASSIGN_OR_RETURN(spec.directory, PlainPath("the directory", location));
  return spec;
}

ColdStoreText FormatColdStoreSpec(const ColdStoreSpec& spec) {
  if (spec.kind == ColdStoreSpec::Kind::kDirectory)
    return {.location = StrCat("dir://", spec.directory)};
  ColdStoreText text{.location =
                         StrCat("s3://", spec.bucket, spec.prefix.empty() ? "" : "/", spec.prefix)};
  text.options = {{"endpoint", spec.endpoint.Url()},
                  {"region", spec.region},
                  {"path-style", spec.addressing == S3Addressing::kPath ? "yes" : "no"},
                  {"credentials", FormatCredentialsSource(spec.credentials)},
                  {"etag", spec.etag == S3StoreOptions::Etag::kMd5 ? "md5" : "opaque"}};
  if (!spec.ca_file.empty()) text.options.emplace_back("ca-file", spec.ca_file);
  return text;
}

}  // namespace cairn
