/*
 * The C SDK: checkpoints and files of a Cairn cluster. The same service as cairn/client.h, which
 * says more about each call; usable from any language that can call C.
 *
 * Errors. Functions that can fail return CAIRN_OK (0) or a positive CAIRN_ERR_ code;
 * cairn_last_error() has the message. Output arguments are set on CAIRN_OK only, unless a function
 * says otherwise. A null pointer where one is not allowed is CAIRN_ERR_INVALID_ARGUMENT, never a
 * crash.
 *
 * Threads. All functions may be called from any thread; a cairn_shard is used by one thread at a
 * time. Calls block until done or until the client's timeout. Not usable in a child after fork():
 * connect again there.
 *
 * Memory. Bytes handed over are read and written in place by the servers: they are not copied, and
 * must stay as each function says. Handles belong to the caller and end with their _free() (or
 * cairn_close()), which accept null; a client may be closed before the handles made from it, which
 * keep what they need. Strings are UTF-8 or any bytes but NUL.
 *
 * Versions. Structs that callers fill begin with `size`, to be set to sizeof, so that a newer
 * library serves programs built with an older header; use the _INIT macros. Fields are only ever
 * added at the end.
 */
#ifndef CAIRN_CAIRN_H_
#define CAIRN_CAIRN_H_

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- errors ---- */

#define CAIRN_OK 0
#define CAIRN_ERR_CANCELLED 1
#define CAIRN_ERR_UNKNOWN 2
#define CAIRN_ERR_INVALID_ARGUMENT 3 /* a bad name, a range past the end */
#define CAIRN_ERR_DEADLINE_EXCEEDED 4
#define CAIRN_ERR_NOT_FOUND 5
#define CAIRN_ERR_ALREADY_EXISTS 6
#define CAIRN_ERR_PERMISSION_DENIED 7
#define CAIRN_ERR_RESOURCE_EXHAUSTED 8  /* targets or a bucket's quota full, or no memory */
#define CAIRN_ERR_FAILED_PRECONDITION 9 /* wrong state; the message says which */
#define CAIRN_ERR_ABORTED 10            /* a newer attempt took over, or the attempt was aborted */
#define CAIRN_ERR_OUT_OF_RANGE 11       /* a read past the end */
#define CAIRN_ERR_UNIMPLEMENTED 12
#define CAIRN_ERR_INTERNAL 13
#define CAIRN_ERR_UNAVAILABLE 14 /* no node answered in time; safe to try again */
#define CAIRN_ERR_DATA_LOSS 15   /* stored bytes are damaged; they are never returned */

/* The message of the calling thread's last function that failed; valid until its next one fails.
 * Never null. */
const char* cairn_last_error(void);
/* "NOT_FOUND" of CAIRN_ERR_NOT_FOUND; "UNKNOWN" of a number that is none. A constant. */
const char* cairn_error_name(int code);
/* "0.1.0". A constant. */
const char* cairn_version(void);

/* ---- the client ---- */

typedef struct cairn_client cairn_client;
typedef struct cairn_checkpoint cairn_checkpoint;
typedef struct cairn_shard cairn_shard;
typedef struct cairn_file cairn_file;

typedef struct cairn_connect_options {
  size_t size;
  const char*
      endpoint; /* "HOST:PORT[,HOST:PORT...]"; null: CAIRN_ENDPOINT, else "127.0.0.1:7440" */
  /* Of a call as a whole, retries included; where bytes move (write, close, read), of each stripe
   * from its turn on the node and of each seal, and of the wait for a turn while no transfer of
   * this client ends well. 0: 60 seconds. */
  uint64_t timeout_ms;
  int32_t window; /* fragments on their way at once; 0: the default */
} cairn_connect_options;
#define CAIRN_CONNECT_OPTIONS_INIT \
  { sizeof(cairn_connect_options), NULL, 0, 0 }

/* Connects and checks that a node answers. `options` may be null: all defaults. The client is ended
 * with cairn_close(). CAIRN_ERR_UNAVAILABLE: the message names the addresses tried. */
int cairn_connect(const cairn_connect_options* options, cairn_client** client);
void cairn_close(cairn_client* client);

/* ---- what is stored ---- */

#define CAIRN_PATH_MAX 4096
#define CAIRN_NAME_MAX 255
#define CAIRN_NO_STEP UINT64_MAX

typedef struct cairn_checkpoint_info {
  size_t size;
  char path[CAIRN_PATH_MAX + 1];
  char job[CAIRN_NAME_MAX + 1]; /* cut off when it is longer */
  int32_t committed;            /* 0: being written */
  int32_t pinned;
  uint64_t step; /* CAIRN_NO_STEP: none */
  uint64_t attempt;
  uint32_t world_size;
  uint32_t ranks_done;
  uint64_t shard_count;
  uint64_t size_bytes;
  int64_t begun_at_ns; /* Unix time */
  int64_t committed_at_ns;
} cairn_checkpoint_info;

typedef struct cairn_shard_info {
  size_t size;
  char name[CAIRN_PATH_MAX + 1];
  uint64_t size_bytes;
  uint32_t crc32c;
  uint32_t rank;
} cairn_shard_info;

#define CAIRN_ENTRY_FILE 1
#define CAIRN_ENTRY_DIRECTORY 2
#define CAIRN_ENTRY_CHECKPOINT 3
#define CAIRN_ENTRY_SYMLINK 4
#define CAIRN_ENTRY_SPECIAL 5 /* a FIFO, socket or device node, made through a mount */

typedef struct cairn_entry {
  size_t size;
  char name[CAIRN_PATH_MAX + 1]; /* the last component; from cairn_stat(), the path */
  int32_t type;                  /* CAIRN_ENTRY_ */
  uint32_t mode;
  uint64_t size_bytes;
  int64_t modified_at_ns; /* Unix time */
  uint64_t inode;
  uint32_t crc32c; /* of a file's whole content */
} cairn_entry;

/* ---- writing a checkpoint ---- */

typedef struct cairn_attribute {
  const char* key;
  const char* value;
} cairn_attribute;

typedef struct cairn_begin_options {
  size_t size;
  uint32_t world_size;
  uint32_t rank;
  uint64_t attempt; /* 0: join the open attempt if it lacks this rank, else start the next */
  const char* job;  /* two live jobs on one checkpoint name refuse each other; null: no check */
  uint64_t step;    /* CAIRN_NO_STEP: the digits that the name ends in */
  const cairn_attribute* attributes; /* kept with the checkpoint, shown to people */
  size_t attribute_count;
} cairn_begin_options;
#define CAIRN_BEGIN_OPTIONS_INIT \
  { sizeof(cairn_begin_options), 1, 0, 0, NULL, CAIRN_NO_STEP, NULL, 0 }

/* Starts or joins an attempt at the checkpoint `path` as one rank. Harmless to repeat.
 * CAIRN_ERR_ABORTED: a newer attempt is there. */
int cairn_begin(cairn_client* client, const char* path, const cairn_begin_options* options,
                cairn_checkpoint** checkpoint);
/* The attempt that was started or joined; 0 for null. */
uint64_t cairn_checkpoint_attempt(const cairn_checkpoint* checkpoint);
/* Starts a shard, a file in the checkpoint. `name` is a relative path, unique in the checkpoint.
 * Several shards of one rank may be written side by side. */
int cairn_shard_begin(cairn_checkpoint* checkpoint, const char* name, cairn_shard** shard);
/* Says that all shards of this rank are closed and no more will come. Durable when it returns. */
int cairn_rank_done(cairn_checkpoint* checkpoint);
/* Waits for all ranks, at most `timeout_ms` (0: ten minutes), and makes the checkpoint visible,
 * whole, in place of an older one of its name. One rank calls it, or several. `info` may be null;
 * else its `size` is set by the caller. CAIRN_ERR_DEADLINE_EXCEEDED: the message names missing
 * ranks, the attempt stays open. Durable when it returns. */
int cairn_commit(cairn_checkpoint* checkpoint, uint64_t timeout_ms, cairn_checkpoint_info* info);
/* Drops the attempt of all ranks and its space. `reason` may be null. */
int cairn_abort(cairn_checkpoint* checkpoint, const char* reason);
/* Does not abort: an attempt that nobody commits ends with its lease. Its shards are freed first.
 */
void cairn_checkpoint_free(cairn_checkpoint* checkpoint);

/* ---- writing a shard or a file ---- */

/* Starts a plain file, which appears at cairn_shard_close() in place of an older one. */
int cairn_file_create(cairn_client* client, const char* path, cairn_shard** shard);
/* Appends `count` pieces. Their memory is read in place: it must stay as it is until
 * cairn_shard_flush() or cairn_shard_close() returns, with or without success, or
 * cairn_shard_free(). The array itself may go at once. */
int cairn_shard_writev(cairn_shard* shard, const struct iovec* pieces, size_t count);
int cairn_shard_write(cairn_shard* shard, const void* data, size_t length);
/* Makes everything written so far durable; the memory is the caller's again. */
int cairn_shard_flush(cairn_shard* shard);
/* Flushes, and the content is complete: of a checkpoint's shard, visible with the commit; of a
 * plain file, visible and durable now. The handle stays until cairn_shard_free(). A second close is
 * CAIRN_ERR_FAILED_PRECONDITION. */
int cairn_shard_close(cairn_shard* shard);
/* Ends the handle. What was not closed is given up, and its memory is the caller's again. */
void cairn_shard_free(cairn_shard* shard);

/* ---- finding checkpoints ---- */

/* The newest committed checkpoint directly in `directory`. `info->size` is set by the caller. */
int cairn_latest(cairn_client* client, const char* directory, cairn_checkpoint_info* info);

typedef struct cairn_checkpoint_list cairn_checkpoint_list;
typedef struct cairn_shard_list cairn_shard_list;
typedef struct cairn_entry_list cairn_entry_list;

#define CAIRN_LIST_WRITING 1   /* those being written, too */
#define CAIRN_LIST_RECURSIVE 2 /* in directories below, too */

/* The checkpoints of a directory; `flags` are CAIRN_LIST_ bits. The list is ended with its _free().
 */
int cairn_checkpoints(cairn_client* client, const char* directory, unsigned flags,
                      cairn_checkpoint_list** list);
size_t cairn_checkpoint_list_size(const cairn_checkpoint_list* list);
/* Copies the element. CAIRN_ERR_OUT_OF_RANGE past the end. `info->size` is set by the caller. */
int cairn_checkpoint_list_get(const cairn_checkpoint_list* list, size_t index,
                              cairn_checkpoint_info* info);
/* The value of an attribute; null when it has none of that key. Valid until the list is freed. */
const char* cairn_checkpoint_list_attribute(const cairn_checkpoint_list* list, size_t index,
                                            const char* key);
void cairn_checkpoint_list_free(cairn_checkpoint_list* list);

/* One checkpoint and its shards. `info` and `shards` may each be null: not wanted. */
int cairn_show(cairn_client* client, const char* path, cairn_checkpoint_info* info,
               cairn_shard_list** shards);
size_t cairn_shard_list_size(const cairn_shard_list* list);
int cairn_shard_list_get(const cairn_shard_list* list, size_t index, cairn_shard_info* info);
void cairn_shard_list_free(cairn_shard_list* list);

/* Keeps the checkpoint whatever the retention rules say, or no longer. */
int cairn_pin(cairn_client* client, const char* path);
int cairn_unpin(cairn_client* client, const char* path);

/* ---- reading ---- */

/* One piece to read: [offset_bytes, offset_bytes + length) of a file into `destination`. */
typedef struct cairn_range {
  uint64_t offset_bytes;
  void* destination;
  size_t length;
} cairn_range;

/* Opens a file, or a shard of a committed checkpoint, in its version of now. */
int cairn_open(cairn_client* client, const char* path, cairn_file** file);
uint64_t cairn_file_size(const cairn_file* file);
uint32_t cairn_file_crc32c(const cairn_file* file);
/* Fills all destinations, in parallel and verified. On an error their contents are undefined; on
 * return no server writes to them any more. CAIRN_ERR_OUT_OF_RANGE past the end. May be called by
 * several threads at once. */
int cairn_readv(cairn_file* file, const cairn_range* ranges, size_t count);
int cairn_read(cairn_file* file, uint64_t offset_bytes, void* destination, size_t length);
void cairn_file_free(cairn_file* file);

/* ---- whole files and the namespace ---- */

/* Writes a file at once. Visible and durable when it returns; the memory is the caller's again. */
int cairn_put(cairn_client* client, const char* path, const void* data, size_t length);
/* Reads a whole file. `*length` is its size, also on CAIRN_ERR_OUT_OF_RANGE: `capacity` is too
 * small, and nothing was read. `length` may be null. */
int cairn_get(cairn_client* client, const char* path, void* buffer, size_t capacity,
              size_t* length);
/* `entry->size` is set by the caller. */
int cairn_stat(cairn_client* client, const char* path, cairn_entry* entry);
/* The entries of a directory in byte order of their names; "" lists the buckets. */
int cairn_list(cairn_client* client, const char* path, cairn_entry_list** list);
size_t cairn_entry_list_size(const cairn_entry_list* list);
int cairn_entry_list_get(const cairn_entry_list* list, size_t index, cairn_entry* entry);
void cairn_entry_list_free(cairn_entry_list* list);

#define CAIRN_REMOVE_RECURSIVE 1
/* Removes a file, an empty directory or a checkpoint; with CAIRN_REMOVE_RECURSIVE anything below,
 * too. */
int cairn_remove(cairn_client* client, const char* path, unsigned flags);
/* Atomic; replaces a file at `to`. */
int cairn_rename(cairn_client* client, const char* from, const char* to);
/* Makes a directory and its parents; one component makes a bucket. Harmless when it is there. */
int cairn_mkdir(cairn_client* client, const char* path);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* CAIRN_CAIRN_H_ */
