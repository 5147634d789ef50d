// One line on stderr that says how far a transfer is. Shown on terminals only and only when it
// takes long, so that scripts and quick commands never see it.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "client/cli/console.h"
#include "common/base/clock.h"

namespace cairn::cli {

enum class ProgressMode {
  kAuto,    // on a terminal, from kProgressDelay on
  kAlways,  // from the first byte, whatever stderr is
  kNever,
};

// Most transfers are over sooner, and a bar that flashes is noise.
inline constexpr absl::Duration kProgressDelay = absl::Milliseconds(700);

// "put model.bin   42% [========>           ] 1.20 GiB of 2.85 GiB  1.10 GB/s  eta 0:01", never
// wider than `width`. Without a total: the bytes and the rate only.
std::string RenderProgress(std::string_view label, uint64_t done_bytes,
                           std::optional<uint64_t> total_bytes, absl::Duration elapsed,
                           size_t width);

// Thread-safe.
class Progress {
 public:
  // The console and the clock outlive it.
  Progress(Console* console, const Clock* clock, ProgressMode mode, std::string label,
           std::optional<uint64_t> total_bytes);
  // Finish().
  ~Progress();

  void Add(uint64_t bytes);
  // Clears the line; later Add()s show nothing.
  void Finish();
  // Prints a line of text above the bar.
  void Note(std::string_view line);

  uint64_t done_bytes() const;
  absl::Duration elapsed() const;

 private:
  void Draw(MonoTime now);
  void Clear();

  Console* const console_;
  const Clock* const clock_;
  const ProgressMode mode_;
  const std::string label_;
  const std::optional<uint64_t> total_bytes_;
  const MonoTime started_;
  mutable std::mutex mutex_;
  uint64_t done_bytes_ = 0;
  std::optional<MonoTime> drawn_;
  bool visible_ = false;
  bool finished_ = false;
};

}  // namespace cairn::cli
