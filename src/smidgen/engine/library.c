// The engine as a shared library: memory, threads and the functions that engine/native.py calls.
//
// Nothing is global. A model may be used by any number of threads at once; each call has memory and threads of
// its own, which end with it, so an idle program has none and fork is safe.
#define _DEFAULT_SOURCE // for MADV_HUGEPAGE
#include <stdlib.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "team.h"

#include "gradients.c"

#ifndef LEVEL
#define LEVEL plain
#endif
#define JOIN2(a, b) smidgen_##a##_##b
#define JOIN(a, b) JOIN2(a, b)
#define EXPORT(name) JOIN(LEVEL, name)

enum { DONE = 0, NO_MEMORY = 1, STOPPED = 2 };
enum { LONGEST = 1 << 24, HUGE_PAGE = 2 << 20 };

// ---- models --------------------------------------------------------------------------------------------------------

struct Room; // memory of a pass: see batches.c
static void free_rooms(struct Room *rooms);

typedef struct {
  Network network;
  size_t num_learned;
  pthread_mutex_t lock;
  struct Room *rooms; // of passes that have ended, for the next ones
  float numbers[];    // learned, then packed
} Model;

// What one thread does while another one is started.
#ifndef PRODUCTS_A_THREAD
#define PRODUCTS_A_THREAD 4000000
#endif

// Threads that are worth starting for so many pixels, up to `most`.
static int worthwhile_threads(size_t num_learned, size_t pixels, int most) {
  size_t threads = 1 + pixels * num_learned / PRODUCTS_A_THREAD;
  return MAX(1, (int)MIN(threads, (size_t)MIN(most, MOST_THREADS)));
}

// Other learned numbers; not while the model is used.
void EXPORT(set)(Model *model, const float *learned) {
  memcpy(model->numbers, learned, sizeof(float) * model->num_learned);
  Numbers numbers = {.learned = model->numbers, .packed = model->numbers + model->num_learned};
  build_network(&model->network, &numbers);
}

// A model from its spec (see read_spec) and its learned numbers, in the order of the model file; NULL without memory.
Model *EXPORT(open)(const int32_t *spec, const float *learned) {
  Network network;
  Numbers numbers = {0};
  if (!read_spec(&network.spec, spec)) return NULL;
  build_network(&network, &numbers);
  Model *model = malloc(sizeof *model + sizeof(float) * (numbers.num_learned + numbers.num_packed));
  if (!model) return NULL;
  model->network.spec = network.spec, model->num_learned = numbers.num_learned, model->rooms = NULL;
  pthread_mutex_init(&model->lock, NULL);
  EXPORT(set)(model, learned);
  return model;
}

void EXPORT(close)(Model *model) {
  free_rooms(model->rooms);
  pthread_mutex_destroy(&model->lock);
  free(model);
}

// ---- streams -------------------------------------------------------------------------------------------------------

// A stream with its memory, and scratch for each thread that works on it.
typedef struct {
  Stream stream;
  int threads;
  void *memory;
  size_t size;
  Scratch scratch[];
} Session;

// Memory of zeros. In pages of 2 MiB where it is large: the planes are read in many places at once, and finding a
// page of 4 KiB each time takes a tenth of the time.
static void *zeros(size_t size) {
#if defined(MADV_HUGEPAGE)
  if (size >= 4 * HUGE_PAGE) {
    size = ROUND_UP(size, HUGE_PAGE);
    void *memory = aligned_alloc(HUGE_PAGE, size);
    if (!memory) return NULL;
    madvise(memory, size, MADV_HUGEPAGE);
    return memset(memory, 0, size);
  }
#endif
  return calloc(size, 1);
}

static void close_session(Session *session) {
  if (session) free(session->memory);
  free(session);
}

static void place_session(Session *session, Arena *arena) {
  place_stream(&session->stream, arena);
  for (int t = 0; t < session->threads; t++) place_scratch(&session->scratch[t], session->stream.network, arena);
}

static Session *open_session(const Network *network, int height, int width, int images, int bands, int step,
                             int threads) {
  if (height > LONGEST || width > LONGEST) return NULL; // so that no row's length overflows
  Session *session = malloc(sizeof *session + sizeof(Scratch) * threads);
  if (!session) return NULL;
  plan_stream(&session->stream, network, height, width, images, bands, step);
  session->threads = threads;
  Arena arena = {0};
  place_session(session, &arena);
  session->size = arena.used + 64;
  session->memory = zeros(session->size);
  if (!session->memory) {
    free(session);
    return NULL;
  }
  arena = (Arena){.start = (char *)ROUND_UP((uintptr_t)session->memory, 64)};
  place_session(session, &arena);
  return session;
}

typedef struct {
  Session *session;
  const float *const *noisy;
  float *const *denoised;
  int made;
} Step;

static void work_on_step(void *job, Team *team, int number) {
  Step *step = job;
  Session *session = step->session;
  int made = run_step(&session->stream, step->noisy, step->denoised, &session->scratch[number], team, number);
  if (!number) step->made = made;
}

// All rows of a group of images.
static void work_on_group(Session *session, Team *team, int number, const float *const *noisy, float *const *denoised) {
  Stream *stream = &session->stream;
  int stages = stream->network->num_stages, images = stream->images;
  size_t row = (size_t)stream->width * stream->network->spec.channels;
  while (stream->done[stages] < stream->height && !is_stopped(team)) {
    const float *from[MOST_IMAGES];
    float *to[MOST_IMAGES];
    for (int i = 0; i < images; i++)
      from[i] = noisy[i] + row * stream->done[0], to[i] = denoised[i] + row * stream->done[stages];
    run_step(stream, from, to, &session->scratch[number], team, number);
    meet(team);
  }
  meet(team); // everyone has seen the end before the stream is used again
}

// ---- whole images --------------------------------------------------------------------------------------------------

// (height, width, channels) each.
typedef struct {
  const float *noisy;
  float *denoised;
  int32_t height, width;
} Picture;

typedef struct {
  const Network *network;
  const Picture *pictures;
  int step;
  int count;              // of groups
  int (*groups)[3];       // first picture, images, bands
  atomic_int next, status;
} Batch;

static int run_group(Batch *batch, const int *group, Session **session, Team *team, int number) {
  const Picture *first = &batch->pictures[group[0]];
  const float *noisy[MOST_IMAGES];
  float *denoised[MOST_IMAGES];
  for (int i = 0; i < group[1]; i++) noisy[i] = first[i].noisy, denoised[i] = first[i].denoised;
  if (!number) {
    const Stream *stream = *session ? &(*session)->stream : NULL;
    if (stream && stream->height == first->height && stream->width == first->width && stream->bands == group[2]) {
      (*session)->stream.images = group[1];
      memset((*session)->stream.done, 0, sizeof stream->done);
    } else {
      close_session(*session);
      *session = open_session(batch->network, first->height, first->width, group[1], group[2],
                              step_rows(first->width, batch->step), team_size(team));
    }
  }
  meet(team);
  if (!*session) return NO_MEMORY;
  work_on_group(*session, team, number, noisy, denoised);
  return is_stopped(team) ? STOPPED : DONE;
}

// Each thread takes whole groups.
static void share_groups(void *job, Team *team, int number) {
  Batch *batch = job;
  Team alone = {.threads = 1, .stop = team->stop, .lock = PTHREAD_MUTEX_INITIALIZER, .met = PTHREAD_COND_INITIALIZER};
  Session *session = NULL;
  (void)number;
  for (int i; !atomic_load(&batch->status) && (i = atomic_fetch_add(&batch->next, 1)) < batch->count;) {
    int status = run_group(batch, batch->groups[i], &session, &alone, 0);
    if (status) atomic_store(&batch->status, status);
  }
  close_session(session);
}

// All threads work on one group after the other.
typedef struct {
  Batch *batch;
  Session *session;
} Shared;

static void share_columns(void *job, Team *team, int number) {
  Shared *shared = job;
  for (int i = 0; i < shared->batch->count; i++) {
    int status = run_group(shared->batch, shared->batch->groups[i], &shared->session, team, number);
    if (status) {
      if (!number) atomic_store(&shared->batch->status, status);
      return;
    }
  }
}

// Denoise pictures of any sizes. `step`: rows at a time, 0 chooses; `stop` may be NULL. DONE, NO_MEMORY or STOPPED.
int EXPORT(denoise)(const Model *model, const Picture *pictures, int count, int threads, int step,
                    const atomic_int *stop) {
  Batch batch = {.network = &model->network, .pictures = pictures, .step = step};
  batch.groups = malloc(sizeof *batch.groups * MAX(count, 1));
  if (!batch.groups) return NO_MEMORY;
  size_t pixels = 0;
  for (int first = 0; first < count;) {
    int same = 1;
    while (first + same < count && pictures[first + same].height == pictures[first].height &&
           pictures[first + same].width == pictures[first].width) same++;
    int bands = choose_bands(&model->network, pictures[first].width, same, LANES), most = LANES / bands;
    for (int i = 0; i < same; i += most) {
      int *group = batch.groups[batch.count++];
      group[0] = first + i, group[1] = MIN(most, same - i), group[2] = bands;
    }
    pixels += (size_t)same * pictures[first].height * pictures[first].width;
    first += same;
  }
  threads = worthwhile_threads(model->num_learned, pixels, threads);
  if (batch.count >= threads) {
    in_team(threads, stop, share_groups, &batch);
  } else {
    Shared shared = {.batch = &batch};
    in_team(threads, stop, share_columns, &shared);
    close_session(shared.session);
  }
  free(batch.groups);
  return atomic_load(&batch.status);
}

// One picture from top to bottom, some rows at a time; NULL without memory.
Session *EXPORT(open_stream)(const Model *model, int height, int width, int threads, int step) {
  step = step_rows(width, step);
  threads = worthwhile_threads(model->num_learned, (size_t)step * width, threads);
  return open_session(&model->network, height, width, 1, choose_bands(&model->network, width, 1, LANES), step, threads);
}

// Rows that each call of `push` must give, but for the last.
int EXPORT(stream_step)(const Session *session) { return session->stream.step; }

// Bytes that the stream holds.
size_t EXPORT(stream_size)(const Session *session) { return session->size; }

// Give the next rows; the rows that can be made now go to `denoised`. Gives their number, or -1 if stopped.
int EXPORT(push)(Session *session, const float *noisy, float *denoised, const atomic_int *stop) {
  Step step = {.session = session, .noisy = &noisy, .denoised = &denoised};
  in_team(session->threads, stop, work_on_step, &step);
  return stop && atomic_load(stop) ? -1 : step.made;
}

void EXPORT(close_stream)(Session *session) { close_session(session); }

// ---- training ------------------------------------------------------------------------------------------------------

#include "batches.c"
