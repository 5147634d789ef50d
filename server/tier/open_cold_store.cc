#include "server/tier/open_cold_store.h"

#include <utility>

#include "common/base/status_macros.h"
#include "server/tier/credentials_provider.h"
#include "server/tier/directory_store.h"
#include "server/tier/s3_store.h"

namespace cairn {

absl::StatusOr<std::unique_ptr<ColdStore>> OpenColdStore(const ColdStoreSpec& spec,
                                                         const Clock& clock, Random& random) {
  if (spec.kind == ColdStoreSpec::Kind::kDirectory) {
    ASSIGN_OR_RETURN(std::unique_ptr<ColdStore> store,
                     DirectoryStore::Open(spec.directory, clock, random));
    return store;
  }
  S3StoreOptions options{.connection = {.endpoint = spec.endpoint,
                                        .bucket = spec.bucket,
                                        .region = spec.region,
                                        .addressing = spec.addressing,
                                        .http = {.ca_file = spec.ca_file}},
                         .prefix = spec.prefix,
                         .etag = spec.etag};
  return std::make_unique<S3Store>(std::move(options),
                                   std::make_unique<CredentialsProvider>(spec.credentials, clock),
                                   clock, random);
}

absl::Status PrepareColdStore(const ColdStoreSpec& spec, Random& random) {
  if (spec.kind != ColdStoreSpec::Kind::kDirectory) return absl::OkStatus();
  return DirectoryStore::Prepare(spec.directory, random);
}

}  // namespace cairn
