// The layers of layers.h backwards, on rows: from the gradients of what came out those of what went in, and sums of the
// gradients of learned numbers, a vec each, whose lanes are added up at the end.
#ifndef SMIDGEN_BACKWARD_H
#define SMIDGEN_BACKWARD_H

#include "layers.h"

// ---- learned numbers -------------------------------------------------------------------------------------

INLINE void outer_tile(const int rows, const int columns, vec *sums, int row_step, int column_step, const vec *a,
                       int a_pitch, const vec *b, int b_pitch, int count) {
  vec tile[6 * TILE];
  UNROLL for (int i = 0; i < rows * columns; i++) tile[i] = sums[i / columns * row_step + i % columns * column_step];
  for (int x = 0; x < count; x++) {
    vec values[TILE];
    UNROLL for (int j = 0; j < columns; j++) values[j] = b[j * b_pitch + x];
    UNROLL for (int i = 0; i < rows; i++) {
      vec value = a[i * a_pitch + x];
      UNROLL for (int j = 0; j < columns; j++) tile[i * columns + j] = madd(tile[i * columns + j], value, values[j]);
    }
  }
  UNROLL for (int i = 0; i < rows * columns; i++) sums[i / columns * row_step + i % columns * column_step] = tile[i];
}

// sums[i * row_step + j * column_step] += sum over x of a[i][x] * b[j][x]: a matrix's gradient.
static void add_outer(vec *sums, int row_step, int column_step, const vec *a, int a_pitch, int rows, const vec *b,
                      int b_pitch, int columns, int count) {
  int i = 0;
#define ROWS(size)                                                                                                \
  for (; rows - i >= (size); i += (size)) {                                                                       \
    int j = 0;                                                                                                    \
    vec *to = sums + (size_t)i * row_step;                                                                        \
    for (; columns - j >= TILE; j += TILE)                                                                        \
      outer_tile(size, TILE, to + (size_t)j * column_step, row_step, column_step, a + i * a_pitch, a_pitch,       \
                 b + j * b_pitch, b_pitch, count);                                                                \
    for (; j < columns; j++)                                                                                      \
      outer_tile(size, 1, to + (size_t)j * column_step, row_step, column_step, a + i * a_pitch, a_pitch,          \
                 b + j * b_pitch, b_pitch, count);                                                                \
  }
  ROWS(6)
  ROWS(3)
  ROWS(1)
#undef ROWS
}

// sums[dy][dx] += sum over y and x of gradients[y][x] * rows[y + dy][x + dx], for `lines` rows of taps.
INLINE void filter_lines(const int side, const int lines, vec *sums, const vec *const *gradients, int gradient_offset,
                         const vec *const *rows, int offset, int height, int columns) {
  vec taps[25];
  UNROLL for (int i = 0; i < lines * side; i++) taps[i] = sums[i];
  for (int y = 0; y < height; y++, rows++) {
    const vec *gradient = gradients[y] + gradient_offset;
    int x = 0;
    for (; x + 4 <= columns; x += 4) {
      vec values[4];
      UNROLL for (int i = 0; i < 4; i++) values[i] = gradient[x + i];
      UNROLL for (int dy = 0; dy < lines; dy++) {
        const vec *row = rows[dy] + offset + x;
        UNROLL for (int j = 0; j < side + 3; j++) {
          vec value = row[j];
          UNROLL for (int dx = 0; dx < side; dx++) {
            if (j - dx >= 0 && j - dx < 4) taps[dy * side + dx] = madd(taps[dy * side + dx], value, values[j - dx]);
          }
        }
      }
    }
    for (; x < columns; x++) {
      UNROLL for (int i = 0; i < lines * side; i++)
        taps[i] = madd(taps[i], rows[i / side][offset + x + i % side], gradient[x]);
    }
  }
  UNROLL for (int i = 0; i < lines * side; i++) sums[i] = taps[i];
}

// The gradient of one k x k filter over `height` rows: of each the gradients of what the filter gave, and rows as in
// `add_filtered`, which go on to the next ones.
static void add_filter_gradient(int side, vec *sums, const vec *const *gradients, int gradient_offset,
                                const vec *const *rows, int offset, int height, int columns) {
  int dy = 0;
#define LINES(k, lines)                                                                                           \
  if (side == (k))                                                                                                \
    for (; dy + (lines) <= side; dy += (lines))                                                                   \
      filter_lines(k, lines, sums + dy * (k), gradients, gradient_offset, rows + dy, offset, height, columns);
  LINES(3, 3)
#if TILE == 4
  LINES(5, 5)
  LINES(7, 3)
#else
  LINES(5, 2)
#endif
  LINES(5, 1)
  LINES(7, 1)
#undef LINES
  for (; dy < side; dy++) {
    for (int dx = 0; dx < side; dx++) {
      vec sum = sums[dy * side + dx];
      for (int y = 0; y < height; y++)
        for (int x = 0; x < columns; x++)
          sum = madd(sum, rows[y + dy][offset + x + dx], gradients[y][gradient_offset + x]);
      sums[dy * side + dx] = sum;
    }
  }
}

INLINE void add_values(vec *sum, const vec *values, int count) {
  vec total = *sum;
  for (int x = 0; x < count; x++) total += values[x];
  *sum = total;
}

INLINE void copy_vecs(vec *to, const vec *from, int count) {
  for (int x = 0; x < count; x++) to[x] = from[x];
}

// ---- norm ------------------------------------------------------------------------------------------------

// For n = r x with r = (mean of x**2 + epsilon)**(-1/2): gradient += r (dn - n mean(dn n)), where a column is inside;
// `dn` is (channels, BLOCK), the others have their pitch, `count` is 4 or BLOCK.
static void rms_norm_back(vec *gradient, const vec *dn, const vec *norm, const vec *factors, const bits *inside,
                          int pitch, int channels, int count) {
  vec share = spread(1.0f / (float)channels);
  for (int x = 0; x < count; x += 4) {
    vec mean[4];
    UNROLL for (int i = 0; i < 4; i++) mean[i] = spread(0.0f);
    for (int c = 0; c < channels; c++) {
      UNROLL for (int i = 0; i < 4; i++) mean[i] = madd(mean[i], dn[c * BLOCK + x + i], norm[c * pitch + x + i]);
    }
    UNROLL for (int i = 0; i < 4; i++) mean[i] = -mean[i] * share;
    for (int c = 0; c < channels; c++) {
      UNROLL for (int i = 0; i < 4; i++) {
        vec along = madd(dn[c * BLOCK + x + i], norm[c * pitch + x + i], mean[i]);
        vec *to = gradient + c * pitch + x + i;
        *to = keep(inside[x + i], madd(*to, along, factors[x + i]));
      }
    }
  }
}

// ---- from another scale ----------------------------------------------------------------------------------
// Rows of a channel; a fine pixel outside the image has the gradient 0 and gets none.

// fine += its share of `coarse`, of which it was a quarter.
static void mean_pool_back(vec *fine, const vec *coarse, const bits *inside, int columns) {
  for (int x = 0; x < columns; x++) fine[x] = keep(inside[x], madd(fine[x], spread(0.25f), coarse[x >> 1]));
}

// Rows 2 y and 2 y + 1 of the gradient from that of their largest; the first of equal ones has it all.
static void max_pool_back(vec *upper_gradient, vec *lower_gradient, const vec *upper, const vec *lower,
                          const vec *coarse, const Size *fine, int columns) {
  for (int x = 0; x < columns; x++) {
    int at = 2 * x;
    bits inside = fine->inside[at + 1];
    bits right = (less(upper[at], upper[at + 1]) | ~is_number(upper[at + 1])) & inside;
    vec value = choose(right, upper[at + 1], upper[at]), gradient = coarse[x];
    if (lower) {
      bits lower_right = (less(lower[at], lower[at + 1]) | ~is_number(lower[at + 1])) & inside;
      vec below = choose(lower_right, lower[at + 1], lower[at]);
      bits taken = less(value, below) | ~is_number(below);
      lower_gradient[at] = keep(taken & ~lower_right, gradient);
      lower_gradient[at + 1] = keep(taken & lower_right, gradient);
      gradient = keep(~taken, gradient);
    }
    upper_gradient[at] = keep(~right, gradient), upper_gradient[at + 1] = keep(right, gradient);
  }
}

// coarse += the gradients of the pixels that are copies of it; `first` ones are taken instead of added.
static void nearest_back(vec *coarse, const vec *fine, int first, int columns) {
  for (int x = 0; x < columns; x++) {
    vec sum = fine[2 * x] + fine[2 * x + 1];
    coarse[x] = first ? sum : coarse[x] + sum;
  }
}

// Row y of the coarse gradient: `fine[i]` is row 2 y - 1 + i of the fine one, with its margins, or null beyond the
// image. `between` holds a row of the fine one.
static void bilinear_back(vec *coarse, const vec *const *fine, vec *between, const Size *size, int y) {
  const vec three = spread(0.75f), one = spread(0.25f);
  // Where the edge is repeated, what would go beyond it stays.
  float near = y == 0 ? 1.0f : 0.75f, lower = y == size->height - 1 ? 1.0f : 0.75f;
  const float weights[4] = {0.25f, near, lower, 0.25f};
  for (int x = -1; x <= 2 * size->columns; x++) {
    vec sum = spread(0.0f);
    for (int i = 0; i < 4; i++)
      if (fine[i]) sum = madd(sum, spread(weights[i]), fine[i][x]);
    between[x + 1] = sum;
  }
  for (int x = 0; x < size->columns; x++, between += 2) {
    vec left = between[1], right = between[2];
    vec beside = (between[0] + keep(~size->inside[x - 1], left)) + (between[3] + keep(~size->inside[x + 1], right));
    coarse[x] = keep(size->inside[x], madd(one * beside, three, left + right));
  }
}

#endif
