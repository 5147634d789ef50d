// Attributes as the SDK and as system calls have them. Pure.
#pragma once

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <string>
#include <string_view>

#include "cairn/filesystem.h"

namespace cairn {

struct stat ToStat(const NodeAttributes& attributes);
// The bits of st_mode that tell the type.
mode_t TypeBits(NodeType type);
// Of mknod(2)'s mode; none of these is a file.
NodeType TypeOfMode(mode_t mode);

// What setattr is to change: `mask` has FUSE_SET_ATTR_*. Who changes owner or size takes
// set-user-ID and set-group-ID away (FUSE_CAP_HANDLE_KILLPRIV), unless the mode is given with it.
AttributeChanges ToChanges(const struct stat& wanted, int mask);

struct statvfs ToStatvfs(const Space& space);

// Whether a name of an extended attribute is kept by the cluster ("user.", "trusted."). Of the
// others none is set: security.* is for the kernel's modules, which ask at every write, and ACLs
// are not enforced.
bool IsStoredXattr(std::string_view name);

}  // namespace cairn
