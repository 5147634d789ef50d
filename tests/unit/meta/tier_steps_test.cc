// Goal: what nodes have done for tiering changes the metadata only as far as it is true: nothing is
// let go of that does not lie whole in a tier, nothing is freed twice, and what no manifest tells
// of is no copy. Method: the real engine on a simulated store; the commands that jobs give, by
// hand.
#include "server/meta/tier_steps.h"

#include <optional>
#include <string>

#include "server/meta/tier_queries.h"
#include "server/meta/tier_subject.h"
#include "tests/unit/meta/cold_fixture.h"

namespace cairn {
namespace {

class TierStepsTest : public ColdMetaTest {
 protected:
  static constexpr uint64_t kBytes = 1000;

  TierStepsTest()
      : run_(Put("default/a", kBytes)),
        subject_(SubjectAt(Transaction(kv_), "default/a")->value()) {}

  void Ask(wire::TierAction action) {
    wire::AskTierRequest request;
    request.set_path("default/a");
    request.set_tier("archive");
    request.set_action(action);
    EXPECT_THAT(Do(request), IsOk());
    Evaluate();
  }
  void Evaluate() {
    disk::RunTiering run;
    run.set_max_items(100);
    EXPECT_THAT(Do(run), IsOk());
  }
  disk::TierSubjectRecord Record() {
    const auto record = FindSubject(Transaction(kv_), InodeId(subject_));
    EXPECT_THAT(record, IsOk());
    EXPECT_TRUE(record->has_value());
    return record->value_or(disk::TierSubjectRecord());
  }
  // The file's bytes [begin, end) are in an object now.
  uint64_t Copy(uint64_t begin, uint64_t end) {
    const uint64_t object = PlanOne();
    disk::NoteColdObject note;
    note.set_object(object);
    note.set_size_bytes(end - begin + 164);
    auto* piece = note.add_pieces();
    piece->set_first_stripe(run_);
    piece->set_run_offset_bytes(begin);
    piece->set_length_bytes(end - begin);
    piece->set_object_offset_bytes(64);
    piece->set_subject(subject_);
    EXPECT_THAT(Do(note), IsOk());
    return object;
  }
  // The step has ended; a copy with a manifest that tells of it, or of nothing.
  void FinishArchive(std::optional<uint32_t> changes) {
    disk::FinishTierStep finish;
    finish.add_subjects(subject_);
    finish.set_step(wire::TIER_STEP_ARCHIVE);
    finish.set_tier("archive");
    auto* manifest = finish.add_manifests();
    manifest->set_object(PlanOne());
    manifest->set_size_bytes(200);
    if (changes.has_value()) {
      auto* described = finish.add_described();
      described->set_subject(subject_);
      described->set_changes(*changes);
    }
    EXPECT_THAT(Do(finish), IsOk());
  }
  absl::StatusOr<disk::ReleaseRunsReply> Release() {
    disk::ReleaseRuns release;
    release.set_subject(subject_);
    release.add_first_stripes(run_);
    return Do(release);
  }

  const uint64_t run_;
  const uint64_t subject_;
};

TEST_F(TierStepsTest, WhatDoesNotLieWholeInATierIsNotLetGoOf) {
  Ask(wire::TIER_PUSH);
  Copy(0, 600);
  FinishArchive(Record().changes());
  Ask(wire::TIER_RELEASE);
  ASSERT_EQ(Record().step(), wire::TIER_STEP_RELEASE);
  auto released = Release();
  ASSERT_THAT(released, IsOk());
  EXPECT_EQ(released->released_bytes(), 0u);
  EXPECT_THAT(released->not_whole(), ::testing::ElementsAre(run_));
  EXPECT_FALSE(Record().partly());
  Copy(600, kBytes);
  released = Release();
  ASSERT_THAT(released, IsOk());
  EXPECT_EQ(released->released_bytes(), kBytes);
  EXPECT_TRUE(Record().partly());
}

TEST_F(TierStepsTest, ReleasedStripesAreFreedOnce) {
  Ask(wire::TIER_PUSH);
  Copy(0, kBytes);
  FinishArchive(Record().changes());
  EXPECT_EQ(Release().status().code(), absl::StatusCode::kFailedPrecondition)
      << "nobody has asked for it";
  Ask(wire::TIER_RELEASE);
  const uint64_t before = Counters().pending_free_bytes;
  ASSERT_THAT(Release(), IsOk());
  EXPECT_EQ(Counters().pending_free_bytes, before + kBytes);
  EXPECT_EQ(Release()->released_bytes(), 0u) << "it is released already";
  RemoveNow("default/a");
  EXPECT_EQ(Counters().pending_free_bytes, before + kBytes);
}

TEST_F(TierStepsTest, WhatNoManifestTellsOfIsNoCopy) {
  Ask(wire::TIER_PUSH);
  Copy(0, kBytes);
  FinishArchive(std::nullopt);
  EXPECT_FALSE(Record().copied());
  EXPECT_EQ(Record().failures(), 1u);
  EXPECT_NE(Record().error(), "");
  EXPECT_EQ(Record().manifests_size(), 0);
  EXPECT_THAT(Queue(ColdQueue::kManifestGarbage), ::testing::SizeIs(1));
}

TEST_F(TierStepsTest, AManifestIsOldAfterAChangeSinceItWasWritten) {
  Ask(wire::TIER_PUSH);
  Copy(0, kBytes);
  const uint32_t changes = Record().changes();
  ASSERT_THAT(Rename("default/a", "default/b"), IsOk());
  FinishArchive(changes);
  EXPECT_TRUE(Record().copied());
  EXPECT_TRUE(Record().manifest_is_old());
  Evaluate();
  EXPECT_EQ(Record().step(), wire::TIER_STEP_ARCHIVE);
  FinishArchive(Record().changes());
  EXPECT_FALSE(Record().manifest_is_old());
  EXPECT_EQ(Record().manifests_size(), 1);
}

TEST_F(TierStepsTest, BytesThatMoveWithinTheTierMakeTheManifestOld) {
  Ask(wire::TIER_PUSH);
  const uint64_t object = Copy(0, kBytes);
  FinishArchive(Record().changes());
  disk::NoteColdObject note;
  note.set_object(PlanOne());
  note.set_size_bytes(kBytes + 164);
  auto* piece = note.add_pieces();
  piece->set_first_stripe(run_);
  piece->set_length_bytes(kBytes);
  piece->set_object_offset_bytes(64);
  piece->set_instead_of(object);
  ASSERT_THAT(Do(note), IsOk());
  EXPECT_TRUE(Record().manifest_is_old());
  EXPECT_THAT(Garbage(), ::testing::ElementsAre(object));
  const auto found = ListColdObjects(Transaction(kv_), ColdQueue::kGarbage, 0, 1);
  ASSERT_THAT(found, IsOk());
  EXPECT_GT(found->front().record.moved_at_ns(), 0) << "its deletion waits for the manifest";
}

}  // namespace
}  // namespace cairn
