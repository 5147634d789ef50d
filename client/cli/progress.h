// One line on stderr that says how far a transfer or a check is. Shown on terminals only and only
// when it takes long, so that scripts and quick commands never see it.
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

// What is counted. Rates are told of bytes only.
enum class ProgressUnit { kBytes, kStripes, kNodes, kFiles };

// "put model.bin   42% [========>           ] 1.20 GiB of 2.85 GiB  1.10 GB/s  eta 0:01", never
// wider than `width`. Without a total: the bytes and the rate only.
std::string RenderProgress(std::string_view label, uint64_t done, std::optional<uint64_t> total,
                           absl::Duration elapsed, size_t width,
                           ProgressUnit unit = ProgressUnit::kBytes);

// Thread-safe.
class Progress {
 public:
  // The console and the clock outlive it.
  Progress(Console* console, const Clock* clock, ProgressMode mode, std::string label,
           std::optional<uint64_t> total, ProgressUnit unit = ProgressUnit::kBytes);
  // Finish().
  ~Progress();

  void Add(uint64_t bytes);
  // So much of so much is done now, whatever was said before.
  void Set(uint64_t done, uint64_t total);
  // Clears the line until the next of these: something is about to be printed.
  void Hide();
  // Clears the line; later Add()s show nothing.
  void Finish();
  // Prints a line of text above the bar.
  void Note(std::string_view line);

  uint64_t done_bytes() const;
  absl::Duration elapsed() const;

 private:
  void DrawIfDue();
  void Draw(MonoTime now);
  void Clear();

  Console* const console_;
  const Clock* const clock_;
  const ProgressMode mode_;
  const std::string label_;
  const ProgressUnit unit_;
  const MonoTime started_;
  mutable std::mutex mutex_;
  std::optional<uint64_t> total_;
  uint64_t done_ = 0;
  std::optional<MonoTime> drawn_;
  bool visible_ = false;
  bool finished_ = false;
};

}  // namespace cairn::cli
