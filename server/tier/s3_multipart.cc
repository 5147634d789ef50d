#include "server/tier/s3_multipart.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>
#include <vector>

#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/reactor/start_thread.h"
#include "server/tier/cold_key.h"
#include "server/tier/digest.h"
#include "server/tier/piece_list.h"
#include "server/tier/s3_xml.h"

namespace cairn {
namespace {

// Aborting is owed even when the deadline has passed.
constexpr absl::Duration kAbortPatience = absl::Seconds(10);

// One upload under way. The threads of its parts share it.
class Upload {
 public:
  Upload(S3Connection& connection, const std::string& key, std::span<const ConstBytes> pieces,
         uint64_t part_bytes, S3StoreOptions::Etag etag, const CallBounds& bounds)
      : connection_(connection),
        key_(key),
        pieces_(pieces),
        size_bytes_(BytesInAll(pieces)),
        part_bytes_(part_bytes),
        etag_(etag),
        bounds_(bounds),
        etags_(std::max<uint64_t>(DivideUp(size_bytes_, part_bytes), 1)),
        md5s_(etags_.size()) {
    CAIRN_CHECK(etags_.size() <= kS3PartsMax);
  }

  absl::Status Begin();
  // All parts, from this thread and `threads` - 1 others.
  absl::Status SendParts(int threads);
  absl::StatusOr<std::string> Complete();
  absl::Status Abort(const CallBounds& bounds);
  const std::string& id() const { return id_; }

 private:
  void SendUntilDone();
  absl::Status SendPart(size_t index);
  absl::StatusOr<std::string> Confirm(const absl::Status& failure);

  S3Connection& connection_;
  const std::string& key_;
  const std::span<const ConstBytes> pieces_;
  const uint64_t size_bytes_;
  const uint64_t part_bytes_;
  const S3StoreOptions::Etag etag_;
  const CallBounds& bounds_;
  std::string id_;
  // One of each part, written by the thread that sends it.
  std::vector<std::string> etags_;
  std::vector<std::string> md5s_;
  std::atomic<size_t> next_part_ = 0;
  std::atomic<bool> failed_ = false;
  std::mutex mutex_;
  absl::Status failure_;
};

absl::Status Upload::Begin() {
  S3Request request{.method = "POST",
                    .key = key_,
                    .query = {{"uploads", ""}},
                    .headers = {{"content-type", "application/octet-stream"}},
                    .what = StrCat("begin to put ", QuotedKey(key_))};
  request.check = [this](const HttpResponse& response) -> absl::Status {
    ASSIGN_OR_RETURN(id_, ParseS3UploadId(response.body));
    return absl::OkStatus();
  };
  return connection_.Call(request, bounds_).status();
}

absl::Status Upload::SendPart(size_t index) {
  const uint64_t offset = index * part_bytes_;
  const std::vector<ConstBytes> part =
      SlicePieces(pieces_, offset, std::min(part_bytes_, size_bytes_ - offset));
  const PayloadDigest digest = DigestPayload(part);
  md5s_[index] = digest.md5;
  S3Request request{.method = "PUT",
                    .key = key_,
                    .query = {{"partNumber", StrCat(index + 1)}, {"uploadId", id_}},
                    .headers = {{"content-md5", Base64(digest.md5)}},
                    .body = part,
                    .body_sha256 = digest.sha256,
                    .what = StrCat("put part ", index + 1, " of ", QuotedKey(key_))};
  request.check = [&](const HttpResponse& response) {
    etags_[index] = PlainEtag(response.Header("etag"));
    if (etags_[index].empty())
      return absl::UnavailableError("the service did not name the part that it took");
    if (EtagIsMd5(etags_[index], response, etag_) && etags_[index] != Hex(digest.md5)) {
      return absl::DataLossError(
          "the ETag of the part is not the MD5 of what was sent; where the service makes ETags "
          "another way, say so (etag=opaque)");
    }
    return absl::OkStatus();
  };
  return connection_.Call(request, bounds_).status();
}

void Upload::SendUntilDone() {
  for (;;) {
    const size_t index = next_part_.fetch_add(1);
    if (index >= etags_.size() || failed_.load()) return;
    const absl::Status status = SendPart(index);
    if (status.ok()) continue;
    failed_ = true;
    std::lock_guard<std::mutex> lock(mutex_);
    if (failure_.ok()) failure_ = status;
    return;
  }
}

absl::Status Upload::SendParts(int threads) {
  std::vector<std::thread> others;
  const size_t wanted = std::min<size_t>(static_cast<size_t>(threads), etags_.size());
  while (others.size() + 1 < wanted) {
    absl::StatusOr<std::thread> thread = StartThread([this] { SendUntilDone(); });
    // With fewer threads it takes longer, no more.
    if (!thread.ok()) break;
    others.push_back(*std::move(thread));
  }
  SendUntilDone();
  for (std::thread& thread : others) thread.join();
  return failure_;
}

absl::StatusOr<std::string> Upload::Complete() {
  const std::string body = MakeS3Complete(etags_);
  const PayloadDigest digest = DigestPayload(std::vector<ConstBytes>{BytesOf(body)});
  std::string completed;
  S3Request request{.method = "POST",
                    .key = key_,
                    .query = {{"uploadId", id_}},
                    .headers = {{"content-type", "application/xml"}},
                    .body = {BytesOf(body)},
                    .body_sha256 = digest.sha256,
                    .what = StrCat("complete ", QuotedKey(key_), ", of ", etags_.size(), " parts")};
  request.check = [&](const HttpResponse& response) -> absl::Status {
    ASSIGN_OR_RETURN(completed, ParseS3Completed(response.body));
    return absl::OkStatus();
  };
  S3Verdict verdict;
  const absl::StatusOr<S3Answer> answer = connection_.Call(request, bounds_, &verdict);
  // An earlier try may have completed it, though its answer was lost.
  if (!answer.ok() && (absl::IsUnavailable(answer.status()) || verdict.code == "NoSuchUpload"))
    return Confirm(answer.status());
  RETURN_IF_ERROR(answer.status());
  return completed;
}

// The ETag, if the object at the key is this upload's: only where ETags say so.
absl::StatusOr<std::string> Upload::Confirm(const absl::Status& failure) {
  const S3Request request{
      .method = "HEAD", .key = key_, .what = StrCat("look at ", QuotedKey(key_))};
  const absl::StatusOr<S3Answer> answer = connection_.Call(request, bounds_);
  if (!answer.ok() || etag_ == S3StoreOptions::Etag::kOpaque) return failure;
  std::string etag = PlainEtag(answer->response.Header("etag"));
  if (etag != MultipartEtag(md5s_)) return failure;
  return etag;
}

absl::Status Upload::Abort(const CallBounds& bounds) {
  const S3Request request{.method = "DELETE",
                          .key = key_,
                          .query = {{"uploadId", id_}},
                          .what = StrCat("abort the upload of ", QuotedKey(key_))};
  const absl::Status status = connection_.Call(request, bounds).status();
  return absl::IsNotFound(status) ? absl::OkStatus() : status;
}

}  // namespace

uint64_t PartBytesFor(uint64_t size_bytes, uint64_t wanted) {
  CAIRN_CHECK(size_bytes <= kS3ObjectBytesMax);
  const uint64_t least =
      std::max(kS3PartBytesMin, AlignUp(DivideUp(size_bytes, kS3PartsMax), kMiB));
  return std::min(std::max(AlignUp(wanted, kMiB), least), kS3PartBytesMax);
}

std::string MultipartEtag(std::span<const std::string> part_md5s) {
  std::string all;
  for (const std::string& md5 : part_md5s) all += md5;
  return StrCat(Hex(Md5(all)), "-", part_md5s.size());
}

absl::StatusOr<std::string> PutInParts(S3Connection& connection, const std::string& key,
                                       std::span<const ConstBytes> pieces, uint64_t part_bytes,
                                       int parallel_parts, S3StoreOptions::Etag etag,
                                       const CallBounds& bounds, const Clock& clock) {
  Upload upload(connection, key, pieces, part_bytes, etag, bounds);
  RETURN_IF_ERROR(upload.Begin());
  const absl::Status sent = upload.SendParts(parallel_parts);
  absl::StatusOr<std::string> done = sent.ok() ? upload.Complete() : sent;
  if (done.ok()) return done;
  const CallBounds patience{.deadline = Deadline::After(clock, kAbortPatience)};
  const absl::Status aborted = upload.Abort(patience);
  if (aborted.ok()) return done.status();
  return absl::Status(
      done.status().code(),
      absl::StrCat(done.status().message(),
                   "; the parts that were sent may still be kept as upload ", upload.id(), " (",
                   aborted.message(),
                   "): a lifecycle rule that aborts incomplete uploads removes them"));
}

}  // namespace cairn
