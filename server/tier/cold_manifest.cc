#include "server/tier/cold_manifest.h"

#include "absl/strings/str_format.h"
#include "common/base/byte_text.h"
#include "common/base/crc32c.h"
#include "common/base/little_endian.h"
#include "common/base/strings.h"

namespace cairn {
namespace {

constexpr std::string_view kMagic("CAIRNMAN", 8);
constexpr size_t kObjectHeaderAt = 8;
constexpr size_t kLengthAt = kObjectHeaderAt + kColdHeaderBytes;
constexpr size_t kCrcAt = kLengthAt + sizeof(uint64_t);
constexpr size_t kContentAt = kCrcAt + sizeof(uint32_t);
constexpr size_t kIdDigits = 16;

absl::Status Damaged(std::string_view what) {
  return absl::DataLossError(StrCat("cold manifest: ", what));
}

}  // namespace

std::string ColdManifestPrefix(std::string_view cluster_id) {
  return StrCat(cluster_id, "/manifests/");
}

std::string ColdManifestKey(std::string_view cluster_id, uint64_t object) {
  return ColdManifestPrefix(cluster_id) + absl::StrFormat("%016x", object);
}

uint64_t ColdManifestOf(std::string_view key, std::string_view cluster_id) {
  const std::string prefix = ColdManifestPrefix(cluster_id);
  if (key.size() != prefix.size() + kIdDigits || key.substr(0, prefix.size()) != prefix) return 0;
  uint64_t object = 0;
  for (const char c : key.substr(prefix.size())) {
    const bool is_digit = c >= '0' && c <= '9';
    if (!is_digit && (c < 'a' || c > 'f')) return 0;
    object = object << 4 | static_cast<uint64_t>(is_digit ? c - '0' : c - 'a' + 10);
  }
  return object;
}

std::string EncodeColdManifest(const ColdHeader& header, const disk::ColdManifest& manifest) {
  const std::string content = manifest.SerializeAsString();
  std::string bytes(kMagic);
  bytes += EncodeColdHeader(header);
  AppendLittleEndian<uint64_t>(bytes, content.size());
  AppendLittleEndian<uint32_t>(bytes, Crc32c(AsBytes(content)));
  return bytes + content;
}

absl::StatusOr<disk::ColdManifest> DecodeColdManifest(const ColdHeader& header, ConstBytes bytes) {
  if (bytes.size() < kContentAt || AsText(bytes.first(kMagic.size())) != kMagic)
    return Damaged("it does not begin as one");
  absl::StatusOr<ColdHeader> own =
      DecodeColdHeader(bytes.subspan(kObjectHeaderAt, kColdHeaderBytes));
  if (!own.ok()) return own.status();
  if (own->cluster_id != header.cluster_id || own->object != header.object)
    return Damaged("it is another one");
  const ConstBytes content = bytes.subspan(kContentAt);
  if (LoadLittleEndian<uint64_t>(bytes.data() + kLengthAt) != content.size())
    return Damaged("it is cut off, or has something behind it");
  if (LoadLittleEndian<uint32_t>(bytes.data() + kCrcAt) != Crc32c(content))
    return Damaged("it does not match its checksum");
  disk::ColdManifest manifest;
  if (content.size() > kColdManifestBytesMax ||
      !manifest.ParseFromArray(content.data(), static_cast<int>(content.size())))
    return Damaged("it makes no sense");
  return manifest;
}

}  // namespace cairn
