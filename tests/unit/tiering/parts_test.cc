// Goal: limits hold by the time of day, slots go to recalls first, and objects are packed so that
// each run is covered once. Method: values in, values out.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "common/base/random.h"
#include "common/task/scope.h"
#include "common/task/stop.h"
#include "server/tier/cold_object.h"
#include "server/tiering/bandwidth.h"
#include "server/tiering/object_packer.h"
#include "server/tiering/slots.h"
#include "tests/sim/seeds.h"
#include "tests/sim/sim_executor.h"

namespace cairn {
namespace {

wire::TierControl Limits(std::vector<std::array<uint64_t, 3>> limits) {
  wire::TierControl control;
  for (const auto& [from, to, bytes] : limits) {
    auto* limit = control.add_limits();
    limit->set_from_minute(static_cast<uint32_t>(from));
    limit->set_to_minute(static_cast<uint32_t>(to));
    limit->set_bytes_per_second(bytes);
  }
  return control;
}

Task<void> Spawn(Scope* scope, Task<void> task) {
  scope->Spawn(std::move(task));
  co_return;
}
Task<void> Give(Slots* slots) {
  slots->Give();
  co_return;
}
Task<void> Stop(Slots* slots, Scope* scope) {
  slots->Stop();
  co_await scope->Join();
}

TEST(Bandwidth, TheFirstLimitThatHoldsCounts) {
  const wire::TierControl control = Limits({{480, 1200, 50}, {1320, 360, 500}, {0, 0, 100}});
  EXPECT_EQ(LimitAt(control, 480), 50u);
  EXPECT_EQ(LimitAt(control, 1199), 50u);
  EXPECT_EQ(LimitAt(control, 1200), 100u);
  EXPECT_EQ(LimitAt(control, 1320), 500u) << "over midnight";
  EXPECT_EQ(LimitAt(control, 359), 500u);
  EXPECT_EQ(LimitAt(control, 360), 100u);
  EXPECT_EQ(LimitAt(Limits({}), 100), 0u);
  EXPECT_EQ(MinuteOfDay(absl::FromUnixSeconds(86'400 * 3 + 61 * 60 + 5)), 61u);
  EXPECT_EQ(MinuteOfDay(absl::FromUnixSeconds(-60)), 1439u);
}

TEST(Bandwidth, MovesOneAfterTheOtherKeepALimit) {
  Pace pace;
  MonoTime now;
  EXPECT_EQ(pace.Wait("a", 100, 0, now), absl::ZeroDuration());
  EXPECT_EQ(pace.Wait("a", 100, 50, now), absl::ZeroDuration()) << "the first is not held up";
  EXPECT_EQ(pace.Wait("a", 100, 50, now), absl::Seconds(2));
  EXPECT_EQ(pace.Wait("b", 100, 50, now), absl::ZeroDuration()) << "another tier's";
  now = now + absl::Seconds(10);
  EXPECT_EQ(pace.Wait("a", 100, 50, now), absl::ZeroDuration()) << "what was not used is gone";
}

Task<void> TakeAndNote(Slots* slots, Slots::Class of, std::string name,
                       std::vector<std::string>* order) {
  const absl::Status taken = co_await slots->Take(of);
  order->push_back(taken.ok() ? name : "stopped");
}

Task<void> Pause() {
  StopSource never;
  (void)co_await SleepFor(absl::Seconds(1), never);
}

TEST(SlotsTest, RecallsGoBeforeArchivesAndTheLimitMayGrow) {
  SimExecutor executor(1);
  size_t limit = 1;
  Slots slots([&limit] { return limit; });
  std::vector<std::string> order;
  Scope scope;
  const auto take = [&](Slots::Class of, const char* name) -> Task<void> {
    return TakeAndNote(&slots, of, name, &order);
  };
  const auto spawn = [&](Slots::Class of, const char* name) {
    executor.Run(Spawn(&scope, take(of, name)));
    executor.Run(Pause());
  };
  spawn(Slots::Class::kArchive, "a1");
  spawn(Slots::Class::kArchive, "a2");
  spawn(Slots::Class::kArchive, "a3");
  spawn(Slots::Class::kRecall, "r1");
  EXPECT_THAT(order, ::testing::ElementsAre("a1"));
  limit = 2;
  executor.Run(Give(&slots));
  executor.Run(Pause());
  EXPECT_THAT(order, ::testing::UnorderedElementsAre("a1", "r1", "a2"));
  executor.Run(Stop(&slots, &scope));
  EXPECT_EQ(order.back(), "stopped");
}

TierRun RunOf(uint64_t first, uint64_t length, uint32_t stripe_bytes) {
  TierRun run;
  run.first_stripe = first;
  run.record.set_length_bytes(length);
  run.record.set_stripe_bytes(stripe_bytes);
  run.record.set_stripe_count(static_cast<uint32_t>(DivideUp(length, stripe_bytes)));
  for (uint32_t group : {11, 22, 33}) run.record.add_groups(group);
  return run;
}

TEST(ObjectPacker, AStripeIsCutOutOfItsRunWithItsGroup) {
  const wire::ExtentRun cut = CutRun(RunOf(100, 50 * kMiB, 4 * kMiB), 17 * kMiB, 21 * kMiB);
  EXPECT_EQ(cut.offset_bytes(), 16 * kMiB);
  EXPECT_EQ(cut.length_bytes(), 8 * kMiB);
  EXPECT_EQ(cut.first_stripe(), 104u);
  EXPECT_EQ(cut.stripe_count(), 2u);
  EXPECT_THAT(cut.groups(), ::testing::ElementsAre(22, 33)) << "stripe 4 of the run, and 5";
}

// Every byte of each run once, in objects that are full but for the last.
TEST(ObjectPacker, RandomRunsAreCoveredOnce) {
  for (uint64_t seed = 1; seed <= SeedsHere(200); ++seed) {
    SCOPED_TRACE(seed);
    SeededRandom random(seed);
    ObjectPacker packer;
    std::vector<PackedObject> objects;
    std::map<uint64_t, uint64_t> missing;
    for (uint64_t i = 0; i < 1 + random.Next() % 20; ++i) {
      const uint32_t stripe = static_cast<uint32_t>((1 + random.Next() % 80) * 64 * kKiB);
      const uint64_t bytes = 1 + random.Next() % (random.Next() % 4 == 0 ? 600 * kMiB : kMiB);
      TierRun run = RunOf(1000 * i, bytes, stripe);
      missing[run.first_stripe] = bytes;
      if (random.Next() % 3 == 0 && bytes > 2 * stripe) {
        auto* part = run.cold.add_parts();
        part->set_run_offset_bytes(stripe);
        part->set_length_bytes(stripe);
        missing[run.first_stripe] -= stripe;
      }
      packer.Add(run, InodeId(7));
      while (auto full = packer.Take()) objects.push_back(*std::move(full));
    }
    while (auto last = packer.Finish()) objects.push_back(*std::move(last));
    for (size_t i = 0; i < objects.size(); ++i) {
      uint64_t payload = 0, message = 0;
      for (const wire::ColdSource& source : objects[i].sources) {
        payload += source.length_bytes();
        message += source.ByteSizeLong();
        missing[source.first_stripe()] -= source.length_bytes();
        EXPECT_GE(source.run_offset_bytes(), source.run().offset_bytes());
        EXPECT_LE(source.run_offset_bytes() + source.length_bytes(),
                  source.run().offset_bytes() + source.run().length_bytes());
      }
      EXPECT_EQ(payload, objects[i].payload_bytes);
      EXPECT_LE(payload, kColdPayloadBytes);
      EXPECT_LE(message, kColdSourcesBytesMax);
      if (i + 1 < objects.size()) EXPECT_GT(payload, kColdPayloadBytes / 2) << "packed";
      const disk::NoteColdObject note = NoteOf(objects[i], 7, 1 << 30);
      EXPECT_EQ(note.pieces(0).object_offset_bytes(), kColdHeaderBytes);
    }
    for (const auto& [run, bytes] : missing) EXPECT_EQ(bytes, 0u) << "of run " << run;
  }
}

}  // namespace
}  // namespace cairn
