// See remote_walk.h.
#include "client/cli/remote_walk.h"

#include "client/cli/arguments.h"
#include "common/base/status_macros.h"

namespace cairn::cli {

absl::Status WalkRemote(Client& client, const std::string& root, const Interrupts& interrupts,
                        const std::function<void(const RemoteEntry&)>& visit,
                        const std::function<void(const std::string&, absl::Status)>& failed) {
  // A stack of our own: names nest up to 2,048 deep in 4,096 bytes.
  struct Level {
    std::string path;
    std::vector<Entry> entries;
    size_t next = 0;
  };
  std::vector<Level> levels;
  ASSIGN_OR_RETURN(std::vector<Entry> top, client.List(root));
  levels.push_back({root, std::move(top), 0});
  auto enter = [&](const std::string& path) {
    auto entries = client.List(path);
    if (entries.ok()) {
      levels.push_back({path, *std::move(entries), 0});
    } else {
      failed(path, entries.status());
    }
  };
  while (!levels.empty()) {
    RETURN_IF_ERROR(interrupts.Check());
    Level& level = levels.back();
    if (level.next == level.entries.size()) {
      levels.pop_back();
      continue;
    }
    const Entry& entry = level.entries[level.next++];
    const RemoteEntry found = {JoinPath(level.path, entry.name), entry};
    visit(found);
    if (IsContainer(found.entry.type)) enter(found.path);
  }
  return absl::OkStatus();
}

bool IsSafeName(std::string_view name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\0", 2)) == std::string_view::npos;
}

}  // namespace cairn::cli
