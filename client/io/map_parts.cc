#include "client/io/map_parts.h"

#include <algorithm>
#include <utility>

#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace cairn {
namespace {

absl::Status OlderMap(uint64_t version, uint64_t than) {
  return absl::DataLossError(StrCat("the service answers with version ", version,
                                    " of the cluster map after version ", than));
}

}  // namespace

wire::GetMapRequest MapParts::Next(uint64_t known_version) const {
  wire::GetMapRequest request;
  request.set_known_version(known_version);
  if (!bytes_.empty()) {
    request.set_version(version_);
    request.set_offset_bytes(bytes_.size());
  }
  return request;
}

absl::StatusOr<MapParts::Taken> MapParts::Take(wire::GetMapReply reply, uint64_t known_version) {
  absl::StatusOr<Taken> taken = TakeChecked(reply, known_version);
  if (!taken.ok() || !taken->more) Drop();
  return taken;
}

absl::StatusOr<MapParts::Taken> MapParts::TakeChecked(wire::GetMapReply& reply,
                                                      uint64_t known_version) {
  Taken taken;
  if (reply.has_map()) {
    const uint64_t version = reply.map().version();
    if (version <= known_version) return OlderMap(version, known_version);
    if (version < version_) return OlderMap(version, version_);
    taken.map = std::move(*reply.mutable_map());
    return taken;
  }
  const bool says_nothing =
      reply.version() == 0 && reply.total_bytes() == 0 && reply.part().empty();
  if (says_nothing && bytes_.empty()) return taken;
  RETURN_IF_ERROR(TakePart(reply, known_version));
  taken.more = bytes_.size() < total_bytes_;
  if (taken.more) return taken;
  wire::ClusterMap map;
  if (!map.ParseFromString(bytes_) || map.version() != version_) {
    return absl::DataLossError(
        StrCat("the parts of version ", version_, " of the cluster map do not make a map"));
  }
  taken.map = std::move(map);
  return taken;
}

absl::Status MapParts::TakePart(const wire::GetMapReply& reply, uint64_t known_version) {
  if (reply.version() != version_) {
    const uint64_t newest = std::max(known_version, version_);
    if (reply.version() <= newest) return OlderMap(reply.version(), newest);
    Drop();
    version_ = reply.version();
    total_bytes_ = reply.total_bytes();
  }
  if (reply.total_bytes() != total_bytes_) {
    return absl::DataLossError(StrCat("version ", version_, " of the cluster map has ",
                                      total_bytes_, " bytes by one part and ", reply.total_bytes(),
                                      " by another"));
  }
  if (total_bytes_ > kTotalBytesMax) {
    return absl::DataLossError(StrCat("a cluster map of ", total_bytes_, " bytes; no more than ",
                                      kTotalBytesMax, " are taken"));
  }
  if (reply.part().empty()) {
    return absl::DataLossError(
        StrCat("the service answers with an empty part of the cluster map, after ", bytes_.size(),
               " of ", total_bytes_, " bytes"));
  }
  if (reply.part().size() > total_bytes_ - bytes_.size()) {
    return absl::DataLossError(
        StrCat("a part of the cluster map goes beyond its ", total_bytes_, " bytes"));
  }
  bytes_ += reply.part();
  return absl::OkStatus();
}

void MapParts::Drop() {
  version_ = 0;
  total_bytes_ = 0;
  bytes_ = std::string();
}

}  // namespace cairn
