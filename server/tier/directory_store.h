// DirectoryStore: cold objects as plain files in a directory, on a hard disk or a network mount. A
// key's slashes are directories; system calls are in directory_files.h.
//
// The root has a marker, .cairn-tier: without it there is nothing mounted there, or something else,
// and nothing is read or written. What is being written lies in .cairn-tmp until it is whole.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/random.h"
#include "server/tier/cold_store.h"
#include "server/tier/directory_files.h"

namespace cairn {

class DirectoryStore final : public ColdStore {
 public:
  // What a crash left in .cairn-tmp is kept for so long at least: another server may be writing it.
  static constexpr absl::Duration kLeftoverAge = absl::Hours(24);

  // Makes a directory a store, by its marker; one that is a store already stays what it is. The
  // marker is durable once OK. NOT_FOUND: there is no such directory; it is not made, as its disk
  // may only not be mounted. FAILED_PRECONDITION: it holds something else, and is no store.
  static absl::Status Prepare(const std::string& root, Random& random);

  // Opens a store and removes leftovers. FAILED_PRECONDITION "is it mounted?": there is no marker.
  // `clock` and `random` outlive it; `random` is thread-safe.
  static absl::StatusOr<std::unique_ptr<DirectoryStore>> Open(const std::string& root,
                                                              const Clock& clock, Random& random);

  // ColdStore's. The root is looked up, and its marker compared, for each call: a disk that is
  // unmounted and mounted again is served again, another one in its place is refused. A system call
  // that a mount does not answer cannot be ended; bounds are looked at between them, every few MiB.
  //
  // A file is written under another name, flushed, compared in its size, renamed, and its
  // directories are flushed: once OK it is durable as far as the file system and the device keep
  // their word. What is read later is not compared with what was written: that is for who put it.
  // INVALID_ARGUMENT, too: a part of the key is an object, or the key a directory of others.
  absl::StatusOr<std::string> Put(std::string_view key, std::span<const ConstBytes> pieces,
                                  const ColdPutOptions& options, const CallBounds& bounds) override;
  // FAILED_PRECONDITION, too, here and in Stat(): there is a symbolic link.
  absl::Status Get(std::string_view key, uint64_t offset, MutableBytes into, std::string_view etag,
                   const CallBounds& bounds) override;
  absl::StatusOr<ColdObject> Stat(std::string_view key, const CallBounds& bounds) override;
  absl::StatusOr<ColdListing> List(const ColdListOptions& options,
                                   const CallBounds& bounds) override;
  // Directories that become empty go, too.
  absl::Status Delete(std::span<const std::string> keys, const CallBounds& bounds) override;
  std::string Describe() const override;

 private:
  DirectoryStore(std::string root, std::string marker, const Clock& clock, Random& random)
      : root_(std::move(root)), marker_(std::move(marker)), clock_(clock), random_(random) {}

  absl::StatusOr<Descriptor> OpenRoot() const;
  absl::StatusOr<Descriptor> OpenObject(std::string_view key, struct stat* info) const;
  absl::Status Publish(int temporaries, const std::string& name, std::string_view key);
  absl::Status RemoveLeftovers();
  absl::Status DeleteIn(std::string_view directory, std::span<const std::string> keys,
                        const CallBounds& bounds);

  const std::string root_;
  // All of the marker's text, in which is a random number: no other store has the same.
  const std::string marker_;
  const Clock& clock_;
  Random& random_;
};

}  // namespace cairn
