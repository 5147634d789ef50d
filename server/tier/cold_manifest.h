// The bytes of a manifest: a header that says whose it is, and a ColdManifest. Pure;
// FORMAT_COLD.md has it byte by byte.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/base/units.h"
#include "proto/disk/cold.pb.h"
#include "server/tier/cold_object.h"

namespace cairn {

// A part of a large checkpoint, or as many small files as fit, is put into one.
inline constexpr uint64_t kColdManifestBytesMax = 64 * kMiB;

// "CLUSTER/manifests/": all manifests of a cluster, and no other keys, begin so.
std::string ColdManifestPrefix(std::string_view cluster_id);
std::string ColdManifestKey(std::string_view cluster_id, uint64_t object);
// The object's id; 0: it is no key of a manifest.
uint64_t ColdManifestOf(std::string_view key, std::string_view cluster_id);

std::string EncodeColdManifest(const ColdHeader& header, const disk::ColdManifest& manifest);
// DATA_LOSS: it is none, damaged, or another one. FAILED_PRECONDITION: of a later release.
absl::StatusOr<disk::ColdManifest> DecodeColdManifest(const ColdHeader& header, ConstBytes bytes);

}  // namespace cairn
