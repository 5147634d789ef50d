// Any bytes as what a cold store reads from outside: the first byte chooses what they are. A
// service's XML, a credentials file, an endpoint's JSON, a location with options, a key: understood
// or refused in words, never a crash, and nothing unprintable in a message.
#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/check.h"
#include "server/tier/cold_key.h"
#include "server/tier/cold_store_spec.h"
#include "server/tier/credentials.h"
#include "server/tier/s3_errors.h"
#include "server/tier/s3_xml.h"

namespace {

void CheckMessage(const absl::Status& status) {
  CAIRN_CHECK(status.ok() || !status.message().empty());
  for (const char byte : status.message()) CAIRN_CHECK(static_cast<unsigned char>(byte) >= 0x20);
}

void FeedXml(std::string_view text) {
  const auto page = cairn::ParseS3ListPage(text);
  CheckMessage(page.status());
  CAIRN_CHECK(!page.ok() || !page->truncated || !page->next_token.empty());
  CheckMessage(cairn::ParseS3UploadId(text).status());
  CheckMessage(cairn::ParseS3Completed(text).status());
  CheckMessage(cairn::ParseS3DeleteResult(text).status());
  cairn::HttpResponse response;
  response.status = 403;
  response.body = std::string(text);
  const cairn::S3Verdict verdict = cairn::JudgeS3Answer(
      response, {.bucket = "b", .endpoint_url = "https://e", .now = absl::UnixEpoch()});
  CAIRN_CHECK(!verdict.status.ok());
  CheckMessage(verdict.status);
}

// A location in the first line, an option in each further one.
void FeedSpec(std::string_view text) {
  cairn::ColdStoreText spec_text;
  size_t end = text.find('\n');
  spec_text.location = std::string(text.substr(0, end));
  while (end != std::string_view::npos) {
    text.remove_prefix(end + 1);
    end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    const size_t equals = line.find('=');
    if (equals == std::string_view::npos) continue;
    spec_text.options.emplace_back(line.substr(0, equals), line.substr(equals + 1));
  }
  const auto spec = cairn::ParseColdStoreSpec(spec_text);
  CheckMessage(spec.status());
  if (!spec.ok()) return;
  const auto again = cairn::ParseColdStoreSpec(cairn::FormatColdStoreSpec(*spec));
  CAIRN_CHECK(again.ok() && *again == *spec);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
  switch (data[0]) {
    case 'x':
      FeedXml(text);
      break;
    case 'c':
      CheckMessage(cairn::ParseCredentialsFile(text, "default", "file").status());
      break;
    case 'j':
      CheckMessage(cairn::ParseCredentialsAnswer(text, "endpoint").status());
      break;
    case 's':
      FeedSpec(text);
      break;
    default:
      CheckMessage(cairn::CheckColdKey(text));
      CheckMessage(cairn::ParseCredentialsSource(text).status());
  }
  return 0;
}
