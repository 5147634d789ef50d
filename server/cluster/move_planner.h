// PlanMoves() (moves.h) at work: which moves stay, who takes over from whom. Lives for one call.
// What members may do is in group_members.h; evening out is in move_balance.cc.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "proto/wire/meta.pb.h"
#include "server/cluster/map_domains.h"
#include "server/cluster/moves.h"

namespace cairn {

class MovePlanner {
 public:
  // Both outlive it.
  MovePlanner(wire::ClusterMap* map, const MoveFacts& facts);

  // Changes the groups of the map; returns whether it has.
  bool Plan();
  // A move that evens out and that Plan() has added.
  struct Balanced {
    const wire::PlacementGroup* group = nullptr;
    wire::GroupMove move;
    uint64_t bytes = 0;  // about
  };
  const std::vector<Balanced>& balanced() const { return balanced_; }

 private:
  using Group = wire::PlacementGroup;
  // A target that can be given more.
  struct Candidate {
    uint32_t id = 0;
    uint32_t load = 0;  // of how many members it is the target, or will be
  };
  // How full a target is, about: while moves are planned, as if they were done.
  struct Fill {
    uint32_t target = 0;
    double used_bytes = 0;
    double capacity_bytes = 0;
    double member_bytes = 0;         // of each of its members, as far as can be told
    Candidate* candidate = nullptr;  // null: gives only

    double share() const { return used_bytes / capacity_bytes; }
  };
  struct Evening {
    Group* group = nullptr;
    int index = 0;
    Fill* to = nullptr;
  };
  using Members = absl::flat_hash_map<uint32_t, std::vector<std::pair<Group*, int>>>;

  // Takes away moves that nothing speaks for any more, or whose targets cannot take them.
  void Revise(Group* group);
  bool Stays(const Group& group, const wire::GroupMove& move) const;
  // Former members that will not be back are none any more.
  void ForgetGone(wire::GroupMove* move);
  // Makes a move that does not stay the settling one that it followed. False: it followed none.
  static bool TurnBack(const Group& group, wire::GroupMove* move);
  void FindCandidates();
  bool CanBeChosen(const wire::TargetInfo& target) const;
  // Whether so many percent of it are used, or more.
  bool IsFull(uint32_t target, double percent) const;

  void MoveLeaving(Group* group);
  void MoveApart(Group* group);
  bool IsGoneForGood(uint32_t target) const;
  // Of the group's other members there, or on their way there.
  uint32_t FragmentsIn(uint32_t domain, const Group& group, int index) const;
  // Whether a domain with so many others may have one more: its loss must not be more than may be
  // lost.
  static bool MayShare(const Group& group, uint32_t others);
  // Whether a domain that other members are in will do.
  enum class Sharing { kNo, kYes };
  // Null: there is none.
  Candidate* Choose(const Group& group, int index, Sharing sharing);
  wire::GroupMove* Add(Group* group, int index, Candidate* to);

  void Even();
  double Gap() const;
  void EndRebalance();
  std::vector<Fill> MeasureFills();
  bool EvenOnce(const Members& members, std::vector<Fill>* fills);
  Evening FindEvening(const Members& members, const Fill& from, std::vector<Fill>* fills);
  Fill* EmptiestFor(const Group& group, int index, const Fill& from, std::vector<Fill>* fills);

  wire::ClusterMap* const map_;
  const MoveFacts& facts_;
  const MapDomains domains_;
  bool changed_ = false;
  std::vector<Balanced> balanced_;
  bool is_busy_ = false;  // members are leaving, or on the move
  std::vector<Candidate> candidates_;
  absl::flat_hash_map<uint32_t, uint32_t> members_of_;  // by target, how many
  absl::flat_hash_set<uint32_t> giving_;                // targets that moves are from
  absl::flat_hash_set<uint32_t> taking_;                // targets that copying moves are to
};

}  // namespace cairn
