// System calls on attributes, extended ones included, and on free space.
#include <sys/xattr.h>

#include <cerrno>
#include <string>

#include "client/fuse/attributes.h"
#include "client/fuse/bridge.h"

namespace cairn {
namespace {

void GetAttributes(fuse_req_t request, fuse_ino_t node, fuse_file_info* file) {
  Call call(request, Operation::kGetAttributes, node);
  call.AnswerFoundAttributes(call.file_system().GetAttributes(call.inode()));
}

void SetAttributes(fuse_req_t request, fuse_ino_t node, struct stat* wanted, int mask,
                   fuse_file_info* file) {
  Call call(request, Operation::kSetAttributes, node);
  call.AnswerAttributes(call.file_system().SetAttributes(call.inode(), ToChanges(*wanted, mask)));
}

// What is not stored: nobody has set it. ACLs could be taken for enforced if they were.
int WhyNotStored(std::string_view name) {
  return name.starts_with("security.") ? ENODATA : EOPNOTSUPP;
}

void GetXattr(fuse_req_t request, fuse_ino_t node, const char* name, size_t room) {
  Call call(request, Operation::kXattr, node);
  if (!IsStoredXattr(name)) return call.Refuse(WhyNotStored(name));
  const auto xattrs = call.file_system().Xattrs(call.inode());
  if (!xattrs.ok()) return call.Answer(xattrs.status());
  const auto at = xattrs->find(name);
  if (at == xattrs->end()) return call.Refuse(ENODATA);
  call.AnswerXattr(at->second, room);
}

void ListXattrs(fuse_req_t request, fuse_ino_t node, size_t room) {
  Call call(request, Operation::kXattr, node);
  const auto xattrs = call.file_system().Xattrs(call.inode());
  if (!xattrs.ok()) return call.Answer(xattrs.status());
  std::string names;
  for (const auto& [name, value] : *xattrs) names.append(name).push_back('\0');
  call.AnswerXattr(names, room);
}

void SetXattr(fuse_req_t request, fuse_ino_t node, const char* name, const char* value,
              size_t bytes, int flags) {
  Call call(request, Operation::kXattr, node);
  if (!IsStoredXattr(name)) return call.Refuse(EOPNOTSUPP);
  auto mode = FileSystem::XattrMode::kAny;
  if (flags == XATTR_CREATE) mode = FileSystem::XattrMode::kCreate;
  if (flags == XATTR_REPLACE) mode = FileSystem::XattrMode::kReplace;
  call.Answer(
      call.file_system().SetXattr(call.inode(), name, std::string_view(value, bytes), mode));
}

void RemoveXattr(fuse_req_t request, fuse_ino_t node, const char* name) {
  Call call(request, Operation::kXattr, node);
  if (!IsStoredXattr(name)) return call.Refuse(WhyNotStored(name));
  call.Answer(call.file_system().RemoveXattr(call.inode(), name));
}

void GetSpace(fuse_req_t request, fuse_ino_t node) {
  Call call(request, Operation::kSpace, node);
  const auto space = call.file_system().GetSpace(call.inode());
  if (!space.ok()) return call.Answer(space.status());
  call.AnswerSpace(*space);
}

}  // namespace

void AddAttributeCalls(fuse_lowlevel_ops* calls) {
  calls->getattr = GetAttributes;
  calls->setattr = SetAttributes;
  calls->getxattr = GetXattr;
  calls->listxattr = ListXattrs;
  calls->setxattr = SetXattr;
  calls->removexattr = RemoveXattr;
  calls->statfs = GetSpace;
}

}  // namespace cairn
