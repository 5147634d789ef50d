// Goal: what one release has put into a cold tier every later one can read. Method: a golden file
// of a small object, which must also read back as what it was made of.
#include <gtest/gtest.h>

#include <string>

#include "common/base/byte_text.h"
#include "server/tier/cold_manifest.h"
#include "server/tier/cold_object.h"
#include "tests/compat/golden.h"
#include "tests/compat/message_golden.h"

namespace cairn {
namespace {

TEST(ColdGolden, Object) {
  ColdObjectBuilder builder({"01020304-0506-4708-890a-0b0c0d0e0f10", 0x0102030405060708});
  builder.BeginPiece(0x1112131415161718, 0);
  builder.Add(AsBytes("what a run "));
  builder.Add(AsBytes("holds"));
  builder.BeginPiece(0x2122232425262728, 4 * kMiB);
  builder.Add(AsBytes("and another"));
  std::string object;
  for (const ConstBytes part : builder.Finish()) object += AsText(part);
  std::string text = GoldenLine("key", ColdObjectKey("cluster", 0x0102030405060708));
  text += GoldenLine("object", object);
  text += MessageLines(disk::ColdIndex::descriptor()->file());
  ExpectGolden("cold_object_v1.txt", text);
  const auto header = DecodeColdHeader(AsBytes(object));
  ASSERT_TRUE(header.ok()) << header.status();
  EXPECT_EQ(header->object, 0x0102030405060708u);
  const ConstBytes bytes = AsBytes(object);
  const auto place = DecodeColdTrailer(bytes.last(kColdTrailerBytes), bytes.size());
  ASSERT_TRUE(place.ok()) << place.status();
  const auto index =
      DecodeColdIndex(bytes.subspan(place->offset_bytes, place->length_bytes), *place);
  ASSERT_TRUE(index.ok()) << index.status();
  EXPECT_EQ(index->DebugString(), builder.index().DebugString());
}

TEST(ColdGolden, Manifest) {
  disk::ColdManifest manifest;
  auto& subject = *manifest.add_subjects();
  subject.set_path("bucket/run/step-7");
  subject.set_size_bytes(11);
  subject.mutable_checkpoint()->set_step(7);
  subject.set_version(3);
  subject.set_last_part(true);
  auto& file = *subject.add_files();
  file.set_path("shard");
  file.set_size_bytes(11);
  auto& piece = *file.add_pieces();
  piece.set_length_bytes(11);
  piece.set_object(0x1112131415161718);
  piece.set_offset_bytes(64);
  const ColdHeader header{"01020304-0506-4708-890a-0b0c0d0e0f10", 0x0102030405060708};
  const std::string bytes = EncodeColdManifest(header, manifest);
  std::string text = GoldenLine("key", ColdManifestKey("cluster", 0x0102030405060708));
  text += GoldenLine("manifest", bytes);
  ExpectGolden("cold_manifest_v1.txt", text);
  const auto decoded = DecodeColdManifest(header, AsBytes(bytes));
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(decoded->DebugString(), manifest.DebugString());
  EXPECT_EQ(ColdManifestOf(ColdManifestKey("cluster", header.object), "cluster"), header.object);
  EXPECT_EQ(ColdManifestOf(ColdObjectKey("cluster", header.object), "cluster"), 0u);
  // Cut off, of another object, or with a bit of it turned.
  for (const size_t length : {size_t{0}, size_t{50}, bytes.size() - 1})
    EXPECT_FALSE(DecodeColdManifest(header, AsBytes(bytes).first(length)).ok());
  EXPECT_FALSE(DecodeColdManifest({header.cluster_id, 9}, AsBytes(bytes)).ok());
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string damaged = bytes;
    damaged[i] = static_cast<char>(damaged[i] ^ 1);
    EXPECT_FALSE(DecodeColdManifest(header, AsBytes(damaged)).ok()) << "byte " << i;
  }
}

}  // namespace
}  // namespace cairn
