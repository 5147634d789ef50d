// TurnLine: who waits for a turn, and whose it is next. First come, first served; but who came with
// a place in an order may overtake others that did, for a while. Pure: time comes from the caller.
//
// What that is good for: writers that all began at one moment and share a device evenly would all
// end at one moment, too, and then wait for whoever has to hear of it from each. Served in an order
// they end one after the other, and the last one hardly later.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "common/base/check.h"

namespace cairn {

template <class Item>
class TurnLine {
 public:
  using Ticket = uint64_t;

  // Nobody is overtaken any more who has waited for so long.
  explicit TurnLine(int64_t patience_ns) : patience_ns_(patience_ns) {}

  Ticket Push(Item item, std::optional<uint64_t> place, int64_t now_ns) {
    const Ticket ticket = next_ticket_++;
    if (place.has_value()) places_.emplace(*place, ticket);
    waiting_.emplace(ticket, Entry{std::move(item), place, now_ns});
    return ticket;
  }
  bool empty() const { return waiting_.empty(); }
  size_t size() const { return waiting_.size(); }

  // Whose turn it is. A turn that comes to one with a place is that of the lowest place. REQUIRES:
  // somebody waits.
  Ticket Next(int64_t now_ns) const {
    CAIRN_CHECK(!waiting_.empty());
    const auto& [ticket, longest] = *waiting_.begin();
    const bool in_order = longest.place.has_value() && now_ns - longest.since_ns < patience_ns_;
    return in_order ? places_.begin()->second : ticket;
  }
  Item& Of(Ticket ticket) { return waiting_.at(ticket).item; }
  // False when it does not wait any more.
  bool Remove(Ticket ticket) {
    const auto found = waiting_.find(ticket);
    if (found == waiting_.end()) return false;
    if (found->second.place.has_value()) places_.erase({*found->second.place, ticket});
    waiting_.erase(found);
    return true;
  }

 private:
  struct Entry {
    Item item;
    std::optional<uint64_t> place;
    int64_t since_ns = 0;
  };
  const int64_t patience_ns_;
  std::map<Ticket, Entry> waiting_;  // in the order in which they came
  std::set<std::pair<uint64_t, Ticket>> places_;
  Ticket next_ticket_ = 1;
};

}  // namespace cairn
