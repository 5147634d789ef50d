#include "server/meta/mount_reports.h"

#include <algorithm>
#include <string_view>

namespace cairn {
namespace {

// The kernel's requests carry so many bytes at most.
constexpr double kBytesOfCall = 1 << 20;

bool IsName(std::string_view name) {
  if (name.empty() || name.size() > MountReports::kNameBytesMax) return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  });
}

}  // namespace

bool MountReports::Amount::Set(uint64_t to) {
  const bool has_grown = to >= total;
  grown = has_grown ? to - total : 0;
  total = to;
  return has_grown;
}

void MountReports::Add(const wire::MountCounts& counts, MonoTime now) {
  if (told_ && now - told_at_ < kIntervalMin) return;
  const bool goes_on = Take(counts);
  interval_ = told_ && goes_on ? now - told_at_ : absl::ZeroDuration();
  told_at_ = now;
  told_ = true;
}

bool MountReports::Take(const wire::MountCounts& counts) {
  // Those that are not told of have not grown.
  for (Operation& operation : operations_)
    operation.calls.grown = operation.errors.grown = operation.time_ns.grown = 0;
  bool goes_on = read_bytes_.Set(std::min(counts.read_bytes(), kCountMax));
  goes_on &= written_bytes_.Set(std::min(counts.written_bytes(), kCountMax));
  const int told = std::min(counts.operations_size(), static_cast<int>(kOperationsMax));
  for (int i = 0; i < told; ++i) goes_on &= TakeOperation(counts.operations(i));
  return goes_on;
}

bool MountReports::TakeOperation(const wire::OperationCount& count) {
  const auto has_name = [&count](const Operation& each) { return each.name == count.name(); };
  auto operation = std::find_if(operations_.begin(), operations_.end(), has_name);
  if (operation == operations_.end()) {
    if (operations_.size() >= kOperationsMax || !IsName(count.name())) return true;
    operation = operations_.insert(operations_.end(), {count.name(), {}, {}, {}});
  }
  bool goes_on = operation->calls.Set(std::min(count.calls(), kCountMax));
  goes_on &= operation->errors.Set(std::min(count.errors(), operation->calls.total));
  goes_on &= operation->time_ns.Set(std::min(count.time_ns(), kCountMax));
  return goes_on;
}

bool MountReports::IsCurrent(MonoTime now) const {
  return interval_ > absl::ZeroDuration() && now - told_at_ <= kCurrentFor;
}

double MountReports::Work(MonoTime now) const {
  if (!IsCurrent(now)) return 0;
  double work = static_cast<double>(read_bytes_.grown + written_bytes_.grown) / kBytesOfCall;
  for (const Operation& operation : operations_) work += static_cast<double>(operation.calls.grown);
  return work / absl::ToDoubleSeconds(interval_);
}

void MountReports::Tell(MonoTime now, wire::MountLoad* load) const {
  if (!IsCurrent(now)) return;
  load->set_interval_ms(static_cast<uint64_t>(absl::ToInt64Milliseconds(interval_)));
  wire::MountCounts* counts = load->mutable_counts();
  counts->set_read_bytes(read_bytes_.grown);
  counts->set_written_bytes(written_bytes_.grown);
  for (const Operation& operation : operations_) {
    if (operation.calls.grown == 0) continue;
    wire::OperationCount* count = counts->add_operations();
    count->set_name(operation.name);
    count->set_calls(operation.calls.grown);
    count->set_errors(std::min(operation.errors.grown, operation.calls.grown));
    count->set_time_ns(operation.time_ns.grown);
  }
}

}  // namespace cairn
