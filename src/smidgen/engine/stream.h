// Running a network over a group of images of one size, some rows at a time.
//
// Each stage makes the rows it can from the rows its planes hold, in turn, until nothing more can be made of
// the rows given so far. A plane holds only the rows that are still needed, so memory follows the width of
// the images, not their height, and an image is never cut into tiles. Several threads share the columns of
// each step of a stage; what they compute does not depend on how.
#ifndef SMIDGEN_STREAM_H
#define SMIDGEN_STREAM_H

#include "network.h"

enum {
  CHUNK = 32,            // most columns that one thread takes at a time
  MOST_IMAGES = LANES,   // in a group
  STEP = 32, LOW_STEP = 8, WIDE = 8192,
};

#ifndef SMIDGEN_THREADS
// Threads that work on one stream: here a single one; team.h has more.
typedef struct {
  int tickets;
} Team;
static int team_size(const Team *team) { (void)team; return 1; }
static int take_ticket(Team *team) { return team->tickets++; } // 0, 1, 2 ... since the last meeting
static void meet(Team *team) { team->tickets = 0; }            // everyone waits for everyone
static int is_stopped(const Team *team) { (void)team; return 0; }
#endif

typedef struct {
  const Network *network;
  int height, width, step; // step: rows given at a time
  int images, bands;       // in the lanes
  int num_scales, margin;
  Size sizes[MOST_SCALES];
  Plane planes[MOST_STAGES]; // planes[0] is the noisy image, planes[i] what stage i - 1 makes
  int done[MOST_STAGES];     // rows there are of each plane; of the result at num_stages
  vec *zeros;                // a row beyond the image, of any plane
} Stream;

// What one thread needs for itself: rings of rows, and a block of columns between the steps of a cell.
typedef struct {
  int pitch;
  vec *raw, *norm;            // (side, inputs, pitch)
  vec *seen, *gated, *result; // (inputs, BLOCK), (hidden, BLOCK), (outputs, BLOCK)
  const vec **inputs;         // of a product
} Scratch;

// Memory handed out piece by piece; `start` is null to count only.
typedef struct {
  char *start;
  size_t used;
} Arena;

static void *take_memory(Arena *arena, size_t bytes) {
  void *piece = arena->start ? arena->start + arena->used : NULL;
  arena->used += ROUND_UP(bytes, 64);
  return piece;
}

static int ceil_half(int rows, int times) { return ((rows - 1) >> times) + 1; }

// ---- which rows a stage needs --------------------------------------------------------------------------------

typedef struct {
  int first, last;
} Rows;

// Of plane `plane`, for row y of the stage's source; not yet cut to the rows there are.
static Rows source_rows(const Stage *stage, int plane, int y) {
  if (plane == stage->coarse) {
    int near = y >> 1;
    if (stage->source == NEAREST) return (Rows){near, near};
    return (Rows){near - !(y & 1), near + (y & 1)};
  }
  switch (stage->source) {
    case STEM: return (Rows){y - 1, y + 1};
    case MEAN_POOL:
    case MAX_POOL: return (Rows){2 * y, 2 * y + 1};
    default: return (Rows){y, y};
  }
}

// Of plane `plane`, for row y that the stage makes.
static Rows needed_rows(const Stream *stream, const Stage *stage, int plane, int y) {
  int height = stream->sizes[stage->scale].height, radius = stage_radius(stage);
  Rows rows = {source_rows(stage, plane, MAX(0, y - radius)).first,
               source_rows(stage, plane, MIN(height - 1, y + radius)).last};
  return (Rows){MAX(0, rows.first), MIN(stream->planes[plane].size->height - 1, rows.last)};
}

// How many rows a stage can have made after its next turn, from the rows there are: a turn makes `step` rows of the
// image at most, so that little needs to be held even where the end of an image brings many rows within reach.
static int reachable(const Stream *stream, int number, const int *done) {
  const Stage *stage = &stream->network->stages[number];
  int to = done[number + 1], most = MIN(stream->sizes[stage->scale].height, to + MAX(1, stream->step >> stage->scale));
  for (; to < most; to++) {
    if (stage->from >= 0 && needed_rows(stream, stage, stage->from, to).last >= done[stage->from]) break;
    if (stage->coarse >= 0 && needed_rows(stream, stage, stage->coarse, to).last >= done[stage->coarse]) break;
  }
  return to;
}

// The first row of a plane that is still needed.
static int first_needed(const Stream *stream, int plane, const int *done) {
  const Network *network = stream->network;
  int first = stream->planes[plane].size->height;
  for (int i = 0; i < network->num_stages; i++) {
    const Stage *stage = &network->stages[i];
    int next = done[i + 1];
    if (next == stream->sizes[stage->scale].height) continue;
    if (plane == stage->from || plane == stage->coarse)
      first = MIN(first, needed_rows(stream, stage, plane, next).first);
    if (plane == 0 && stage->operation == HEAD && network->spec.output == RESIDUAL) first = MIN(first, next);
  }
  return first;
}

// How many rows each plane must hold: the whole run, without the work.
static void plan_rows(Stream *stream) {
  int stages = stream->network->num_stages, done[MOST_STAGES] = {0};
  while (done[stages] < stream->height) {
    done[0] = MIN(stream->height, done[0] + stream->step);
    stream->planes[0].rows = MAX(stream->planes[0].rows, done[0] - first_needed(stream, 0, done));
    for (int moved = 1; moved;) {
      moved = 0;
      for (int i = 1; i <= stages; i++) {
        int to = reachable(stream, i - 1, done);
        if (to == done[i]) continue;
        done[i] = to, moved = 1;
        if (i == stages) continue; // the result goes where the caller wants it
        Plane *plane = &stream->planes[i];
        plane->rows = MAX(plane->rows, to - first_needed(stream, i, done));
      }
    }
  }
}

// ---- memory ----------------------------------------------------------------------------------------------------

static int even_radius(const Stage *stage) { return ROUND_UP(stage_radius(stage), 2); }

// Columns beyond a band that a stage reads of a plane.
static int margin_read(const Stage *stage, int plane) {
  int radius = even_radius(stage);
  if (plane == stage->coarse) return radius / 2 + 1;
  if (stage->source == STEM) return radius + 1;
  return stage->source == MEAN_POOL || stage->source == MAX_POOL ? 2 * radius + 2 : radius;
}

// Columns of a band: whole ones at every scale, so that a pixel of a coarse one lies in a single band.
static int band_columns(const Network *network, int width, int bands) {
  int alignment = 1 << (scales_of(&network->spec) - 1);
  return bands == 1 ? width : ROUND_UP((width + bands - 1) / bands, alignment);
}

// How many bands of each image share the lanes, for so many images of one size: the fewest columns to compute.
static int choose_bands(const Network *network, int width, int count, int lanes) {
  int best = lanes, narrowest = 0;
  long least = -1;
  for (int bands = lanes; bands >= 1; bands /= 2) {
    int groups = (count + lanes / bands - 1) / (lanes / bands);
    int columns = band_columns(network, width, bands);
    if (bands == lanes) narrowest = columns;
    if (columns > MAX(256, narrowest)) break; // memory follows the columns
    long cost = (long)groups * (ROUND_UP(columns, 4) + (bands > 1 ? 4 : 0));
    if (least < 0 || cost < least) least = cost, best = bands;
  }
  return best;
}

// Fewer rows at a time where rows are long: memory is what counts there.
static int step_rows(int width, int step) { return step > 0 ? step : width > WIDE ? LOW_STEP : STEP; }

static void plan_sizes(Stream *stream) {
  const Network *network = stream->network;
  int columns = band_columns(network, stream->width, stream->bands), widest = 0;
  for (int s = 0; s < stream->num_scales; s++)
    stream->sizes[s] = (Size){.height = ceil_half(stream->height, s), .width = ceil_half(stream->width, s),
                              .bands = stream->bands, .columns = ceil_half(columns, s)};
  for (int i = 0; i < network->num_stages; i++) {
    stream->planes[i] = (Plane){.size = &stream->sizes[i ? network->stages[i - 1].scale : 0],
                                .channels = i ? network->stages[i - 1].outputs : network->spec.channels};
  }
  for (int i = 0; i < network->num_stages; i++) {
    const Stage *stage = &network->stages[i];
    int planes[2] = {stage->from, stage->coarse};
    for (int p = 0; p < 2; p++) {
      if (planes[p] < 0) continue;
      Plane *plane = &stream->planes[planes[p]];
      plane->margin = MAX(plane->margin, margin_read(stage, planes[p]));
      widest = MAX(widest, plane->margin);
    }
  }
  stream->margin = widest + SLACK;
}

static void fill_inside(Stream *stream, Size *size, bits *inside, uint8_t *whole) {
  for (int x = -stream->margin; x < size->columns + stream->margin; x++) {
    int32_t lanes[LANES];
    int all = 1;
    for (int lane = 0; lane < LANES; lane++) {
      int band = lane % size->bands, column = band * size->columns + x;
      int is_inside = column >= 0 && column < size->width;
      lanes[lane] = -is_inside, all &= is_inside;
    }
    memcpy(&inside[x], lanes, sizeof lanes);
    whole[x] = (uint8_t)all;
  }
}

// Lay out the planes; with a counting arena only how much memory they need. Memory must be zeros.
static void place_stream(Stream *stream, Arena *arena) {
  for (int s = 0; s < stream->num_scales; s++) {
    Size *size = &stream->sizes[s];
    int columns = size->columns + 2 * stream->margin;
    bits *inside = take_memory(arena, sizeof(bits) * columns);
    uint8_t *whole = take_memory(arena, columns);
    if (!arena->start) continue;
    size->inside = inside + stream->margin, size->whole = whole + stream->margin;
    fill_inside(stream, size, inside + stream->margin, whole + stream->margin);
  }
  size_t widest = 0;
  for (int i = 0; i < stream->network->num_stages; i++)
    widest = MAX(widest, (size_t)stream->planes[i].channels * plane_pitch(&stream->planes[i]));
  vec *zeros = take_memory(arena, sizeof(vec) * (widest + 2 * (SLACK + stream->margin)));
  if (arena->start) stream->zeros = zeros + SLACK + stream->margin;
  for (int i = 0; i < stream->network->num_stages; i++) {
    Plane *plane = &stream->planes[i];
    vec *memory = take_memory(arena, sizeof(vec) * (SLACK + plane_vecs(plane)));
    if (arena->start) plane->memory = memory + SLACK;
  }
}

static void plan_stream(Stream *stream, const Network *network, int height, int width, int images, int bands,
                        int step) {
  *stream = (Stream){.network = network, .height = height, .width = width, .images = images, .bands = bands,
                     .step = MIN(step, height), .num_scales = scales_of(&network->spec)};
  plan_sizes(stream);
  plan_rows(stream);
}

static void place_scratch(Scratch *scratch, const Network *network, Arena *arena) {
  size_t ring = 0, inputs = 0, outputs = 0, hidden = (size_t)network->spec.hidden;
  scratch->pitch = 0;
  for (int i = 0; i < network->num_stages; i++)
    scratch->pitch = MAX(scratch->pitch, CHUNK + 2 * even_radius(&network->stages[i]) + BLOCK + 4);
  for (int i = 0; i < network->num_stages; i++) {
    const Stage *stage = &network->stages[i];
    ring = MAX(ring, (size_t)stage->side * stage->inputs * scratch->pitch);
    inputs = MAX(inputs, (size_t)stage->inputs), outputs = MAX(outputs, (size_t)stage->outputs);
  }
  size_t most = MAX(9 * MAX(inputs, (size_t)4), hidden);
  scratch->raw = take_memory(arena, sizeof(vec) * (ring + SLACK));
  scratch->norm = take_memory(arena, sizeof(vec) * (ring + SLACK));
  scratch->seen = take_memory(arena, sizeof(vec) * inputs * BLOCK);
  scratch->gated = take_memory(arena, sizeof(vec) * hidden * BLOCK);
  scratch->result = take_memory(arena, sizeof(vec) * outputs * BLOCK);
  scratch->inputs = take_memory(arena, sizeof(vec *) * most);
}

#endif
