// See progress.h.
#include "client/cli/progress.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/format.h"

namespace cairn::cli {
namespace {

// Ten times a second looks alive; more would only cost terminal time.
constexpr absl::Duration kRedraw = absl::Milliseconds(100);
constexpr char kClearLine[] = "\r\033[K";
constexpr size_t kMaxBar = 30;

std::string Bar(double fraction, size_t cells) {
  const auto filled = static_cast<size_t>(fraction * static_cast<double>(cells));
  std::string bar(cells, ' ');
  std::fill_n(bar.begin(), std::min(filled, cells), '=');
  if (filled < cells) bar[filled] = '>';
  return bar;
}

std::string Amount(uint64_t amount, ProgressUnit unit) {
  if (unit == ProgressUnit::kBytes) return HumanBytes(amount);
  const char* word = unit == ProgressUnit::kNodes   ? " nodes"
                     : unit == ProgressUnit::kFiles ? " files"
                                                    : " stripes";
  return absl::StrCat(amount, word);
}

}  // namespace

std::string RenderProgress(std::string_view label, uint64_t done, std::optional<uint64_t> total,
                           absl::Duration elapsed, size_t width, ProgressUnit unit) {
  std::string name = Printable(label);
  const bool bytes = unit == ProgressUnit::kBytes;
  const std::string rate = bytes ? absl::StrCat("  ", HumanRate(done, elapsed)) : "";
  if (!total.has_value() || *total == 0) {
    return absl::StrCat(name, "  ", Amount(done, unit), rate).substr(0, width);
  }
  const double fraction = std::min(1.0, static_cast<double>(done) / static_cast<double>(*total));
  std::string tail = absl::StrCat(bytes ? HumanBytes(done) : absl::StrCat(done), " of ",
                                  Amount(*total, unit), rate);
  if (fraction > 0) {
    absl::StrAppend(&tail, "  eta ", ClockTime(elapsed * ((1 - fraction) / fraction)));
  }
  const std::string percent = absl::StrFormat("%3d%%", static_cast<int>(fraction * 100));
  // "name percent [bar] tail"; a narrow terminal loses the bar first, then the end of the name.
  const size_t fixed = 2 + percent.size() + 2 + tail.size();
  if (name.size() + fixed + 8 <= width) {
    const size_t cells = std::min(kMaxBar, width - name.size() - fixed - 3);
    return absl::StrCat(name, "  ", percent, " [", Bar(fraction, cells), "] ", tail);
  }
  if (name.size() + fixed > width && width > fixed) name.resize(width - fixed);
  return absl::StrCat(name, "  ", percent, "  ", tail).substr(0, width);
}

Progress::Progress(Console* console, const Clock* clock, ProgressMode mode, std::string label,
                   std::optional<uint64_t> total, ProgressUnit unit)
    : console_(console),
      clock_(clock),
      mode_(mode),
      label_(std::move(label)),
      unit_(unit),
      started_(clock->Now()),
      total_(total) {}

Progress::~Progress() { Finish(); }

void Progress::Add(uint64_t bytes) {
  std::lock_guard lock(mutex_);
  done_ += bytes;
  DrawIfDue();
}

void Progress::Set(uint64_t done, uint64_t total) {
  std::lock_guard lock(mutex_);
  done_ = done;
  total_ = total;
  DrawIfDue();
}

void Progress::Hide() {
  std::lock_guard lock(mutex_);
  Clear();
}

void Progress::DrawIfDue() {
  if (finished_ || mode_ == ProgressMode::kNever) return;
  const MonoTime now = clock_->Now();
  if (mode_ == ProgressMode::kAuto &&
      (!console_->can_redraw_error() || now - started_ < kProgressDelay)) {
    return;
  }
  if (drawn_.has_value() && now - *drawn_ < kRedraw) return;
  Draw(now);
}

void Progress::Draw(MonoTime now) {
  // One column stays free: a full line makes some terminals wrap.
  const size_t width = static_cast<size_t>(console_->error_width()) - 1;
  const std::string line = RenderProgress(label_, done_, total_, now - started_, width, unit_);
  console_->WriteError(absl::StrCat(kClearLine, line));
  drawn_ = now;
  visible_ = true;
}

void Progress::Clear() {
  if (visible_) console_->WriteError(kClearLine);
  visible_ = false;
}

void Progress::Finish() {
  std::lock_guard lock(mutex_);
  finished_ = true;
  Clear();
}

void Progress::Note(std::string_view line) {
  std::lock_guard lock(mutex_);
  Clear();
  console_->WriteError(std::string(line) + "\n");
}

uint64_t Progress::done_bytes() const {
  std::lock_guard lock(mutex_);
  return done_;
}

absl::Duration Progress::elapsed() const { return clock_->Now() - started_; }

}  // namespace cairn::cli
