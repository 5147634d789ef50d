#include "server/service/client_loads.h"

#include <algorithm>

namespace cairn {
namespace {

int64_t WindowOf(MonoTime now) {
  return now.nanoseconds() / absl::ToInt64Nanoseconds(ClientLoads::kWindow);
}

}  // namespace

void ClientLoads::Wrote(SessionId session, uint64_t bytes, MonoTime now) {
  if (Entry* entry = Find(session, now); entry != nullptr) entry->now.written += bytes;
}

void ClientLoads::Read(SessionId session, uint64_t bytes, MonoTime now) {
  if (Entry* entry = Find(session, now); entry != nullptr) entry->now.read += bytes;
}

ClientLoads::Entry* ClientLoads::Find(SessionId session, MonoTime now) {
  const int64_t window = WindowOf(now);
  auto found = entries_.find(session);
  if (found == entries_.end()) {
    if (entries_.size() >= kSessionsMax) {
      absl::erase_if(entries_,
                     [window](const auto& entry) { return entry.second.window + 1 < window; });
    }
    if (entries_.size() >= kSessionsMax) return nullptr;
    found = entries_.emplace(session, Entry{window, {}, {}}).first;
  }
  Entry& entry = found->second;
  if (entry.window != window) {
    entry.last = entry.window + 1 == window ? entry.now : Amounts{};
    entry.now = {};
    entry.window = window;
  }
  return &entry;
}

std::vector<ClientLoads::Rate> ClientLoads::Rates(MonoTime now) const {
  const int64_t last_window = WindowOf(now) - 1;
  std::vector<Rate> rates;
  for (const auto& [session, entry] : entries_) {
    Amounts amounts;
    if (entry.window == last_window) amounts = entry.now;
    if (entry.window == last_window + 1) amounts = entry.last;
    if (amounts.written + amounts.read == 0) continue;
    const auto seconds = static_cast<uint64_t>(absl::ToInt64Seconds(kWindow));
    rates.push_back({session, amounts.written / seconds, amounts.read / seconds});
  }
  return rates;
}

std::vector<ClientLoads::Rate> Busiest(const std::vector<ClientLoads::Rate>& rates, size_t limit) {
  absl::flat_hash_map<SessionId, ClientLoads::Rate> sums;
  for (const ClientLoads::Rate& rate : rates) {
    ClientLoads::Rate& sum =
        sums.try_emplace(rate.session, ClientLoads::Rate{rate.session}).first->second;
    sum.written_bytes_per_second += rate.written_bytes_per_second;
    sum.read_bytes_per_second += rate.read_bytes_per_second;
  }
  std::vector<ClientLoads::Rate> busiest;
  for (const auto& [session, sum] : sums) busiest.push_back(sum);
  std::sort(busiest.begin(), busiest.end(), [](const auto& a, const auto& b) {
    return a.total() != b.total() ? a.total() > b.total() : a.session < b.session;
  });
  if (busiest.size() > limit) busiest.resize(limit);
  return busiest;
}

}  // namespace cairn
