#include "server/tier/s3_xml.h"

#include <pugixml.hpp>

#include "absl/strings/numbers.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "server/tier/cold_key.h"
#include "server/tier/uri.h"

namespace cairn {
namespace {

// A page of 1,000 keys has 4 MiB at most. A parsed document takes a few times as much memory.
constexpr size_t kXmlBytesMax = 16 << 20;
// Of what is repeated from an answer in a message.
constexpr size_t kTextBytesMax = 500;

std::string_view LocalName(const pugi::xml_node& node) {
  const std::string_view name = node.name();
  const size_t colon = name.rfind(':');
  return colon == std::string_view::npos ? name : name.substr(colon + 1);
}

// A null node where there is none.
pugi::xml_node Child(const pugi::xml_node& node, std::string_view name) {
  for (const pugi::xml_node& child : node.children()) {
    if (LocalName(child) == name) return child;
  }
  return {};
}

std::string Text(const pugi::xml_node& node, std::string_view name) {
  return Child(node, name).text().get();
}

// Fills `document` and returns its root; a null node where there is none. A document may begin with
// blanks: CompleteMultipartUpload sends some to keep the connection alive.
pugi::xml_node Root(std::string_view xml, pugi::xml_document& document) {
  if (xml.size() > kXmlBytesMax) return {};
  const pugi::xml_parse_result result = document.load_buffer(
      xml.data(), xml.size(),
      pugi::parse_cdata | pugi::parse_escapes | pugi::parse_eol | pugi::parse_ws_pcdata_single,
      pugi::encoding_utf8);
  return result ? document.document_element() : pugi::xml_node();
}

absl::Status NotWhatItShouldBe(std::string_view expected) {
  return absl::UnavailableError(StrCat("the answer is no <", expected,
                                       ">: it was cut off, or the endpoint is no S3 service"));
}

S3Error ErrorOf(const pugi::xml_node& node) {
  return {.code = Text(node, "Code").substr(0, kTextBytesMax),
          .message = Text(node, "Message").substr(0, kTextBytesMax),
          .region = Text(node, "Region").substr(0, kTextBytesMax),
          .endpoint = Text(node, "Endpoint").substr(0, kTextBytesMax)};
}

std::string Escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

// One <Contents>.
absl::StatusOr<ColdObject> ListedObject(const pugi::xml_node& node, bool encoded) {
  ColdObject object;
  object.key = Text(node, "Key");
  if (encoded) {
    // Form encoding: some services write blanks as "+", and a plus itself always as %2B.
    for (char& c : object.key) {
      if (c == '+') c = ' ';
    }
    std::optional<std::string> decoded = PercentDecode(object.key);
    if (!decoded.has_value()) return NotWhatItShouldBe("ListBucketResult");
    object.key = *std::move(decoded);
  }
  const std::string size = Text(node, "Size");
  if (object.key.empty() || !absl::SimpleAtoi(size, &object.size_bytes))
    return NotWhatItShouldBe("ListBucketResult");
  object.etag = PlainEtag(Text(node, "ETag"));
  std::string error;
  absl::Time modified;
  if (absl::ParseTime(absl::RFC3339_full, Text(node, "LastModified"), &modified, &error))
    object.modified = modified;
  return object;
}

}  // namespace

std::string PlainEtag(std::string_view etag) {
  if (etag.starts_with("W/")) etag.remove_prefix(2);
  if (etag.size() >= 2 && etag.front() == '"' && etag.back() == '"')
    etag = etag.substr(1, etag.size() - 2);
  return std::string(etag);
}

std::optional<S3Error> ParseS3Error(std::string_view xml) {
  pugi::xml_document document;
  const pugi::xml_node root = Root(xml, document);
  if (LocalName(root) == "Error") return ErrorOf(root);
  // What AWS's other services, and gateways before them, put around it.
  if (LocalName(root) == "ErrorResponse") return ErrorOf(Child(root, "Error"));
  return std::nullopt;
}

absl::StatusOr<S3ListPage> ParseS3ListPage(std::string_view xml) {
  pugi::xml_document document;
  const pugi::xml_node root = Root(xml, document);
  if (LocalName(root) != "ListBucketResult") return NotWhatItShouldBe("ListBucketResult");
  S3ListPage page;
  const bool encoded = Text(root, "EncodingType") == "url";
  for (const pugi::xml_node& node : root.children()) {
    if (LocalName(node) != "Contents") continue;
    ASSIGN_OR_RETURN(ColdObject object, ListedObject(node, encoded));
    page.objects.push_back(std::move(object));
  }
  page.truncated = Text(root, "IsTruncated") == "true";
  page.next_token = Text(root, "NextContinuationToken");
  if (page.truncated && page.next_token.empty()) return NotWhatItShouldBe("ListBucketResult");
  return page;
}

absl::StatusOr<std::string> ParseS3UploadId(std::string_view xml) {
  pugi::xml_document document;
  const pugi::xml_node root = Root(xml, document);
  std::string id = Text(root, "UploadId");
  if (LocalName(root) != "InitiateMultipartUploadResult" || id.empty())
    return NotWhatItShouldBe("InitiateMultipartUploadResult");
  return id;
}

absl::StatusOr<std::string> ParseS3Completed(std::string_view xml) {
  pugi::xml_document document;
  const pugi::xml_node root = Root(xml, document);
  if (LocalName(root) != "CompleteMultipartUploadResult")
    return NotWhatItShouldBe("CompleteMultipartUploadResult");
  return PlainEtag(Text(root, "ETag"));
}

absl::StatusOr<std::vector<S3DeleteError>> ParseS3DeleteResult(std::string_view xml) {
  pugi::xml_document document;
  const pugi::xml_node root = Root(xml, document);
  if (LocalName(root) != "DeleteResult") return NotWhatItShouldBe("DeleteResult");
  std::vector<S3DeleteError> errors;
  for (const pugi::xml_node& node : root.children()) {
    if (LocalName(node) != "Error") continue;
    errors.push_back({.key = Text(node, "Key"), .error = ErrorOf(node)});
  }
  return errors;
}

std::string MakeS3Complete(std::span<const std::string> etags) {
  std::string out = "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">";
  for (size_t i = 0; i < etags.size(); ++i) {
    out += StrCat("<Part><PartNumber>", i + 1, "</PartNumber><ETag>\"", Escaped(etags[i]),
                  "\"</ETag></Part>");
  }
  return out + "</CompleteMultipartUpload>";
}

std::string MakeS3Delete(std::span<const std::string> keys) {
  std::string out = "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Quiet>true</Quiet>";
  for (const std::string& key : keys)
    out += StrCat("<Object><Key>", Escaped(key), "</Key></Object>");
  return out + "</Delete>";
}

}  // namespace cairn
