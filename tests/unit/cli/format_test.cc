// Goal: what people read and type has the right number in it. Method: tables of values, with the
// edges between the units.
#include "client/cli/format.h"

#include "gtest/gtest.h"

namespace cairn::cli {
namespace {

TEST(HumanBytes, EachUnitHasThreeDigitsAndNeverFour) {
  EXPECT_EQ(HumanBytes(0), "0 B");
  EXPECT_EQ(HumanBytes(1023), "1023 B");
  EXPECT_EQ(HumanBytes(1024), "1.00 KiB");
  EXPECT_EQ(HumanBytes(1536), "1.50 KiB");
  EXPECT_EQ(HumanBytes(99 * 1024), "99.0 KiB");
  EXPECT_EQ(HumanBytes(1024 * 1024 - 1), "1.00 MiB");
  EXPECT_EQ(HumanBytes(uint64_t{640} << 30), "640 GiB");
  EXPECT_EQ(HumanBytes(UINT64_MAX), "16.0 EiB");
}

TEST(HumanRate, DecimalUnitsAndNoDivisionByZero) {
  EXPECT_EQ(HumanRate(1500000000, absl::Seconds(1)), "1.50 GB/s");
  EXPECT_EQ(HumanRate(10, absl::Seconds(1)), "0.01 kB/s");
  EXPECT_EQ(HumanRate(10, absl::ZeroDuration()), "-");
}

TEST(HumanFrequency, ThreeDigitsAndDecimalPrefixes) {
  EXPECT_EQ(HumanFrequency(0), "-");
  EXPECT_EQ(HumanFrequency(0.004), "-");
  EXPECT_EQ(HumanFrequency(0.4), "0.40/s");
  EXPECT_EQ(HumanFrequency(800), "800/s");
  EXPECT_EQ(HumanFrequency(999.6), "1.00k/s");
  EXPECT_EQ(HumanFrequency(12'345), "12.3k/s");
  EXPECT_EQ(HumanFrequency(3e6), "3.00M/s");
  EXPECT_EQ(HumanFrequency(1e15), "1000000G/s");
}

TEST(HumanDuration, UnitFollowsLength) {
  EXPECT_EQ(HumanDuration(absl::Microseconds(850)), "850 us");
  EXPECT_EQ(HumanDuration(absl::Microseconds(12300)), "12.3 ms");
  EXPECT_EQ(HumanDuration(absl::Milliseconds(4200)), "4.20 s");
  EXPECT_EQ(HumanDuration(absl::Seconds(200)), "3m 20s");
  EXPECT_EQ(HumanDuration(absl::Minutes(302)), "5h 02m");
  EXPECT_EQ(HumanDuration(absl::Hours(12 * 24 + 3)), "12d 3h");
  EXPECT_EQ(HumanDuration(-absl::Seconds(5)), "-5.00 s");
}

TEST(HumanAge, FutureIsNowAndUnsetIsDash) {
  const absl::Time now = absl::FromUnixSeconds(1000000000);
  EXPECT_EQ(HumanAge(now + absl::Seconds(5), now), "now");
  EXPECT_EQ(HumanAge(now - absl::Seconds(35), now), "35s");
  EXPECT_EQ(HumanAge(now - absl::Minutes(12), now), "12m");
  EXPECT_EQ(HumanAge(now - absl::Hours(30), now), "1d");
  EXPECT_EQ(HumanAge(now - absl::Hours(24 * 1000), now), "2y");
  EXPECT_EQ(HumanAge(absl::UnixEpoch(), now), "-");
}

TEST(ClockTime, HoursAppearWhenNeeded) {
  EXPECT_EQ(ClockTime(absl::Seconds(7)), "0:07");
  EXPECT_EQ(ClockTime(absl::Seconds(754)), "12:34");
  EXPECT_EQ(ClockTime(absl::Seconds(11222)), "3:07:02");
}

TEST(UtcTime, IsRfc3339AndEmptyWhenUnset) {
  EXPECT_EQ(UtcTime(absl::FromUnixMillis(1700000000123)), "2023-11-14T22:13:20.123Z");
  EXPECT_EQ(UtcTime(absl::UnixEpoch()), "");
}

TEST(ParseBytes, UnderstandsBinaryAndDecimalUnits) {
  EXPECT_EQ(*ParseBytes("4096"), 4096u);
  EXPECT_EQ(*ParseBytes("64KiB"), 65536u);
  EXPECT_EQ(*ParseBytes("64k"), 65536u);
  EXPECT_EQ(*ParseBytes("1.5 GiB"), 1610612736u);
  EXPECT_EQ(*ParseBytes("1GB"), 1000000000u);
  EXPECT_EQ(*ParseBytes("9007199254740993"), 9007199254740993u);
}

TEST(ParseBytes, RefusesWhatIsNoSize) {
  for (const char* text : {"", "x", "-1", "1.2.3", "1XiB", "1Kx", "99999999EiB", "GiB"}) {
    EXPECT_FALSE(ParseBytes(text).ok()) << text;
  }
}

TEST(ParseDuration, AddsItsParts) {
  EXPECT_EQ(*ParseDuration("90s"), absl::Seconds(90));
  EXPECT_EQ(*ParseDuration("1h30m"), absl::Minutes(90));
  EXPECT_EQ(*ParseDuration("7d"), absl::Hours(168));
  EXPECT_EQ(*ParseDuration("2w"), absl::Hours(336));
  EXPECT_EQ(*ParseDuration("15"), absl::Seconds(15));
  EXPECT_EQ(*ParseDuration("250ms"), absl::Milliseconds(250));
}

TEST(ParseDuration, RefusesWhatIsNoDuration) {
  for (const char* text : {"", "d", "-1s", "1y", "1h30x", "soon"}) {
    EXPECT_FALSE(ParseDuration(text).ok()) << text;
  }
}

TEST(Printable, TerminalSequencesAndBadUtf8AreEscaped) {
  EXPECT_EQ(Printable("plain/näme"), "plain/näme");
  EXPECT_EQ(Printable("a\x1b[2Jb"), "a\\x1b[2Jb");
  EXPECT_EQ(Printable("a\nb\x7f"), "a\\x0ab\\x7f");
  EXPECT_EQ(Printable("\xc2\x9b"), "\\xc2\\x9b");
  EXPECT_EQ(Printable("\xff\xc3"), "\\xff\\xc3");
  EXPECT_EQ(Printable("\xed\xa0\x80"), "\\xed\\xa0\\x80");
}

TEST(DisplayWidth, CountsCharactersNotBytes) { EXPECT_EQ(DisplayWidth("näme"), 4u); }

}  // namespace
}  // namespace cairn::cli
