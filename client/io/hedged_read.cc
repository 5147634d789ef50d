#include "client/io/hedged_read.h"

#include <memory>
#include <utility>

#include "common/task/event.h"
#include "common/task/scope.h"

namespace cairn {
namespace {

// For reaching the node of a fragment that others can stand in for.
constexpr absl::Duration kReachWithin = absl::Seconds(3);
// A target that was beaten and says nothing at all for so long is hung up on, and one that answers
// other reads after this.
constexpr absl::Duration kSilence = absl::Seconds(1);
constexpr absl::Duration kPatience = absl::Seconds(5);

// Two ways to the same bytes. Lives in the frame of ReadHedged(), which outlives both.
struct Race {
  std::optional<absl::Status> held;
  std::optional<absl::Status> around;
  Event moved;  // one of them has ended
};

Task<void> RunHeld(Race* race, Delivery to, const FragmentRead* read, Deadline* deadline) {
  race->held = co_await ReadHeld(to, *read, read->index, *deadline);
  race->moved.Set();
}

Task<void> RunAround(Race* race, Delivery to, const FragmentRead* read, Deadline deadline) {
  race->around = co_await ReadWithoutFragment(to, *read, deadline);
  race->moved.Set();
}

// Until one of them ends, or `until`.
Task<void> Await(Race& race, MonoTime until = MonoTime::Never()) {
  race.moved.Reset();
  TimerId timer = 0;
  if (until != MonoTime::Never())
    timer = Executor::Current().AddTimer(until, [&race] { race.moved.Set(); });
  co_await race.moved;
  if (timer != 0) Executor::Current().CancelTimer(timer);
}

// The read's bytes in memory of their own.
struct Aside {
  std::unique_ptr<std::byte[]> memory;
  Regions regions;
  FragmentRead read;
  ConstBytes bytes() const { return {memory.get(), read.length_bytes}; }
};

absl::StatusOr<Aside> MakeAside(Session& session, const FragmentRead& read) {
  Aside aside{std::make_unique_for_overwrite<std::byte[]>(read.length_bytes), {}, read};
  const MutableBytes all(aside.memory.get(), read.length_bytes);
  absl::StatusOr<std::unique_ptr<MemoryRegion>> region =
      session.net().Register(all, MemoryAccess::kRemoteWrite);
  if (!region.ok()) return region.status();
  aside.regions.push_back(*std::move(region));
  aside.read.pieces = {{0, 0, all}};
  return aside;
}

// The others were faster. The pieces are the caller's again only when the slow target has answered,
// or can no more.
Task<void> AwaitBeaten(Session& session, TargetId target, MonoTime began, Race& race) {
  const MonoTime beaten = Executor::Current().clock().Now();
  session.hedges().Beaten(target, beaten);
  if (!race.held.has_value()) co_await Await(race, beaten + kSilence);
  // It works, slowly: hanging up would cost all that is under way.
  const bool answers = session.hedges().LastAnswer(target) >= began;
  if (!race.held.has_value() && answers) co_await Await(race, beaten + kPatience);
  if (!race.held.has_value()) session.HangUpOn(target);
  while (!race.held.has_value()) co_await Await(race);
}

Task<void> RaceOthers(const Delivery& to, const FragmentRead& read, TargetId target, MonoTime began,
                      Deadline deadline, Race& race) {
  const absl::StatusOr<Aside> aside = MakeAside(to.session, read);
  if (!aside.ok()) co_return;  // no memory for it: the one way has to do
  Scope scope;
  const Delivery into_aside{to.session, aside->regions, to.patience};
  scope.Spawn(RunAround(&race, into_aside, &aside->read, deadline));
  while (!race.held.has_value() && !race.around.has_value()) co_await Await(race);
  if (!race.held.has_value() && race.around->ok())
    co_await AwaitBeaten(to.session, target, began, race);
  while (!race.held.has_value()) co_await Await(race);
  co_await scope.Join();
  if (!race.held->ok() && race.around->ok()) CopyToPieces(read, aside->bytes(), read.offset_bytes);
}

}  // namespace

Task<ReadOutcome> ReadHedged(const Delivery& to, const FragmentRead& read, Deadline& deadline) {
  HedgePolicy& hedges = to.session.hedges();
  const std::optional<TargetId> target = to.session.MemberNow(read.group, read.index);
  if (read.redundancy.width() == 1 || !target.has_value()) {
    ReadOutcome only;
    only.held = co_await ReadHeld(to, read, read.index, deadline);
    co_return only;
  }
  const MonoTime began = Executor::Current().clock().Now();
  if (hedges.Avoid(*target, began)) {
    ReadOutcome outcome{absl::UnavailableError("not asked, because it was slow"), std::nullopt};
    outcome.around = co_await ReadWithoutFragment(to, read, deadline);
    if (!outcome.around->ok()) outcome.held = co_await ReadHeld(to, read, read.index, deadline);
    co_return outcome;
  }
  Race race;
  Scope scope;
  Delivery to_held = to;
  to_held.reach_within = kReachWithin;
  const Deadline around_deadline = deadline;
  scope.Spawn(RunHeld(&race, to_held, &read, &deadline));
  co_await Await(race, began + hedges.HedgeAfter());
  if (!race.held.has_value() && hedges.TakeHedge())
    co_await RaceOthers(to, read, *target, began, around_deadline, race);
  while (!race.held.has_value()) co_await Await(race);
  co_await scope.Join();
  ReadOutcome outcome{*std::move(race.held), std::move(race.around)};
  co_return outcome;
}

}  // namespace cairn
