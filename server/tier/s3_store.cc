#include "server/tier/s3_store.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/numbers.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "server/tier/cold_key.h"
#include "server/tier/digest.h"
#include "server/tier/piece_list.h"
#include "server/tier/s3_multipart.h"
#include "server/tier/s3_xml.h"

namespace cairn {
namespace {

// What one listing and one deleting request of S3 hold.
constexpr size_t kPageKeysMax = 1000;
constexpr size_t kDeleteKeysMax = 1000;
constexpr size_t kListLimitMax = 10'000;
constexpr int kParallelPartsMax = 64;

// Half-open. None where `value` is not "bytes FIRST-LAST/TOTAL".
struct ContentRange {
  uint64_t begin = 0;
  uint64_t end = 0;
  uint64_t total = 0;
};

std::optional<uint64_t> Number(std::string_view text) {
  uint64_t number = 0;
  const bool digits = !text.empty() && std::all_of(text.begin(), text.end(),
                                                   [](char c) { return c >= '0' && c <= '9'; });
  if (!digits || !absl::SimpleAtoi(ToAbsl(text), &number)) return std::nullopt;
  return number;
}

std::optional<ContentRange> ParseContentRange(std::string_view value) {
  constexpr std::string_view kUnit = "bytes ";
  const size_t dash = value.find('-');
  const size_t slash = value.find('/');
  if (!value.starts_with(kUnit) || slash == std::string_view::npos || dash > slash)
    return std::nullopt;
  const auto first = Number(value.substr(kUnit.size(), dash - kUnit.size()));
  const auto last = Number(value.substr(dash + 1, slash - dash - 1));
  const auto total = Number(value.substr(slash + 1));
  if (!first.has_value() || !last.has_value() || !total.has_value() || *last < *first ||
      *last >= *total) {
    return std::nullopt;
  }
  return ContentRange{.begin = *first, .end = *last + 1, .total = *total};
}

absl::Status EndsBefore(uint64_t size_bytes, uint64_t end) {
  return absl::OutOfRangeError(
      StrCat("the object has ", size_bytes, " bytes, and bytes up to ", end, " were asked for"));
}

// What a range request must have been answered with. `into` is filled already.
absl::Status CheckRange(const HttpResponse& response, uint64_t offset, MutableBytes into,
                        std::string_view etag, S3StoreOptions::Etag kind) {
  const uint64_t end = offset + into.size();
  const std::string answered = PlainEtag(response.Header("etag"));
  if (!etag.empty() && !answered.empty() && answered != etag)
    return absl::DataLossError("the object is not the one that was written: its ETag is another");
  uint64_t total = response.filled_bytes;
  if (response.status == 206) {
    const auto range = ParseContentRange(response.Header("content-range"));
    if (!range.has_value())
      return absl::DataLossError("the service does not say which range it has sent");
    total = range->total;
    if (total < end) return EndsBefore(total, end);
    if (range->begin != offset || range->end != end) {
      return absl::DataLossError(StrCat("the service sent bytes ", range->begin, " to ", range->end,
                                        " instead of ", offset, " to ", end));
    }
  } else if (response.status != 200 || offset != 0) {
    return absl::DataLossError("the service does not send ranges of objects");
  } else if (total < end) {
    return EndsBefore(total, end);
  }
  if (response.filled_bytes != into.size()) {
    return absl::DataLossError(
        StrCat("the service sent ", response.filled_bytes, " bytes instead of ", into.size()));
  }
  if (offset == 0 && total == into.size() && EtagIsMd5(answered, response, kind)) {
    const std::string_view bytes(reinterpret_cast<const char*>(into.data()), into.size());
    if (Hex(Md5(bytes)) != answered)
      return absl::DataLossError("the bytes that came do not match the object's MD5");
  }
  return absl::OkStatus();
}

absl::Status CheckOptions(const ColdPutOptions& options, uint64_t size_bytes) {
  if (options.parallel_parts < 1 || options.parallel_parts > kParallelPartsMax) {
    return absl::InvalidArgumentError(StrCat("parallel_parts must be 1 to ", kParallelPartsMax));
  }
  if (size_bytes > kS3ObjectBytesMax) {
    return absl::InvalidArgumentError(
        StrCat("an object of ", size_bytes, " bytes is larger than the 5 TiB that S3 takes"));
  }
  return absl::OkStatus();
}

}  // namespace

bool EtagIsMd5(std::string_view etag, const HttpResponse& response, S3StoreOptions::Etag kind) {
  constexpr size_t kMd5Digits = 32;
  const bool hex = etag.size() == kMd5Digits && std::all_of(etag.begin(), etag.end(), [](char c) {
                     return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
                   });
  return hex && kind == S3StoreOptions::Etag::kMd5 &&
         !response.Header("x-amz-server-side-encryption").starts_with("aws:") &&
         response.Header("x-amz-server-side-encryption-customer-algorithm").empty();
}

S3Store::S3Store(S3StoreOptions options, std::unique_ptr<CredentialsProvider> credentials,
                 const Clock& clock, Random& random)
    : options_(std::move(options)),
      clock_(clock),
      credentials_(std::move(credentials)),
      connection_(options_.connection, *credentials_, clock, random) {}

std::string S3Store::Describe() const {
  const S3ConnectionOptions& connection = options_.connection;
  return StrCat("s3://", connection.bucket, options_.prefix.empty() ? "" : "/", options_.prefix,
                " at ", connection.endpoint.Url(), ", region ", connection.region);
}

absl::StatusOr<std::string> S3Store::FullKey(std::string_view key) const {
  RETURN_IF_ERROR(CheckColdKey(key));
  std::string full = options_.prefix.empty() ? std::string(key) : StrCat(options_.prefix, "/", key);
  if (full.size() > kColdKeyBytesMax) {
    return absl::InvalidArgumentError(StrCat("the key ", QuotedKey(key), " has more than ",
                                             kColdKeyBytesMax, " bytes with the tier's prefix"));
  }
  return full;
}

absl::StatusOr<std::string> S3Store::Put(std::string_view key, std::span<const ConstBytes> pieces,
                                         const ColdPutOptions& options, const CallBounds& bounds) {
  ASSIGN_OR_RETURN(const std::string full, FullKey(key));
  const uint64_t size_bytes = BytesInAll(pieces);
  RETURN_IF_ERROR(CheckOptions(options, size_bytes));
  const uint64_t wanted = options.part_bytes > 0 ? options.part_bytes : options_.part_bytes;
  const uint64_t part_bytes = PartBytesFor(size_bytes, wanted);
  const uint64_t threshold = options.part_bytes > 0
                                 ? part_bytes
                                 : std::min(options_.multipart_from_bytes, kS3PartBytesMax);
  if (size_bytes <= threshold) return PutWhole(full, pieces, bounds);
  ASSIGN_OR_RETURN(const std::string etag,
                   PutInParts(connection_, full, pieces, part_bytes, options.parallel_parts,
                              options_.etag, bounds, clock_));
  return ConfirmSize(key, size_bytes, etag, bounds);
}

absl::StatusOr<std::string> S3Store::PutWhole(const std::string& key,
                                              std::span<const ConstBytes> pieces,
                                              const CallBounds& bounds) {
  const PayloadDigest digest = DigestPayload(pieces);
  std::string etag;
  bool matched = false;
  S3Request request{.method = "PUT",
                    .key = key,
                    .headers = {{"content-md5", Base64(digest.md5)},
                                {"content-type", "application/octet-stream"}},
                    .body = {pieces.begin(), pieces.end()},
                    .body_sha256 = digest.sha256,
                    .what = StrCat("put ", QuotedKey(key))};
  request.check = [&](const HttpResponse& response) {
    etag = PlainEtag(response.Header("etag"));
    matched = EtagIsMd5(etag, response, options_.etag);
    if (matched && etag != Hex(digest.md5)) {
      return absl::DataLossError(
          "the ETag is not the MD5 of what was sent; where the service makes ETags another way, "
          "say so (etag=opaque)");
    }
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(connection_.Call(request, bounds).status());
  if (matched) return etag;
  const std::string_view own_key =
      options_.prefix.empty() ? key : std::string_view(key).substr(options_.prefix.size() + 1);
  return ConfirmSize(own_key, BytesInAll(pieces), etag, bounds);
}

// Looks at what was put: the service must have as many bytes, under the same name.
absl::StatusOr<std::string> S3Store::ConfirmSize(std::string_view key, uint64_t size_bytes,
                                                 const std::string& etag,
                                                 const CallBounds& bounds) {
  ASSIGN_OR_RETURN(const ColdObject object, Stat(key, bounds));
  if (object.size_bytes != size_bytes) {
    return absl::DataLossError(StrCat("the service has ", object.size_bytes, " bytes of ",
                                      QuotedKey(key), ", of which ", size_bytes, " were put"));
  }
  if (!etag.empty() && object.etag != etag) {
    return absl::DataLossError(
        StrCat("what is stored as ", QuotedKey(key), " is not what was put: its ETag is another"));
  }
  return object.etag;
}

absl::Status S3Store::Get(std::string_view key, uint64_t offset, MutableBytes into,
                          std::string_view etag, const CallBounds& bounds) {
  ASSIGN_OR_RETURN(const std::string full, FullKey(key));
  if (into.empty() || offset > kS3ObjectBytesMax) {
    // A range of no bytes cannot be asked for.
    ASSIGN_OR_RETURN(const ColdObject object, Stat(key, bounds));
    if (offset + into.size() > object.size_bytes)
      return EndsBefore(object.size_bytes, offset + into.size());
    if (!etag.empty() && object.etag != etag)
      return absl::DataLossError(StrCat(QuotedKey(key), " is not the object that was written"));
    return absl::OkStatus();
  }
  S3Request request{
      .method = "GET",
      .key = full,
      .headers = {{"range", StrCat("bytes=", offset, "-", offset + into.size() - 1)}},
      .into = into,
      .what = StrCat("get bytes ", offset, " to ", offset + into.size(), " of ", QuotedKey(full))};
  if (!etag.empty()) request.headers.emplace_back("if-match", StrCat("\"", etag, "\""));
  request.check = [&](const HttpResponse& response) {
    return CheckRange(response, offset, into, etag, options_.etag);
  };
  const absl::Status status = connection_.Call(request, bounds).status();
  if (!absl::IsInvalidArgument(status)) return status;
  // Some services call a range that goes beyond the end a bad request.
  const absl::StatusOr<ColdObject> object = Stat(key, bounds);
  const bool beyond = object.ok() && object->size_bytes < offset + into.size();
  return beyond ? EndsBefore(object->size_bytes, offset + into.size()) : status;
}

absl::StatusOr<ColdObject> S3Store::Stat(std::string_view key, const CallBounds& bounds) {
  ASSIGN_OR_RETURN(const std::string full, FullKey(key));
  ColdObject object{.key = std::string(key)};
  S3Request request{.method = "HEAD", .key = full, .what = StrCat("look at ", QuotedKey(full))};
  request.check = [&](const HttpResponse& response) {
    const auto length = Number(response.Header("content-length"));
    if (!length.has_value())
      return absl::UnavailableError("the service does not say how long the object is");
    object.size_bytes = *length;
    object.etag = PlainEtag(response.Header("etag"));
    object.modified =
        ParseHttpDate(response.Header("last-modified")).value_or(absl::InfinitePast());
    return absl::OkStatus();
  };
  const absl::Status status = connection_.Call(request, bounds).status();
  if (absl::IsNotFound(status)) RETURN_IF_ERROR(ConfirmBucket(bounds));
  RETURN_IF_ERROR(status);
  return object;
}

// An answer to HEAD has no body, so it does not say whether the object or the whole bucket is
// missing: who asks must not take one for the other.
absl::Status S3Store::ConfirmBucket(const CallBounds& bounds) {
  const S3Request request{
      .method = "HEAD",
      .what = StrCat("look at the bucket ", QuotedKey(options_.connection.bucket))};
  const absl::Status status = connection_.Call(request, bounds).status();
  if (absl::IsNotFound(status)) {
    return absl::FailedPreconditionError(
        absl::StrCat(status.message(), ": there is no such bucket; make it, or correct its name"));
  }
  // Rights to the objects may come without any to the bucket.
  return absl::IsPermissionDenied(status) ? absl::OkStatus() : status;
}

absl::StatusOr<ColdListing> S3Store::List(const ColdListOptions& options,
                                          const CallBounds& bounds) {
  if (options.limit < 1 || options.limit > kListLimitMax)
    return absl::InvalidArgumentError(StrCat("a listing's limit must be 1 to ", kListLimitMax));
  ColdListing listing;
  std::string token;
  do {
    RETURN_IF_ERROR(ListPage(options, &token, &listing, bounds));
  } while (!token.empty() && listing.objects.size() < options.limit);
  listing.more = !token.empty() || listing.objects.size() > options.limit;
  // Not all services count as they are asked to.
  if (listing.objects.size() > options.limit) listing.objects.resize(options.limit);
  return listing;
}

absl::Status S3Store::ListPage(const ColdListOptions& options, std::string* token,
                               ColdListing* listing, const CallBounds& bounds) {
  const std::string root = options_.prefix.empty() ? "" : StrCat(options_.prefix, "/");
  const size_t wanted = std::min(options.limit - listing->objects.size(), kPageKeysMax);
  S3Request request{.method = "GET",
                    .query = {{"list-type", "2"},
                              {"encoding-type", "url"},
                              {"max-keys", StrCat(wanted)},
                              {"prefix", root + options.prefix}},
                    .what = StrCat("list ", QuotedKey(root + options.prefix))};
  if (!token->empty()) {
    request.query.emplace_back("continuation-token", *token);
  } else if (!options.start_after.empty()) {
    request.query.emplace_back("start-after", root + options.start_after);
  }
  S3ListPage page;
  request.check = [&](const HttpResponse& response) -> absl::Status {
    ASSIGN_OR_RETURN(page, ParseS3ListPage(response.body));
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(connection_.Call(request, bounds).status());
  for (ColdObject& object : page.objects) {
    const bool ours = object.key.starts_with(root + options.prefix);
    object.key.erase(0, root.size());
    const std::string& last =
        listing->objects.empty() ? options.start_after : listing->objects.back().key;
    const bool first = listing->objects.empty() && options.start_after.empty();
    if (!ours || (!first && object.key <= last)) {
      return absl::FailedPreconditionError(
          StrCat("cannot list ", QuotedKey(root + options.prefix), ": the service does not list ",
                 "keys in the order of their bytes, or not those asked for (S3's directory buckets "
                 "do not); use another kind of bucket"));
    }
    // The place holders of folders that some tools make.
    if (object.key.empty() || object.key.ends_with('/')) continue;
    listing->objects.push_back(std::move(object));
  }
  if (page.truncated && page.objects.empty()) {
    return absl::UnavailableError(
        StrCat("cannot list ", QuotedKey(root + options.prefix),
               ": the service sent an empty page and says there is more"));
  }
  *token = page.truncated ? page.next_token : "";
  return absl::OkStatus();
}

absl::Status S3Store::Delete(std::span<const std::string> keys, const CallBounds& bounds) {
  std::vector<std::string> full;
  for (const std::string& key : keys) {
    ASSIGN_OR_RETURN(std::string whole, FullKey(key));
    full.push_back(std::move(whole));
  }
  if (full.size() == 1) return DeleteOne(full[0], bounds);
  for (size_t i = 0; i < full.size(); i += kDeleteKeysMax) {
    const size_t count = std::min(full.size() - i, kDeleteKeysMax);
    RETURN_IF_ERROR(DeleteBatch(std::span<const std::string>(full).subspan(i, count), bounds));
  }
  return absl::OkStatus();
}

absl::Status S3Store::DeleteBatch(std::span<const std::string> keys, const CallBounds& bounds) {
  const std::string body = MakeS3Delete(keys);
  S3Request request{
      .method = "POST",
      .query = {{"delete", ""}},
      .headers = {{"content-md5", Base64(Md5(body))}, {"content-type", "application/xml"}},
      .body = {BytesOf(body)},
      .body_sha256 = Sha256(body),
      .what = StrCat("delete ", keys.size(), " objects from ", QuotedKey(keys[0]), " on")};
  std::vector<S3DeleteError> errors;
  request.check = [&](const HttpResponse& response) -> absl::Status {
    ASSIGN_OR_RETURN(errors, ParseS3DeleteResult(response.body));
    return absl::OkStatus();
  };
  const absl::Status status = connection_.Call(request, bounds).status();
  if (absl::IsUnimplemented(status)) {
    for (const std::string& key : keys) RETURN_IF_ERROR(DeleteOne(key, bounds));
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(status);
  // One by one: that says what is wrong with each, and tries again what another try may help.
  for (const S3DeleteError& error : errors) {
    if (std::find(keys.begin(), keys.end(), error.key) == keys.end()) {
      return absl::UnavailableError(StrCat("cannot delete objects: the service names ",
                                           QuotedKey(error.key), ", which it was not asked for"));
    }
    RETURN_IF_ERROR(DeleteOne(error.key, bounds));
  }
  return absl::OkStatus();
}

absl::Status S3Store::DeleteOne(const std::string& key, const CallBounds& bounds) {
  const S3Request request{
      .method = "DELETE", .key = key, .what = StrCat("delete ", QuotedKey(key))};
  S3Verdict verdict;
  const absl::Status status = connection_.Call(request, bounds, &verdict).status();
  if (!absl::IsNotFound(status)) return status;
  return verdict.code == "NoSuchKey" ? absl::OkStatus() : ConfirmBucket(bounds);
}

}  // namespace cairn
