// Goal: columns line up and nothing in a cell can leave its cell. Method: whole rendered text.
#include "client/cli/table.h"

#include "client/cli/progress.h"
#include "gtest/gtest.h"

namespace cairn::cli {
namespace {

TEST(Table, ColumnsLineUpAndLinesHaveNoTrailingSpaces) {
  Table table({{"SIZE", Align::kRight}, {"NAME"}, {"NOTE"}});
  table.AddRow({"1 B", "long name", ""});
  table.AddRow({"100 KiB", "ü", "x"});
  EXPECT_EQ(table.Render(TextStyle::kPlain),
            "   SIZE  NAME       NOTE\n"
            "    1 B  long name\n"
            "100 KiB  ü          x\n");
}

TEST(Table, ControlCharactersInCellsAreEscaped) {
  Table table({{"NAME"}});
  table.AddRow({"a\nb"});
  EXPECT_EQ(table.Render(TextStyle::kPlain), "NAME\na\\x0ab\n");
}

TEST(Table, ColorMakesTitlesBold) {
  Table table({{"NAME"}});
  table.AddRow({"a"});
  EXPECT_EQ(table.Render(TextStyle::kColor), "\033[1mNAME\033[0m\na\n");
}

TEST(RenderProperties, ValuesAreBelowEachOther) {
  EXPECT_EQ(RenderProperties({{"a", "1"}, {"long", "2"}}, TextStyle::kPlain), "a     1\nlong  2\n");
}

TEST(RenderProgress, ShowsPercentBarRateAndEta) {
  EXPECT_EQ(RenderProgress("put x", 512 << 20, 1024 << 20, absl::Seconds(1), 100),
            "put x   50% [===============>              ] 512 MiB of 1.00 GiB  537 MB/s  eta 0:01");
}

TEST(RenderProgress, NeverWiderThanTheTerminal) {
  for (size_t width = 1; width < 120; ++width) {
    const std::string line = RenderProgress("put a-rather-long-name.safetensors", 5 << 20,
                                            uint64_t{100} << 30, absl::Seconds(3), width);
    EXPECT_LE(line.size(), width);
  }
}

TEST(RenderProgress, UnknownTotalShowsBytesAndRate) {
  EXPECT_EQ(RenderProgress("put -", 1 << 20, std::nullopt, absl::Seconds(1), 80),
            "put -  1.00 MiB  1.05 MB/s");
}

TEST(RenderProgress, StripesAreCountedAndHaveNoRate) {
  EXPECT_EQ(RenderProgress("fsck", 512, 1024, absl::Seconds(1), 100, ProgressUnit::kStripes),
            "fsck   50% [===============>              ] 512 of 1024 stripes  eta 0:01");
  EXPECT_EQ(RenderProgress("fsck", 7, std::nullopt, absl::Seconds(1), 80, ProgressUnit::kStripes),
            "fsck  7 stripes");
}

TEST(RenderProgress, MoreThanExpectedStaysAtHundredPercent) {
  EXPECT_NE(RenderProgress("x", 20, 10, absl::Seconds(1), 80).find("100%"), std::string::npos);
}

}  // namespace
}  // namespace cairn::cli
