// Goal: what is typed, and what mount(8) hands on, is what is mounted; and what is wrong is told
// before anything is. Method: the parsing alone, and whole command lines over a mounter that notes
// what it is asked for.
#include <unistd.h>

#include <string>
#include <vector>

#include "client/cli/mount_arguments.h"
#include "common/base/posix_error.h"
#include "gmock/gmock.h"
#include "tests/unit/cli/cli_fixture.h"

namespace cairn::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// ---- the source ----

// "ENDPOINT PATH", or the error.
std::string Parsed(std::string_view text) {
  const auto source = ParseMountSource(text);
  if (!source.ok()) return std::string(source.status().message());
  return source->endpoint + " " + source->path;
}

TEST(ParseMountSource, IsNodesAndAPath) {
  EXPECT_EQ(Parsed("h:1:/b/x"), "h:1 b/x");
  EXPECT_EQ(Parsed("h:1:/"), "h:1 ");
  EXPECT_EQ(Parsed("h:1"), "h:1 ");
  EXPECT_EQ(Parsed("10.0.0.5:7440:/b/x/"), "10.0.0.5:7440 b/x");
}

TEST(ParseMountSource, SeveralNodesHaveCommasBetweenThem) {
  EXPECT_EQ(Parsed("a:1,b:2:/x"), "a:1,b:2 x");
  EXPECT_EQ(Parsed("a:1,b:2"), "a:1,b:2 ");
}

TEST(ParseMountSource, Ipv6HasColonsOfItsOwn) {
  EXPECT_EQ(Parsed("[::1]:7440:/b"), "[::1]:7440 b");
  EXPECT_EQ(Parsed("[fe80::1]:7440,[::1]:7441"), "[fe80::1]:7440,[::1]:7441 ");
}

TEST(ParseMountSource, WithoutNodesThoseOfTheSettingsAreMeant) {
  EXPECT_EQ(Parsed(":/b"), " b");
  EXPECT_EQ(Parsed(":/"), " ");
}

TEST(ParseMountSource, AColonAndASlashInAPathBelongToIt) {
  EXPECT_EQ(Parsed("h:1:/b/a:/c"), "h:1 b/a:/c");
}

TEST(ParseMountSource, FstabMayNameTheProgram) { EXPECT_EQ(Parsed("cairn#h:1:/b"), "h:1 b"); }

TEST(ParseMountSource, WhatNamesNoNodesIsToldHowItIsWritten) {
  for (const char* text : {"", "host", "host:/b", "h:1,:/b", "a:1,,b:2:/x", "/b/x", "b/x"})
    EXPECT_THAT(Parsed(text), HasSubstr("is no source; write HOST:PORT")) << text;
}

// ---- -o ----

TEST(ApplyMountOptions, TakesTheCommandsOwnWithEitherSpelling) {
  MountArguments arguments;
  ASSERT_TRUE(ApplyMountOptions("ro,allow_other,threads=8,dirty_bytes=1GiB,readahead=4MiB,"
                                "attr-timeout=5s,timeout=30,log_file=/l,metrics=h:1,fsname=f",
                                &arguments)
                  .ok());
  EXPECT_TRUE(arguments.read_only);
  EXPECT_EQ(arguments.sharing, Sharing::kAll);
  EXPECT_EQ(arguments.threads, 8);
  EXPECT_EQ(arguments.dirty_bytes, uint64_t{1} << 30);
  EXPECT_EQ(arguments.readahead_bytes, uint64_t{4} << 20);
  EXPECT_EQ(arguments.attribute_timeout, absl::Seconds(5));
  EXPECT_EQ(arguments.timeout, absl::Seconds(30));
  EXPECT_EQ(arguments.log_file, "/l");
  EXPECT_EQ(arguments.metrics_address, "h:1");
  EXPECT_EQ(arguments.shown_source, "f");
}

TEST(ApplyMountOptions, TheLastOfOppositesCounts) {
  MountArguments arguments;
  ASSERT_TRUE(ApplyMountOptions("ro,rw", &arguments).ok());
  EXPECT_FALSE(arguments.read_only);
  ASSERT_TRUE(ApplyMountOptions("rw,ro", &arguments).ok());
  EXPECT_TRUE(arguments.read_only);
}

TEST(ApplyMountOptions, HandsTheKernelsOnAndPassesOverMounts) {
  MountArguments arguments;
  ASSERT_TRUE(
      ApplyMountOptions("defaults,noatime,_netdev,nofail,nodev,x-systemd.mount-timeout=90,user,"
                        "user=me,comment=x,noauto,default_permissions,subtype=cairn,suid,,",
                        &arguments)
          .ok());
  EXPECT_THAT(arguments.kernel_options, ElementsAre("noatime", "nodev", "suid"));
}

TEST(ApplyMountOptions, ACommaMayBeEscaped) {
  MountArguments arguments;
  ASSERT_TRUE(ApplyMountOptions("fsname=a:1\\,b:2:/x,ro", &arguments).ok());
  EXPECT_EQ(arguments.shown_source, "a:1,b:2:/x");
  EXPECT_TRUE(arguments.read_only);
}

TEST(ApplyMountOptions, WhatIsUnknownOrWrongIsNamed) {
  MountArguments arguments;
  const auto error = [&arguments](const char* list) {
    return std::string(ApplyMountOptions(list, &arguments).message());
  };
  EXPECT_THAT(error("ro,nonsense"), HasSubstr("unknown mount option 'nonsense'; there are ro"));
  EXPECT_THAT(error("nonsense=1"), HasSubstr("unknown mount option 'nonsense=1'"));
  EXPECT_THAT(error("threads"), HasSubstr("unknown mount option 'threads'"));
  EXPECT_THAT(error("threads=0"), HasSubstr("-o threads: '0' threads make no sense"));
  EXPECT_THAT(error("threads=x"), HasSubstr("'x' threads make no sense"));
  EXPECT_THAT(error("dirty-bytes=much"), HasSubstr("-o dirty-bytes: "));
  EXPECT_THAT(error("timeout=soon"), HasSubstr("-o timeout: 'soon' is not a duration"));
}

// ---- the log ----

TEST(DefaultMountLog, IsWhereLogsAreKept) {
  std::map<std::string, std::string> set;
  const Environment environment = [&set](const std::string& name) -> std::optional<std::string> {
    const auto at = set.find(name);
    return at == set.end() ? std::nullopt : std::optional(at->second);
  };
  EXPECT_EQ(DefaultMountLog("/mnt/data", true, environment), "/var/log/cairn/mount-mnt-data.log");
  EXPECT_EQ(DefaultMountLog("/", true, environment), "/var/log/cairn/mount-.log");
  EXPECT_EQ(DefaultMountLog("/mnt/data/", false, environment), "");
  set["HOME"] = "/home/me";
  EXPECT_EQ(DefaultMountLog("/mnt/data/", false, environment),
            "/home/me/.local/state/cairn/mount-mnt-data.log");
  set["XDG_STATE_HOME"] = "/state";
  EXPECT_EQ(DefaultMountLog("/mnt", false, environment), "/state/cairn/mount-mnt.log");
  set["XDG_STATE_HOME"] = "relative";
  EXPECT_EQ(DefaultMountLog("/mnt", false, environment),
            "/home/me/.local/state/cairn/mount-mnt.log");
}

// ---- the commands ----

class MountTest : public CliTest {
 protected:
  MountTest() {
    mounter_.run = [this](const MountOptions& options, const MountEvents& events) {
      mounted_.push_back(options);
      if (!result_.ok()) return result_;
      events.on_ready();
      asked_to_stop_ = events.stop_requested();
      return absl::OkStatus();
    };
    mounter_.unmount = [this](const std::string& mount_point, UnmountMode mode) {
      unmounted_.emplace_back(mount_point, mode);
      return result_;
    };
  }

  // What is mounted, in the foreground.
  MountOptions Mounted(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"mount", "--foreground"});
    const RunResult result = Run(std::move(arguments));
    EXPECT_EQ(result.code, 0) << result.err;
    if (mounted_.empty()) return {};
    return mounted_.back();
  }

  std::vector<MountOptions> mounted_;
  std::vector<std::pair<std::string, UnmountMode>> unmounted_;
  absl::Status result_;
  bool asked_to_stop_ = true;
};

TEST_F(MountTest, WithoutOptionsTheDefaultsApply) {
  const MountOptions options = Mounted({"h:1:/b/x", "/mnt"});
  EXPECT_EQ(options.client.endpoint, "h:1");
  EXPECT_EQ(options.client.timeout, absl::Seconds(60));
  EXPECT_EQ(options.client.connect_timeout, absl::Seconds(5));
  EXPECT_EQ(options.path, "b/x");
  EXPECT_EQ(options.mount_point, "/mnt");
  EXPECT_EQ(options.source, "cairn#h:1:/b/x");
  EXPECT_FALSE(options.read_only);
  EXPECT_EQ(options.allow_other, geteuid() == 0);
  EXPECT_EQ(options.threads, 32);
  EXPECT_EQ(options.attribute_timeout, absl::Seconds(1));
  EXPECT_EQ(options.file_system.dirty_bytes_max, uint64_t{256} << 20);
  EXPECT_EQ(options.file_system.readahead_bytes, uint64_t{32} << 20);
  EXPECT_EQ(options.log_file, "");
  EXPECT_EQ(options.metrics_address, "");
  EXPECT_FALSE(asked_to_stop_);
}

TEST_F(MountTest, OptionsAreWhatIsMounted) {
  const MountOptions options =
      Mounted({"h:1:/b",        "/mnt/", "--read-only", "--only-me", "--threads",      "4",
               "--dirty-bytes", "1MiB",  "--readahead", "2MiB",      "--attr-timeout", "3s",
               "--timeout",     "2s",    "--log-file",  "/l",        "--metrics",      "m:1",
               "--fsname",      "shown", "-o",          "noatime"});
  EXPECT_TRUE(options.read_only);
  EXPECT_FALSE(options.allow_other);
  EXPECT_EQ(options.mount_point, "/mnt");
  EXPECT_EQ(options.threads, 4);
  EXPECT_EQ(options.file_system.dirty_bytes_max, uint64_t{1} << 20);
  EXPECT_EQ(options.file_system.readahead_bytes, uint64_t{2} << 20);
  EXPECT_EQ(options.attribute_timeout, absl::Seconds(3));
  EXPECT_EQ(options.client.timeout, absl::Seconds(2));
  EXPECT_EQ(options.client.connect_timeout, absl::Seconds(2));
  EXPECT_EQ(options.log_file, "/l");
  EXPECT_EQ(options.metrics_address, "m:1");
  EXPECT_EQ(options.source, "shown");
  EXPECT_THAT(options.kernel_options, ElementsAre("noatime"));
}

TEST_F(MountTest, DashOIsOfMountsAndOutputIsStillThere) {
  const RunResult result = Run({"mount", "-f", "h:1", "/mnt", "-o", "ro", "--output", "json"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_TRUE(mounted_.at(0).read_only);
  EXPECT_TRUE(Mounted({"h:1", "/mnt", "-o", "rw,allow_other", "-o", "ro"}).read_only);
}

TEST_F(MountTest, WithoutNodesItIsTheClusterOfTheSettings) {
  EXPECT_EQ(Mounted({":/b", "/mnt", "-e", "other:1"}).client.endpoint, "other:1");
  EXPECT_EQ(Mounted({":/b", "/mnt"}).source, "cairn#127.0.0.1:7440:/b");
}

TEST_F(MountTest, ARelativeDirectoryIsMadeAbsolute) {
  EXPECT_THAT(Mounted({"h:1", "here/../there"}).mount_point, ::testing::EndsWith("/there"));
  EXPECT_EQ(Mounted({"h:1", "there"}).mount_point[0], '/');
}

TEST_F(MountTest, TheServiceIsToldOfTheDirectoryInUtf8) {
  EXPECT_EQ(Mounted({"h:1", "/mnt/\xC3\xA9"}).file_system.name, "/mnt/\xC3\xA9");
  const MountOptions options = Mounted({"h:1", "/mnt/\xE9"});
  EXPECT_EQ(options.mount_point, "/mnt/\xE9");
  EXPECT_EQ(options.file_system.name, "/mnt/\\xe9");
}

TEST_F(MountTest, WhatIsWrongIsToldBeforeAnythingIsMounted) {
  const RunResult source = Run({"mount", "-f", "host", "/mnt"});
  EXPECT_EQ(source.code, 1);
  EXPECT_THAT(source.err, HasSubstr("cannot mount host at /mnt: 'host' is no source; write "));
  const RunResult option = Run({"mount", "-f", "h:1", "/mnt", "-o", "nonsense"});
  EXPECT_EQ(option.code, 1);
  EXPECT_THAT(option.err, HasSubstr("unknown mount option 'nonsense'"));
  EXPECT_EQ(Run({"mount", "-f", "h:1"}).code, 1);
  EXPECT_EQ(Run({"mount", "-f", "h:1", "/mnt", "--threads", "0"}).code, 1);
  EXPECT_THAT(mounted_, IsEmpty());
}

TEST_F(MountTest, FailuresSayWhatToDoAndKeepTheExitCodes) {
  result_ = PosixError(ENOENT, "no such directory b/x");
  const RunResult missing = Run({"mount", "-f", "h:1:/b/x", "/mnt"});
  EXPECT_EQ(missing.code, 1);
  EXPECT_EQ(missing.err,
            "cairn: cannot mount h:1:/b/x at /mnt: no such directory b/x; 'cairn ls' "
            "lists what there is, 'cairn mkdir' makes a directory\n");
  result_ = absl::UnavailableError("no node answers");
  const RunResult unreachable = Run({"mount", "-f", "h:1", "/mnt", "--output", "json"});
  EXPECT_EQ(unreachable.code, 4);
  EXPECT_EQ(unreachable.json()["error"]["code"], "UNAVAILABLE");
}

TEST_F(MountTest, UmountTakesOneOfThreeWays) {
  EXPECT_EQ(Run({"umount", "/mnt/"}).code, 0);
  EXPECT_EQ(Run({"umount", "--lazy", "/mnt"}).code, 0);
  EXPECT_EQ(Run({"umount", "/mnt", "--force"}).code, 0);
  EXPECT_THAT(unmounted_, ElementsAre(std::pair("/mnt", UnmountMode::kClean),
                                      std::pair("/mnt", UnmountMode::kLazy),
                                      std::pair("/mnt", UnmountMode::kForce)));
  EXPECT_EQ(Run({"umount", "/mnt", "--force", "--lazy"}).code, 1);
  result_ = PosixError(EBUSY, "it is in use; close it");
  EXPECT_EQ(Run({"umount", "/mnt"}).err, "cairn: cannot unmount /mnt: it is in use; close it\n");
}

TEST_F(MountTest, AProgramWithoutFuseSaysSo) {
  mounter_ = {};
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{"mount", "h:1", "/mnt"}, {"umount", "/mnt"}}) {
    const RunResult result = Run(command);
    EXPECT_EQ(result.code, 1);
    EXPECT_THAT(result.err, HasSubstr("built without FUSE; install libfuse3-dev"));
  }
}

}  // namespace
}  // namespace cairn::cli
