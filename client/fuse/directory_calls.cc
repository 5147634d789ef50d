// System calls that list directories.
#include <cerrno>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "client/fuse/attributes.h"
#include "client/fuse/bridge.h"
#include "client/fuse/directory_positions.h"
#include "common/base/status_macros.h"

namespace cairn {
namespace {

struct OpenDirectory {
  std::mutex mutex;
  std::unique_ptr<DirectoryReader> reader;
};

OpenDirectory& DirectoryOf(const fuse_file_info* file) {
  return *reinterpret_cast<OpenDirectory*>(static_cast<uintptr_t>(file->fh));
}

void Open(fuse_req_t request, fuse_ino_t node, fuse_file_info* file) {
  Call call(request, Operation::kOpenDirectory, node);
  auto reader = call.file_system().OpenDirectory(call.inode());
  if (!reader.ok()) return call.Answer(reader.status());
  auto directory = std::make_unique<OpenDirectory>();
  directory->reader = *std::move(reader);
  file->fh = reinterpret_cast<uintptr_t>(directory.get());
  if (call.AnswerOpen(*file)) static_cast<void>(directory.release());
}

void Release(fuse_req_t request, fuse_ino_t node, fuse_file_info* file) {
  Call call(request, Operation::kRelease, node);
  delete &DirectoryOf(file);
  call.Answer(absl::OkStatus());
}

enum class Detail { kNames, kAttributes };

// The answer to one readdir: entries, until they fill it.
class Listing {
 public:
  Listing(Call& call, size_t room, Detail detail) : call_(call), detail_(detail) {
    bytes_.resize(room);
  }

  // Whether there was room for it.
  bool AddDot(const char* name, InodeNumber inode, off_t next) {
    return Add(name, Nameless(inode, NodeType::kDirectory), next);
  }
  bool AddItem(const DirectoryItem& item, off_t next) {
    // The kernel would take one that is open for as long as it was then; it asks, if it wants to
    // know.
    if (detail_ == Detail::kNames || !item.attributes.has_value() ||
        call_.bridge().open_sizes.IsOpen(item.inode))
      return Add(item.name.c_str(), Nameless(item.inode, item.type), next);
    if (!Add(item.name.c_str(), call_.bridge().EntryOf(*item.attributes), next)) return false;
    // The kernel knows it by this as by a look-up.
    call_.bridge().nodes.Refer(item.inode);
    referred_.push_back({item.inode, item.name});
    return true;
  }
  bool empty() const { return used_ == 0; }
  // `directory`: whose entries they are.
  void Answer(InodeNumber directory) {
    // Who opens one of them is told when the name leads elsewhere by then.
    call_.file_system().Remember(directory, referred_);
    if (call_.AnswerBytes(std::as_bytes(std::span(bytes_.data(), used_)))) return;
    for (const FileSystem::KnownName& known : referred_) call_.bridge().TakeBack(known.inode, 1);
  }

 private:
  // Of which the kernel learns number and type only.
  static fuse_entry_param Nameless(InodeNumber inode, NodeType type) {
    fuse_entry_param entry = {};
    entry.attr.st_ino = inode;
    entry.attr.st_mode = TypeBits(type);
    return entry;
  }

  bool Add(const char* name, const fuse_entry_param& entry, off_t next) {
    char* at = bytes_.data() + used_;
    const size_t room = bytes_.size() - used_;
    const size_t needed =
        detail_ == Detail::kNames
            ? fuse_add_direntry(call_.request(), at, room, name, &entry.attr, next)
            : fuse_add_direntry_plus(call_.request(), at, room, name, &entry, next);
    if (needed > room) return false;
    used_ += needed;
    return true;
  }

  Call& call_;
  const Detail detail_;
  std::vector<char> bytes_;
  size_t used_ = 0;
  std::vector<FileSystem::KnownName> referred_;
};

// Adds the entry at `position`; false when there is no more, or no room.
absl::StatusOr<bool> AddEntry(Call& call, DirectoryReader& reader, off_t position,
                              Listing* listing) {
  if (PlaceAt(position) == DirectoryPlace::kItem) {
    ASSIGN_OR_RETURN(const DirectoryItem* item, reader.At(ItemAt(position)));
    return item != nullptr && listing->AddItem(*item, position + 1);
  }
  // Only who has begun to read knows the parent.
  RETURN_IF_ERROR(reader.At(0).status());
  if (PlaceAt(position) == DirectoryPlace::kSelf)
    return listing->AddDot(".", reader.inode(), position + 1);
  // What is above the mount is not to be seen.
  const bool is_root = reader.inode() == call.file_system().root();
  return listing->AddDot("..", is_root ? reader.inode() : reader.parent(), position + 1);
}

void List(Operation operation, Detail detail, fuse_req_t request, fuse_ino_t node, size_t room,
          off_t position, fuse_file_info* file) {
  Call call(request, operation, node);
  OpenDirectory& directory = DirectoryOf(file);
  Listing listing(call, room, detail);
  {
    std::lock_guard lock(directory.mutex);
    while (true) {
      const auto added = AddEntry(call, *directory.reader, position, &listing);
      // What is there is told first; the next call meets the error again.
      if (!added.ok() && listing.empty()) return call.Answer(added.status());
      if (!added.ok() || !*added) break;
      ++position;
    }
  }
  listing.Answer(call.inode());
}

void ReadNames(fuse_req_t request, fuse_ino_t node, size_t room, off_t position,
               fuse_file_info* file) {
  List(Operation::kReadDirectory, Detail::kNames, request, node, room, position, file);
}

void ReadAttributes(fuse_req_t request, fuse_ino_t node, size_t room, off_t position,
                    fuse_file_info* file) {
  List(Operation::kReadDirectory, Detail::kAttributes, request, node, room, position, file);
}

void Sync(fuse_req_t request, fuse_ino_t node, int data_only, fuse_file_info* file) {
  Call call(request, Operation::kSync, node);
  call.Answer(call.file_system().SyncDirectory(call.inode()));
}

}  // namespace

void AddDirectoryCalls(fuse_lowlevel_ops* calls) {
  calls->opendir = Open;
  calls->releasedir = Release;
  calls->readdir = ReadNames;
  calls->readdirplus = ReadAttributes;
  calls->fsyncdir = Sync;
}

}  // namespace cairn
