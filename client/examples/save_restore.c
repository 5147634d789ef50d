/*
 * Saves a checkpoint of two ranks, finds it again and reads it back: the C SDK in one page. In a job
 * each rank is a process that does its own part; here one does both, one after the other.
 *
 *   save_restore_c [HOST:PORT] [DIRECTORY]      defaults: CAIRN_ENDPOINT, examples/c
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cairn/cairn.h"

#define RANKS 2
#define COUNT 3000000

static int failed(const char *what, int code) {
  fprintf(stderr, "save_restore_c: %s: %s: %s\n", what, cairn_error_name(code), cairn_last_error());
  return code;
}

/* Stands for a rank's tensors: anything contiguous in memory. */
static void fill(float *weights, int rank) {
  size_t i;
  for (i = 0; i < COUNT; ++i) weights[i] = (float)(rank * 1000 + (int)(i % 997));
}

/* `header` and `weights` are read in place: they stay as they are until cairn_shard_close() ends. */
static int save_rank(cairn_checkpoint *checkpoint, int rank, float *weights) {
  char name[32], header[32];
  struct iovec pieces[2];
  cairn_shard *shard = NULL;
  int code;
  sprintf(name, "rank%d.bin", rank);
  sprintf(header, "rank %d\n", rank);
  pieces[0].iov_base = header;
  pieces[0].iov_len = strlen(header);
  pieces[1].iov_base = weights;
  pieces[1].iov_len = COUNT * sizeof(float);
  code = cairn_shard_begin(checkpoint, name, &shard);
  if (code == CAIRN_OK) code = cairn_shard_writev(shard, pieces, 2);
  if (code == CAIRN_OK) code = cairn_shard_close(shard);
  cairn_shard_free(shard);
  if (code == CAIRN_OK) code = cairn_rank_done(checkpoint);
  return code == CAIRN_OK ? code : failed("saving a rank", code);
}

static int save(cairn_client *client, const char *path, float *weights) {
  cairn_checkpoint *ranks[RANKS] = {NULL, NULL};
  cairn_begin_options options = CAIRN_BEGIN_OPTIONS_INIT;
  static cairn_checkpoint_info info; /* two paths long: not for small stacks */
  int rank, code = CAIRN_OK;
  options.world_size = RANKS;
  for (rank = 0; rank < RANKS && code == CAIRN_OK; ++rank) {
    options.rank = (uint32_t)rank;
    code = cairn_begin(client, path, &options, &ranks[rank]);
    /* Rank 0 tells the others the number, so that they join this attempt and no other. */
    options.attempt = cairn_checkpoint_attempt(ranks[0]);
    if (code != CAIRN_OK) failed("beginning", code);
  }
  for (rank = 0; rank < RANKS && code == CAIRN_OK; ++rank) {
    fill(weights, rank);
    code = save_rank(ranks[rank], rank, weights);
  }
  if (code == CAIRN_OK) {
    info.size = sizeof(info);
    code = cairn_commit(ranks[0], 0, &info);
    if (code != CAIRN_OK) failed("committing", code);
  }
  if (code == CAIRN_OK) {
    printf("committed %s: %lu shards, %lu bytes\n", info.path, (unsigned long)info.shard_count,
           (unsigned long)info.size_bytes);
  }
  for (rank = 0; rank < RANKS; ++rank) cairn_checkpoint_free(ranks[rank]);
  return code;
}

/* Reads the weights alone, past the header: any range of a shard can be read by itself. */
static int check_rank(cairn_client *client, const char *checkpoint, int rank, float *expected,
                      float *restored) {
  char path[CAIRN_PATH_MAX + 32];
  const size_t length = COUNT * sizeof(float);
  cairn_file *file = NULL;
  int code;
  sprintf(path, "%s/rank%d.bin", checkpoint, rank);
  code = cairn_open(client, path, &file);
  if (code == CAIRN_OK) code = cairn_read(file, cairn_file_size(file) - length, restored, length);
  cairn_file_free(file);
  if (code != CAIRN_OK) return failed("restoring a rank", code);
  fill(expected, rank);
  if (memcmp(expected, restored, length) != 0) {
    fprintf(stderr, "save_restore_c: rank %d differs\n", rank);
    return CAIRN_ERR_DATA_LOSS;
  }
  printf("restored rank %d: %d equal floats\n", rank, COUNT);
  return CAIRN_OK;
}

static int run(cairn_client *client, const char *directory, float *weights, float *restored) {
  static cairn_checkpoint_info latest;
  char path[CAIRN_PATH_MAX];
  int rank, code;
  if (strlen(directory) > 1000) return CAIRN_ERR_INVALID_ARGUMENT;
  sprintf(path, "%s/step-100", directory);
  code = cairn_mkdir(client, directory);
  if (code != CAIRN_OK) return failed("making the directory", code);
  code = save(client, path, weights);
  if (code != CAIRN_OK) return code;
  latest.size = sizeof(latest);
  code = cairn_latest(client, directory, &latest);
  if (code != CAIRN_OK) return failed("finding the latest", code);
  printf("latest is %s, step %lu\n", latest.path, (unsigned long)latest.step);
  for (rank = 0; rank < RANKS && code == CAIRN_OK; ++rank) {
    code = check_rank(client, latest.path, rank, weights, restored);
  }
  return code;
}

int main(int argc, char **argv) {
  cairn_connect_options options = CAIRN_CONNECT_OPTIONS_INIT;
  cairn_client *client = NULL;
  float *weights = malloc(COUNT * sizeof(float));
  float *restored = malloc(COUNT * sizeof(float));
  int code = weights == NULL || restored == NULL ? CAIRN_ERR_RESOURCE_EXHAUSTED : CAIRN_OK;
  if (argc > 1) options.endpoint = argv[1];
  if (code == CAIRN_OK) {
    code = cairn_connect(&options, &client);
    if (code != CAIRN_OK) failed("connecting", code);
  }
  if (code == CAIRN_OK) code = run(client, argc > 2 ? argv[2] : "examples/c", weights, restored);
  cairn_close(client);
  free(weights);
  free(restored);
  if (code == CAIRN_OK) puts("ok");
  return code == CAIRN_OK ? 0 : 1;
}
