// What lies below a path of the cluster, for the recursive commands.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "cairn/client.h"
#include "client/cli/interrupts.h"

namespace cairn::cli {

struct RemoteEntry {
  std::string path;
  Entry entry;
};

inline bool IsContainer(EntryType type) {
  return type == EntryType::kDirectory || type == EntryType::kCheckpoint;
}

// Visits everything below `root` depth first in name order, directories before what they hold. A
// directory that cannot be listed goes to `failed`, and the walk goes on. Holds one directory's
// entries a level. CANCELLED after an interrupt, else OK.
absl::Status WalkRemote(Client& client, const std::string& root, const Interrupts& interrupts,
                        const std::function<void(const RemoteEntry&)>& visit,
                        const std::function<void(const std::string&, absl::Status)>& failed);

// Whether a name that the cluster gave may become a local file's: no "/", NUL, "." or "..".
bool IsSafeName(std::string_view name);

}  // namespace cairn::cli
