// The C binding: handles around the C++ classes, and nothing of its own. No exception leaves it.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cairn/cairn.h"
#include "cairn/client.h"

// Every handle keeps the client, which it needs until its end: C programs close in any order.
struct cairn_client {
  std::shared_ptr<cairn::Client> client;
};
struct cairn_checkpoint {
  std::shared_ptr<cairn::Client> client;
  cairn::CheckpointWriter writer;
};
struct cairn_shard {
  std::shared_ptr<cairn::Client> client;
  cairn::ShardWriter writer;
};
struct cairn_file {
  std::shared_ptr<cairn::Client> client;
  cairn::File file;
};
struct cairn_checkpoint_list {
  std::vector<cairn::CheckpointInfo> items;
};
struct cairn_shard_list {
  std::vector<cairn::ShardInfo> items;
};
struct cairn_entry_list {
  std::vector<cairn::Entry> items;
};

#ifndef CAIRN_VERSION
#error "the build passes CAIRN_VERSION"
#endif

namespace {

static_assert(CAIRN_ERR_INVALID_ARGUMENT == static_cast<int>(absl::StatusCode::kInvalidArgument));
static_assert(CAIRN_ERR_DEADLINE_EXCEEDED == static_cast<int>(absl::StatusCode::kDeadlineExceeded));
static_assert(CAIRN_ERR_NOT_FOUND == static_cast<int>(absl::StatusCode::kNotFound));
static_assert(CAIRN_ERR_RESOURCE_EXHAUSTED ==
              static_cast<int>(absl::StatusCode::kResourceExhausted));
static_assert(CAIRN_ERR_FAILED_PRECONDITION ==
              static_cast<int>(absl::StatusCode::kFailedPrecondition));
static_assert(CAIRN_ERR_ABORTED == static_cast<int>(absl::StatusCode::kAborted));
static_assert(CAIRN_ERR_OUT_OF_RANGE == static_cast<int>(absl::StatusCode::kOutOfRange));
static_assert(CAIRN_ERR_UNAVAILABLE == static_cast<int>(absl::StatusCode::kUnavailable));
static_assert(CAIRN_ERR_DATA_LOSS == static_cast<int>(absl::StatusCode::kDataLoss));

// A fixed buffer: telling of an error must not need memory. Long enough for two paths.
thread_local char last_error[2 * CAIRN_PATH_MAX + 512] = "";

void CopyText(std::string_view text, char* destination, size_t capacity) {
  const size_t length = std::min(text.size(), capacity - 1);
  std::memcpy(destination, text.data(), length);
  destination[length] = '\0';
}

int Fail(int code, std::string_view message) {
  CopyText(message, last_error, sizeof(last_error));
  return code;
}

int Finish(const absl::Status& status) {
  if (status.ok()) return CAIRN_OK;
  int code = static_cast<int>(status.code());
  // UNAUTHENTICATED is the one code of Abseil's beyond those of the header.
  if (code > CAIRN_ERR_DATA_LOSS) code = CAIRN_ERR_PERMISSION_DENIED;
  return Fail(code, std::string_view(status.message().data(), status.message().size()));
}

int NullArgument(const char* name) {
  std::string message(name);
  return Fail(CAIRN_ERR_INVALID_ARGUMENT, message + " is null");
}

// Runs `body`, which returns a code, and turns what it throws (memory running out) into one.
template <class Body>
int Guard(Body body) {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return Fail(CAIRN_ERR_RESOURCE_EXHAUSTED, "out of memory");
  } catch (const std::exception& error) {
    return Fail(CAIRN_ERR_INTERNAL, error.what());
  }
}

#define REQUIRE_NOT_NULL(argument)                             \
  do {                                                         \
    if ((argument) == nullptr) return NullArgument(#argument); \
  } while (false)

template <class Struct>
int CheckSize(const Struct* destination) {
  if (destination->size < 2 * sizeof(size_t) || destination->size > 16 * sizeof(Struct)) {
    return Fail(CAIRN_ERR_INVALID_ARGUMENT, "the struct's size is not set; set it to its sizeof");
  }
  return CAIRN_OK;
}

// Copies as much of `value` as the caller's version of the struct has; the rest of a newer caller's
// stays zero.
template <class Struct>
int CopyOut(Struct value, Struct* destination) {
  const size_t size = destination->size;
  if (const int code = CheckSize(destination); code != CAIRN_OK) return code;
  value.size = size;
  std::memset(destination, 0, size);
  std::memcpy(destination, &value, std::min(size, sizeof(Struct)));
  return CAIRN_OK;
}

// The caller's options in our version of the struct: what an older caller does not know has its
// default.
template <class Struct>
std::optional<Struct> CopyIn(const Struct* source, const Struct& defaults) {
  Struct copy = defaults;
  if (source == nullptr) return copy;
  if (source->size < 2 * sizeof(size_t) || source->size > 16 * sizeof(Struct)) {
    Fail(CAIRN_ERR_INVALID_ARGUMENT, "the options' size is not set; start from the _INIT macro");
    return std::nullopt;
  }
  std::memcpy(&copy, source, std::min(source->size, sizeof(Struct)));
  return copy;
}

cairn_checkpoint_info ToC(const cairn::CheckpointInfo& info) {
  cairn_checkpoint_info c = {};
  c.size = sizeof(c);
  CopyText(info.path, c.path, sizeof(c.path));
  CopyText(info.job, c.job, sizeof(c.job));
  c.committed = info.committed ? 1 : 0;
  c.pinned = info.pinned ? 1 : 0;
  c.step = info.step.value_or(CAIRN_NO_STEP);
  c.attempt = info.attempt;
  c.world_size = info.world_size;
  c.ranks_done = info.ranks_done;
  c.shard_count = info.shard_count;
  c.size_bytes = info.size_bytes;
  c.begun_at_ns = absl::ToUnixNanos(info.begun);
  c.committed_at_ns = absl::ToUnixNanos(info.committed_at);
  return c;
}

cairn_shard_info ToC(const cairn::ShardInfo& info) {
  cairn_shard_info c = {};
  c.size = sizeof(c);
  CopyText(info.name, c.name, sizeof(c.name));
  c.size_bytes = info.size_bytes;
  c.crc32c = info.crc32c;
  c.rank = info.rank;
  return c;
}

int TypeToC(cairn::EntryType type) {
  switch (type) {
    case cairn::EntryType::kFile:
      return CAIRN_ENTRY_FILE;
    case cairn::EntryType::kDirectory:
      return CAIRN_ENTRY_DIRECTORY;
    case cairn::EntryType::kCheckpoint:
      return CAIRN_ENTRY_CHECKPOINT;
    case cairn::EntryType::kSpecial:
      return CAIRN_ENTRY_SPECIAL;
    case cairn::EntryType::kSymlink:
      return CAIRN_ENTRY_SYMLINK;
  }
  return 0;
}

cairn_entry ToC(const cairn::Entry& entry) {
  cairn_entry c = {};
  c.size = sizeof(c);
  CopyText(entry.name, c.name, sizeof(c.name));
  c.type = TypeToC(entry.type);
  c.mode = entry.mode;
  c.size_bytes = entry.size_bytes;
  c.modified_at_ns = absl::ToUnixNanos(entry.modified);
  c.inode = entry.inode;
  c.crc32c = entry.crc32c;
  return c;
}

// What is longer than a Duration counts as for ever: a cast would make it negative.
absl::Duration FromMilliseconds(uint64_t milliseconds) {
  return milliseconds > INT64_MAX ? absl::InfiniteDuration()
                                  : absl::Milliseconds(static_cast<int64_t>(milliseconds));
}

template <class List, class Struct>
int GetItem(const List* list, size_t index, Struct* destination) {
  if (index >= list->items.size()) {
    return Fail(CAIRN_ERR_OUT_OF_RANGE, "the index is past the end of the list");
  }
  return CopyOut(ToC(list->items[index]), destination);
}

// REQUIRES of a piece: memory, unless it is empty.
int ToPieces(const struct iovec* pieces, size_t count, std::vector<cairn::ConstBuffer>* result) {
  if (pieces == nullptr && count > 0) return NullArgument("pieces");
  result->reserve(count);
  for (size_t i = 0; i < count; ++i) {
    if (pieces[i].iov_base == nullptr && pieces[i].iov_len > 0) return NullArgument("iov_base");
    result->push_back({static_cast<const std::byte*>(pieces[i].iov_base), pieces[i].iov_len});
  }
  return CAIRN_OK;
}

// Moves what a call gave into a new handle.
template <class Handle, class Value>
int MakeHandle(const std::shared_ptr<cairn::Client>& client, absl::StatusOr<Value> value,
               Handle** handle) {
  if (!value.ok()) return Finish(value.status());
  *handle = new Handle{client, *std::move(value)};
  return CAIRN_OK;
}

template <class List, class Value>
int MakeList(absl::StatusOr<std::vector<Value>> items, List** list) {
  if (!items.ok()) return Finish(items.status());
  *list = new List{*std::move(items)};
  return CAIRN_OK;
}

}  // namespace

extern "C" {

const char* cairn_last_error(void) { return last_error; }

const char* cairn_error_name(int code) {
  static constexpr const char* kNames[] = {"OK",
                                           "CANCELLED",
                                           "UNKNOWN",
                                           "INVALID_ARGUMENT",
                                           "DEADLINE_EXCEEDED",
                                           "NOT_FOUND",
                                           "ALREADY_EXISTS",
                                           "PERMISSION_DENIED",
                                           "RESOURCE_EXHAUSTED",
                                           "FAILED_PRECONDITION",
                                           "ABORTED",
                                           "OUT_OF_RANGE",
                                           "UNIMPLEMENTED",
                                           "INTERNAL",
                                           "UNAVAILABLE",
                                           "DATA_LOSS"};
  return code >= 0 && code <= CAIRN_ERR_DATA_LOSS ? kNames[code] : "UNKNOWN";
}

const char* cairn_version(void) { return CAIRN_VERSION; }

int cairn_connect(const cairn_connect_options* options, cairn_client** client) {
  REQUIRE_NOT_NULL(client);
  return Guard([&] {
    const auto given = CopyIn(options, cairn_connect_options CAIRN_CONNECT_OPTIONS_INIT);
    if (!given.has_value()) return CAIRN_ERR_INVALID_ARGUMENT;
    cairn::ClientOptions connect;
    if (given->endpoint != nullptr) connect.endpoint = given->endpoint;
    if (given->timeout_ms != 0) connect.timeout = FromMilliseconds(given->timeout_ms);
    if (given->window < 0) return Fail(CAIRN_ERR_INVALID_ARGUMENT, "window is negative");
    if (given->window != 0) connect.window = given->window;
    auto connected = cairn::Client::Connect(std::move(connect));
    if (!connected.ok()) return Finish(connected.status());
    *client = new cairn_client{*std::move(connected)};
    return CAIRN_OK;
  });
}

void cairn_close(cairn_client* client) { delete client; }

int cairn_begin(cairn_client* client, const char* path, const cairn_begin_options* options,
                cairn_checkpoint** checkpoint) {
  REQUIRE_NOT_NULL(client);
  REQUIRE_NOT_NULL(path);
  REQUIRE_NOT_NULL(checkpoint);
  return Guard([&] {
    const auto given = CopyIn(options, cairn_begin_options CAIRN_BEGIN_OPTIONS_INIT);
    if (!given.has_value()) return CAIRN_ERR_INVALID_ARGUMENT;
    cairn::BeginOptions begin;
    begin.world_size = given->world_size;
    begin.rank = given->rank;
    begin.attempt = given->attempt;
    if (given->job != nullptr) begin.job = given->job;
    if (given->step != CAIRN_NO_STEP) begin.step = given->step;
    if (given->attributes == nullptr && given->attribute_count > 0)
      return NullArgument("attributes");
    for (size_t i = 0; i < given->attribute_count; ++i) {
      const cairn_attribute& attribute = given->attributes[i];
      if (attribute.key == nullptr || attribute.value == nullptr)
        return NullArgument("an attribute");
      begin.attributes[attribute.key] = attribute.value;
    }
    return MakeHandle(client->client, client->client->BeginCheckpoint(path, std::move(begin)),
                      checkpoint);
  });
}

uint64_t cairn_checkpoint_attempt(const cairn_checkpoint* checkpoint) {
  return checkpoint == nullptr ? 0 : checkpoint->writer.attempt();
}

int cairn_shard_begin(cairn_checkpoint* checkpoint, const char* name, cairn_shard** shard) {
  REQUIRE_NOT_NULL(checkpoint);
  REQUIRE_NOT_NULL(name);
  REQUIRE_NOT_NULL(shard);
  return Guard(
      [&] { return MakeHandle(checkpoint->client, checkpoint->writer.NewShard(name), shard); });
}

int cairn_rank_done(cairn_checkpoint* checkpoint) {
  REQUIRE_NOT_NULL(checkpoint);
  return Guard([&] { return Finish(checkpoint->writer.RankDone()); });
}

int cairn_commit(cairn_checkpoint* checkpoint, uint64_t timeout_ms, cairn_checkpoint_info* info) {
  REQUIRE_NOT_NULL(checkpoint);
  // Before the commit: afterwards an error would deny what has happened.
  if (info != nullptr) {
    if (const int code = CheckSize(info); code != CAIRN_OK) return code;
  }
  return Guard([&] {
    const absl::Duration timeout =
        timeout_ms == 0 ? absl::Minutes(10) : FromMilliseconds(timeout_ms);
    auto committed = checkpoint->writer.Commit(timeout);
    if (!committed.ok()) return Finish(committed.status());
    return info == nullptr ? CAIRN_OK : CopyOut(ToC(*committed), info);
  });
}

int cairn_abort(cairn_checkpoint* checkpoint, const char* reason) {
  REQUIRE_NOT_NULL(checkpoint);
  return Guard([&] { return Finish(checkpoint->writer.Abort(reason == nullptr ? "" : reason)); });
}

void cairn_checkpoint_free(cairn_checkpoint* checkpoint) { delete checkpoint; }

int cairn_file_create(cairn_client* client, const char* path, cairn_shard** shard) {
  REQUIRE_NOT_NULL(client);
  REQUIRE_NOT_NULL(path);
  REQUIRE_NOT_NULL(shard);
  return Guard([&] { return MakeHandle(client->client, client->client->CreateFile(path), shard); });
}

int cairn_shard_writev(cairn_shard* shard, const struct iovec* pieces, size_t count) {
  REQUIRE_NOT_NULL(shard);
  return Guard([&] {
    std::vector<cairn::ConstBuffer> buffers;
    if (const int code = ToPieces(pieces, count, &buffers); code != CAIRN_OK) return code;
    return Finish(shard->writer.Write(buffers));
  });
}

int cairn_shard_write(cairn_shard* shard, const void* data, size_t length) {
  // The interface of C has no const in iovec; nothing is written through it.
  const struct iovec piece = {const_cast<void*>(data), length};
  return cairn_shard_writev(shard, &piece, 1);
}

int cairn_shard_flush(cairn_shard* shard) {
  REQUIRE_NOT_NULL(shard);
  return Guard([&] { return Finish(shard->writer.Flush()); });
}

int cairn_shard_close(cairn_shard* shard) {
  REQUIRE_NOT_NULL(shard);
  return Guard([&] { return Finish(shard->writer.Close()); });
}

void cairn_shard_free(cairn_shard* shard) { delete shard; }

int cairn_latest(cairn_client* client, const char* directory, cairn_checkpoint_info* info) {
  REQUIRE_NOT_NULL(client);
  REQUIRE_NOT_NULL(directory);
  REQUIRE_NOT_NULL(info);
  return Guard([&] {
    auto latest = client->client->LatestCheckpoint(directory);
    return latest.ok() ? CopyOut(ToC(*latest), info) : Finish(latest.status());
  });
}

int cairn_checkpoints(cairn_client* client, const char* directory, unsigned flags,
                      cairn_checkpoint_list** list) {
  REQUIRE_NOT_NULL(client);
  REQUIRE_NOT_NULL(directory);
  REQUIRE_NOT_NULL(list);
  return Guard([&] {
    cairn::Client::ListCheckpointsOptions options;
    options.include_writing = (flags & CAIRN_LIST_WRITING) != 0;
    options.recursive = (flags & CAIRN_LIST_RECURSIVE) != 0;
    return MakeList(client->client->ListCheckpoints(directory, options), list);
  });
}

size_t cairn_checkpoint_list_size(const cairn_checkpoint_list* list) {
  return list == nullptr ? 0 : list->items.size();
}

int cairn_checkpoint_list_get(const cairn_checkpoint_list* list, size_t index,
                              cairn_checkpoint_info* info) {
  REQUIRE_NOT_NULL(list);
  REQUIRE_NOT_NULL(info);
  return GetItem(list, index, info);
}

const char* cairn_checkpoint_list_attribute(const cairn_checkpoint_list* list, size_t index,
                                            const char* key) {
  if (list == nullptr || key == nullptr || index >= list->items.size()) return nullptr;
  const auto& attributes = list->items[index].attributes;
  const auto at = attributes.find(key);
  return at == attributes.end() ? nullptr : at->second.c_str();
}

void cairn_checkpoint_list_free(cairn_checkpoint_list* list) { delete list; }

int cairn_show(cairn_client* client, const char* path, cairn_checkpoint_info* info,
               cairn_shard_list** shards) {
  REQUIRE_NOT_NULL(client);
  REQUIRE_NOT_NULL(path);
  return Guard([&] {
    auto list = std::make_unique<cairn_shard_list>();
    auto shown = client->client->ShowCheckpoint(path, shards == nullptr ? nullptr : &list->items);
    if (!shown.ok()) return Finish(shown.status());
    if (info != nullptr) {
      if (const int code = CopyOut(ToC(*shown), info); code != CAIRN_OK) return code;
    }
    if (shards != nullptr) *shards = list.release();
    return CAIRN_OK;
  });
}

size_t cairn_shard_list_size(const cairn_shard_list* list) {
  return list == nullptr ? 0 : list->items.size();
}

int cairn_shard_list_get(const cairn_shard_list* list, size_t index, cairn_shard_info* info) {
  REQUIRE_NOT_NULL(list);
  REQUIRE_NOT_NULL(info);
  return GetItem(list, index, info);
}

void cairn_shard_list_free(cairn_shard_list* list) { delete list; }

int cairn_pin(cairn_client* client, const char* path) {
  REQUIRE_NOT_NULL(client);
  REQUIRE_NOT_NULL(path);
  return Guard([&] { return Finish(client->client->PinCheckpoint(path)); });
}

int cairn_unpin(cairn_client* client, const char* path) {
  REQUIRE_NOT_NULL(client);
  REQUIRE_NOT_NULL(path);
  return Guard([&] { return Finish(client->client->UnpinCheckpoint(path)); });
}

int cairn_open(cairn_client* client, const char* path, cairn_file** file) {
  REQUIRE_NOT_NULL(client);
  REQUIRE_NOT_NULL(path);
  REQUIRE_NOT_NULL(file);
  return Guard([&] { return MakeHandle(client->client, client->client->OpenFile(path), file); });
}

uint64_t cairn_file_size(const cairn_file* file) {
  return file == nullptr ? 0 : file->file.size_bytes();
}

uint32_t cairn_file_crc32c(const cairn_file* file) {
  return file == nullptr ? 0 : file->file.crc32c();
}

int cairn_readv(cairn_file* file, const cairn_range* ranges, size_t count) {
  REQUIRE_NOT_NULL(file);
  if (ranges == nullptr && count > 0) return NullArgument("ranges");
  return Guard([&] {
    std::vector<cairn::ReadRange> reads;
    reads.reserve(count);
    for (size_t i = 0; i < count; ++i) {
      if (ranges[i].destination == nullptr && ranges[i].length > 0)
        return NullArgument("destination");
      auto* destination = static_cast<std::byte*>(ranges[i].destination);
      reads.push_back({ranges[i].offset_bytes, {destination, ranges[i].length}});
    }
    return Finish(file->file.Read(reads));
  });
}

int cairn_read(cairn_file* file, uint64_t offset_bytes, void* destination, size_t length) {
  const cairn_range range = {offset_bytes, destination, length};
  return cairn_readv(file, &range, 1);
}

void cairn_file_free(cairn_file* file) { delete file; }

int cairn_put(cairn_client* client, const char* path, const void* data, size_t length) {
  REQUIRE_NOT_NULL(client);
  REQUIRE_NOT_NULL(path);
  if (data == nullptr && length > 0) return NullArgument("data");
  return Guard([&] {
    const cairn::ConstBuffer piece(static_cast<const std::byte*>(data), length);
    return Finish(client->client->PutFile(path, std::span(&piece, 1)));
  });
}

int cairn_get(cairn_client* client, const char* path, void* buffer, size_t capacity,
              size_t* length) {
  REQUIRE_NOT_NULL(client);
  REQUIRE_NOT_NULL(path);
  if (buffer == nullptr && capacity > 0) return NullArgument("buffer");
  return Guard([&] {
    auto file = client->client->OpenFile(path);
    if (!file.ok()) return Finish(file.status());
    const uint64_t size = file->size_bytes();
    if (length != nullptr) *length = size;
    if (size > capacity) {
      return Fail(CAIRN_ERR_OUT_OF_RANGE,
                  "the buffer is smaller than the file; *length says how much");
    }
    if (size == 0) return CAIRN_OK;
    return Finish(file->Read(0, {static_cast<std::byte*>(buffer), size}));
  });
}

int cairn_stat(cairn_client* client, const char* path, cairn_entry* entry) {
  REQUIRE_NOT_NULL(client);
  REQUIRE_NOT_NULL(path);
  REQUIRE_NOT_NULL(entry);
  return Guard([&] {
    auto found = client->client->Stat(path);
    return found.ok() ? CopyOut(ToC(*found), entry) : Finish(found.status());
  });
}

int cairn_list(cairn_client* client, const char* path, cairn_entry_list** list) {
  REQUIRE_NOT_NULL(client);
  REQUIRE_NOT_NULL(path);
  REQUIRE_NOT_NULL(list);
  return Guard([&] { return MakeList(client->client->List(path), list); });
}

size_t cairn_entry_list_size(const cairn_entry_list* list) {
  return list == nullptr ? 0 : list->items.size();
}

int cairn_entry_list_get(const cairn_entry_list* list, size_t index, cairn_entry* entry) {
  REQUIRE_NOT_NULL(list);
  REQUIRE_NOT_NULL(entry);
  return GetItem(list, index, entry);
}

void cairn_entry_list_free(cairn_entry_list* list) { delete list; }

int cairn_remove(cairn_client* client, const char* path, unsigned flags) {
  REQUIRE_NOT_NULL(client);
  REQUIRE_NOT_NULL(path);
  const auto mode = (flags & CAIRN_REMOVE_RECURSIVE) != 0 ? cairn::Client::RemoveMode::kRecursive
                                                          : cairn::Client::RemoveMode::kOne;
  return Guard([&] { return Finish(client->client->Remove(path, mode)); });
}

int cairn_rename(cairn_client* client, const char* from, const char* to) {
  REQUIRE_NOT_NULL(client);
  REQUIRE_NOT_NULL(from);
  REQUIRE_NOT_NULL(to);
  return Guard([&] { return Finish(client->client->Rename(from, to)); });
}

int cairn_mkdir(cairn_client* client, const char* path) {
  REQUIRE_NOT_NULL(client);
  REQUIRE_NOT_NULL(path);
  return Guard([&] { return Finish(client->client->MakeDirectory(path)); });
}

}  // extern "C"
