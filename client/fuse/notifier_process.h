// The process that hands a mount's notifications over to the kernel; see notifier.h. It ends when
// the mount does, however that ends.
#pragma once

#include <span>

namespace cairn {

// The command of `cairn` that is this process. It is not for people.
inline constexpr char kNotifierCommand[] = "notify-kernel";
// The descriptor of /dev/fuse, a clone of the mount's; the sockets of the lanes follow it.
inline constexpr int kNotifierDevice = 3;

// Returns the process's exit code.
int RunNotifierProcess();

// Each packet from a lane is a message for the device; those of the first lane, Notifier::kPages,
// are answered by a byte when the device has taken it. When the mount has closed a lane, requests
// that come from the device are refused (ENOTCONN). Returns when all lanes are closed, and nothing
// waits any more.
void ServeNotifications(int device, std::span<const int> lanes);

}  // namespace cairn
