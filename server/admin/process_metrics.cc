#include "server/admin/process_metrics.h"

#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <system_error>

namespace cairn {
namespace {

double Seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
}

void TellMemory(MetricSet* set) {
  std::ifstream statm("/proc/self/statm");
  uint64_t size_pages = 0, resident_pages = 0;
  if (!(statm >> size_pages >> resident_pages)) return;
  set->AddGauge("cairn_process_resident_memory_bytes", "Memory of the process that is in RAM.",
                static_cast<double>(resident_pages) * static_cast<double>(sysconf(_SC_PAGESIZE)));
}

void TellDescriptors(MetricSet* set) {
  std::error_code error;
  uint64_t open = 0;
  for (std::filesystem::directory_iterator at("/proc/self/fd", error), end; !error && at != end;
       at.increment(error))
    ++open;
  rlimit limit{};
  if (error || getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  set->AddGauge("cairn_process_open_fds", "File descriptors in use; two a client and a few more.",
                static_cast<double>(open));
  set->AddGauge("cairn_process_max_fds", "File descriptors the process may have.",
                static_cast<double>(limit.rlim_cur));
}

}  // namespace

void TellProcess(absl::Time started_at, MetricSet* set) {
  set->AddGauge("cairn_process_start_time_seconds", "When the process started, as Unix time.",
                absl::ToDoubleSeconds(started_at - absl::UnixEpoch()));
  rusage usage{};
  if (getrusage(RUSAGE_SELF, &usage) == 0) {
    set->AddCounter("cairn_process_cpu_seconds_total", "CPU time of all threads.",
                    Seconds(usage.ru_utime) + Seconds(usage.ru_stime));
  }
  TellMemory(set);
  TellDescriptors(set);
}

void TellDataDirectory(const std::string& path, MetricSet* set) {
  struct statvfs filesystem {};
  if (statvfs(path.c_str(), &filesystem) != 0) return;
  const auto block = static_cast<double>(filesystem.f_frsize);
  set->AddGauge("cairn_node_data_directory_bytes",
                "Size of the filesystem with the data directory: indexes, and metadata if any.",
                static_cast<double>(filesystem.f_blocks) * block);
  set->AddGauge("cairn_node_data_directory_free_bytes",
                "What is free of it. Below 128 MiB nothing can be sealed or committed.",
                static_cast<double>(filesystem.f_bavail) * block);
}

uint64_t DirectoryBytes(const std::string& path) {
  std::error_code error;
  uint64_t bytes = 0;
  for (std::filesystem::directory_iterator at(path, error), end; !error && at != end;
       at.increment(error)) {
    // Files of a store come and go.
    std::error_code gone;
    const uint64_t size = at->file_size(gone);
    if (!gone) bytes += size;
  }
  return bytes;
}

}  // namespace cairn
