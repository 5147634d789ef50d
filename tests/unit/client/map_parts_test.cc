// Goal: a client takes a map in parts, follows a change in the middle, and nothing that a service
// may answer makes it crash, ask without end or take a map that is none. Method: replies by hand.
#include "client/io/map_parts.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>

#include "common/base/random.h"

namespace cairn {
namespace {

constexpr uint64_t kKnown = 3;

wire::ClusterMap MapOf(uint64_t version, uint32_t groups = 100) {
  wire::ClusterMap map;
  map.set_version(version);
  for (uint32_t i = 0; i < groups; ++i) map.add_groups()->set_id(i);
  return map;
}

wire::GetMapReply PartOf(const wire::ClusterMap& map, uint64_t offset, uint64_t length) {
  const std::string bytes = map.SerializeAsString();
  wire::GetMapReply reply;
  reply.set_version(map.version());
  reply.set_total_bytes(bytes.size());
  reply.set_part(bytes.substr(std::min<uint64_t>(offset, bytes.size()), length));
  return reply;
}

TEST(MapParts, AMapThatComesWholeIsTaken) {
  MapParts parts;
  const wire::GetMapRequest request = parts.Next(kKnown);
  EXPECT_EQ(request.known_version(), kKnown);
  EXPECT_EQ(request.version(), 0u);
  EXPECT_EQ(request.offset_bytes(), 0u);
  wire::GetMapReply reply;
  *reply.mutable_map() = MapOf(4);
  const auto taken = parts.Take(reply, kKnown);
  ASSERT_TRUE(taken.ok()) << taken.status();
  EXPECT_FALSE(taken->more);
  ASSERT_TRUE(taken->map.has_value());
  EXPECT_EQ(taken->map->SerializeAsString(), MapOf(4).SerializeAsString());
}

TEST(MapParts, AnEmptyReplySaysThatThereIsNoNewerOne) {
  MapParts parts;
  const auto taken = parts.Take(wire::GetMapReply(), kKnown);
  ASSERT_TRUE(taken.ok()) << taken.status();
  EXPECT_FALSE(taken->more);
  EXPECT_FALSE(taken->map.has_value());
}

// Of any lengths.
TEST(MapParts, PartsMakeTheMap) {
  SeededRandom random(1);
  const wire::ClusterMap map = MapOf(4);
  const uint64_t total = map.ByteSizeLong();
  MapParts parts;
  for (int round = 0; round < 20; ++round) {
    uint64_t at = 0;
    while (at < total) {
      const wire::GetMapRequest request = parts.Next(kKnown);
      EXPECT_EQ(request.version(), at == 0 ? 0 : map.version());
      ASSERT_EQ(request.offset_bytes(), at);
      const uint64_t length = std::min(1 + random.Below(50), total - at);
      const auto taken = parts.Take(PartOf(map, at, length), kKnown);
      ASSERT_TRUE(taken.ok()) << taken.status();
      at += length;
      ASSERT_EQ(taken->more, at < total);
      ASSERT_EQ(taken->map.has_value(), at == total);
      if (at == total) {
        EXPECT_EQ(taken->map->SerializeAsString(), map.SerializeAsString());
      }
    }
  }
}

TEST(MapParts, ANewerMapInTheMiddleTakesTheOldOnesPlace) {
  const wire::ClusterMap first = MapOf(4);
  const wire::ClusterMap second = MapOf(6, 50);
  MapParts parts;
  ASSERT_TRUE(parts.Take(PartOf(first, 0, 60), kKnown)->more);
  ASSERT_TRUE(parts.Take(PartOf(second, 0, 40), kKnown)->more);
  const wire::GetMapRequest request = parts.Next(kKnown);
  EXPECT_EQ(request.version(), 6u);
  EXPECT_EQ(request.offset_bytes(), 40u);
  const auto taken = parts.Take(PartOf(second, 40, second.ByteSizeLong()), kKnown);
  ASSERT_TRUE(taken.ok()) << taken.status();
  ASSERT_TRUE(taken->map.has_value());
  EXPECT_EQ(taken->map->SerializeAsString(), second.SerializeAsString());

  // Also one that has become small enough to come whole, or comes whole from another release.
  for (uint64_t version : {uint64_t{4}, uint64_t{5}}) {
    ASSERT_TRUE(parts.Take(PartOf(first, 0, 60), kKnown)->more);
    wire::GetMapReply whole;
    *whole.mutable_map() = MapOf(version, 1);
    const auto small = parts.Take(whole, kKnown);
    ASSERT_TRUE(small.ok()) << small.status();
    EXPECT_EQ(small->map->version(), version);
    EXPECT_EQ(parts.Next(version).offset_bytes(), 0u);
  }
}

struct Nonsense {
  const char* what;
  // Makes nonsense of a reply that holds bytes 40 to 60 of version 4, bytes 0 to 40 having come.
  std::function<void(wire::GetMapReply*)> spoil;
};

TEST(MapParts, NonsenseIsDataLossAndTheNextFetchBeginsAnew) {
  const wire::ClusterMap map = MapOf(4);
  const Nonsense all[] = {
      {"nothing at all", [](wire::GetMapReply* reply) { reply->Clear(); }},
      {"an empty part", [](wire::GetMapReply* reply) { reply->clear_part(); }},
      {"a version that was known", [](wire::GetMapReply* reply) { reply->set_version(kKnown); }},
      {"no version", [](wire::GetMapReply* reply) { reply->clear_version(); }},
      {"another length", [](wire::GetMapReply* reply) { reply->set_total_bytes(60); }},
      {"no length", [](wire::GetMapReply* reply) { reply->clear_total_bytes(); }},
      {"a part beyond the end",
       [&map](wire::GetMapReply* reply) {
         reply->set_part(std::string(map.ByteSizeLong() - 39, 'x'));
       }},
      {"bytes that are no map",
       [&map](wire::GetMapReply* reply) {
         reply->set_part(std::string(map.ByteSizeLong() - 40, '\xff'));
       }},
      {"an old map, whole",
       [](wire::GetMapReply* reply) { *reply->mutable_map() = MapOf(kKnown); }},
      {"a newer map without an end",
       [](wire::GetMapReply* reply) {
         reply->set_version(5);
         reply->set_total_bytes(UINT64_MAX);
       }},
      {"a newer map that is too large",
       [](wire::GetMapReply* reply) {
         reply->set_version(5);
         reply->set_total_bytes(MapParts::kTotalBytesMax + 1);
       }},
      {"a newer map without bytes",
       [](wire::GetMapReply* reply) {
         reply->set_version(5);
         reply->set_total_bytes(0);
       }},
      {"another map than the version says",
       [&map](wire::GetMapReply* reply) {
         *reply = PartOf(map, 0, map.ByteSizeLong());
         reply->set_version(5);
       }},
  };
  for (const Nonsense& each : all) {
    SCOPED_TRACE(each.what);
    MapParts parts;
    ASSERT_TRUE(parts.Take(PartOf(map, 0, 40), kKnown)->more);
    wire::GetMapReply reply = PartOf(map, 40, 20);
    each.spoil(&reply);
    const auto taken = parts.Take(reply, kKnown);
    EXPECT_TRUE(absl::IsDataLoss(taken.status())) << taken.status();
    EXPECT_EQ(parts.Next(kKnown).version(), 0u);
    EXPECT_EQ(parts.Next(kKnown).offset_bytes(), 0u);
    const auto again = parts.Take(PartOf(map, 0, map.ByteSizeLong()), kKnown);
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_TRUE(again->map.has_value());
  }
}

TEST(MapParts, NonsenseInTheFirstReplyIsDataLoss) {
  const wire::ClusterMap map = MapOf(4);
  MapParts parts;
  EXPECT_TRUE(absl::IsDataLoss(parts.Take(PartOf(map, 0, 40), 4).status())) << "known already";
  wire::GetMapReply empty = PartOf(map, 0, 40);
  empty.clear_part();
  EXPECT_TRUE(absl::IsDataLoss(parts.Take(empty, kKnown).status()));
  wire::GetMapReply nameless = PartOf(map, 0, 40);
  nameless.clear_version();
  EXPECT_TRUE(absl::IsDataLoss(parts.Take(nameless, 0).status()));
}

}  // namespace
}  // namespace cairn
