// Goal: a proof convinces only who has the same secret and was asked the same thing, and a secret
// that others can read is refused. Method: proofs computed elsewhere, changed one thing at a time;
// files with every mode.

#include "server/cluster/cluster_secret.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>

#include "absl/strings/escaping.h"
#include "common/base/strings.h"

namespace cairn {
namespace {

using testing::HasSubstr;
using testing::MatchesRegex;
using testing::Not;
using Side = ClusterSecret::Side;

constexpr char kText[] = "correct horse battery staple";
constexpr char kCluster[] = "5f0c1b1e-0000-4000-8000-00000000cafe";
constexpr SessionId kSession{0x0123456789abcdef};

ClusterSecret Secret(std::string_view text) { return *ClusterSecret::FromText(text); }

// 00 01 02 ... 0f
std::string Challenge() {
  std::string challenge;
  for (char byte = 0; byte < 16; ++byte) challenge += byte;
  return challenge;
}

// The same in Python:
//   def proof(secret, side, cluster, session, challenge):
//       fields = (cluster, struct.pack("<Q", session), challenge)
//       text = b"cairn node proof 1\0" + side + b"".join(struct.pack("<I", len(f)) + f for f in
//       fields) return hmac.new(secret, text, "sha256").hexdigest()
//   proof(b"correct horse battery staple", b"c", b"5f0c1b1e-0000-4000-8000-00000000cafe",
//         0x0123456789abcdef, b"")   # and b"a", bytes(range(16))
TEST(ClusterSecret, ProofsAreThoseComputedElsewhere) {
  const ClusterSecret secret = Secret(kText);
  EXPECT_EQ(absl::BytesToHexString(ToAbsl(secret.Prove(Side::kCaller, kCluster, kSession, ""))),
            "445ef3dde06b77600f3ad5f3140d557ab2a9268bfc98cbfb128251e41aee7269");
  EXPECT_EQ(absl::BytesToHexString(
                ToAbsl(secret.Prove(Side::kAnswerer, kCluster, kSession, Challenge()))),
            "16317f97d98cdeaa8df59d0a3f6981bb0f047c62ed3b01941636dc9ef5761dce");
}

TEST(ClusterSecret, AProofIsGoodForWhatItWasMadeForAndNothingElse) {
  const ClusterSecret secret = Secret(kText);
  for (const Side side : {Side::kCaller, Side::kAnswerer}) {
    const Side other = side == Side::kCaller ? Side::kAnswerer : Side::kCaller;
    const std::string challenge = Challenge();
    const std::string proof = secret.Prove(side, kCluster, kSession, challenge);
    EXPECT_TRUE(secret.Check(side, kCluster, kSession, challenge, proof));
    EXPECT_TRUE(Secret(kText).Check(side, kCluster, kSession, challenge, proof));
    EXPECT_FALSE(secret.Check(other, kCluster, kSession, challenge, proof));
    EXPECT_FALSE(secret.Check(side, "another", kSession, challenge, proof));
    EXPECT_FALSE(secret.Check(side, kCluster, SessionId(1), challenge, proof));
    EXPECT_FALSE(secret.Check(side, kCluster, kSession, "another", proof));
    EXPECT_FALSE(secret.Check(side, kCluster, kSession, "", proof));
    EXPECT_FALSE(
        Secret("another horse, no battery").Check(side, kCluster, kSession, challenge, proof));
  }
}

TEST(ClusterSecret, NoByteOfOneFieldCountsAsPartOfAnother) {
  const ClusterSecret secret = Secret(kText);
  std::set<std::string> proofs;
  const std::string all = "abcdef";
  for (size_t cut = 0; cut <= all.size(); ++cut)
    proofs.insert(secret.Prove(Side::kCaller, all.substr(0, cut), kSession, all.substr(cut)));
  EXPECT_EQ(proofs.size(), all.size() + 1);
}

TEST(ClusterSecret, AProofWithAnyBitOrByteWrongIsRefused) {
  const ClusterSecret secret = Secret(kText);
  const std::string proof = secret.Prove(Side::kCaller, kCluster, kSession, "");
  const auto is_good = [&secret](const std::string& tried) {
    return secret.Check(Side::kCaller, kCluster, kSession, "", tried);
  };
  ASSERT_EQ(proof.size(), 32u);
  ASSERT_TRUE(is_good(proof));
  for (size_t length = 0; length < proof.size(); ++length)
    EXPECT_FALSE(is_good(proof.substr(0, length))) << length;
  EXPECT_FALSE(is_good(proof + '\0'));
  EXPECT_FALSE(is_good(proof + proof));
  for (size_t bit = 0; bit < 8 * proof.size(); ++bit) {
    std::string wrong = proof;
    wrong[bit / 8] = static_cast<char>(wrong[bit / 8] ^ 1 << bit % 8);
    EXPECT_FALSE(is_good(wrong)) << bit;
  }
}

TEST(ClusterSecret, WhiteSpaceAroundTheTextIsNotPartOfIt) {
  const std::string proof = Secret(kText).Prove(Side::kCaller, kCluster, kSession, "");
  EXPECT_TRUE(
      Secret(StrCat("\t ", kText, " \r\n")).Check(Side::kCaller, kCluster, kSession, "", proof));
}

TEST(ClusterSecret, ATextTooShortOrTooLongIsRefusedWithoutBeingShown) {
  EXPECT_TRUE(ClusterSecret::FromText(std::string(16, 'x')).ok());
  EXPECT_TRUE(ClusterSecret::FromText(std::string(1024, 'x')).ok());
  for (const std::string& text : {std::string(), std::string(15, 'x'), std::string(1025, 'x'),
                                  "   " + std::string(15, 'x') + "\n"}) {
    const auto secret = ClusterSecret::FromText(text);
    EXPECT_EQ(secret.status().code(), absl::StatusCode::kInvalidArgument) << text.size();
    EXPECT_THAT(std::string(secret.status().message()), HasSubstr("16 to 1024 characters"));
    EXPECT_THAT(std::string(secret.status().message()), Not(HasSubstr("xxx")));
  }
}

class ClusterSecretFileTest : public testing::Test {
 protected:
  ClusterSecretFileTest() {
    std::string pattern = testing::TempDir() + "/cairn-XXXXXX";
    base_ = mkdtemp(pattern.data());
    path_ = base_ + "/cluster.secret";
  }
  ~ClusterSecretFileTest() override { std::filesystem::remove_all(base_); }

  void Write(std::string_view text, mode_t mode) const {
    std::filesystem::remove(path_);
    std::ofstream(path_, std::ios::binary) << text;
    ASSERT_EQ(chmod(path_.c_str(), mode), 0);
  }
  static std::string Content(const std::string& path) {
    std::ostringstream bytes;
    bytes << std::ifstream(path, std::ios::binary).rdbuf();
    return bytes.str();
  }
  static std::string ProofOf(const absl::StatusOr<ClusterSecret>& secret) {
    EXPECT_TRUE(secret.ok()) << secret.status();
    return secret.ok() ? secret->Prove(Side::kCaller, kCluster, kSession, "") : "";
  }
  std::string Refusal(absl::StatusCode code) const {
    const auto secret = ClusterSecret::ReadFile(path_);
    EXPECT_EQ(secret.status().code(), code) << secret.status();
    return std::string(secret.status().message());
  }
  std::set<std::string> Names() const {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(base_))
      names.insert(entry.path().filename().string());
    return names;
  }

  std::string base_;
  std::string path_;
  SeededRandom random_{7};
};

TEST_F(ClusterSecretFileTest, AFileOfTheOwnersAloneIsRead) {
  for (const mode_t mode : {0600, 0400, 0700, 0611}) {
    Write(StrCat(kText, "\n"), mode);
    EXPECT_EQ(ProofOf(ClusterSecret::ReadFile(path_)), ProofOf(Secret(kText))) << mode;
  }
}

TEST_F(ClusterSecretFileTest, AFileThatOthersMayReadOrWriteIsRefusedWithWhatToDo) {
  for (const mode_t mode : {0640, 0620, 0604, 0602, 0644, 0666}) {
    Write(kText, mode);
    const std::string message = Refusal(absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(message, HasSubstr("chmod 600 " + path_)) << mode;
    EXPECT_THAT(message, Not(HasSubstr("horse")));
  }
}

TEST_F(ClusterSecretFileTest, NoFileOrNoneOfTheRightKindIsRefused) {
  EXPECT_THAT(Refusal(absl::StatusCode::kNotFound), HasSubstr(path_));
  ASSERT_EQ(mkdir(path_.c_str(), 0700), 0);
  EXPECT_THAT(Refusal(absl::StatusCode::kFailedPrecondition), HasSubstr("not a regular file"));
  ASSERT_EQ(rmdir(path_.c_str()), 0);
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  EXPECT_THAT(Refusal(absl::StatusCode::kFailedPrecondition), HasSubstr("not a regular file"));
}

TEST_F(ClusterSecretFileTest, WrongContentIsRefusedByTheFilesNameOnly) {
  for (const size_t length : {0, 15, 1025, 4097, 100'000}) {
    Write(std::string(length, 'x'), 0600);
    const std::string message = Refusal(absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(message, HasSubstr(path_));
    EXPECT_THAT(message, Not(HasSubstr("xxx")));
  }
  Write(std::string(3072, ' ') + std::string(1024, 'x'), 0600);
  EXPECT_TRUE(ClusterSecret::ReadFile(path_).ok());
}

TEST_F(ClusterSecretFileTest, AFileMadeHasAFreshSecretForItsOwnerAlone) {
  const mode_t mask = umask(0);
  const auto made = ClusterSecret::MakeFile(path_, random_);
  umask(mask);
  EXPECT_EQ(ProofOf(made), ProofOf(ClusterSecret::ReadFile(path_)));
  EXPECT_THAT(Content(path_), MatchesRegex("[0-9a-f]{64}\n"));
  struct stat info {};
  ASSERT_EQ(stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
  EXPECT_EQ(info.st_nlink, 1u);
  const std::string first = Content(path_);
  std::filesystem::remove(path_);
  ASSERT_TRUE(ClusterSecret::MakeFile(path_, random_).ok());
  EXPECT_NE(Content(path_), first);
}

TEST_F(ClusterSecretFileTest, AFileThatExistsIsNeverReplaced) {
  ASSERT_TRUE(ClusterSecret::MakeFile(path_, random_).ok());
  const std::string first = Content(path_);
  const auto second = ClusterSecret::MakeFile(path_, random_);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kAlreadyExists) << second.status();
  EXPECT_THAT(std::string(second.status().message()), HasSubstr(path_));
  EXPECT_EQ(Content(path_), first);
  EXPECT_EQ(Names(), std::set<std::string>{"cluster.secret"});
}

TEST_F(ClusterSecretFileTest, WhatACrashLeftIsReplacedWhateverItIs) {
  std::ofstream(path_ + ".new") << "half";
  ASSERT_EQ(chmod((path_ + ".new").c_str(), 0644), 0);
  ASSERT_TRUE(ClusterSecret::MakeFile(path_, random_).ok());
  EXPECT_TRUE(ClusterSecret::ReadFile(path_).ok());
  std::filesystem::remove(path_);
  // A name that points elsewhere is not written through.
  const std::string elsewhere = base_ + "/elsewhere";
  ASSERT_EQ(symlink(elsewhere.c_str(), (path_ + ".new").c_str()), 0);
  ASSERT_TRUE(ClusterSecret::MakeFile(path_, random_).ok());
  EXPECT_EQ(Names(), std::set<std::string>{"cluster.secret"});
}

TEST_F(ClusterSecretFileTest, ADirectoryThatIsMissingIsAnError) {
  const auto made = ClusterSecret::MakeFile(base_ + "/none/cluster.secret", random_);
  EXPECT_EQ(made.status().code(), absl::StatusCode::kNotFound) << made.status();
}

TEST_F(ClusterSecretFileTest, ANameWithoutADirectoryIsOneOfTheWorkingDirectory) {
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(base_);
  const auto made = ClusterSecret::MakeFile("cluster.secret", random_);
  std::filesystem::current_path(before);
  EXPECT_EQ(ProofOf(made), ProofOf(ClusterSecret::ReadFile(path_)));
}

}  // namespace
}  // namespace cairn
