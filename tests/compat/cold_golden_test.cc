// Goal: what one release has put into a cold tier every later one can read. Method: a golden file
// of a small object, which must also read back as what it was made of.
#include <gtest/gtest.h>

#include <string>

#include "common/base/byte_text.h"
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

}  // namespace
}  // namespace cairn
