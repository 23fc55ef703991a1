// The engine where memory and flash are scarce: one lane, images of one size, no schedule, all in plain C99.
//
// Each scale has one plane of work memory. A step makes all its rows before the next one begins, and makes them in place:
// a cell's source is written to the plane of its scale, its normalised rows go into a ring of `side` rows, and what the
// cell adds is added where the source stands. For small images that takes less memory than rows on their way through
// (stream.h), and no row is computed twice.
//
// export/c.py writes what this needs before it: the size and SMIDGEN_CHANNELS, the numbers, the steps, where planes lie,
// and macros that let the compiler drop what a network has not.
#ifndef SMIDGEN_SMALL_H
#define SMIDGEN_SMALL_H

#include "layers.h"
#include "numbers.h"

typedef enum { NOISY, AS_IS, MEAN_POOL, BILINEAR, MAX_POOL, NEAREST } Source;
typedef enum { CELL, CONVOLUTION, RELU_CONVOLUTION, HEAD } Operation;

typedef struct {
  uint8_t operation, source, scale;
  uint16_t inputs, outputs;
  const Matrix *matrices; // CELL: around, mix, back; else the kernel (outputs, inputs * 9)
  const float *bias, *gain;
} Step;

static const Step steps[NUM_STEPS];

// to[x] = start + sum over i of weights[i] * inputs[i][offset + x], where `start` is NULL from what is there; then zeros
// up to a multiple of 4.
static void sum_row(float *to, int width, const float *start, const float *const *inputs, int offset, int count,
                    const float *weights) {
  int x = 0;
  for (; x < width; x += 4, to += 4) {
    float a = to[0], b = to[1], c = to[2], d = to[3];
    if (start) a = b = c = d = *start;
    for (int i = 0; i < count; i++) {
      const float *in = inputs[i] + offset + x;
      float weight = weights[i];
      a = madd(a, weight, in[0]), b = madd(b, weight, in[1]), c = madd(c, weight, in[2]), d = madd(d, weight, in[3]);
    }
    to[0] = a, to[1] = b, to[2] = c, to[3] = d;
  }
  while (x-- > width) *--to = 0.0f;
}

static float *plane_at(float *work, int scale, int y, int channels, int pitch) {
  return work + plane_starts[scale] + (ptrdiff_t)y * (channels * pitch);
}

static int at_scale(int pixels, int scale) { return (pixels + (1 << scale) - 1) >> scale; }

// Row y of a step's source into `to` (inputs, pitch); a cell's source that is not from another scale is there already.
static void source_row(const Step *step, const Size *size, float *to, int pitch, int y, const float *in, float *work) {
  int width = size->width, inputs = step->inputs, source = step->source;
  int pools = (USES(MEAN_POOL) && source == MEAN_POOL) || (USES(MAX_POOL) && source == MAX_POOL);
  int raises = (USES(BILINEAR) && source == BILINEAR) || (USES(NEAREST) && source == NEAREST);
  int scale = step->scale - pools + raises, first = pools ? 2 * y : raises ? y >> 1 : y, second = first + 1;
  Size from = {.height = at_scale(SMIDGEN_HEIGHT, scale), .width = at_scale(SMIDGEN_WIDTH, scale)};
  int from_pitch = ROUND_UP(from.width, 4);
  if (USES(BILINEAR) && raises) second = MAX(0, MIN(from.height - 1, first + (y & 1 ? 1 : -1))); // the edge is repeated
  const float *a = plane_at(work, scale, first, inputs, from_pitch), *b = plane_at(work, scale, second, inputs, from_pitch);
  in += (ptrdiff_t)y * (width * SMIDGEN_CHANNELS);
  for (int c = 0; c < inputs; c++, in++, to += pitch, a += from_pitch, b += from_pitch) {
    if (source == NOISY)
      for (int x = 0; x < width; x++) to[x] = NORMALISED(in[x * SMIDGEN_CHANNELS]);
    if (USES(AS_IS) && source == AS_IS && step->operation != CELL) memcpy(to, a, (size_t)width * sizeof *to);
    if (USES(MEAN_POOL) && pools) mean_pool(to, a, b, 0, width);
    if (USES(MAX_POOL) && pools) max_pool(to, a, b, second < from.height, &from, 0, width);
    if (USES(NEAREST) && raises) upsample_nearest(to, a, 0, width);
    if (USES(BILINEAR) && raises) add_bilinear(to, to, a, b, &from, 0, width);
  }
}

static void write_head(const float *in, float *out, const float *row, int width) {
  for (int x = 0; x < width; x++, in += SMIDGEN_CHANNELS, out += SMIDGEN_CHANNELS) {
#if SMIDGEN_RESIDUAL
    *out = RESTORED(at_most(at_least(NORMALISED(*in) - row[x], 0.0f), 1.0f));
#else
    (void)in;
    *out = RESTORED(sigmoid(row[x]));
#endif
  }
}

static void run_step(const Step *step, const float *in, float *out, float *work) {
  int scale = step->scale, inputs = step->inputs, is_cell = HAS_CELLS && step->operation == CELL;
  Size size = {.height = at_scale(SMIDGEN_HEIGHT, scale), .width = at_scale(SMIDGEN_WIDTH, scale)};
  int side = is_cell ? CELL_SIDE : 3, radius = side / 2, width = size.width, pitch = ROUND_UP(width, 4);
  int ring_pitch = pitch + 2 * radius, ring_row = inputs * ring_pitch; // zeros left and right of the row
  float *ring = work + RING_START, *between = work + RING_START + RING_FLOATS, *gated = between + inputs * pitch;
  const float *taps[MOST_TAPS], *rows[MOST_ROWS];
  float numbers[MOST_NUMBERS];
  memset(ring, 0, sizeof(float) * RING_FLOATS);
  for (int i = 0; i < MOST_ROWS; i++) rows[i] = between + i * pitch;
  for (int y = 0; y < size.height + radius; y++) {
    float *slot = ring + y % side * ring_row + radius;
    if (y >= size.height) {
      memset(slot - radius, 0, sizeof(float) * (size_t)ring_row);
    } else if (is_cell) {
      float *raw = plane_at(work, scale, y, inputs, pitch);
      source_row(step, &size, raw, pitch, y, in, work);
      rms_norm(slot, ring_pitch, NULL, raw, pitch, inputs, pitch);
    } else {
      source_row(step, &size, slot, ring_pitch, y, in, work);
    }
    int row = y - radius; // what can be made now
    if (row < 0) continue;
    const float **tap = taps;
    for (int dy = 0; dy < side; dy++)
      for (int dx = 0; dx < side; dx++) *tap++ = ring + (y + 1 + dy) % side * ring_row + dx;
    const Matrix *matrix = step->matrices;
    if (is_cell) {
      static const float zero;
      for (int c = 0; c < inputs; c++)
        sum_row(between + c * pitch, width, &zero, taps, c * ring_pitch, side * side,
                load_row(matrix, NULL, c, side * side, numbers));
      float *half = gated; // the first half of what is multiplied, then the second
      for (int h = 0; h < 2 * CELL_HIDDEN; h++, half += pitch)
        sum_row(half, width, step->bias + h, rows, 0, inputs, load_row(matrix + 1, NULL, h, inputs, numbers));
      for (int i = 0; i < CELL_HIDDEN * pitch; i++) gated[i] *= gated[CELL_HIDDEN * pitch + i];
    }
    float *to = plane_at(work, scale, row, step->outputs, pitch);
    for (int o = 0; o < step->outputs; o++, to += pitch) {
      if (is_cell) {
        sum_row(to, width, NULL, rows + inputs, 0, CELL_HIDDEN,
                load_row(matrix + 2, step->gain, o, CELL_HIDDEN, numbers));
        continue;
      }
      float *sums = step->operation == HEAD ? between : to;
      const float *weights = load_row(matrix, NULL, o, 9 * inputs, numbers), *start = step->bias + o;
      for (int c = 0; c < inputs; c++, weights += 9, start = NULL)
        sum_row(sums, width, start, taps, c * ring_pitch, 9, weights);
      ptrdiff_t place = (ptrdiff_t)row * (SMIDGEN_WIDTH * SMIDGEN_CHANNELS) + o;
      if (step->operation == HEAD) write_head(in + place, out + place, sums, width);
      if (HAS_RELU && step->operation == RELU_CONVOLUTION)
        for (int x = 0; x < width; x++) sums[x] = at_least(sums[x], 0.0f);
    }
  }
}

void smidgen_denoise(const float *in, float *out, float *work) {
  memset(work, 0, sizeof(float) * SMIDGEN_WORK_FLOATS); // what lies behind rows counts as zero
  for (int i = 0; i < NUM_STEPS; i++) run_step(&steps[i], in, out, work);
}

#endif
