// The metadata with a tier, and what copies files to it by hand.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "server/meta/cold.h"
#include "tests/unit/meta/meta_fixture.h"

namespace cairn {

class ColdMetaTest : public MetaTest {
 protected:
  ColdMetaTest() { AddTier("archive"); }

  void AddTier(const std::string& name) {
    disk::AddTier request;
    request.mutable_spec()->set_name(name);
    request.mutable_spec()->set_location("s3://" + name);
    EXPECT_THAT(Do(request), IsOk());
  }
  absl::StatusOr<disk::PlanColdObjectsReply> Plan(uint32_t count = 1,
                                                  const std::string& tier = "archive") {
    disk::PlanColdObjects request;
    request.set_tier(tier);
    request.set_count(count);
    return Do(request);
  }
  uint64_t PlanOne() {
    const auto planned = Plan();
    EXPECT_THAT(planned, IsOk());
    return planned.ok() ? planned->first() : 0;
  }
  struct Piece {
    uint64_t first_stripe;
    uint64_t run_offset;
    uint64_t length;
  };
  // One behind the other, from byte 64 on.
  absl::StatusOr<disk::NoteColdObjectReply> Note(uint64_t object, std::vector<Piece> pieces) {
    disk::NoteColdObject request;
    request.set_object(object);
    uint64_t at = 64;
    for (const Piece& piece : pieces) {
      auto* added = request.add_pieces();
      added->set_first_stripe(piece.first_stripe);
      added->set_run_offset_bytes(piece.run_offset);
      added->set_length_bytes(piece.length);
      added->set_object_offset_bytes(at);
      at += piece.length;
    }
    request.set_size_bytes(at + 100);
    return Do(request);
  }
  uint64_t LiveBytes(uint64_t object, std::vector<Piece> pieces) {
    const auto noted = Note(object, std::move(pieces));
    EXPECT_THAT(noted, IsOk());
    return noted.ok() ? noted->live_bytes() : 0;
  }
  absl::Status Abandon(uint64_t object) {
    disk::AbandonColdObjects request;
    request.add_objects(object);
    return Do(request).status();
  }
  absl::Status Forget(std::vector<uint64_t> objects) {
    disk::ForgetColdObjects request;
    request.mutable_objects()->Assign(objects.begin(), objects.end());
    return Do(request).status();
  }
  std::vector<uint64_t> Queue(ColdQueue queue, uint64_t from = 0, size_t limit = 100) {
    const auto found = ListColdObjects(Transaction(kv_), queue, from, limit);
    EXPECT_THAT(found, IsOk());
    std::vector<uint64_t> ids;
    for (const ColdObjectFound& each : *found) ids.push_back(each.object);
    return ids;
  }
  std::vector<uint64_t> Planned() { return Queue(ColdQueue::kPlanned); }
  std::vector<uint64_t> Garbage() { return Queue(ColdQueue::kGarbage); }
  disk::ColdUsageRecord Usage() {
    const auto usage = ColdUsage(Transaction(kv_), "archive");
    EXPECT_THAT(usage, IsOk());
    return *usage;
  }
  std::optional<disk::ColdRunRecord> Run(uint64_t first_stripe) {
    const auto run = FindColdRun(Transaction(kv_), first_stripe);
    EXPECT_THAT(run, IsOk());
    return *run;
  }
  // Its first stripe.
  uint64_t Put(const std::string& path, uint64_t length) {
    const auto begun = BeginFile(path);
    EXPECT_THAT(begun, IsOk());
    EXPECT_THAT(CommitFile(path, begun->lease(), {RunOf(0, length, begun->stripes().first())}),
                IsOk());
    return begun->stripes().first();
  }
  void RemoveNow(const std::string& path) {
    ASSERT_THAT(Remove(path), IsOk());
    Settle();
  }
};

}  // namespace cairn
