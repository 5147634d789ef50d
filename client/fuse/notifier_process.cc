// See notifier_process.h.
#include "client/fuse/notifier_process.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <thread>
#include <vector>

#include "client/fuse/notifier.h"

namespace cairn {
namespace {

// A header, what it says, and a name.
constexpr size_t kMessageBytesMax = 4096;
// The kernel hands nothing over to who has less room than the largest request takes.
constexpr size_t kRequestBytesMax = (1 << 20) + (64 << 10);

void ServeLane(int device, int lane, bool answers) {
  std::array<char, kMessageBytesMax> message;
  while (true) {
    const ssize_t bytes = recv(lane, message.data(), message.size(), 0);
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes <= 0) return;
    // The kernel may not know any more what it is told about.
    const ssize_t told = write(device, message.data(), static_cast<size_t>(bytes));
    const char answer = told < 0 ? 1 : 0;
    if (answers && send(lane, &answer, sizeof(answer), MSG_NOSIGNAL) < 0) return;
  }
}

bool WantsAnAnswer(uint32_t opcode) {
  return opcode != FUSE_FORGET && opcode != FUSE_BATCH_FORGET && opcode != FUSE_INTERRUPT;
}

// One request, if there is one. False: the device has no more.
bool RefuseOne(int device, std::vector<char>& room) {
  const ssize_t bytes = read(device, room.data(), room.size());
  if (bytes < 0) return errno != ENODEV && errno != EBADF && errno != EIO;
  if (bytes == 0) return false;
  if (static_cast<size_t>(bytes) < sizeof(fuse_in_header)) return true;
  const auto* request = reinterpret_cast<const fuse_in_header*>(room.data());
  if (!WantsAnAnswer(request->opcode)) return true;
  fuse_out_header answer = {};
  answer.len = sizeof(answer);
  answer.error = -ENOTCONN;
  answer.unique = request->unique;
  const ssize_t told = write(device, &answer, sizeof(answer));
  static_cast<void>(told);  // it was taken back meanwhile
  return true;
}

// Until `done` can be read.
void RefuseAll(int device, int done) {
  std::vector<char> room(kRequestBytesMax);
  while (true) {
    std::array<pollfd, 2> ready = {{{done, POLLIN, 0}, {device, POLLIN, 0}}};
    if (poll(ready.data(), ready.size(), -1) < 0 && errno != EINTR) return;
    if (ready[0].revents != 0) return;
    if ((ready[1].revents & (POLLERR | POLLNVAL)) != 0) return;
    if (ready[1].revents != 0 && !RefuseOne(device, room)) return;
  }
}

// Waits for the mount's end, which closes the lanes.
void RefuseAfterTheMount(int device, std::span<const int> lanes, int done) {
  std::vector<pollfd> ends = {{done, POLLIN, 0}};
  for (const int lane : lanes) ends.push_back({lane, POLLRDHUP, 0});
  while (poll(ends.data(), ends.size(), -1) < 0 && errno == EINTR) {
  }
  if (ends[0].revents == 0) RefuseAll(device, done);
}

bool IsStartedByAMount() {
  int type = 0;
  socklen_t length = sizeof(type);
  return getsockopt(kNotifierDevice + 1, SOL_SOCKET, SO_TYPE, &type, &length) == 0 &&
         type == SOCK_SEQPACKET;
}

}  // namespace

void ServeNotifications(int device, std::span<const int> lanes) {
  const int done = eventfd(0, EFD_CLOEXEC);
  std::thread refuser([&] { RefuseAfterTheMount(device, lanes, done); });
  std::vector<std::thread> threads;
  for (size_t lane = 0; lane < lanes.size(); ++lane) {
    threads.emplace_back([device, socket = lanes[lane], answers = lane == Notifier::kPages] {
      ServeLane(device, socket, answers);
    });
  }
  for (std::thread& thread : threads) thread.join();
  eventfd_write(done, 1);
  refuser.join();
  close(done);
}

int RunNotifierProcess() {
  if (!IsStartedByAMount()) {
    std::fprintf(stderr, "cairn: %s is a part of `cairn mount`, which starts it itself\n",
                 kNotifierCommand);
    return 2;
  }
  prctl(PR_SET_NAME, "cairn-notify");  // it was started as /proc/self/exe
  // It ends with the mount, whoever is told to end.
  for (const int ignored : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) signal(ignored, SIG_IGN);
  std::array<int, Notifier::kLanes> lanes;
  for (int lane = 0; lane < Notifier::kLanes; ++lane) lanes[lane] = kNotifierDevice + 1 + lane;
  closefrom(kNotifierDevice + 1 + Notifier::kLanes);
  ServeNotifications(kNotifierDevice, lanes);
  return 0;
}

}  // namespace cairn
