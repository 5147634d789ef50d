// The types of entries, as replies name them.
#pragma once

#include "proto/disk/meta.pb.h"
#include "proto/wire/meta.pb.h"

namespace cairn {

inline wire::EntryType ToWire(disk::InodeType type) {
  switch (type) {
    case disk::INODE_FILE:
      return wire::ENTRY_FILE;
    case disk::INODE_DIRECTORY:
      return wire::ENTRY_DIRECTORY;
    case disk::INODE_CHECKPOINT:
      return wire::ENTRY_CHECKPOINT;
    case disk::INODE_SYMLINK:
      return wire::ENTRY_SYMLINK;
    case disk::INODE_FIFO:
      return wire::ENTRY_FIFO;
    case disk::INODE_SOCKET:
      return wire::ENTRY_SOCKET;
    case disk::INODE_CHARACTER_DEVICE:
      return wire::ENTRY_CHARACTER_DEVICE;
    case disk::INODE_BLOCK_DEVICE:
      return wire::ENTRY_BLOCK_DEVICE;
    default:
      return wire::ENTRY_TYPE_UNSPECIFIED;
  }
}

}  // namespace cairn
