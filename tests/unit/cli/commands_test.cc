// Goal: every command does what it says, with the exit code, the line on stderr and the JSON that
// scripts rely on. Method: whole command lines against the fake SDK.
#include <csignal>
#include <filesystem>

#include "gmock/gmock.h"
#include "tests/unit/cli/cli_fixture.h"

namespace cairn::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

std::string Pattern(size_t size) {
  std::string text(size, '\0');
  uint32_t state = 1;
  for (char& c : text) c = static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
  return text;
}

std::string Content(const testing::FakeFile& file) {
  return {reinterpret_cast<const char*>(file.content.data()), file.content.size()};
}

// ---- arguments and errors ----

TEST_F(CliTest, BadArgumentsExitOneWithTheHelpToSee) {
  const std::vector<std::vector<std::string>> wrong = {{},
                                                       {"frobnicate"},
                                                       {"ls", "--frob"},
                                                       {"put", "x"},
                                                       {"ckpt"},
                                                       {"ckpt", "x"},
                                                       {"ls", "--output", "x"},
                                                       {"stat"},
                                                       {"get"},
                                                       {"--timeout", "x", "ls"},
                                                       {"mv", "a"},
                                                       {"ckpt", "prune", "b", "--keep-last", "0"}};
  for (const auto& arguments : wrong) {
    const RunResult result = Run(arguments);
    EXPECT_EQ(result.code, 1);
    EXPECT_THAT(result.err, HasSubstr("cairn: bad arguments: "));
    EXPECT_THAT(result.err, HasSubstr("--help'"));
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    EXPECT_THAT(result.out, IsEmpty());
  }
  EXPECT_THAT(Run({"put", "x"}).err, HasSubstr("see 'cairn put --help'"));
  EXPECT_THAT(Run({"ckpt", "show"}).err, HasSubstr("see 'cairn ckpt show --help'"));
}

TEST_F(CliTest, GlobalOptionsWorkBeforeAndAfterTheCommand) {
  EXPECT_EQ(Run({"--endpoint", "h:1", "--timeout", "5s", "ls"}).code, 0);
  EXPECT_EQ(cluster_.last_options.endpoint, "h:1");
  EXPECT_EQ(cluster_.last_options.timeout, absl::Seconds(5));
  EXPECT_EQ(Run({"ls", "-e", "h:2", "--output", "json"}).json().size(), 1u);
  EXPECT_EQ(cluster_.last_options.endpoint, "h:2");
}

TEST_F(CliTest, PathsNamedLikeCommandsAreJustPaths) {
  EXPECT_EQ(Run({"mkdir", "status", "ckpt"}).code, 0);
  EXPECT_TRUE(cluster_.directories.contains("ckpt"));
  EXPECT_EQ(Run({"rm", "status", "-y"}).code, 0);
}

TEST_F(CliTest, BucketsAreMadeChangedAndShown) {
  EXPECT_EQ(Run({"bucket", "create", "models", "--redundancy", "ec:4+2"}).out,
            "made models: new files get ec:4+2\n");
  EXPECT_EQ(Run({"bucket", "create", "models"}).code, 1);
  EXPECT_EQ(Run({"bucket", "set", "models", "-r", "replica:3", "-o", "json"}).json()["redundancy"],
            "replica:3");
  EXPECT_EQ(Run({"bucket", "show", "models"}).out,
            "bucket       models\nredundancy   replica:3\nused         0 B\nquota        none\n"
            "files        0\ncheckpoints  0\n");
  const auto list = Run({"bucket", "ls", "-o", "json"}).json();
  ASSERT_EQ(list.size(), 1u);
  EXPECT_EQ(list[0]["name"], "models");
  EXPECT_EQ(Run({"bucket", "show", "other"}).code, 1);
  EXPECT_EQ(Run({"bucket", "set", "models"}).code, 1);
}

TEST_F(CliTest, AQuotaIsSetLiftedAndShown) {
  EXPECT_EQ(Run({"bucket", "create", "models", "--quota", "10TiB"}).out,
            "made models: new files get replica:1; 0 B used, quota 10.0 TiB\n");
  cluster_.buckets["models"].size_bytes = 5ull << 40;
  cluster_.buckets["models"].files = 7;
  cluster_.buckets["models"].checkpoints = 2;
  const auto shown = Run({"bucket", "show", "models", "-o", "json"}).json();
  EXPECT_EQ(shown["quota_bytes"], 10ull << 40);
  EXPECT_EQ(shown["size_bytes"], 5ull << 40);
  EXPECT_EQ(shown["checkpoints"], 2);
  const std::string list = Run({"bucket", "ls"}).out;
  EXPECT_NE(list.find("replica:1   5.00 TiB  10.0 TiB      7            2  models"),
            std::string::npos)
      << list;
  EXPECT_EQ(Run({"bucket", "set", "models", "--quota", "none"}).out,
            "changed models: new files get replica:1; 5.00 TiB used, quota none\n");
  EXPECT_TRUE(Run({"bucket", "show", "models", "-o", "json"}).json()["quota_bytes"].is_null());
}

TEST_F(CliTest, AQuotaThatIsNoneOrNoSizeIsRefusedInWords) {
  EXPECT_EQ(Run({"bucket", "create", "models"}).code, 0);
  const RunResult zero = Run({"bucket", "set", "models", "--quota", "0"});
  EXPECT_EQ(zero.code, 1);
  EXPECT_NE(zero.err.find("none"), std::string::npos) << zero.err;
  EXPECT_EQ(Run({"bucket", "set", "models", "--quota", "much"}).code, 1);
  EXPECT_EQ(Run({"bucket", "set", "models", "--spread", "targets"}).code, 1);
  const RunResult nothing = Run({"bucket", "set", "models"});
  EXPECT_EQ(nothing.code, 1);
  EXPECT_NE(nothing.err.find("--quota"), std::string::npos) << nothing.err;
}

TEST_F(CliTest, UnreachableExitsFour) {
  cluster_.connect_status = absl::UnavailableError("127.0.0.1:1: connection refused");
  const RunResult table = Run({"status", "-e", "127.0.0.1:1"});
  EXPECT_EQ(table.code, 4);
  EXPECT_EQ(table.err,
            "cairn: cannot connect to 127.0.0.1:1: 127.0.0.1:1: connection refused; check that "
            "cairnd runs there, or name another with --endpoint HOST:PORT\n");
  const RunResult json = Run({"status", "-o", "json"});
  EXPECT_EQ(json.code, 4);
  EXPECT_EQ(json.json()["error"]["code"], "UNAVAILABLE");
}

TEST_F(CliTest, ANodeThatStopsAnsweringExitsFour) {
  cluster_.errors["b/x"] = absl::DeadlineExceededError("no answer within 30s");
  EXPECT_EQ(Run({"stat", "b/x"}).code, 4);
  cluster_.connect_status = absl::DeadlineExceededError("127.0.0.1:1: no hello");
  EXPECT_EQ(Run({"status"}).code, 4);
}

TEST_F(CliTest, ABenchRankThatCannotConnectTellsWhy) {
  cluster_.connect_status = absl::UnavailableError("127.0.0.1:1: connection refused");
  const RunResult rank = Run({"bench", "rank", "--rank", "0", "--ranks", "1", "--size", "8"});
  EXPECT_EQ(rank.code, 4);
  EXPECT_EQ(rank.out, "error 14 127.0.0.1:1: connection refused\n");
}

TEST_F(CliTest, AMessageThatSaysWhatToDoGetsNoSecondHint) {
  cluster_.errors["b/x"] = absl::FailedPreconditionError("it is busy; wait a minute");
  EXPECT_EQ(Run({"stat", "b/x"}).err, "cairn: cannot stat b/x: it is busy; wait a minute\n");
}

TEST_F(CliTest, ErrorLinesStayOneLineWhateverTheMessage) {
  cluster_.errors["b/x"] = absl::InternalError("first\nsecond\x1b[2J.");
  const std::string err = Run({"stat", "b/x"}).err;
  EXPECT_THAT(err, HasSubstr("first second\\x1b[2J; this should not happen"));
  EXPECT_EQ(std::count(err.begin(), err.end(), '\n'), 1);
}

TEST_F(CliTest, AfterASignalCommandsEndWithItsCode) {
  interrupts_.Raise(SIGINT);
  WriteLocal("x", "1");
  EXPECT_EQ(Run({"put", LocalPath("x"), "b/x"}).code, 130);
  EXPECT_TRUE(cluster_.files.empty());
}

// ---- put, get, cat ----

TEST_F(CliTest, PutAndGetKeepEveryByteAtBufferEdges) {
  constexpr size_t kBuffer = size_t{32} << 20;
  for (const size_t size :
       {size_t{0}, size_t{1}, size_t{4096}, kBuffer - 1, kBuffer, kBuffer + 1}) {
    const std::string content = Pattern(size);
    WriteLocal("in", content);
    ASSERT_EQ(Run({"put", LocalPath("in"), "b/file"}).code, 0);
    ASSERT_TRUE(Content(cluster_.files["b/file"]) == content) << size;
    ASSERT_EQ(Run({"get", "b/file", LocalPath("out")}).code, 0);
    ASSERT_TRUE(ReadLocal("out") == content) << size;
  }
}

TEST_F(CliTest, PutFlushesOnlyBeforeABufferIsUsedAgain) {
  // Seven of eight buffers are on their way when the last one is full. Sparse: it is the lengths
  // that matter.
  constexpr size_t kWithout = size_t{7 * 32} << 20;
  for (const size_t size : {kWithout, kWithout + 5}) {
    WriteLocal("in", "first");
    std::filesystem::resize_file(LocalPath("in"), size);
    cluster_.flushes = 0;
    ASSERT_EQ(Run({"put", LocalPath("in"), "b/file"}).code, 0);
    EXPECT_EQ(cluster_.flushes, size > kWithout ? 1 : 0);
    EXPECT_EQ(cluster_.files["b/file"].content.size(), size);
    EXPECT_EQ(Content(cluster_.files["b/file"]).substr(0, 5), "first");
  }
}

TEST_F(CliTest, PutIntoADirectoryKeepsTheName) {
  WriteLocal("x", "1");
  WriteLocal("y", "2");
  EXPECT_EQ(Run({"put", LocalPath("x"), "b"}).code, 0);
  EXPECT_EQ(Run({"put", LocalPath("x"), LocalPath("y"), "b/sub/", "-p"}).code, 0);
  EXPECT_TRUE(cluster_.files.contains("b/x"));
  EXPECT_TRUE(cluster_.files.contains("b/sub/y"));
}

TEST_F(CliTest, PutOfADirectoryNeedsAndTakesRecursive) {
  WriteLocal("d/a", "1");
  WriteLocal("d/e/c", "2");
  const RunResult refused = Run({"put", LocalPath("d"), "b/d"});
  EXPECT_EQ(refused.code, 1);
  EXPECT_THAT(refused.err, HasSubstr("it is a directory; add -r"));
  EXPECT_EQ(Run({"put", "-r", LocalPath("d"), "b/d"}).code, 0);
  EXPECT_EQ(Content(cluster_.files["b/d/e/c"]), "2");
}

TEST_F(CliTest, PutOfSeveralWithOneMissingIsPartial) {
  WriteLocal("x", "1");
  const RunResult result =
      Run({"put", LocalPath("x"), LocalPath("none"), "b/", "--output", "json"});
  EXPECT_EQ(result.code, 2);
  EXPECT_EQ(result.json().size(), 2u);
  EXPECT_THAT(result.err, HasSubstr("none: No such file or directory"));
}

TEST_F(CliTest, PutOfOneThatFailsIsAnError) {
  WriteLocal("x", "1");
  EXPECT_EQ(Run({"put", LocalPath("x"), "nowhere/x"}).code, 1);
  EXPECT_EQ(Run({"put", LocalPath("missing"), "b/x"}).code, 1);
}

TEST_F(CliTest, PutRefusesTwoFilesOfOneName) {
  WriteLocal("p/x", "1");
  WriteLocal("q/x", "2");
  EXPECT_EQ(Run({"put", LocalPath("p/x"), LocalPath("q/x"), "b/"}).code, 1);
}

TEST_F(CliTest, GetLeavesNothingBehindWhenTheContentIsBad) {
  cluster_.AddFile("b/x", "content");
  cluster_.files["b/x"].crc32c ^= 1;
  const RunResult result = Run({"get", "b/x", LocalPath("x")});
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.err, HasSubstr("was committed"));
  EXPECT_THAT(LocalNames(), IsEmpty());
}

TEST_F(CliTest, GetThatFailsKeepsTheOldLocalFile) {
  cluster_.AddFile("b/x", "new");
  cluster_.errors["read:b/x"] = absl::DataLossError("block 3 is damaged");
  WriteLocal("x", "old");
  EXPECT_EQ(Run({"get", "b/x", LocalPath("x")}).code, 1);
  EXPECT_EQ(ReadLocal("x"), "old");
  EXPECT_THAT(LocalNames(), ElementsAre("x"));
}

TEST_F(CliTest, GetWritesThroughALocalSymlink) {
  cluster_.AddFile("b/x", "new");
  WriteLocal("real", "old");
  std::filesystem::create_symlink("real", LocalPath("link"));
  ASSERT_EQ(Run({"get", "b/x", LocalPath("link")}).code, 0);
  EXPECT_TRUE(std::filesystem::is_symlink(LocalPath("link")));
  EXPECT_EQ(ReadLocal("real"), "new");
  std::filesystem::create_symlink("nowhere", LocalPath("dangling"));
  const RunResult result = Run({"get", "b/x", LocalPath("dangling")});
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.err, HasSubstr("leads nowhere"));
  EXPECT_TRUE(std::filesystem::is_symlink(LocalPath("dangling")));
}

TEST_F(CliTest, GetOfATreeTellsTheSymlinksItLeavesOut) {
  cluster_.AddFile("b/x", "content");
  cluster_.directories["b/latest"] = EntryType::kSymlink;
  const RunResult result = Run({"get", "-r", "b", LocalPath("out")});
  EXPECT_EQ(result.code, 2);
  EXPECT_THAT(result.err, HasSubstr("cannot get b/latest: it is a symlink"));
  EXPECT_THAT(LocalNames(), ElementsAre("out/x"));
}

TEST_F(CliTest, GetOfACheckpointNeedsAndTakesRecursive) {
  cluster_.AddCheckpoint("b/step-1", 2, "data");
  EXPECT_THAT(Run({"get", "b/step-1", LocalPath("")}).err, HasSubstr("it is a checkpoint; add -r"));
  EXPECT_EQ(Run({"get", "-r", "b/step-1", LocalPath("out")}).code, 0);
  EXPECT_THAT(LocalNames(), ElementsAre("out/rank0.bin", "out/rank1.bin"));
}

TEST_F(CliTest, GetOfATreeWithABadFileIsPartial) {
  cluster_.AddCheckpoint("b/step-1", 2, "data");
  cluster_.errors["read:b/step-1/rank1.bin"] = absl::DataLossError("block 0 is damaged");
  const RunResult result = Run({"get", "-r", "b/step-1", LocalPath("out"), "-o", "json"});
  EXPECT_EQ(result.code, 2);
  EXPECT_EQ(result.json()[0]["ok"], true);
  EXPECT_EQ(result.json()[1]["error"]["code"], "DATA_LOSS");
  EXPECT_THAT(LocalNames(), ElementsAre("out/rank0.bin"));
}

TEST_F(CliTest, CatWritesContentAndNothingElse) {
  cluster_.AddFile("b/x", "one\n");
  cluster_.AddFile("b/y", std::string_view("two\0", 4));
  EXPECT_EQ(Run({"cat", "b/x", "b/y"}).out, std::string("one\ntwo\0", 8));
  EXPECT_EQ(Run({"get", "b/x", "-"}).out, "one\n");
  EXPECT_EQ(Run({"cat", "b/x", "b/none"}).code, 2);
  EXPECT_EQ(Run({"cat", "b/none"}).code, 1);
}

TEST_F(CliTest, ProgressAppearsOnlyWhenAskedOrOnATerminal) {
  WriteLocal("x", "12345");
  EXPECT_THAT(Run({"put", LocalPath("x"), "b/x"}).err, IsEmpty());
  EXPECT_THAT(Run({"put", LocalPath("x"), "b/x", "--progress", "always"}).err,
              HasSubstr("put x  100% ["));
  // On a terminal a quick transfer shows none: the clock stands still here.
  err_kind_ = StreamKind::kTerminal;
  EXPECT_THAT(Run({"put", LocalPath("x"), "b/x"}).err, IsEmpty());
}

// ---- the namespace ----

TEST_F(CliTest, ListShowsNamesDetailsAndJson) {
  cluster_.AddFile("b/x", "12345");
  cluster_.AddCheckpoint("b/step-1", 1, "data");
  EXPECT_EQ(Run({"ls"}).out, "b/\n");
  EXPECT_EQ(Run({"ls", "cairn://b/"}).out, "step-1/\nx\n");
  EXPECT_EQ(Run({"ls", "-r"}).out, "b/\nb/step-1/\nb/step-1/rank0.bin\nb/x\n");
  EXPECT_THAT(Run({"ls", "-l", "b"}).out, HasSubstr("file         5 B  18d12335"))
      << Run({"ls", "-l", "b"}).out;
  const auto json = Run({"ls", "b", "-o", "json"}).json();
  EXPECT_EQ(json[1]["path"], "b/x");
  EXPECT_EQ(json[1]["type"], "file");
  EXPECT_EQ(json[1]["size_bytes"], 5);
  EXPECT_EQ(json[0]["crc32c"], nullptr);
  EXPECT_EQ(Run({"ls", "b/x"}).out, "x\n");
  EXPECT_EQ(Run({"ls", "b/none"}).code, 1);
}

TEST_F(CliTest, RecursiveListWithAnUnreadableDirectoryIsPartial) {
  ASSERT_EQ(Run({"mkdir", "b/d"}).code, 0);
  cluster_.errors["list:b/d"] = absl::InternalError("broken");
  EXPECT_EQ(Run({"ls", "-r", "b"}).code, 2);
}

TEST_F(CliTest, RecursiveListThatListsNothingIsNotPartial) {
  cluster_.errors["list:b"] = absl::UnavailableError("gone");
  EXPECT_EQ(Run({"ls", "-r", "b"}).code, 4);
  EXPECT_EQ(Run({"get", "-r", "b", LocalPath("out")}).code, 4);
}

TEST_F(CliTest, StatShowsAFile) {
  cluster_.AddFile("b/x", "12345");
  EXPECT_THAT(Run({"stat", "b/x"}).out, HasSubstr("size      5 B (5 bytes)"));
  EXPECT_EQ(Run({"stat", "b/x", "-o", "json"}).json()["modified_at"], "1970-01-01T00:16:40.000Z");
}

TEST_F(CliTest, RemoveOfSeveralTellsWhichFailed) {
  cluster_.AddFile("b/x", "1");
  const RunResult result = Run({"rm", "b/x", "b/none", "-y", "-o", "json"});
  EXPECT_EQ(result.code, 2);
  EXPECT_EQ(result.json()[0]["ok"], true);
  EXPECT_EQ(result.json()[1]["error"]["code"], "NOT_FOUND");
  EXPECT_EQ(result.err,
            "cairn: cannot remove b/none: no such file or directory; see what is there with "
            "'cairn ls b'\n");
}

TEST_F(CliTest, MoveIntoADirectoryKeepsTheName) {
  cluster_.AddFile("b/x", "1");
  ASSERT_EQ(Run({"mkdir", "b/d"}).code, 0);
  EXPECT_EQ(Run({"mv", "b/x", "b/d"}).out, "moved b/x to b/d/x\n");
  EXPECT_TRUE(cluster_.files.contains("b/d/x"));
  EXPECT_EQ(Run({"mv", "b/none", "b/y"}).code, 1);
}

// ---- checkpoints ----

TEST_F(CliTest, CheckpointListShowsCommittedAndWithAllTheOthers) {
  cluster_.AddCheckpoint("b/step-1", 2, "data");
  cluster_.AddCheckpoint("b/step-2", 2, "data");
  cluster_.checkpoints["b/step-2"].committed = false;
  cluster_.checkpoints["b/step-2"].ranks_done = 1;
  EXPECT_EQ(Run({"ckpt", "ls", "b", "-o", "json"}).json().size(), 1u);
  EXPECT_THAT(Run({"ckpt", "ls", "b", "--all"}).out,
              HasSubstr("   -  writing      1/2       2   8 B   1m       b/step-2\n"))
      << Run({"ckpt", "ls", "b", "--all"}).out;
  EXPECT_THAT(Run({"ckpt", "ls"}).out, HasSubstr("b/step-1\n"));
}

TEST_F(CliTest, EmptyCheckpointListIsEmptyOnStdout) {
  const RunResult result = Run({"ckpt", "ls", "b"});
  EXPECT_EQ(result.code, 0);
  EXPECT_THAT(result.out, IsEmpty());
  EXPECT_EQ(Run({"ckpt", "ls", "b", "-o", "json"}).json(), nlohmann::json::array());
}

TEST_F(CliTest, CheckpointJsonHasItsStableFields) {
  cluster_.AddCheckpoint("b/step-1", 1, "data");
  cluster_.checkpoints["b/step-1"].attributes = {{"k", "v"}};
  const auto json = Run({"ckpt", "show", "b/step-1", "-o", "json"}).json();
  EXPECT_EQ(json["state"], "committed");
  EXPECT_EQ(json["attributes"]["k"], "v");
  EXPECT_EQ(json["step"], nullptr);
  EXPECT_EQ(json["shards"][0]["name"], "rank0.bin");
  std::vector<std::string> names;
  for (const auto& [name, value] : json.items()) names.push_back(name);
  EXPECT_THAT(names, ElementsAre("attempt", "attributes", "begun_at", "committed_at", "job",
                                 "missing_ranks", "path", "pinned", "ranks_done", "shard_count",
                                 "shards", "size_bytes", "state", "step", "world_size"));
}

TEST_F(CliTest, LatestPrintsThePathAlone) {
  cluster_.AddCheckpoint("b/step-1", 1, "data");
  cluster_.AddCheckpoint("b/step-2", 1, "data");
  EXPECT_EQ(Run({"ckpt", "latest", "b"}).out, "b/step-2\n");
  EXPECT_EQ(Run({"ckpt", "latest", "b/none"}).code, 1);
}

TEST_F(CliTest, VerifyOfAGoodCheckpointIsOk) {
  cluster_.AddCheckpoint("b/step-1", 3, Pattern(100000));
  const RunResult result = Run({"ckpt", "verify", "b/step-1", "-o", "json"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.json()["ok"], true);
  EXPECT_EQ(result.json()["read_bytes"], 300000);
}

TEST_F(CliTest, VerifyReadsShardsLargerThanItsBuffers) {
  cluster_.AddCheckpoint("b/step-1", 1, Pattern((size_t{16} << 20) * 3 + 5));
  EXPECT_EQ(Run({"ckpt", "verify", "b/step-1"}).code, 0);
}

TEST_F(CliTest, VerifyNamesEveryKindOfBadShardAndExitsTwo) {
  cluster_.AddCheckpoint("b/step-1", 5, "data");
  cluster_.errors["read:b/step-1/rank0.bin"] = absl::DataLossError("block 0 is damaged");
  cluster_.files["b/step-1/rank1.bin"].content[0] ^= std::byte{1};
  cluster_.files["b/step-1/rank2.bin"].content.pop_back();
  cluster_.files.erase("b/step-1/rank3.bin");
  const RunResult result = Run({"ckpt", "verify", "b/step-1"});
  EXPECT_EQ(result.code, 2);
  EXPECT_THAT(result.out,
              HasSubstr("bad: rank0.bin\nbad: rank1.bin\nbad: rank2.bin\nbad: rank3.bin\n"));
  EXPECT_THAT(result.out, HasSubstr("4 bad, 5 shards"));
  const auto json = Run({"ckpt", "verify", "b/step-1", "-o", "json"}).json();
  EXPECT_EQ(json["bad_shards"].size(), 4u);
  EXPECT_EQ(json["shards"][4]["ok"], true);
}

TEST_F(CliTest, VerifyWithEveryShardBadStillExitsTwo) {
  cluster_.AddCheckpoint("b/step-1", 1, "data");
  cluster_.files["b/step-1/rank0.bin"].content[0] ^= std::byte{1};
  EXPECT_EQ(Run({"ckpt", "verify", "b/step-1"}).code, 2);
}

TEST_F(CliTest, VerifyOfAManifestThatLostAShardExitsTwo) {
  cluster_.AddCheckpoint("b/step-1", 2, "data");
  cluster_.shards["b/step-1"].pop_back();
  EXPECT_EQ(Run({"ckpt", "verify", "b/step-1"}).code, 2);
}

TEST_F(CliTest, VerifyWhenTheNodeIsGoneExitsFour) {
  cluster_.AddCheckpoint("b/step-1", 1, "data");
  cluster_.errors["read:b/step-1/rank0.bin"] = absl::UnavailableError("gone");
  EXPECT_EQ(Run({"ckpt", "verify", "b/step-1"}).code, 4);
}

TEST_F(CliTest, VerifyTellsWhatItCouldNotReadFromWhatIsBad) {
  cluster_.AddCheckpoint("b/step-1", 3, "data");
  cluster_.errors["read:b/step-1/rank0.bin"] = absl::DeadlineExceededError("no answer");
  const RunResult unread = Run({"ckpt", "verify", "b/step-1"});
  EXPECT_EQ(unread.code, 4);
  EXPECT_THAT(unread.out, HasSubstr("0 bad, 1 not read, 3 shards"));
  EXPECT_THAT(unread.out, HasSubstr("not read: rank0.bin\n"));
  cluster_.errors["read:b/step-1/rank0.bin"] = absl::InternalError("broken");
  EXPECT_EQ(Run({"ckpt", "verify", "b/step-1"}).code, 1);
  cluster_.errors["read:b/step-1/rank1.bin"] = absl::DataLossError("block 0 is damaged");
  const RunResult both = Run({"ckpt", "verify", "b/step-1", "-o", "json"});
  EXPECT_EQ(both.code, 2);
  EXPECT_EQ(both.json()["bad_shards"], nlohmann::json({"rank1.bin"}));
  EXPECT_EQ(both.json()["unread_shards"], nlohmann::json({"rank0.bin"}));
}

TEST_F(CliTest, VerifyOfACheckpointReplacedMeanwhileBlamesNoShard) {
  cluster_.AddCheckpoint("b/step-1", 2, "data");
  // Its shards are those of attempt 2 by the time they are read.
  cluster_.AddFile("b/step-1/rank0.bin", "other data");
  cluster_.at_second_show = [this] { cluster_.checkpoints["b/step-1"].attempt = 2; };
  const RunResult replaced = Run({"ckpt", "verify", "b/step-1"});
  EXPECT_EQ(replaced.code, 1);
  EXPECT_THAT(replaced.err, HasSubstr("it was replaced while it was read"));
  EXPECT_THAT(replaced.err, Not(HasSubstr("bad shard")));
  cluster_.at_second_show = [this] { cluster_.checkpoints.erase("b/step-1"); };
  EXPECT_THAT(Run({"ckpt", "verify", "b/step-1"}).err, HasSubstr("it was removed"));
}

TEST_F(CliTest, VerifyOfOneBeingWrittenIsAnError) {
  cluster_.AddCheckpoint("b/step-1", 1, "data");
  cluster_.checkpoints["b/step-1"].committed = false;
  EXPECT_EQ(Run({"ckpt", "verify", "b/step-1"}).code, 1);
}

TEST_F(CliTest, PinnedCheckpointsAreNotRemoved) {
  cluster_.AddCheckpoint("b/step-1", 1, "data");
  EXPECT_EQ(Run({"ckpt", "pin", "b/step-1"}).out, "pinned b/step-1\n");
  EXPECT_EQ(Run({"ckpt", "rm", "b/step-1", "--yes"}).code, 1);
  EXPECT_EQ(Run({"ckpt", "unpin", "b/step-1"}).code, 0);
  EXPECT_EQ(Run({"ckpt", "rm", "b/step-1", "--yes"}).code, 0);
  EXPECT_TRUE(cluster_.checkpoints.empty());
}

TEST_F(CliTest, RetentionIsSetShownAndCleared) {
  EXPECT_EQ(Run({"ckpt", "retention", "b", "--keep-last", "3", "--keep-newer-than", "7d"}).out,
            "b keeps the newest 3, those newer than 7d 0h, the newest and pinned ones\n");
  const auto json = Run({"ckpt", "retention", "b", "-o", "json"}).json();
  EXPECT_EQ(json["keep_last"], 3);
  EXPECT_EQ(json["keep_newer_than_seconds"], 604800);
  EXPECT_EQ(Run({"ckpt", "retention", "b", "--clear", "--keep-last", "1"}).code, 1);
  EXPECT_THAT(Run({"ckpt", "retention", "b", "--clear"}).out, HasSubstr("no rule is set"));
}

TEST_F(CliTest, PruneTellsWhatItRemovesAndDryRunKeepsIt) {
  for (const char* path : {"b/step-1", "b/step-2", "b/step-3"}) {
    cluster_.AddCheckpoint(path, 1, "data");
  }
  EXPECT_THAT(Run({"ckpt", "prune", "b", "--keep-last", "1", "--dry-run"}).out,
              HasSubstr("would remove 2 checkpoints, 8 B\n"));
  EXPECT_EQ(cluster_.checkpoints.size(), 3u);
  const auto json = Run({"ckpt", "prune", "b", "--keep-last", "2", "-y", "-o", "json"}).json();
  EXPECT_EQ(json["removed"][0]["path"], "b/step-1");
  EXPECT_EQ(json["removed_bytes"], 4);
  EXPECT_EQ(cluster_.checkpoints.size(), 2u);
}

// ---- status ----

TEST_F(CliTest, StatusUnderstandsBothSpellingsOfProtobufJson) {
  cluster_.status_json = R"({"clusterId": "c1", "software_version": "0.1.0", "uptimeMs": "61000",
    "slabs": "8", "slabsFree": "6", "slabBytes": "4194304", "provider": "tcp",
    "map": {"version": "3", "targets": [{"id": 1, "state": "TARGET_UP", "capacityBytes": "1000",
    "usedBytes": "250", "path": "/d/t0"}]}, "warnings": ["slow"], "counters": {"a": "7"}})";
  const auto json = Run({"status", "-o", "json"}).json();
  EXPECT_EQ(json["cluster_id"], "c1");
  EXPECT_EQ(json["uptime_ms"], 61000);
  EXPECT_EQ(json["targets"][0]["used_bytes"], 250);
  EXPECT_EQ(json["targets"][0]["state"], "up");
  EXPECT_EQ(json["counters"]["a"], 7);
  const std::string out = Run({"status"}).out;
  EXPECT_THAT(out, HasSubstr("buffers   2 of 8 slabs of 4.00 MiB in use\n"));
  EXPECT_THAT(out, HasSubstr("warning: slow\n"));
  EXPECT_THAT(out, HasSubstr("25%          0  -      /d/t0\n"));
}

TEST_F(CliTest, StatusOfAStrangerIsAnError) {
  cluster_.status_json = "<html>";
  EXPECT_EQ(Run({"status"}).code, 1);
}

}  // namespace
}  // namespace cairn::cli
