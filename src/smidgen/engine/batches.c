// Gradients of batches: which images, or tiles of large ones, share a pass, and threads. Part of library.c.
//
// The groups depend on the images and the processor's vectors alone. Threads take them as they come; their sums are
// added one after the other. So the bits do not depend on the threads.
#ifndef KEPT_BYTES
#define KEPT_BYTES (32 << 20) // most of a pass that keeps everything
#define TILE_SIDE 768         // of the tiles that larger images are cut into, their surroundings included
#define TILED_PIXELS (1 << 20) // larger images
#endif

// (height, width, channels) each.
typedef struct {
  const float *noisy, *clean;
  int32_t height, width;
} Example;

// What a pass computes of an image, and which of its pixels count.
typedef struct {
  int height, width, top, left, bottom, right;
} Shape;

typedef struct {
  const float *noisy, *clean;
  size_t row;
  Shape shape;
} Region;

typedef struct {
  int first, images, bands, keep;
} Group;

typedef struct {
  Model *model;
  const Turned *turned;
  Loss loss;
  Region *regions;
  Group *groups;
  int num_regions, num_groups;
  double *slots, *result; // each the loss and the gradients; a group's slot is free once all before it were added
  char *is_ready;         // of each slot
  int num_slots, added;   // groups
  pthread_mutex_t lock;
  pthread_cond_t moved;
  atomic_int next, status;
} Work;

// ---- tiles ---------------------------------------------------------------------------------------------------------

// Pixels of the image to all sides on which a pixel of the result can depend, at most.
static int reach_of(const Network *network) {
  int reaches[MOST_STAGES + 1] = {0}, reach = 0;
  for (int i = 0; i < network->num_stages; i++) {
    const Stage *stage = &network->stages[i];
    int pixel = 1 << stage->scale;
    int from = stage->from >= 0 ? reaches[stage->from] + pixel : 0;
    int coarse = stage->coarse >= 0 ? reaches[stage->coarse] + 2 * pixel : 0;
    reaches[i + 1] = reach = MAX(from, coarse) + stage_radius(stage) * pixel;
  }
  return reach;
}

// Cut `length` pixels into tiles: gives the pixels from one to the next, and those around it that a tile needs.
static int tile_step(const Network *network, int length, int *around) {
  int alignment = 1 << (scales_of(&network->spec) - 1), side = TILE_SIDE;
  *around = ROUND_UP(reach_of(network), alignment);
  if (side < 4 * *around) side = 4 * *around;
  int step = side - 2 * *around;
  if (length <= side) return ROUND_UP(length, alignment);
  int tiles = (length + step - 1) / step;
  return ROUND_UP((length + tiles - 1) / tiles, alignment); // all of them alike
}

// From one tile to the next, and the pixels around each that it needs.
typedef struct {
  int down, across, around_y, around_x;
} Tiles;

static Tiles plan_tiles(const Network *network, int height, int width) {
  Tiles tiles = {.down = height, .across = width};
  int large = (size_t)height * width > (size_t)TILED_PIXELS;
  if (large) tiles.down = tile_step(network, height, &tiles.around_y);
  if (large || width > WIDE) tiles.across = tile_step(network, width, &tiles.around_x);
  return tiles;
}

// The regions of an example; counts only if `regions` is null.
static int cut_example(const Network *network, const Example *example, Region *regions) {
  int height = example->height, width = example->width, channels = network->spec.channels, count = 0;
  Tiles tiles = plan_tiles(network, height, width);
  for (int y = 0; y < height; y += tiles.down) {
    for (int x = 0; x < width; x += tiles.across, count++) {
      if (!regions) continue;
      int bottom = MIN(height, y + tiles.down), right = MIN(width, x + tiles.across);
      int y0 = MAX(0, y - tiles.around_y), y1 = MIN(height, y + tiles.down + tiles.around_y);
      int x0 = MAX(0, x - tiles.around_x), x1 = MIN(width, x + tiles.across + tiles.around_x);
      size_t first = ((size_t)y0 * width + x0) * channels;
      Shape shape = {y1 - y0, x1 - x0, y - y0, x - x0, bottom - y0, right - x0};
      regions[count] = (Region){example->noisy + first, example->clean + first, (size_t)width * channels, shape};
    }
  }
  return count;
}

// ---- groups --------------------------------------------------------------------------------------------------------

static size_t pass_bytes(const Model *model, const Shape *shape, int bands, int keep) {
  Pass pass;
  Arena arena = {0};
  plan_pass(&pass, &model->network, NULL, model->num_learned, shape->height, shape->width, 1, bands, keep);
  place_pass(&pass, &arena);
  return arena.used;
}

// How many bands of each image share the lanes: the fewest columns to compute among the passes that keep everything.
static Group choose_group(const Model *model, const Shape *shape, int count) {
  Group best = {.bands = LANES};
  long least = -1;
  for (int bands = LANES; bands >= 1; bands /= 2) {
    int keep = pass_bytes(model, shape, bands, 1) <= (size_t)KEPT_BYTES;
    if (bands < LANES && !keep) break;
    int groups = (count + LANES / bands - 1) / (LANES / bands);
    long cost = (long)groups * (ROUND_UP(band_columns(&model->network, shape->width, bands), 4) + (bands > 1 ? 4 : 0));
    if (least < 0 || cost < least) least = cost, best.bands = bands, best.keep = keep;
  }
  return best;
}

// Bytes that one thread holds for the gradients of `count` images of one size: those of the pass over a whole tile.
size_t EXPORT(gradients_size)(const Model *model, int height, int width, int count) {
  Tiles tiles = plan_tiles(&model->network, height, width);
  Shape shape = {.height = MIN(height, tiles.down + 2 * tiles.around_y),
                 .width = MIN(width, tiles.across + 2 * tiles.around_x)};
  Group group = choose_group(model, &shape, count);
  return pass_bytes(model, &shape, group.bands, group.keep);
}

static void group_regions(Work *work) {
  for (int first = 0; first < work->num_regions;) {
    const Shape *shape = &work->regions[first].shape;
    int same = 1;
    while (first + same < work->num_regions && !memcmp(shape, &work->regions[first + same].shape, sizeof *shape))
      same++;
    Group group = choose_group(work->model, shape, same);
    for (int i = 0; i < same; i += LANES / group.bands) {
      group.first = first + i, group.images = MIN(LANES / group.bands, same - i);
      work->groups[work->num_groups++] = group;
    }
    first += same;
  }
}

// ---- threads -------------------------------------------------------------------------------------------------------

static void end_work(Work *work, int status) {
  pthread_mutex_lock(&work->lock);
  atomic_store(&work->status, status);
  pthread_cond_broadcast(&work->moved);
  pthread_mutex_unlock(&work->lock);
}

// A group's slot, of zeros, once it is free; NULL where the work has ended.
static double *wait_for_slot(Work *work, int group) {
  size_t numbers = 1 + work->model->num_learned;
  double *slot = work->slots + numbers * (group % work->num_slots);
  pthread_mutex_lock(&work->lock);
  while (group >= work->added + work->num_slots && !atomic_load(&work->status))
    pthread_cond_wait(&work->moved, &work->lock);
  pthread_mutex_unlock(&work->lock);
  if (atomic_load(&work->status)) return NULL;
  return memset(slot, 0, sizeof(double) * numbers);
}

// A group is done: add it, and what waited for it, to the result.
static void add_ready(Work *work, int group) {
  size_t numbers = 1 + work->model->num_learned;
  pthread_mutex_lock(&work->lock);
  work->is_ready[group % work->num_slots] = 1;
  for (int slot; work->is_ready[slot = work->added % work->num_slots]; work->added++) {
    for (size_t i = 0; i < numbers; i++) work->result[i] += work->slots[numbers * slot + i];
    work->is_ready[slot] = 0;
  }
  pthread_cond_broadcast(&work->moved);
  pthread_mutex_unlock(&work->lock);
}

// A pass and its memory, which the next one takes over.
typedef struct Room {
  Pass pass;
  char *memory;
  size_t size;
  struct Room *next;
} Room;

static void free_rooms(Room *rooms) {
  for (Room *next; rooms; rooms = next) {
    next = rooms->next;
    free(rooms->memory), free(rooms);
  }
}

static Room *take_room(Model *model) {
  pthread_mutex_lock(&model->lock);
  Room *room = model->rooms;
  if (room) model->rooms = room->next;
  pthread_mutex_unlock(&model->lock);
  return room ? room : calloc(1, sizeof *room);
}

static void give_room(Model *model, Room *room) {
  pthread_mutex_lock(&model->lock);
  room->next = model->rooms, model->rooms = room;
  pthread_mutex_unlock(&model->lock);
}

// Make it fit for a group; 0 without memory.
static int make_room(const Work *work, Room *room, const Shape *shape, const Group *group) {
  Pass *pass = &room->pass;
  const Stream *stream = &pass->stream;
  int same = room->memory && stream->height == shape->height && stream->width == shape->width &&
             stream->bands == group->bands && pass->keep == group->keep;
  if (!same) {
    const Model *model = work->model;
    plan_pass(pass, &model->network, model->numbers, model->num_learned, shape->height, shape->width, group->images,
              group->bands, group->keep);
    Arena arena = {0};
    place_pass(pass, &arena);
    if (arena.used + 64 > room->size) {
      free(room->memory);
      room->size = arena.used + 64, room->memory = zeros(room->size);
      if (!room->memory) return room->size = 0;
    } else {
      memset(room->memory, 0, pass->zeroed + 64);
    }
    arena = (Arena){.start = (char *)ROUND_UP((uintptr_t)room->memory, 64)};
    place_pass(pass, &arena);
  }
  pass->turned = work->turned, pass->stream.images = group->images;
  return 1;
}

static void share_passes(void *job, Team *team, int number) {
  Work *work = job;
  Team alone = {.threads = 1, .stop = team->stop, .lock = PTHREAD_MUTEX_INITIALIZER, .met = PTHREAD_COND_INITIALIZER};
  Room *room = take_room(work->model);
  if (!room) end_work(work, NO_MEMORY);
  (void)number;
  for (int i; room && (i = atomic_fetch_add(&work->next, 1)) < work->num_groups;) {
    const Group *group = &work->groups[i];
    const Region *regions = &work->regions[group->first];
    double *slot = wait_for_slot(work, i);
    if (!slot) break;
    if (!make_room(work, room, &regions->shape, group)) {
      end_work(work, NO_MEMORY);
      break;
    }
    Job pass = {.loss = work->loss, .row = regions->row, .top = regions->shape.top, .left = regions->shape.left,
                .bottom = regions->shape.bottom, .right = regions->shape.right};
    for (int k = 0; k < group->images; k++) pass.noisy[k] = regions[k].noisy, pass.clean[k] = regions[k].clean;
    run_pass(&room->pass, &pass, slot, &alone);
    if (is_stopped(&alone)) {
      end_work(work, STOPPED);
      break;
    }
    add_ready(work, i);
  }
  if (room) give_room(work->model, room);
}

// ---- a batch -------------------------------------------------------------------------------------------------------

static int run_work(Work *work, int threads, const atomic_int *stop) {
  size_t numbers = 1 + work->model->num_learned;
  work->slots = malloc(sizeof(double) * numbers * work->num_slots);
  work->is_ready = calloc(work->num_slots, 1);
  if (work->slots && work->is_ready) in_team(threads, stop, share_passes, work);
  else atomic_store(&work->status, NO_MEMORY);
  free(work->slots), free(work->is_ready);
  return atomic_load(&work->status);
}

static int turn_and_run(Work *work, int threads, const atomic_int *stop) {
  const Network *network = &work->model->network;
  Turned turned[MOST_STAGES];
  Numbers numbers = {0};
  turn_network(network, &numbers, turned, NULL);
  float *packed = malloc(sizeof(float) * (numbers.num_packed + work->model->num_learned));
  if (!packed) return NO_MEMORY;
  float *room = packed + numbers.num_packed;
  numbers = (Numbers){.packed = packed};
  turn_network(network, &numbers, turned, room);
  work->turned = turned;
  int status = run_work(work, threads, stop);
  free(packed);
  return status;
}

// The loss of a batch, the mean over all its pixels and channels, then its gradients in the order of the learned
// numbers. Examples of one size must follow each other. `stop` may be NULL. DONE, NO_MEMORY or STOPPED.
int EXPORT(gradients)(Model *model, const Example *examples, int count, int threads, int loss, double *result,
                      const atomic_int *stop) {
  const Network *network = &model->network;
  Work work = {.model = model, .loss = (Loss)loss, .result = result, .lock = PTHREAD_MUTEX_INITIALIZER,
               .moved = PTHREAD_COND_INITIALIZER};
  size_t pixels = 0;
  for (int i = 0; i < count; i++) {
    work.num_regions += cut_example(network, &examples[i], NULL);
    pixels += (size_t)examples[i].height * examples[i].width;
  }
  memset(result, 0, sizeof(double) * (1 + model->num_learned));
  work.regions = malloc(sizeof *work.regions * MAX(1, work.num_regions));
  work.groups = malloc(sizeof *work.groups * MAX(1, work.num_regions));
  int status = NO_MEMORY;
  if (work.regions && work.groups) {
    Region *to = work.regions;
    for (int i = 0; i < count; i++) to += cut_example(network, &examples[i], to);
    group_regions(&work);
    threads = MIN(MAX(1, work.num_groups), worthwhile_threads(3 * model->num_learned, pixels, threads));
    work.num_slots = 2 * threads;
    status = turn_and_run(&work, threads, stop);
  }
  free(work.regions), free(work.groups);
  double share = 1.0 / ((double)MAX(1, pixels) * network->spec.channels);
  for (size_t i = 0; i <= model->num_learned; i++) result[i] *= share;
  return status;
}
