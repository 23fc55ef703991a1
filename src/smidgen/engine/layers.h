// The layers of smidgen/network/layers.py on rows, `count` columns at a time.
//
// A row of a tensor is (channels, columns) of vecs; `pitch` is the distance from a channel to the next.
// Every sum runs in one order that depends neither on the columns computed together nor on the lanes.
#ifndef SMIDGEN_LAYERS_H
#define SMIDGEN_LAYERS_H

#include "planes.h"

#define RMS_EPSILON 1e-3f

// ---- products: sums[o][x] += sum over i of weights[i][o] * inputs[i][x] ------------------------------

INLINE void add_products(const int outputs, const int columns, vec *sums, const vec *const *inputs, int num_inputs,
                         int x, const float *weights) {
  for (int i = 0; i < num_inputs; i++, weights += outputs) {
    const vec *input = inputs[i] + x;
    vec values[2 * TILE];
    UNROLL for (int c = 0; c < columns; c++) values[c] = input[c];
    UNROLL for (int o = 0; o < outputs; o++) {
      vec weight = spread(weights[o]);
      UNROLL for (int c = 0; c < columns; c++) sums[o * columns + c] = madd(sums[o * columns + c], weight, values[c]);
    }
  }
}

// What becomes of the sums of a group of outputs.
typedef enum {
  ADDED, // to `start`
  BIASED, // with the bias
  RELU,  // with the bias, negative ones 0
  GATED, // with the bias; the first half of the outputs times the second half
  UNGATED, // the same, and on the way back to the gradients of both halves
} Ending;

// Where the sums start: from the bias (outputs,), or from values (outputs, columns) with their pitch.
typedef struct {
  const float *bias;
  const vec *values;
  int pitch;
} Start;

// Where results (outputs, columns) go, with their pitch; with `inside`, zeros where a column is outside the image.
typedef struct {
  vec *values;
  int pitch;
  const bits *inside;
  const vec *gradient; // UNGATED: of the results, with the pitch BLOCK
  vec *halves;         // UNGATED: where the gradients of the outputs go, the second half `distance` behind the first
  int distance;
} Target;

INLINE void product_group(const int outputs, const int columns, const Ending ending, Target target,
                          const vec *const *inputs, int num_inputs, int x, const float *weights, Start start) {
  vec sums[6 * 2 * TILE];
  UNROLL for (int o = 0; o < outputs; o++) {
    UNROLL for (int c = 0; c < columns; c++)
      sums[o * columns + c] = ending == ADDED ? start.values[o * start.pitch + x + c] : spread(start.bias[o]);
  }
  add_products(outputs, columns, sums, inputs, num_inputs, x, weights);
  if (ending == GATED || ending == UNGATED) {
    UNROLL for (int o = 0; o < outputs / 2; o++) {
      UNROLL for (int c = 0; c < columns; c++) {
        vec first = sums[o * columns + c], second = sums[(o + outputs / 2) * columns + c];
        target.values[o * target.pitch + x + c] = first * second;
        if (ending == GATED) continue;
        vec gradient = target.gradient[o * BLOCK + x + c];
        vec *halves = target.halves + o * target.pitch + x + c;
        halves[0] = gradient * second, halves[target.distance] = gradient * first;
      }
    }
    return;
  }
  UNROLL for (int o = 0; o < outputs; o++) {
    UNROLL for (int c = 0; c < columns; c++) {
      vec sum = sums[o * columns + c];
      if (ending == RELU) sum = at_least(sum, spread(0.0f));
      target.values[o * target.pitch + x + c] = target.inside ? keep(target.inside[x + c], sum) : sum;
    }
  }
}

// All outputs of a matrix whose weights `pack_products` ordered; `count` is 4 or BLOCK.
INLINE void products(const Ending ending, Target target, const vec *const *inputs, int num_inputs, int num_outputs,
                     const float *weights, Start start, int count) {
  int o = 0;
#define GROUP(size, columns)                                                                                \
  for (; num_outputs - o >= (size); o += (size)) {                                                          \
    for (int x = 0; x < count; x += (columns))                                                              \
      product_group(size, columns, ending, target, inputs, num_inputs, x, weights, start);                  \
    target.values += (ending >= GATED ? (size) / 2 : (size)) * target.pitch;                                \
    if (ending == UNGATED) target.gradient += (size) / 2 * BLOCK, target.halves += (size) / 2 * target.pitch; \
    weights += (size) * num_inputs;                                                                         \
    if (ending == ADDED) start.values += (size) * start.pitch;                                              \
    else start.bias += (size);                                                                              \
  }
  GROUP(6, TILE)
  GROUP(4, TILE)
  GROUP(2, 4)
  GROUP(1, 4)
#undef GROUP
}

// Outputs computed together, of `left` that are left.
INLINE int product_group_size(int left) { return left >= 6 ? 6 : left >= 4 ? 4 : left >= 2 ? 2 : 1; }

// ---- k x k filters -------------------------------------------------------------------------------------

// sums[c] += filter k x k around column x + c; rows[i] is row i - k / 2 of the input, from column x - k / 2 on.
INLINE void add_filtered(const int side, const int columns, vec *sums, const vec *const *rows, int offset, const float *filter) {
  for (int dy = 0; dy < side; dy++, filter += side) {
    const vec *row = rows[dy] + offset;
    vec taps[15];
    UNROLL for (int dx = 0; dx < side; dx++) taps[dx] = spread(filter[dx]);
    UNROLL for (int j = 0; j < columns + side - 1; j++) {
      vec value = row[j];
      UNROLL for (int dx = 0; dx < side; dx++) {
        if (j - dx >= 0 && j - dx < columns) sums[j - dx] = madd(sums[j - dx], taps[dx], value);
      }
    }
  }
}

INLINE void filter_channels(const int side, const int columns, vec *out, int out_pitch, const vec *const *rows,
                            int pitch, int channels, const float *filters) {
  for (int c = 0; c < channels; c++) {
    vec sums[BLOCK];
    UNROLL for (int x = 0; x < columns; x++) sums[x] = spread(0.0f);
    add_filtered(side, columns, sums, rows, c * pitch, filters + c * side * side);
    UNROLL for (int x = 0; x < columns; x++) out[c * out_pitch + x] = sums[x];
  }
}

// One filter a channel: out (channels, out_pitch), of which `count` columns, 4 or BLOCK, are made.
FUNCTION void depthwise(int side, vec *out, int out_pitch, const vec *const *rows, int pitch, int channels,
                      const float *filters, int count) {
#define SIDE(k)                                                                                             \
  if (side == (k)) {                                                                                        \
    if (count == BLOCK) filter_channels(k, BLOCK, out, out_pitch, rows, pitch, channels, filters);          \
    else filter_channels(k, 4, out, out_pitch, rows, pitch, channels, filters);                             \
    return;                                                                                                 \
  }
  SIDE(3)
  SIDE(5)
  SIDE(7)
#undef SIDE
  for (int c = 0; c < channels; c++, filters += side * side) {
    vec sums[BLOCK];
    UNROLL for (int x = 0; x < BLOCK; x++) sums[x] = spread(0.0f);
    for (int tap = 0; tap < side * side; tap++) {
      const vec *row = rows[tap / side] + c * pitch + tap % side;
      vec weight = spread(filters[tap]);
      UNROLL for (int x = 0; x < BLOCK; x++) sums[x] = madd(sums[x], weight, row[x]);
    }
    for (int x = 0; x < count; x++) out[c * out_pitch + x] = sums[x];
  }
}

// One output of a 3 x 3 convolution, BLOCK columns.
FUNCTION void convolve_to_one(vec *out, const vec *const *rows, int pitch, int channels, const float *filters,
                            float bias) {
  vec sums[BLOCK];
  UNROLL for (int x = 0; x < BLOCK; x++) sums[x] = spread(bias);
  for (int c = 0; c < channels; c++) add_filtered(3, BLOCK, sums, rows, c * pitch, filters + 9 * c);
  UNROLL for (int x = 0; x < BLOCK; x++) out[x] = sums[x];
}

// ---- norm ------------------------------------------------------------------------------------------------

enum { NORMED = LANES == 1 ? 1 : 4 }; // columns at a time

// Each pixel divided by the root of its mean square over the channels, and into `factors`, if it is not null, what it
// was multiplied with; `count` is a multiple of 4.
FUNCTION void rms_norm(vec *out, int out_pitch, vec *factors, const vec *in, int pitch, int channels, int count) {
  vec share = spread(1.0f / (float)channels);
  for (int x = 0; x < count; x += NORMED) {
    vec squares[NORMED], factor[NORMED];
    UNROLL for (int i = 0; i < NORMED; i++) squares[i] = spread(0.0f);
    for (int c = 0; c < channels; c++) {
      const vec *from = in + c * pitch + x;
      UNROLL for (int i = 0; i < NORMED; i++) squares[i] = madd(squares[i], from[i], from[i]);
    }
    UNROLL for (int i = 0; i < NORMED; i++)
      factor[i] = spread(1.0f) / root(madd(spread(RMS_EPSILON), squares[i], share));
    if (factors) memcpy(factors + x, factor, sizeof factor);
    for (int c = 0; c < channels; c++) {
      const vec *from = in + c * pitch + x;
      vec *to = out + c * out_pitch + x;
      UNROLL for (int i = 0; i < NORMED; i++) to[i] = from[i] * factor[i];
    }
  }
}

// ---- from another scale ----------------------------------------------------------------------------------
// `x` is the first column; `count` is a multiple of 4, and `x` even where the input is coarser.

FUNCTION void mean_pool(vec *out, const vec *upper, const vec *lower, int x, int count) {
  for (int i = 0; i < count; i++) {
    const vec *a = upper + 2 * (x + i), *b = lower + 2 * (x + i);
    out[i] = spread(0.25f) * ((a[0] + a[1]) + (b[0] + b[1]));
  }
}

INLINE vec largest(vec a, vec b) { return choose(less(a, b) | ~is_number(b), b, a); }

// Like mean_pool; what lies outside the image does not count.
FUNCTION void max_pool(vec *out, const vec *upper, const vec *lower, int has_lower, const Size *fine, int x, int count) {
  for (int i = 0; i < count; i++) {
    int at = 2 * (x + i);
    bits right = is_inside(fine, at + 1);
    vec value = largest(upper[at], choose(right, upper[at + 1], upper[at]));
    if (has_lower) value = largest(value, largest(lower[at], choose(right, lower[at + 1], lower[at])));
    out[i] = value;
  }
}

FUNCTION void upsample_nearest(vec *out, const vec *coarse, int x, int count) {
  for (int i = 0; i < count; i++) out[i] = coarse[(x + i) >> 1];
}

// skip + the coarse rows `near` and `far` (weights 3/4 and 1/4) on lines between pixels' centres.
FUNCTION void add_bilinear(vec *out, const vec *skip, const vec *near, const vec *far, const Size *coarse, int x,
                         int count) {
  const vec three = spread(0.75f), one = spread(0.25f);
#if LANES == 1 // little code
  for (int i = 0; i < count; i++) {
    int a = (x + i) >> 1, b = (x + i) & 1 ? a + 1 : a - 1;
    if (!is_inside(coarse, b)) b = a; // the edge is repeated
    vec beside = madd(one * far[b], three, near[b]);
    out[i] = skip[x + i] + madd(one * beside, three, madd(one * far[a], three, near[a]));
  }
#else
  for (int i = 0; i < count; i += 4) {
    int from = ((x + i) >> 1) - 1; // the four coarse columns that four fine ones lie between
    vec column[4];
    UNROLL for (int j = 0; j < 4; j++) column[j] = madd(one * far[from + j], three, near[from + j]);
    int whole = are_inside(coarse, from, from + 3);
    UNROLL for (int j = 0; j < 4; j++) {
      int a = 1 + j / 2, b = j / 2 + j % 2 * 2;
      vec beside = column[b];
      if (!whole) beside = choose(is_inside(coarse, from + b), beside, column[a]); // the edge is repeated
      out[i + j] = skip[x + i + j] + madd(one * beside, three, column[a]);
    }
  }
#endif
}

#endif
