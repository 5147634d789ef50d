// Goal: notifications reach the kernel, and when the mount is gone what the kernel still asks is
// refused, so that nothing waits for ever. Method: sockets that keep messages apart stand for
// /dev/fuse and the lanes.
#include "client/fuse/notifier_process.h"

#include <gtest/gtest.h>
#include <linux/fuse.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>
#include <thread>

#include "client/fuse/kernel_messages.h"
#include "client/fuse/notifier.h"

namespace cairn {
namespace {

struct Pair {
  Pair() { EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()), 0); }
  ~Pair() {
    for (const int end : ends) close(end);
  }
  std::array<int, 2> ends;
};

std::string Receive(int socket) {
  std::string bytes(4096, '\0');
  const ssize_t received = recv(socket, bytes.data(), bytes.size(), 0);
  bytes.resize(received < 0 ? 0 : static_cast<size_t>(received));
  return bytes;
}

void SendRequest(int kernel, uint32_t opcode, uint64_t unique) {
  fuse_in_header request = {};
  request.len = sizeof(request);
  request.opcode = opcode;
  request.unique = unique;
  ASSERT_EQ(send(kernel, &request, sizeof(request), 0), static_cast<ssize_t>(sizeof(request)));
}

fuse_out_header ReceiveAnswer(int kernel) {
  fuse_out_header answer = {};
  EXPECT_EQ(recv(kernel, &answer, sizeof(answer), 0), static_cast<ssize_t>(sizeof(answer)));
  return answer;
}

bool HasSomething(int socket) {
  pollfd ready = {socket, POLLIN, 0};
  return poll(&ready, 1, 0) == 1;
}

class NotifierProcess : public testing::Test {
 protected:
  NotifierProcess()
      : process_([this] {
          const std::array<int, 2> lanes = {lanes_[0].ends[1], lanes_[1].ends[1]};
          ServeNotifications(device_.ends[1], lanes);
        }) {}
  ~NotifierProcess() override { process_.join(); }

  int kernel() const { return device_.ends[0]; }
  int lane(int number) const { return lanes_[number].ends[0]; }
  void CloseLane(int number) { shutdown(lane(number), SHUT_RDWR); }

  Pair device_;
  std::array<Pair, 2> lanes_;
  std::thread process_;
};

TEST_F(NotifierProcess, EachMessageReachesTheKernel) {
  for (const int number : {0, 1, 1, 0}) {
    const std::string message = DropPagesMessage(7 + number);
    ASSERT_EQ(send(lane(number), message.data(), message.size(), 0),
              static_cast<ssize_t>(message.size()));
    EXPECT_EQ(Receive(kernel()), message);
    // Of names nobody waits for an answer.
    if (number == Notifier::kPages) {
      EXPECT_EQ(Receive(lane(number)).size(), 1u);
    }
  }
  // While the mount lives its requests are left to it.
  SendRequest(kernel(), FUSE_GETATTR, 1);
  CloseLane(0);
  EXPECT_EQ(ReceiveAnswer(kernel()).unique, 1u);
  CloseLane(1);
}

TEST_F(NotifierProcess, WhenTheMountIsGoneWhatWantsAnAnswerIsRefused) {
  CloseLane(1);
  SendRequest(kernel(), FUSE_READ, 5);
  const fuse_out_header first = ReceiveAnswer(kernel());
  EXPECT_EQ(first.unique, 5u);
  EXPECT_EQ(first.error, -ENOTCONN);
  EXPECT_EQ(first.len, sizeof(first));
  for (const uint32_t opcode : {FUSE_FORGET, FUSE_BATCH_FORGET, FUSE_INTERRUPT})
    SendRequest(kernel(), opcode, 6);
  SendRequest(kernel(), FUSE_MKDIR, 8);
  EXPECT_EQ(ReceiveAnswer(kernel()).unique, 8u);
  EXPECT_FALSE(HasSomething(kernel()));
  CloseLane(0);
}

TEST_F(NotifierProcess, EndsWithTheMountAlsoWhenTheKernelIsGone) {
  shutdown(kernel(), SHUT_RDWR);
  CloseLane(0);
  CloseLane(1);
}

TEST(KernelMessages, AreAsTheKernelReadsThem) {
  const std::string pages = DropPagesMessage(0x1122);
  ASSERT_EQ(pages.size(), sizeof(fuse_out_header) + sizeof(fuse_notify_inval_inode_out));
  const auto* header = reinterpret_cast<const fuse_out_header*>(pages.data());
  EXPECT_EQ(header->len, pages.size());
  EXPECT_EQ(header->error, FUSE_NOTIFY_INVAL_INODE);
  EXPECT_EQ(header->unique, 0u);
  const auto* inode =
      reinterpret_cast<const fuse_notify_inval_inode_out*>(pages.data() + sizeof(*header));
  EXPECT_EQ(inode->ino, 0x1122u);
  EXPECT_EQ(inode->off, 0);
  EXPECT_EQ(inode->len, 0);

  const std::string name = ExpireNameMessage(5, "file");
  ASSERT_EQ(name.size(), 16u + 16u + 5u);
  EXPECT_EQ(reinterpret_cast<const fuse_out_header*>(name.data())->len, name.size());
  const auto* entry = reinterpret_cast<const fuse_notify_inval_entry_out*>(name.data() + 16);
  EXPECT_EQ(entry->parent, 5u);
  EXPECT_EQ(entry->namelen, 4u);
  EXPECT_EQ(name.substr(32), std::string("file\0", 5));
  EXPECT_EQ(static_cast<unsigned char>(name[28]), 1u);
  EXPECT_EQ(static_cast<unsigned char>(DropNameMessage(5, "file")[28]), 0u);
}

}  // namespace
}  // namespace cairn
