// One way to the tree: a mount, or the SDK. Paths are relative to the tree. Errors are those of
// system calls, as far as there are any: who calls knows by the board whether one may be expected.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace cairn::hammer {

enum class Durability { kClosed, kSynced };

class View {
 public:
  virtual ~View() = default;

  // For people.
  virtual std::string name() const = 0;
  // Whether files can be changed in place, and appended to.
  virtual bool writes_in_place() const = 0;

  // All of a file; nullopt: there is none.
  virtual absl::StatusOr<std::optional<std::string>> Read(const std::string& path) = 0;
  virtual absl::StatusOr<bool> IsDirectory(const std::string& path) = 0;
  virtual absl::StatusOr<std::vector<std::string>> List(const std::string& path) = 0;

  // Puts a file of that content in the place of what is there, at once.
  virtual absl::Status Replace(const std::string& path, const std::string& content,
                               Durability durability) = 0;
  virtual absl::Status Unlink(const std::string& path, Durability durability) = 0;
  virtual absl::Status Move(const std::string& from, const std::string& to,
                            Durability durability) = 0;
  virtual absl::Status MakeDirectory(const std::string& path, Durability durability) = 0;
  virtual absl::Status RemoveDirectory(const std::string& path, Durability durability) = 0;

  // -- only where files can be changed in place. `manner` chooses between ways to do the same.
  virtual absl::Status Create(const std::string& path, const std::string& content,
                              Durability durability) = 0;
  virtual absl::Status Overwrite(const std::string& path, uint64_t offset,
                                 const std::string& content, Durability durability,
                                 uint64_t manner) = 0;
  // Each of the pieces in one call, at the end of the file, which is made where it is missing.
  virtual absl::Status Append(const std::string& path, const std::vector<std::string>& pieces,
                              Durability durability) = 0;
  virtual absl::Status Truncate(const std::string& path, uint64_t size, Durability durability,
                                uint64_t manner) = 0;
};

// `directory` is the tree's. `tag` tells names of files that are being written from others'.
std::unique_ptr<View> MakePosixView(std::string directory, std::string tag);
// `source` is ENDPOINT:/bucket/path.
absl::StatusOr<std::unique_ptr<View>> MakeSdkView(const std::string& source);

}  // namespace cairn::hammer
