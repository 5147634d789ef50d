// System calls on names: looking them up, making and removing what they lead to.
#include <linux/fs.h>

#include <cerrno>
#include <span>
#include <string>
#include <utility>

#include "client/fuse/attributes.h"
#include "client/fuse/bridge.h"

namespace cairn {
namespace {

// What is made belongs to who asks.
NewNodeOptions NewNode(fuse_req_t request, NodeType type, mode_t mode) {
  const fuse_ctx* who = fuse_req_ctx(request);
  NewNodeOptions options;
  options.type = type;
  options.mode = mode & 07777;
  options.uid = who->uid;
  options.gid = who->gid;
  return options;
}

void Lookup(fuse_req_t request, fuse_ino_t parent, const char* name) {
  Call call(request, Operation::kLookup, parent);
  call.AnswerFoundEntry(call.file_system().Lookup(call.inode(), name));
}

void Forget(fuse_req_t request, fuse_ino_t node, uint64_t count) {
  Call call(request, Operation::kForget, node);
  call.bridge().TakeBack(call.inode(), count);
  call.AnswerNothing();
}

void ForgetSeveral(fuse_req_t request, size_t count, fuse_forget_data* nodes) {
  Call call(request, Operation::kForget, kRootNode);
  for (const fuse_forget_data& each : std::span(nodes, count))
    call.bridge().TakeBack(call.bridge().nodes.InodeOf(each.ino), each.nlookup);
  call.AnswerNothing();
}

void MakeNode(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode, dev_t device) {
  Call call(request, Operation::kMake, parent);
  NewNodeOptions options = NewNode(request, TypeOfMode(mode), mode);
  options.device = device;
  call.AnswerEntry(call.file_system().Make(call.inode(), name, options));
}

void MakeDirectory(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode) {
  Call call(request, Operation::kMake, parent);
  call.AnswerEntry(
      call.file_system().Make(call.inode(), name, NewNode(request, NodeType::kDirectory, mode)));
}

void MakeSymlink(fuse_req_t request, const char* target, fuse_ino_t parent, const char* name) {
  Call call(request, Operation::kMake, parent);
  NewNodeOptions options = NewNode(request, NodeType::kSymlink, 0777);
  options.symlink_target = target;
  call.AnswerEntry(call.file_system().Make(call.inode(), name, options));
}

void ReadLink(fuse_req_t request, fuse_ino_t node) {
  Call call(request, Operation::kReadLink, node);
  const auto attributes = call.file_system().GetAttributes(call.inode());
  if (!attributes.ok()) return call.Answer(attributes.status());
  if (attributes->type != NodeType::kSymlink) return call.Refuse(EINVAL);
  call.AnswerText(attributes->symlink_target);
}

void Unlink(fuse_req_t request, fuse_ino_t parent, const char* name) {
  Call call(request, Operation::kUnlink, parent);
  call.Answer(call.file_system().Unlink(call.inode(), name));
}

void RemoveDirectory(fuse_req_t request, fuse_ino_t parent, const char* name) {
  Call call(request, Operation::kRemoveDirectory, parent);
  call.Answer(call.file_system().RemoveDirectory(call.inode(), name));
}

void Rename(fuse_req_t request, fuse_ino_t from_parent, const char* from_name, fuse_ino_t to_parent,
            const char* to_name, unsigned flags) {
  Call call(request, Operation::kRename, from_parent);
  auto mode = FileSystem::RenameMode::kReplace;
  switch (flags) {
    case 0:
      break;
    case RENAME_NOREPLACE:
      mode = FileSystem::RenameMode::kNoReplace;
      break;
    case RENAME_EXCHANGE:
      mode = FileSystem::RenameMode::kExchange;
      break;
    default:
      return call.Refuse(EINVAL);
  }
  call.Answer(call.file_system().Rename(call.inode(), from_name,
                                        call.bridge().nodes.InodeOf(to_parent), to_name, mode));
}

void Link(fuse_req_t request, fuse_ino_t node, fuse_ino_t parent, const char* name) {
  Call call(request, Operation::kLink, node);
  call.AnswerEntry(
      call.file_system().Link(call.inode(), call.bridge().nodes.InodeOf(parent), name));
}

}  // namespace

void AddNameCalls(fuse_lowlevel_ops* calls) {
  calls->lookup = Lookup;
  calls->forget = Forget;
  calls->forget_multi = ForgetSeveral;
  calls->mknod = MakeNode;
  calls->mkdir = MakeDirectory;
  calls->symlink = MakeSymlink;
  calls->readlink = ReadLink;
  calls->unlink = Unlink;
  calls->rmdir = RemoveDirectory;
  calls->rename = Rename;
  calls->link = Link;
}

}  // namespace cairn
