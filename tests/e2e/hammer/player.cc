// See player.h. What is done to slots; the log is in player_log.cc.
#include "tests/e2e/hammer/player.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <set>
#include <utility>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "tests/e2e/hammer/blocks.h"

namespace cairn::hammer {
namespace {

// The kernel keeps names for a second; more, for a machine that is busy.
constexpr int64_t kNamesKeptNs = 2'000'000'000;
constexpr useconds_t kPause = 20'000;

absl::Status Wrong(const std::string& what) { return absl::DataLossError(what); }

std::string ContentOf(uint32_t slot, const State& state, uint32_t first, uint32_t count) {
  std::string content;
  for (uint32_t i = first; i < first + count; ++i)
    content += MakeBlock(slot, i, state.generations[i]);
  return content;
}

bool ChangesNames(Operation operation) {
  return operation != Operation::kOverwrite && operation != Operation::kExtend &&
         operation != Operation::kTruncate;
}

}  // namespace

Player::Player(Board* board, View* view, const PlayerOptions& options)
    : board_(*board), view_(*view), options_(options), dice_(options.seed) {
  appender_ = board_.next_appender++ % kAppendersMax;
}

void Player::Play() {
  Worker& self = board_.workers[options_.worker];
  while (board_.stop == 0) {
    if (board_.pause != 0 || board_.down[options_.view] != 0) {
      self.resting = 1;
      usleep(kPause);
      continue;
    }
    self.resting = 0;
    // Who wants all to rest may have looked just before.
    if (board_.pause != 0) continue;
    PlayOnce();
    ++self.done;
  }
  self.resting = 1;
}

void Player::PlayOnce() {
  downs_ = board_.downs[options_.view];
  // Counted already, and not up again: what is found now is not the mount's.
  if (board_.down[options_.view] != 0) return;
  switch (dice_.Below(20)) {
    case 0:
    case 1:
      return CheckList();
    case 2:
    case 3:
      return AppendToLog();
    case 4:
      return CheckLogHeld();
    case 5:
    case 6:
    case 7:
    case 8:
      return CheckHeld();
    case 9:
    case 10:
      return CheckUnheld();
    default:
      return Change();
  }
}

bool Player::Excused() const {
  return board_.down[options_.view] != 0 || board_.downs[options_.view] != downs_;
}

void Player::Report(const absl::Status& status, const std::string& what) {
  if (status.ok() || Excused()) return;
  board_.Fail(StrCat(what, " by ", view_.name(), ": ", std::string(status.message())));
}

void Player::Doing(const std::string& what) {
  Worker& self = board_.workers[options_.worker];
  snprintf(self.doing.data(), self.doing.size(), "%s", what.c_str());
}

// ---- changing

std::optional<Operation> Player::ChooseOperation(SlotKind kind, const State& now) {
  if (kind == SlotKind::kDirectory) {
    if (!now.exists) return Operation::kMakeDirectory;
    return dice_.Below(2) == 0 ? Operation::kMove : Operation::kRemoveDirectory;
  }
  const bool in_place = kind == SlotKind::kInPlace && view_.writes_in_place();
  if (!now.exists)
    return in_place && dice_.Below(2) == 0 ? Operation::kCreate : Operation::kReplace;
  if (!in_place || dice_.Below(4) == 0) {
    constexpr Operation kWhole[] = {Operation::kReplace, Operation::kReplace, Operation::kReplace,
                                    Operation::kMove, Operation::kUnlink};
    return kWhole[dice_.Below(std::size(kWhole))];
  }
  constexpr Operation kInPlace[] = {Operation::kOverwrite, Operation::kOverwrite,
                                    Operation::kExtend, Operation::kTruncate};
  return kInPlace[dice_.Below(std::size(kInPlace))];
}

std::optional<Player::Plan> Player::MakePlan(uint32_t number, const State& now) {
  const auto operation = ChooseOperation(KindOf(number), now);
  Plan plan;
  plan.operation = *operation;
  const Slot& slot = board_.slots[number];
  // What the kernel decides by the names that it remembers.
  if ((plan.operation == Operation::kMove || plan.operation == Operation::kMakeDirectory ||
       plan.operation == Operation::kRemoveDirectory) &&
      NamesMayBeStale(slot))
    return std::nullopt;
  // Most files are small.
  const uint32_t most = dice_.Below(8) == 0 ? kBlocksMax : 12;
  switch (plan.operation) {
    case Operation::kReplace:
    case Operation::kCreate:
      plan.count = static_cast<uint32_t>(dice_.Below(most + 1));
      break;
    case Operation::kOverwrite:
      if (now.blocks == 0) return std::nullopt;
      plan.first = static_cast<uint32_t>(dice_.Below(now.blocks));
      plan.count = 1 + static_cast<uint32_t>(dice_.Below(std::min(most, now.blocks - plan.first)));
      break;
    case Operation::kExtend:
      if (now.blocks == kBlocksMax) return std::nullopt;
      plan.first = now.blocks;
      plan.count = 1 + static_cast<uint32_t>(dice_.Below(std::min(most, kBlocksMax - now.blocks)));
      break;
    case Operation::kTruncate:
      plan.count = static_cast<uint32_t>(dice_.Below(std::min(kBlocksMax, now.blocks + 8) + 1));
      break;
    default:
      break;
  }
  return plan;
}

State Player::After(const State& now, const Plan& plan, Slot* slot) {
  State after = now;
  const uint64_t generation = ++slot->next_generation;
  switch (plan.operation) {
    case Operation::kReplace:
    case Operation::kCreate:
    case Operation::kMakeDirectory:
      if (!now.exists) after.place = static_cast<uint32_t>(dice_.Below(kPlaces));
      after.exists = true;
      after.blocks = plan.count;
      break;
    case Operation::kExtend:
      after.blocks = plan.first + plan.count;
      break;
    case Operation::kTruncate:
      after.blocks = plan.count;
      for (uint32_t i = now.blocks; i < after.blocks; ++i) after.generations[i] = kNoGeneration;
      return after;
    case Operation::kUnlink:
    case Operation::kRemoveDirectory:
      after.exists = false;
      return after;
    case Operation::kMove:
      after.place = 1 - now.place;
      return after;
    default:
      break;
  }
  for (uint32_t i = plan.first; i < plan.first + plan.count; ++i) after.generations[i] = generation;
  return after;
}

void Player::Change() {
  const auto number = static_cast<uint32_t>(dice_.Below(kSlots));
  Slot& slot = board_.slots[number];
  if (!TryHold(slot.holders, options_.worker)) return;
  if (slot.doubted_at_ns != 0) {
    if (NowNs() - slot.doubted_at_ns > options_.settle_ns)
      Report(Resolve(number), StrCat("slot ", number));
    return LetGo(slot.holders, options_.worker);
  }
  const std::optional<Plan> plan = MakePlan(number, slot.now());
  if (!plan.has_value()) return LetGo(slot.holders, options_.worker);
  const bool syncs = options_.syncing == Syncing::kAlways ||
                     (options_.syncing == Syncing::kSometimes && dice_.Below(3) == 0);
  const Durability durability = syncs ? Durability::kSynced : Durability::kClosed;
  slot.next() = After(slot.now(), *plan, &slot);
  slot.operation = static_cast<uint32_t>(plan->operation);
  if (ChangesNames(plan->operation)) {
    slot.named_at_ns = NowNs();
    slot.named_by = options_.view;
  }
  ++slot.sequence;
  Doing(StrCat(NameOf(plan->operation), " of slot ", number));
  const absl::Status done = Perform(number, slot.now(), slot.next(), *plan, durability);
  if (done.ok()) {
    slot.current = 1 - slot.current;
  } else {
    Report(done, StrCat(NameOf(plan->operation), " of slot ", number));
    slot.doubted_at_ns = NowNs();
  }
  if (ChangesNames(plan->operation)) slot.named_at_ns = NowNs();
  ++slot.sequence;
  LetGo(slot.holders, options_.worker);
}

absl::Status Player::Perform(uint32_t number, const State& now, const State& after,
                             const Plan& plan, Durability durability) {
  const std::string path = PathOf(number, now.exists ? now.place : after.place);
  const uint64_t manner = dice_.Next();
  switch (plan.operation) {
    case Operation::kReplace:
      return view_.Replace(path, ContentOf(number, after, 0, plan.count), durability);
    case Operation::kCreate:
      return view_.Create(path, ContentOf(number, after, 0, plan.count), durability);
    case Operation::kOverwrite:
      return view_.Overwrite(path, plan.first * kBlockBytes,
                             ContentOf(number, after, plan.first, plan.count), durability, manner);
    case Operation::kExtend: {
      if (manner % 2 == 0) {
        return view_.Append(path, {ContentOf(number, after, plan.first, plan.count)}, durability);
      }
      std::vector<std::string> blocks;
      for (uint32_t i = plan.first; i < plan.first + plan.count; ++i)
        blocks.push_back(MakeBlock(number, i, after.generations[i]));
      return view_.Append(path, blocks, durability);
    }
    case Operation::kTruncate:
      return view_.Truncate(path, after.blocks * kBlockBytes, durability, manner);
    case Operation::kUnlink:
      return view_.Unlink(path, durability);
    case Operation::kMove:
      return view_.Move(path, PathOf(number, after.place), durability);
    case Operation::kMakeDirectory:
      return view_.MakeDirectory(path, durability);
    case Operation::kRemoveDirectory:
      return view_.RemoveDirectory(path, durability);
    case Operation::kNone:
      break;
  }
  return absl::OkStatus();
}

// ---- looking

absl::StatusOr<State> Player::ParseFile(uint32_t number, uint32_t place,
                                        const std::string& content) {
  if (content.size() % kBlockBytes != 0 || content.size() > kBlocksMax * kBlockBytes) {
    return Wrong(StrCat(PathOf(number, place), " has ", content.size(),
                        " bytes, which is no number of blocks"));
  }
  State state;
  state.exists = true;
  state.place = place;
  state.blocks = static_cast<uint32_t>(content.size() / kBlockBytes);
  for (uint32_t i = 0; i < state.blocks; ++i) {
    const auto generation =
        ReadBlock(number, i, std::string_view(content).substr(i * kBlockBytes, kBlockBytes));
    if (!generation.has_value())
      return Wrong(StrCat(PathOf(number, place), ": block ", i, " is torn, or of another place"));
    state.generations[i] = *generation;
  }
  return state;
}

absl::StatusOr<State> Player::Observe(uint32_t number) {
  State found;
  for (uint32_t place = 0; place < kPlaces; ++place) {
    const std::string path = PathOf(number, place);
    State here;
    if (KindOf(number) == SlotKind::kDirectory) {
      ASSIGN_OR_RETURN(here.exists, view_.IsDirectory(path));
      here.place = place;
    } else {
      ASSIGN_OR_RETURN(const std::optional<std::string> content, view_.Read(path));
      if (content.has_value()) {
        ASSIGN_OR_RETURN(here, ParseFile(number, place, *content));
      }
    }
    if (!here.exists) continue;
    if (found.exists) return Wrong(StrCat("slot ", number, " has both of its names"));
    found = here;
  }
  return found;
}

absl::Status Player::Resolve(uint32_t number) {
  Slot& slot = board_.slots[number];
  Doing(StrCat("resolving slot ", number));
  ASSIGN_OR_RETURN(const State found, Observe(number));
  const auto operation = static_cast<Operation>(slot.operation.load());
  if (!MayBe(slot.now(), slot.next(), operation, found)) {
    return Wrong(StrCat("slot ", number, " has ", Describe(found), " after a disturbed ",
                        NameOf(operation), " from ", Describe(slot.now()), " to ",
                        Describe(slot.next())));
  }
  ++slot.sequence;
  slot.next() = found;
  slot.current = 1 - slot.current;
  slot.doubted_at_ns = 0;
  ++slot.sequence;
  return absl::OkStatus();
}

bool Player::NamesMayBeStale(const Slot& slot) const {
  return view_.writes_in_place() && slot.named_by != options_.view &&
         NowNs() - slot.named_at_ns < kNamesKeptNs;
}

void Player::CheckHeld() {
  const auto number = static_cast<uint32_t>(dice_.Below(kSlots));
  Slot& slot = board_.slots[number];
  if (!TryLook(slot.holders, options_.worker)) return;
  const bool knows =
      slot.doubted_at_ns == 0 && (KindOf(number) != SlotKind::kDirectory || !NamesMayBeStale(slot));
  if (knows) {
    Doing(StrCat("looking at slot ", number));
    Report(CheckSlot(number), StrCat("slot ", number));
  }
  LookAway(slot.holders, options_.worker);
}

absl::Status Player::CheckSlot(uint32_t number) {
  ASSIGN_OR_RETURN(const State found, Observe(number));
  const State& expected = board_.slots[number].now();
  if (found == expected) return absl::OkStatus();
  return Wrong(StrCat("there is ", Describe(found), " instead of ", Describe(expected)));
}

// Files that are only replaced as a whole are whole at any time, and never older than what was
// there when they were opened.
void Player::CheckUnheld() {
  const auto number = static_cast<uint32_t>(dice_.Below(kSlots));
  if (KindOf(number) != SlotKind::kAtomic) return;
  Slot& slot = board_.slots[number];
  const uint64_t sequence = slot.sequence;
  const State before = slot.now();
  const bool settled = sequence % 2 == 0 && slot.sequence == sequence && slot.doubted_at_ns == 0;
  if (!settled) return;
  const std::string path = PathOf(number, before.exists ? before.place : 0);
  Doing(StrCat("looking at ", path, " while it may change"));
  const auto content = view_.Read(path);
  const bool changed = slot.sequence != sequence;
  if (!content.ok()) {
    // The SDK says that it was replaced meanwhile.
    if (!changed) Report(content.status(), path);
    return;
  }
  if (!content->has_value()) {
    if (before.exists && !changed) Report(Wrong("it is missing"), path);
    return;
  }
  const auto found = ParseFile(number, before.exists ? before.place : 0, **content);
  if (!found.ok()) return Report(found.status(), path);
  const auto begin = found->generations.begin();
  if (std::adjacent_find(begin, begin + found->blocks, std::not_equal_to<>()) !=
      begin + found->blocks)
    return Report(Wrong(StrCat("it has blocks of several: ", Describe(*found))), path);
  if (found->blocks > 0 && before.exists && before.blocks > 0 && *begin < before.generations[0])
    return Report(Wrong(StrCat("it is older, ", *begin, ", than ", before.generations[0])), path);
  if (!changed && !(*found == before)) {
    Report(Wrong(StrCat("there is ", Describe(*found), " instead of ", Describe(before))), path);
  }
}

void Player::CheckList() {
  const auto directory = static_cast<uint32_t>(dice_.Below(kDirectories));
  Doing(StrCat("listing directory ", directory));
  Report(CheckListOf(directory), DirectoryPath(directory));
}

absl::Status Player::CheckListOf(uint32_t directory) {
  struct Before {
    uint64_t sequence;
    State state;
  };
  std::map<uint32_t, Before> before;
  for (uint32_t i = 0; i < kSlots; ++i) {
    const Slot& slot = board_.slots[i];
    const uint64_t sequence = slot.sequence;
    const State state = slot.now();
    if (sequence % 2 == 0 && slot.sequence == sequence && slot.doubted_at_ns == 0)
      before.emplace(i, Before{sequence, state});
  }
  ASSIGN_OR_RETURN(const std::vector<std::string> names, view_.List(DirectoryPath(directory)));
  std::set<std::string> found;
  for (const std::string& name : names) {
    if (!found.insert(name).second) return Wrong(StrCat(name, " is listed twice"));
    const auto parsed = ParseName(name);
    const bool ours = parsed.has_value() && DirectoryOf(parsed->slot, parsed->place) == directory;
    if (!ours && !name.starts_with(".t"))
      return Wrong(StrCat(name, " is listed, and was never made"));
  }
  for (const auto& [number, was] : before) {
    const Slot& slot = board_.slots[number];
    if (slot.sequence != was.sequence) continue;
    for (uint32_t place = 0; place < kPlaces; ++place) {
      if (DirectoryOf(number, place) != directory) continue;
      const std::string path = PathOf(number, place);
      const bool expected = was.state.exists && was.state.place == place;
      const bool listed = found.count(path.substr(path.rfind('/') + 1)) > 0;
      if (listed != expected) return Wrong(StrCat(path, listed ? " is listed" : " is not listed"));
    }
  }
  return absl::OkStatus();
}

absl::Status Player::CheckAll() {
  downs_ = board_.downs[options_.view];
  for (uint32_t i = 0; i < kSlots; ++i) {
    Slot& slot = board_.slots[i];
    Doing(StrCat("checking slot ", i));
    while (slot.doubted_at_ns != 0 && NowNs() - slot.doubted_at_ns < options_.settle_ns)
      usleep(kPause);
    const absl::Status status = slot.doubted_at_ns != 0 ? Resolve(i) : CheckSlot(i);
    if (!status.ok())
      return absl::Status(status.code(), StrCat("slot ", i, ": ", std::string(status.message())));
  }
  for (uint32_t i = 0; i < kDirectories; ++i) RETURN_IF_ERROR(CheckListOf(i));
  return CheckLog();
}

}  // namespace cairn::hammer
