// See kernel_messages.h. The layouts are those of linux/fuse.h.
#include "client/fuse/kernel_messages.h"

#include <linux/fuse.h>

namespace cairn {
namespace {

// Headers of older kernels lack it.
constexpr uint32_t kExpireOnly = 1;

template <class Body>
std::string Message(int32_t what, const Body& body, std::string_view name = {}) {
  fuse_out_header header = {};
  header.error = what;
  header.len = static_cast<uint32_t>(sizeof(header) + sizeof(body) + name.size());
  std::string bytes(reinterpret_cast<const char*>(&header), sizeof(header));
  bytes.append(reinterpret_cast<const char*>(&body), sizeof(body)).append(name);
  return bytes;
}

std::string NameMessage(NodeNumber parent, std::string_view name, uint32_t flags) {
  // As fuse_notify_inval_entry_out, whose last field has got its meaning late.
  struct {
    uint64_t parent;
    uint32_t name_length;
    uint32_t flags;
  } const body = {parent, static_cast<uint32_t>(name.size()), flags};
  static_assert(sizeof(body) == sizeof(fuse_notify_inval_entry_out));
  // The kernel wants the zero at its end, too.
  return Message(FUSE_NOTIFY_INVAL_ENTRY, body, std::string(name) + '\0');
}

}  // namespace

std::string DropPagesMessage(NodeNumber node) {
  fuse_notify_inval_inode_out body = {};
  body.ino = node;
  return Message(FUSE_NOTIFY_INVAL_INODE, body);
}

std::string DropNameMessage(NodeNumber parent, std::string_view name) {
  return NameMessage(parent, name, 0);
}

std::string ExpireNameMessage(NodeNumber parent, std::string_view name) {
  return NameMessage(parent, name, kExpireOnly);
}

}  // namespace cairn
