// The engine: runs a denoiser over images of any size at the speed of the processor.
//
// What it is: one pass over memory for each visit of a cell, on vectors whose lanes hold different columns
// or different images (planes.h), in rings of rows (stream.h), for every network that smidgen/network/spec.py
// can describe (network.h), out of a handful of layers (layers.h). What it is not: a general runtime.
//
//   lanes.h -> planes.h -> layers.h -> network.h -> stream.h -> engine.c -> library.c
//
// This file runs a stream; it allocates nothing and knows no threads but through Team.
#include "stream.h"

// ---- images in, images out -------------------------------------------------------------------------------------

// An image's share of a lane: columns x0 to x1 of its band that are inside it, and the image's column of x0.
typedef struct {
  int image, column, count;
} Share;

static Share lane_share(const Stream *stream, int lane, int x0, int x1) {
  const Size *size = &stream->sizes[0];
  int column = lane % size->bands * size->columns + x0, image = lane / size->bands;
  return (Share){image, column, image < stream->images ? MAX(0, MIN(x1 - x0, size->width - column)) : 0};
}

// Columns x0 to x1 of a channel, of the row that begins at `rows[i] + offset` in image i, (width, channels). What lies
// outside the image is left as it is.
static void read_columns(const Stream *stream, vec *row, const float *const *rows, size_t offset, int channel, int x0,
                         int x1) {
  int channels = stream->network->spec.channels;
  for (int lane = 0; lane < LANES; lane++) {
    Share share = lane_share(stream, lane, x0, x1);
    if (!share.count) continue;
    const float *from = rows[share.image] + offset + (size_t)share.column * channels + channel;
    float *to = (float *)(row + x0) + lane;
    for (int x = 0; x < share.count; x++) to[x * LANES] = from[x * channels];
  }
}

// Rows y0 to y1 of all images into plane 0; `rows[i]` is image i from row y0 on, (rows, width, channels).
static void read_rows(const Stream *stream, const float *const *rows, int y0, int y1, int x0, int x1) {
  const Plane *plane = &stream->planes[0];
  int channels = plane->channels;
  for (int y = y0; y < y1; y++) {
    for (int c = 0; c < channels; c++) {
      read_columns(stream, plane_row(plane, y, c), rows, (size_t)(y - y0) * stream->width * channels, c, x0, x1);
      fill_margins(plane, y, c, x0, x1, plane->margin);
    }
  }
}

// `count` columns from x0 on of row y of the result, (channels, BLOCK).
static void write_row(const Stream *stream, float *const *rows, int row, int x0, int count, const vec *values) {
  int channels = stream->network->spec.channels;
  for (int lane = 0; lane < LANES; lane++) {
    Share share = lane_share(stream, lane, x0, x0 + count);
    if (!share.count) continue;
    float *to = rows[share.image] + ((size_t)row * stream->width + share.column) * channels;
    for (int c = 0; c < channels; c++) {
      const float *from = (const float *)(values + c * BLOCK) + lane;
      for (int x = 0; x < share.count; x++) to[x * channels + c] = from[x * LANES];
    }
  }
}

// ---- a stage ---------------------------------------------------------------------------------------------------

static const vec *row_or_zeros(const Stream *stream, const Plane *plane, int y, int channel) {
  return y >= 0 && y < plane->size->height ? plane_row(plane, y, channel) : stream->zeros;
}

static void mask_outside(vec *values, const bits *inside, int count) {
  for (int x = 0; x < count; x++) values[x] = keep(inside[x], values[x]);
}

static void through_stem(const Stream *stream, int y, int x, int count, vec *raw, Scratch *scratch) {
  const Network *network = stream->network;
  const bits *inside = stream->sizes[0].inside + x;
  const Plane *noisy = &stream->planes[0];
  int channels = network->spec.channels, width = network->spec.width;
  for (int at = 0; at < count; at += BLOCK) {
    int columns = count - at > 4 ? BLOCK : 4;
    for (int tap = 0; tap < 9 * channels; tap++)
      scratch->inputs[tap] = row_or_zeros(stream, noisy, y + tap % 9 / 3 - 1, tap / 9) + x + at + tap % 3 - 1;
    products(BIASED, (Target){.values = raw + at, .pitch = scratch->pitch, .inside = inside + at}, scratch->inputs,
             9 * channels, width, network->stem, (Start){.bias = network->stem_bias}, columns);
  }
}

// Row y of a stage's source, columns x to x + count, into `raw` (inputs, pitch); zeros outside the image.
static void source_row(const Stream *stream, const Stage *stage, int y, int x, int count, vec *raw, Scratch *scratch) {
  const Size *size = &stream->sizes[stage->scale];
  if (y < 0 || y >= size->height) {
    for (int c = 0; c < stage->inputs; c++) memset(raw + c * scratch->pitch, 0, sizeof(vec) * count);
    return;
  }
  if (stage->source == STEM) {
    through_stem(stream, y, x, count, raw, scratch);
    return;
  }
  const Plane *from = &stream->planes[MAX(0, stage->from)];
  for (int c = 0; c < stage->inputs; c++) {
    vec *to = raw + c * scratch->pitch;
    int near = y >> 1, far = near + (y & 1 ? 1 : -1); // coarse rows
    switch (stage->source) {
      case STEM: break; // made above, all channels at once
      case AS_IS: memcpy(to, plane_row(from, y, c) + x, sizeof(vec) * count); continue;
      case MEAN_POOL:
        mean_pool(to, row_or_zeros(stream, from, 2 * y, c), row_or_zeros(stream, from, 2 * y + 1, c), x, count);
        continue;
      case MAX_POOL:
        max_pool(to, row_or_zeros(stream, from, 2 * y, c), row_or_zeros(stream, from, 2 * y + 1, c),
                 2 * y + 1 < from->size->height, from->size, x, count);
        continue;
      case NEAREST: upsample_nearest(to, plane_row(&stream->planes[stage->coarse], near, c), x, count); break;
      case BILINEAR: {
        const Plane *coarse = &stream->planes[stage->coarse];
        far = MAX(0, MIN(coarse->size->height - 1, far)); // the edge is repeated
        add_bilinear(to, plane_row(from, y, c), plane_row(coarse, near, c), plane_row(coarse, far, c),
                     coarse->size, x, count);
        break;
      }
    }
    if (!(are_inside(size, x, x + count - 1))) mask_outside(to, size->inside + x, count);
  }
}

static void cell_block(const Network *network, const Stage *stage, const vec *const *norm, const vec *raw, int count,
                       Target target, Scratch *scratch) {
  int hidden = network->spec.hidden, pitch = scratch->pitch;
  depthwise(stage->side, scratch->seen, BLOCK, norm, pitch, stage->inputs, stage->filters, count);
  for (int c = 0; c < stage->inputs; c++) scratch->inputs[c] = scratch->seen + c * BLOCK;
  products(GATED, (Target){.values = scratch->gated, .pitch = BLOCK}, scratch->inputs, stage->inputs, 2 * hidden,
           stage->weights, (Start){.bias = stage->bias}, count);
  for (int h = 0; h < hidden; h++) scratch->inputs[h] = scratch->gated + h * BLOCK;
  products(ADDED, target, scratch->inputs, hidden, stage->outputs, stage->back,
           (Start){.values = raw, .pitch = pitch}, count);
}

static void convolution_block(const Stage *stage, const vec *const *rows, int count, Target target, Scratch *scratch) {
  for (int tap = 0; tap < 9 * stage->inputs; tap++)
    scratch->inputs[tap] = rows[tap % 9 / 3] + tap / 9 * scratch->pitch + tap % 3;
  products(RELU, target, scratch->inputs, 9 * stage->inputs, stage->outputs, stage->weights,
           (Start){.bias = stage->bias}, count);
}

static void head_block(const Stream *stream, const Stage *stage, const vec *const *rows, int pitch, int y, int x,
                       Scratch *scratch) {
  for (int o = 0; o < stage->outputs; o++) {
    vec *result = scratch->result + o * BLOCK;
    convolve_to_one(result, rows, pitch, stage->inputs, stage->filters + 9 * stage->inputs * o,
                    stage->bias[o]);
    if (stream->network->spec.output == SIGMOID) {
      for (int i = 0; i < BLOCK; i++) result[i] = sigmoid(result[i]);
    } else {
      const vec *noisy = plane_row(&stream->planes[0], y, o) + x;
      for (int i = 0; i < BLOCK; i++)
        result[i] = at_most(at_least(noisy[i] - result[i], spread(0.0f)), spread(1.0f));
    }
  }
}

// Fetch what will be written: in wide images it has left the cache since it was last used.
INLINE void prefetch_columns(Target target, int channels, int count) {
#if defined(__GNUC__)
  for (int c = 0; c < channels; c++)
    for (int x = 0; x < count; x++) __builtin_prefetch(target.values + (size_t)c * target.pitch + x, 1);
#endif
}

// The result from a plane as it is: there is nothing to keep in a ring.
static void run_head(const Stream *stream, const Stage *stage, int y0, int y1, int x0, int x1, float *const *out,
                     Scratch *scratch) {
  int pitch = plane_pitch(&stream->planes[stage->from]);
  for (int y = y0; y < y1; y++) {
    for (int x = x0; x < x1; x += BLOCK) {
      const vec *rows[3];
      for (int i = 0; i < 3; i++) rows[i] = row_or_zeros(stream, &stream->planes[stage->from], y + i - 1, 0) + x - 1;
      head_block(stream, stage, rows, pitch, y, x, scratch);
      write_row(stream, out, y - y0, x, MIN(BLOCK, x1 - x), scratch->result);
    }
  }
}

// Rows y0 to y1, columns x0 to x1 of what a stage makes. The last `side` rows of its source stay in a ring.
static void run_stage(const Stream *stream, int number, int y0, int y1, int x0, int x1, float *const *out,
                      Scratch *scratch) {
  const Stage *stage = &stream->network->stages[number];
  if (stage->operation == HEAD && stage->source == AS_IS) {
    run_head(stream, stage, y0, y1, x0, x1, out, scratch);
    return;
  }
  int side = stage->side, radius = stage_radius(stage), before = even_radius(stage), pitch = scratch->pitch;
  int wide = ROUND_UP(x1 - x0 + before + radius, 4);
  size_t ring_row = (size_t)stage->inputs * pitch;
  for (int y = y0 - radius; y < y1 + radius; y++) {
    size_t slot = (size_t)((y + side) % side) * ring_row;
    source_row(stream, stage, y, x0 - before, wide, scratch->raw + slot, scratch);
    if (stage->operation == CELL)
      rms_norm(scratch->norm + slot, pitch, NULL, scratch->raw + slot, pitch, stage->inputs, wide);
    int row = y - radius; // what can be made now
    if (row < y0) continue;
    const vec *ring = stage->operation == CELL ? scratch->norm : scratch->raw;
    for (int x = x0; x < x1; x += BLOCK) {
      int count = x1 - x > 4 ? BLOCK : 4, kept = MIN(BLOCK, x1 - x);
      const vec *rows[MOST_SIDE];
      for (int i = 0; i < side; i++)
        rows[i] = ring + (size_t)((row + i - radius + side) % side) * ring_row + x - x0 + before - radius;
      if (stage->operation == HEAD) {
        head_block(stream, stage, rows, pitch, row, x, scratch);
        write_row(stream, out, row - y0, x, kept, scratch->result);
        continue;
      }
      // A last block that is not whole must not touch what lies behind it.
      const Plane *to = &stream->planes[stage->to];
      Target target = {.values = plane_row(to, row, 0) + x, .pitch = plane_pitch(to), .inside = to->size->inside + x};
      if (kept < count) target.values = scratch->result, target.pitch = BLOCK;
      else prefetch_columns(target, stage->outputs, count);
      if (stage->operation == CELL) {
        const vec *raw = scratch->raw + (size_t)((row + side) % side) * ring_row + x - x0 + before;
        cell_block(stream->network, stage, rows, raw, count, target, scratch);
      } else {
        convolution_block(stage, rows, count, target, scratch);
      }
      for (int c = 0; c < stage->outputs; c++) {
        if (kept < count) memcpy(plane_row(to, row, c) + x, scratch->result + c * BLOCK, sizeof(vec) * kept);
        fill_margins(to, row, c, x, x + kept, to->margin);
      }
    }
  }
}

// ---- the network -------------------------------------------------------------------------------------------------

// Columns that a thread takes at a time.
static int chunk_columns(int columns, int threads) {
  int chunks = MAX((columns + CHUNK - 1) / CHUNK, threads > 1 ? MIN(2 * threads, (columns + 7) / 8) : 1);
  return ROUND_UP((columns + chunks - 1) / chunks, 4);
}

// Rows y0 to y1 of plane `number` (read, or made by the stage before it), shared by the team.
static void make_rows(const Stream *stream, int number, int y0, int y1, const float *const *noisy,
                      float *const *denoised, Scratch *scratch, Team *team) {
  int columns = number < stream->network->num_stages ? stream->planes[number].size->columns : stream->sizes[0].columns;
  int chunk = chunk_columns(columns, team_size(team));
  for (int x; !is_stopped(team) && (x = take_ticket(team) * chunk) < columns;) {
    int end = MIN(x + chunk, columns);
    if (number == 0) read_rows(stream, noisy, y0, y1, x, end);
    else run_stage(stream, number - 1, y0, y1, x, end, denoised, scratch);
  }
  meet(team);
}

// Take `step` more rows of each image (what is left at the end) and make what can be made of them. Every thread
// of the team calls this with the same arguments but its number and scratch; `noisy[i]` is image i from the first new row on, `denoised[i]`
// where the first row not made before goes. Gives the rows made; the stream is ready for its next step once number 0
// of the team is back.
static int run_step(Stream *stream, const float *const *noisy, float *const *denoised, Scratch *scratch, Team *team,
                    int number) {
  int stages = stream->network->num_stages, channels = stream->network->spec.channels, done[MOST_STAGES];
  memcpy(done, stream->done, sizeof(int) * (stages + 1));
  int given = MIN(stream->height, done[0] + stream->step);
  make_rows(stream, 0, done[0], given, noisy, denoised, scratch, team);
  done[0] = given;
  for (int moved = 1; moved && !is_stopped(team);) {
    moved = 0;
    for (int i = 1; i <= stages; i++) {
      int to = reachable(stream, i - 1, done);
      if (to == done[i]) continue;
      float *out[MOST_IMAGES];
      size_t offset = i == stages ? (size_t)(done[i] - stream->done[i]) * stream->width * channels : 0;
      for (int image = 0; image < stream->images; image++) out[image] = denoised[image] + offset;
      make_rows(stream, i, done[i], to, noisy, out, scratch, team);
      done[i] = to, moved = 1;
    }
  }
  int made = done[stages] - stream->done[stages];
  meet(team); // nobody reads the stream's `done` any more
  if (!number) memcpy(stream->done, done, sizeof(int) * (stages + 1));
  return made;
}
