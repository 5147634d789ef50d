// See target_slots.h.
#include "server/main/target_slots.h"

#include <algorithm>
#include <map>
#include <set>

#include "common/base/strings.h"

namespace cairn {
namespace {

// The founding node's first targets have the first ids.
uint32_t IdOf(const disk::NodeIdentity& identity, uint32_t number) {
  if (number < static_cast<uint32_t>(identity.targets_size()))
    return identity.targets(static_cast<int>(number));
  return identity.identity() == 0 ? number + 1 : 0;
}

bool IsFounder(const disk::NodeIdentity& identity) { return identity.identity() == 0; }

}  // namespace

absl::StatusOr<std::vector<TargetSlot>> TargetSlots(const config::Server& config,
                                                    const disk::NodeIdentity& identity) {
  std::map<uint32_t, const disk::NodeIdentity::Place*> places;
  std::set<std::string> added_paths;
  uint32_t known = static_cast<uint32_t>(identity.targets_size());
  for (const disk::NodeIdentity::Place& place : identity.places()) {
    // The node died before it was given an id: nothing has been made. Other nodes ask again.
    const bool is_unmade = place.number() >= static_cast<uint32_t>(identity.targets_size());
    if (is_unmade && IsFounder(identity)) continue;
    places[place.number()] = &place;
    known = std::max(known, place.number() + 1);
    if (!place.removed()) added_paths.insert(place.path());
  }
  std::vector<config::Target> configured;
  for (const config::Target& target : config.targets())
    if (!added_paths.contains(target.path())) configured.push_back(target);
  std::vector<TargetSlot> slots;
  auto next = configured.begin();
  while (next != configured.end() || slots.size() < known) {
    const auto number = static_cast<uint32_t>(slots.size());
    TargetSlot slot;
    slot.id = IdOf(identity, number);
    const auto place = places.find(number);
    if (place == places.end()) {
      if (next == configured.end()) {
        return absl::FailedPreconditionError(
            StrCat("target ", slot.id, " (number ", number + 1,
                   ") belongs to this cluster but is not configured any more; put it back"));
      }
      slot.settings = *next++;
    } else {
      slot.settings.set_path(place->second->path());
      slot.added = true;
      slot.removed = place->second->removed();
      if (slot.removed && next != configured.end() && next->path() == place->second->path()) ++next;
    }
    if (slot.removed) slot.id = 0;
    slots.push_back(std::move(slot));
  }
  return slots;
}

void StoreSlots(const std::vector<TargetSlot>& slots, disk::NodeIdentity* identity) {
  identity->clear_targets();
  identity->clear_places();
  bool all_have_ids = true;
  for (uint32_t number = 0; number < slots.size(); ++number) {
    const TargetSlot& slot = slots[number];
    // A list: after one that has no id yet there is nothing to be said.
    all_have_ids = all_have_ids && (slot.id != 0 || slot.removed);
    if (all_have_ids) identity->add_targets(slot.removed ? 0 : slot.id);
    if (!slot.added && !slot.removed) continue;
    disk::NodeIdentity::Place* place = identity->add_places();
    place->set_number(number);
    place->set_path(slot.settings.path());
    place->set_removed(slot.removed);
  }
}

}  // namespace cairn
