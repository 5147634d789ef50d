// Listing a directory store in the order of its keys' bytes.
#pragma once

#include "absl/status/statusor.h"
#include "server/tier/cold_store.h"
#include "server/tier/directory_files.h"

namespace cairn {

// A page of the files below `root` that are objects. "foo+1/x" comes before "foo/x", as "+" is less
// than "/": a directory is sorted by its name and the slash. Reads directories whole, those only
// that may hold keys of the page. What cannot be a key, what begins with ".cairn" at the root, and
// all that is neither file nor directory is left out. Blocks the thread.
absl::StatusOr<ColdListing> ListDirectory(Descriptor root, const ColdListOptions& options,
                                          const CallBounds& bounds, const Clock& clock);

}  // namespace cairn
