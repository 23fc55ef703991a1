// A pyramid's cells forwards and backwards, strip by strip, and what lies between the scales.
#ifndef SMIDGEN_CELLS_H
#define SMIDGEN_CELLS_H

#include "convolutions.h"

// Some rows and columns of a plane.
typedef struct {
  int y, rows, x, columns, count; // count: their pixels, rounded up to fours
  vec *seen;
} Strip;

static Strip strip_at(const Pass *pass, int number, int down, int across) {
  const Stage *stage = &pass->stream.network->stages[number];
  const Strips *strips = &pass->strips[stage->scale];
  const Size *size = &pass->stream.sizes[stage->scale];
  Strip strip = {.y = down * strips->rows, .x = across * strips->columns, .seen = pass->seen};
  strip.rows = MIN(strips->rows, size->height - strip.y), strip.columns = MIN(strips->columns, size->columns - strip.x);
  strip.count = ROUND_UP(strip.rows * strip.columns, 4);
  if (pass->keep)
    strip.seen = pass->kept[number].strips + strip_vecs(pass, stage) * ((size_t)down * strips->across + across);
  return strip;
}

// Row y of a cell's source into its plane, and normalised.
static void make_norm(Pass *pass, int number, int y) {
  const Stage *stage = &pass->stream.network->stages[number];
  const Kept *kept = &pass->kept[number];
  const Plane *to = plane_of(pass, stage->to);
  make_source(pass, stage, y, plane_row(to, y, 0), plane_pitch(to));
  rms_norm(plane_row(&kept->source, y, 0), plane_pitch(&kept->source), plane_row(&kept->factors, y, 0),
           plane_row(to, y, 0), plane_pitch(to), stage->inputs, ROUND_UP(to->size->columns, 4));
  close_row(&kept->source, y, stage_radius(stage));
}

// Rows around y of a plane, from `radius` columns before column 0.
static void rows_around(const Pass *pass, const Plane *plane, int y, int radius, const vec **rows) {
  for (int i = 0; i <= 2 * radius; i++) rows[i] = row_or_zeros(&pass->stream, plane, y + i - radius, 0) - radius;
}

// Set pointers to the channels of a strip, from `at` on.
static const vec *const *strip_channels(const Pass *pass, const vec *values, int channels, int pitch, int at) {
  for (int c = 0; c < channels; c++) pass->scratch.inputs[c] = values + (size_t)c * pitch + at;
  return pass->scratch.inputs;
}

static void look_around(Pass *pass, int number, const Strip *strip) {
  const Stage *stage = &pass->stream.network->stages[number];
  const Plane *source = &pass->kept[number].source;
  int pitch = pass->strips[stage->scale].pitch;
  for (int r = 0; r < strip->rows; r++) {
    const vec *rows[MOST_SIDE];
    rows_around(pass, source, strip->y + r, stage_radius(stage), rows);
    for (int i = 0; i < stage->side; i++) rows[i] += strip->x;
    for (int x = 0; x < strip->columns; x += BLOCK) {
      depthwise(stage->side, strip->seen + r * strip->columns + x, pitch, rows, plane_pitch(source), stage->inputs,
                stage->filters, strip->columns - x > 4 ? BLOCK : 4);
      for (int i = 0; i < stage->side; i++) rows[i] += BLOCK;
    }
  }
  for (int c = 0; strip->rows > 1 && c < stage->inputs; c++) // behind the last row
    for (int x = strip->rows * strip->columns; x < strip->count; x++) strip->seen[c * pitch + x] = spread(0.0f);
}

// The plane holds the source of a strip's rows; add what the cell makes of it.
static void strip_to_result(Pass *pass, int number, const Strip *strip) {
  const Stage *stage = &pass->stream.network->stages[number];
  const Plane *to = plane_of(pass, stage->to);
  int pitch = pass->strips[stage->scale].pitch, hidden = pass->stream.network->spec.hidden;
  for (int at = 0; at < strip->count; at += BLOCK)
    products(GATED, (Target){.values = pass->gated + at, .pitch = pitch},
             strip_channels(pass, strip->seen, stage->inputs, pitch, at), stage->inputs, 2 * hidden, stage->weights,
             (Start){.bias = stage->bias}, strip->count - at > 4 ? BLOCK : 4);
  for (int r = 0; r < strip->rows; r++) {
    vec *row = plane_row(to, strip->y + r, 0) + strip->x;
    for (int x = 0; x < strip->columns; x += BLOCK)
      products(ADDED, (Target){.values = row + x, .pitch = plane_pitch(to), .inside = to->size->inside + strip->x + x},
               strip_channels(pass, pass->gated, hidden, pitch, r * strip->columns + x), hidden, stage->outputs,
               stage->back, (Start){.values = row + x, .pitch = plane_pitch(to)}, strip->columns - x > 4 ? BLOCK : 4);
  }
}

static void cell_forward(Pass *pass, int number, Team *team) {
  const Stage *stage = &pass->stream.network->stages[number];
  const Strips *strips = &pass->strips[stage->scale];
  const Plane *to = plane_of(pass, stage->to);
  int height = to->size->height, made = 0;
  for (int down = 0; down < strips->down && !is_stopped(team); down++) {
    int end = MIN(height, (down + 1) * strips->rows);
    for (; made < MIN(height, end + stage_radius(stage)); made++) make_norm(pass, number, made);
    for (int across = 0; across < strips->across; across++) {
      Strip strip = strip_at(pass, number, down, across);
      look_around(pass, number, &strip);
      strip_to_result(pass, number, &strip);
    }
    for (int y = down * strips->rows; y < end; y++) close_row(to, y, 1);
    meet(team);
  }
}

// A strip's part of the way back to what it saw, with the sums of its matrices and biases.
static void strip_backward(Pass *pass, int number, const Strip *strip) {
  const Stage *stage = &pass->stream.network->stages[number];
  const Turned *turned = &pass->turned[number];
  const Plane *gradient = &pass->gradients[stage->to], *seen_gradient = &pass->kept[number].seen_gradient;
  int pitch = pass->strips[stage->scale].pitch, hidden = pass->stream.network->spec.hidden;
  // In a single row of whole fours they lie as a strip already.
  int direct = strip->rows == 1 && strip->columns % 4 == 0, plane = plane_pitch(gradient);
  const vec *above = direct ? plane_row(gradient, strip->y, 0) + strip->x : pass->above;
  vec *below = direct ? plane_row(seen_gradient, strip->y, 0) + strip->x : pass->seen_strip;
  int above_pitch = direct ? plane : pitch;
  for (int c = 0; !direct && c < stage->outputs; c++) {
    vec *to = pass->above + c * pitch;
    for (int r = 0; r < strip->rows; r++)
      copy_vecs(to + r * strip->columns, plane_row(gradient, strip->y + r, c) + strip->x, strip->columns);
    for (int x = strip->rows * strip->columns; x < strip->count; x++) to[x] = spread(0.0f);
  }
  for (int at = 0; at < strip->count; at += BLOCK) {
    int count = strip->count - at > 4 ? BLOCK : 4;
    products(BIASED, (Target){.values = pass->gated_gradient, .pitch = BLOCK},
             strip_channels(pass, above, stage->outputs, above_pitch, at), stage->outputs, hidden, turned->gate_back,
             (Start){.bias = pass->no_bias}, count);
    products(UNGATED,
             (Target){.values = pass->gated + at, .pitch = pitch, .gradient = pass->gated_gradient,
                      .halves = pass->halves_gradient + at, .distance = hidden * pitch},
             strip_channels(pass, strip->seen, stage->inputs, pitch, at), stage->inputs, 2 * hidden, stage->weights,
             (Start){.bias = stage->bias}, count);
    products(BIASED, (Target){.values = below + at, .pitch = above_pitch},
             strip_channels(pass, pass->halves_gradient, 2 * hidden, pitch, at), 2 * hidden, stage->inputs,
             turned->mix_back, (Start){.bias = pass->no_bias}, count);
  }
  vec *bias = sum_of(pass, stage->learned.bias);
  for (int h = 0; h < 2 * hidden; h++) add_values(bias + h, pass->halves_gradient + h * pitch, strip->count);
  add_outer(pass->back_sums, 1, hidden, pass->gated, pitch, hidden, above, above_pitch, stage->outputs, strip->count);
  add_outer(sum_of(pass, stage->learned.matrix), stage->inputs, 1, pass->halves_gradient, pitch, 2 * hidden,
            strip->seen, pitch, stage->inputs, strip->count);
  for (int c = 0; !direct && c < stage->inputs; c++)
    for (int r = 0; r < strip->rows; r++)
      copy_vecs(plane_row(seen_gradient, strip->y + r, c) + strip->x, below + c * pitch + r * strip->columns,
                strip->columns);
}

// Row y of what a cell looked at: from the gradient of what it saw to that of its source, and of its filters.
static void row_backward(Pass *pass, int number, int y) {
  const Stage *stage = &pass->stream.network->stages[number];
  const Kept *kept = &pass->kept[number];
  const Plane *gradient = &pass->gradients[stage->to];
  int pitch = plane_pitch(gradient), columns = gradient->size->columns;
  const vec *rows[MOST_SIDE];
  rows_around(pass, &kept->seen_gradient, y, stage_radius(stage), rows);
  for (int x = 0; x < columns; x += BLOCK) {
    int count = columns - x > 4 ? BLOCK : 4;
    depthwise(stage->side, pass->block, BLOCK, rows, pitch, stage->inputs, pass->turned[number].filters, count);
    rms_norm_back(plane_row(gradient, y, 0) + x, pass->block, plane_row(&kept->source, y, 0) + x,
                  plane_row(&kept->factors, y, 0) + x, gradient->size->inside + x, pitch, stage->inputs, count);
    for (int i = 0; i < stage->side; i++) rows[i] += BLOCK;
  }
}

// The gradient of a cell's filters from rows y0 to y1 of what it saw.
static void filters_gradient(Pass *pass, int number, int y0, int y1) {
  const Stage *stage = &pass->stream.network->stages[number];
  const Kept *kept = &pass->kept[number];
  int side = stage->side, radius = stage_radius(stage);
  const vec *gradients[STRIP], *rows[STRIP + MOST_SIDE];
  for (int y = y0; y < y1; y++) gradients[y - y0] = plane_row(&kept->seen_gradient, y, 0);
  for (int y = y0 - radius; y < y1 + radius; y++)
    rows[y - y0 + radius] = row_or_zeros(&pass->stream, &kept->source, y, 0) - radius;
  vec *sums = sum_of(pass, stage->filters);
  int pitch = plane_pitch(&kept->source);
  for (int c = 0; c < stage->inputs; c++)
    add_filter_gradient(side, sums + c * side * side, gradients, c * pitch, rows, c * pitch, y1 - y0,
                        kept->source.size->columns);
}

// A visit multiplies the rows of the cell's last matrix by its gain: from the gradients of the products those of both.
static void gain_gradient(const Pass *pass, const Stage *stage, double *result) {
  int hidden = pass->stream.network->spec.hidden;
  double *back = result + (stage->learned.back - pass->learned);
  double *gain = result + (stage->learned.gain - pass->learned);
  for (int o = 0; o < stage->outputs; o++) {
    for (int h = 0; h < hidden; h++) {
      int at = o * hidden + h;
      double sum = add_lanes(pass->back_sums[at]);
      back[at] += sum * stage->learned.gain[o], gain[o] += sum * stage->learned.back[at];
    }
  }
}

static void mean_pool_gradient(const Pass *pass, const Stage *stage, const Plane *coarse) {
  const Plane *fine = &pass->gradients[stage->from];
  for (int y = 0; y < fine->size->height; y++)
    for (int c = 0; c < fine->channels; c++)
      mean_pool_back(plane_row(fine, y, c), plane_row(coarse, y >> 1, c), fine->size->inside, fine->size->columns);
}

static void bilinear_gradient(const Pass *pass, const Stage *stage, const Plane *fine) {
  const Plane *coarse = &pass->gradients[stage->coarse];
  int height = fine->size->height;
  for (int y = 0; y < height; y++) close_row(fine, y, 1);
  for (int y = 0; y < coarse->size->height; y++) {
    for (int c = 0; c < coarse->channels; c++) {
      const vec *rows[4];
      for (int i = 0; i < 4; i++) {
        int row = 2 * y - 1 + i;
        rows[i] = row >= 0 && row < height ? plane_row(fine, row, c) : NULL;
      }
      bilinear_back(plane_row(coarse, y, c), rows, pass->row, coarse->size, y);
    }
  }
}

// The gradient of what a visit gave becomes, in place, that of its source, and goes on to what that was made from.
static void cell_backward(Pass *pass, int number, double *result, Team *team) {
  const Stage *stage = &pass->stream.network->stages[number];
  const Strips *strips = &pass->strips[stage->scale];
  const Plane *gradient = &pass->gradients[stage->to];
  int height = gradient->size->height, radius = stage_radius(stage), made = 0, done = 0;
  memset(pass->back_sums, 0, sizeof(vec) * stage->outputs * pass->stream.network->spec.hidden);
  for (int down = 0; down < strips->down && !is_stopped(team); down++) {
    int start = down * strips->rows, end = MIN(height, start + strips->rows);
    if (!pass->keep)
      for (; made < MIN(height, end + radius); made++) make_norm(pass, number, made);
    for (int across = 0; across < strips->across; across++) {
      Strip strip = strip_at(pass, number, down, across);
      if (!pass->keep) look_around(pass, number, &strip);
      strip_backward(pass, number, &strip);
    }
    for (int y = start; y < end; y++) close_row(&pass->kept[number].seen_gradient, y, radius);
    filters_gradient(pass, number, start, end);
    for (; done < (end == height ? height : end - radius); done++) row_backward(pass, number, done);
    meet(team);
  }
  gain_gradient(pass, stage, result);
  if (stage->source == MEAN_POOL) mean_pool_gradient(pass, stage, gradient);
  if (stage->source == BILINEAR) bilinear_gradient(pass, stage, gradient);
}

#endif
