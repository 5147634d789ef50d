// Goal: the C binding passes everything on unharmed: codes, messages, structs of older and newer
// callers, null pointers. Method: the C functions over the fake SDK.
#include <cstring>
#include <memory>
#include <string>

#include "cairn/cairn.h"
#include "gmock/gmock.h"
#include "tests/unit/cli/fake_sdk.h"

namespace cairn {
namespace {

using ::testing::HasSubstr;

class CApi : public ::testing::Test {
 protected:
  CApi() {
    cluster_.Reset();
    EXPECT_EQ(cairn_connect(nullptr, &client_), CAIRN_OK) << cairn_last_error();
  }
  ~CApi() override { cairn_close(client_); }

  testing::FakeCluster& cluster_ = testing::FakeCluster::Get();
  cairn_client* client_ = nullptr;
};

TEST_F(CApi, ConnectPassesItsOptionsOn) {
  cairn_connect_options options = CAIRN_CONNECT_OPTIONS_INIT;
  options.endpoint = "h:1";
  options.timeout_ms = 1500;
  options.window = 3;
  cairn_client* client = nullptr;
  ASSERT_EQ(cairn_connect(&options, &client), CAIRN_OK);
  cairn_close(client);
  EXPECT_EQ(cluster_.last_options.endpoint, "h:1");
  EXPECT_EQ(cluster_.last_options.timeout, absl::Milliseconds(1500));
  EXPECT_EQ(cluster_.last_options.window, 3);
}

TEST_F(CApi, TimeoutsBeyondAnyClockAreForEver) {
  cairn_connect_options options = CAIRN_CONNECT_OPTIONS_INIT;
  options.timeout_ms = UINT64_MAX;
  cairn_client* client = nullptr;
  ASSERT_EQ(cairn_connect(&options, &client), CAIRN_OK);
  cairn_close(client);
  EXPECT_EQ(cluster_.last_options.timeout, absl::InfiniteDuration());
  cairn_checkpoint* checkpoint = nullptr;
  ASSERT_EQ(cairn_begin(client_, "b/c", nullptr, &checkpoint), CAIRN_OK);
  ASSERT_EQ(cairn_rank_done(checkpoint), CAIRN_OK);
  EXPECT_EQ(cairn_commit(checkpoint, UINT64_MAX, nullptr), CAIRN_OK);
  EXPECT_EQ(cluster_.last_commit_timeout, absl::InfiniteDuration());
  cairn_checkpoint_free(checkpoint);
}

TEST_F(CApi, CommitWithABadStructDoesNotCommit) {
  cairn_checkpoint* checkpoint = nullptr;
  ASSERT_EQ(cairn_begin(client_, "b/c", nullptr, &checkpoint), CAIRN_OK);
  ASSERT_EQ(cairn_rank_done(checkpoint), CAIRN_OK);
  auto info = std::make_unique<cairn_checkpoint_info>();
  info->size = 0;
  EXPECT_EQ(cairn_commit(checkpoint, 0, info.get()), CAIRN_ERR_INVALID_ARGUMENT);
  EXPECT_FALSE(cluster_.checkpoints["b/c"].committed);
  cairn_checkpoint_free(checkpoint);
}

TEST_F(CApi, ErrorsHaveCodeNameAndMessage) {
  cluster_.connect_status = absl::UnavailableError("nobody there");
  cairn_client* client = nullptr;
  EXPECT_EQ(cairn_connect(nullptr, &client), CAIRN_ERR_UNAVAILABLE);
  EXPECT_STREQ(cairn_last_error(), "nobody there");
  EXPECT_EQ(client, nullptr);
  EXPECT_STREQ(cairn_error_name(CAIRN_ERR_UNAVAILABLE), "UNAVAILABLE");
  EXPECT_STREQ(cairn_error_name(-1), "UNKNOWN");
  EXPECT_STREQ(cairn_error_name(99), "UNKNOWN");
}

TEST_F(CApi, AVeryLongMessageIsCutOffNotOverrun) {
  cluster_.errors["b/x"] = absl::InternalError(std::string(100000, 'x'));
  cairn_file* file = nullptr;
  EXPECT_EQ(cairn_open(client_, "b/x", &file), CAIRN_ERR_INTERNAL);
  EXPECT_LT(std::strlen(cairn_last_error()), 10000u);
}

TEST_F(CApi, StructsWithoutTheirSizeAreRefused) {
  cluster_.AddFile("b/x", "1");
  cairn_entry entry;
  std::memset(&entry, 0, sizeof(entry));
  EXPECT_EQ(cairn_stat(client_, "b/x", &entry), CAIRN_ERR_INVALID_ARGUMENT);
  cairn_begin_options options = CAIRN_BEGIN_OPTIONS_INIT;
  options.size = 0;
  cairn_checkpoint* checkpoint = nullptr;
  EXPECT_EQ(cairn_begin(client_, "b/c", &options, &checkpoint), CAIRN_ERR_INVALID_ARGUMENT);
}

TEST_F(CApi, AnOlderCallersShorterStructIsNotOverrun) {
  cluster_.AddFile("b/x", "12345");
  struct {
    cairn_entry entry;
  } space;
  std::memset(&space, 0x5a, sizeof(space));
  space.entry.size = offsetof(cairn_entry, size_bytes);
  ASSERT_EQ(cairn_stat(client_, "b/x", &space.entry), CAIRN_OK);
  EXPECT_STREQ(space.entry.name, "b/x");
  EXPECT_EQ(space.entry.type, CAIRN_ENTRY_FILE);
  EXPECT_EQ(space.entry.size_bytes, 0x5a5a5a5a5a5a5a5au);
  EXPECT_EQ(space.entry.size, offsetof(cairn_entry, size_bytes));
}

TEST_F(CApi, ANewerCallersLongerStructGetsZerosAtItsEnd) {
  cluster_.AddFile("b/x", "12345");
  struct {
    cairn_entry entry;
    uint64_t newer;
  } space;
  std::memset(&space, 0x5a, sizeof(space));
  space.entry.size = sizeof(space);
  ASSERT_EQ(cairn_stat(client_, "b/x", &space.entry), CAIRN_OK);
  EXPECT_EQ(space.entry.size_bytes, 5u);
  EXPECT_EQ(space.newer, 0u);
}

TEST_F(CApi, NullIsAnErrorAndFreeOfNullIsHarmless) {
  EXPECT_EQ(cairn_connect(nullptr, nullptr), CAIRN_ERR_INVALID_ARGUMENT);
  EXPECT_EQ(cairn_mkdir(nullptr, "b"), CAIRN_ERR_INVALID_ARGUMENT);
  EXPECT_EQ(cairn_mkdir(client_, nullptr), CAIRN_ERR_INVALID_ARGUMENT);
  EXPECT_THAT(cairn_last_error(), HasSubstr("path is null"));
  EXPECT_EQ(cairn_shard_writev(nullptr, nullptr, 0), CAIRN_ERR_INVALID_ARGUMENT);
  EXPECT_EQ(cairn_put(client_, "b/x", nullptr, 1), CAIRN_ERR_INVALID_ARGUMENT);
  EXPECT_EQ(cairn_latest(client_, "b", nullptr), CAIRN_ERR_INVALID_ARGUMENT);
  cairn_close(nullptr);
  cairn_checkpoint_free(nullptr);
  cairn_shard_free(nullptr);
  cairn_file_free(nullptr);
  cairn_checkpoint_list_free(nullptr);
  cairn_shard_list_free(nullptr);
  cairn_entry_list_free(nullptr);
  EXPECT_EQ(cairn_checkpoint_list_size(nullptr), 0u);
}

TEST_F(CApi, CheckpointIsWrittenCommittedFoundAndRead) {
  cairn_begin_options options = CAIRN_BEGIN_OPTIONS_INIT;
  const cairn_attribute attributes[] = {{"framework", "none"}};
  options.attributes = attributes;
  options.attribute_count = 1;
  options.job = "j";
  options.step = 7;
  cairn_checkpoint* checkpoint = nullptr;
  ASSERT_EQ(cairn_begin(client_, "b/step-7", &options, &checkpoint), CAIRN_OK);
  EXPECT_EQ(cairn_checkpoint_attempt(checkpoint), 1u);
  cairn_shard* shard = nullptr;
  ASSERT_EQ(cairn_shard_begin(checkpoint, "s.bin", &shard), CAIRN_OK);
  char a[] = "abc", b[] = "defg";
  const struct iovec pieces[] = {{a, 3}, {b, 4}};
  EXPECT_EQ(cairn_shard_writev(shard, pieces, 2), CAIRN_OK);
  EXPECT_EQ(cairn_shard_flush(shard), CAIRN_OK);
  EXPECT_EQ(cairn_shard_close(shard), CAIRN_OK);
  EXPECT_EQ(cairn_shard_close(shard), CAIRN_ERR_FAILED_PRECONDITION);
  cairn_shard_free(shard);
  EXPECT_EQ(cairn_rank_done(checkpoint), CAIRN_OK);
  auto info = std::make_unique<cairn_checkpoint_info>();
  info->size = sizeof(*info);
  ASSERT_EQ(cairn_commit(checkpoint, 0, info.get()), CAIRN_OK);
  EXPECT_EQ(info->committed, 1);
  EXPECT_EQ(info->step, 7u);
  EXPECT_STREQ(info->job, "j");
  cairn_checkpoint_free(checkpoint);

  ASSERT_EQ(cairn_latest(client_, "b", info.get()), CAIRN_OK);
  EXPECT_STREQ(info->path, "b/step-7");
  cairn_checkpoint_list* list = nullptr;
  ASSERT_EQ(cairn_checkpoints(client_, "b", 0, &list), CAIRN_OK);
  ASSERT_EQ(cairn_checkpoint_list_size(list), 1u);
  EXPECT_STREQ(cairn_checkpoint_list_attribute(list, 0, "framework"), "none");
  EXPECT_EQ(cairn_checkpoint_list_attribute(list, 0, "other"), nullptr);
  EXPECT_EQ(cairn_checkpoint_list_get(list, 1, info.get()), CAIRN_ERR_OUT_OF_RANGE);
  cairn_checkpoint_list_free(list);

  cairn_file* file = nullptr;
  ASSERT_EQ(cairn_open(client_, "b/step-7/s.bin", &file), CAIRN_OK);
  EXPECT_EQ(cairn_file_size(file), 7u);
  char head[3], tail[2];
  const cairn_range ranges[] = {{0, head, 3}, {5, tail, 2}};
  EXPECT_EQ(cairn_readv(file, ranges, 2), CAIRN_OK);
  EXPECT_EQ(std::string(head, 3) + std::string(tail, 2), "abcfg");
  EXPECT_EQ(cairn_read(file, 6, head, 3), CAIRN_ERR_OUT_OF_RANGE);
  cairn_file_free(file);
}

TEST_F(CApi, ShowListsShards) {
  cluster_.AddCheckpoint("b/step-1", 2, "data");
  cairn_shard_list* shards = nullptr;
  ASSERT_EQ(cairn_show(client_, "b/step-1", nullptr, &shards), CAIRN_OK);
  ASSERT_EQ(cairn_shard_list_size(shards), 2u);
  auto info = std::make_unique<cairn_shard_info>();
  info->size = sizeof(*info);
  ASSERT_EQ(cairn_shard_list_get(shards, 1, info.get()), CAIRN_OK);
  EXPECT_STREQ(info->name, "rank1.bin");
  EXPECT_EQ(info->rank, 1u);
  cairn_shard_list_free(shards);
  EXPECT_EQ(cairn_show(client_, "b/none", nullptr, nullptr), CAIRN_ERR_NOT_FOUND);
  EXPECT_EQ(cairn_pin(client_, "b/step-1"), CAIRN_OK);
  EXPECT_TRUE(cluster_.checkpoints["b/step-1"].pinned);
  EXPECT_EQ(cairn_unpin(client_, "b/step-1"), CAIRN_OK);
}

TEST_F(CApi, FilesArePutGotListedAndRemoved) {
  ASSERT_EQ(cairn_mkdir(client_, "b/d"), CAIRN_OK);
  ASSERT_EQ(cairn_put(client_, "b/d/x", "12345", 5), CAIRN_OK);
  ASSERT_EQ(cairn_put(client_, "b/d/empty", nullptr, 0), CAIRN_OK);
  char buffer[8];
  size_t length = 0;
  ASSERT_EQ(cairn_get(client_, "b/d/x", buffer, sizeof(buffer), &length), CAIRN_OK);
  EXPECT_EQ(std::string(buffer, length), "12345");
  EXPECT_EQ(cairn_get(client_, "b/d/x", buffer, 4, &length), CAIRN_ERR_OUT_OF_RANGE);
  EXPECT_EQ(length, 5u);
  EXPECT_EQ(cairn_get(client_, "b/d/empty", nullptr, 0, &length), CAIRN_OK);
  EXPECT_EQ(length, 0u);
  cairn_entry_list* list = nullptr;
  ASSERT_EQ(cairn_list(client_, "b/d", &list), CAIRN_OK);
  ASSERT_EQ(cairn_entry_list_size(list), 2u);
  auto entry = std::make_unique<cairn_entry>();
  entry->size = sizeof(*entry);
  ASSERT_EQ(cairn_entry_list_get(list, 1, entry.get()), CAIRN_OK);
  EXPECT_STREQ(entry->name, "x");
  cairn_entry_list_free(list);
  EXPECT_EQ(cairn_rename(client_, "b/d/x", "b/y"), CAIRN_OK);
  EXPECT_EQ(cairn_remove(client_, "b/y", 0), CAIRN_OK);
  EXPECT_EQ(cairn_remove(client_, "b/y", 0), CAIRN_ERR_NOT_FOUND);
  EXPECT_EQ(cairn_remove(client_, "b/d", CAIRN_REMOVE_RECURSIVE), CAIRN_OK);
}

TEST_F(CApi, HandlesOutliveTheClosedClient) {
  cluster_.AddFile("b/x", "12345");
  cairn_client* client = nullptr;
  ASSERT_EQ(cairn_connect(nullptr, &client), CAIRN_OK);
  cairn_file* file = nullptr;
  ASSERT_EQ(cairn_open(client, "b/x", &file), CAIRN_OK);
  cairn_close(client);
  char buffer[5];
  EXPECT_EQ(cairn_read(file, 0, buffer, 5), CAIRN_OK);
  cairn_file_free(file);
}

TEST_F(CApi, AnAbandonedShardIsNotThere) {
  cairn_shard* shard = nullptr;
  ASSERT_EQ(cairn_file_create(client_, "b/x", &shard), CAIRN_OK);
  EXPECT_EQ(cairn_shard_write(shard, "1", 1), CAIRN_OK);
  cairn_shard_free(shard);
  EXPECT_TRUE(cluster_.files.empty());
}

}  // namespace
}  // namespace cairn
