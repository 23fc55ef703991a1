// 3 x 3 convolutions forwards and backwards, row by row: a plain network's, and the head with the loss.
#ifndef SMIDGEN_CONVOLUTIONS_H
#define SMIDGEN_CONVOLUTIONS_H

#include "backward.h"
#include "pass.h"

// Where the gradient of a learned number is summed.
INLINE vec *sum_of(const Pass *pass, const float *number) { return pass->sums + (number - pass->learned); }

INLINE const Plane *plane_of(const Pass *pass, int number) { return &pass->stream.planes[number]; }

// Fill `margin` columns of a row's margins in all channels.
static void close_row(const Plane *plane, int y, int margin) {
  if (plane->size->bands == 1) return;
  for (int c = 0; c < plane->channels; c++) fill_margins(plane, y, c, 0, plane->size->columns, margin);
}

// Row y of a stage's source into `to` (inputs, pitch), zeros outside the image and behind the last column.
static void make_source(Pass *pass, const Stage *stage, int y, vec *to, int pitch) {
  int columns = pass->stream.sizes[stage->scale].columns, wide = ROUND_UP(columns, 4);
  pass->scratch.pitch = pitch;
  source_row(&pass->stream, stage, y, 0, wide, to, &pass->scratch);
  for (int c = 0; c < stage->inputs; c++)
    for (int x = columns; x < wide; x++) to[c * pitch + x] = spread(0.0f);
}

// The gradient (inputs, pitch) of row y of a plain network's source to that of the plane it was made from.
static void plain_source_gradient(const Pass *pass, const Stage *stage, int y, const vec *gradient, int pitch) {
  if (stage->source == NEAREST) {
    const Plane *coarse = &pass->gradients[stage->coarse];
    for (int c = 0; c < stage->inputs; c++)
      nearest_back(plane_row(coarse, y >> 1, c), gradient + c * pitch, !(y & 1), coarse->size->columns);
    return;
  }
  const Plane *fine = plane_of(pass, stage->from), *to = &pass->gradients[stage->from];
  int lower = 2 * y + 1 < fine->size->height;
  for (int c = 0; c < stage->inputs; c++)
    max_pool_back(plane_row(to, 2 * y, c), lower ? plane_row(to, 2 * y + 1, c) : NULL, plane_row(fine, 2 * y, c),
                  lower ? plane_row(fine, 2 * y + 1, c) : NULL, gradient + c * pitch, fine->size,
                  pass->stream.sizes[stage->scale].columns);
}

// Pointers to all neighbours of column x of row y, (channels, 3, 3).
static void gather_taps(const Pass *pass, const Plane *plane, int channels, int y, int x, const vec **taps) {
  for (int tap = 0; tap < 9 * channels; tap++)
    taps[tap] = row_or_zeros(&pass->stream, plane, y + tap % 9 / 3 - 1, tap / 9) + x + tap % 3 - 1;
}

// From row y of the gradient of a convolution's outputs, and its source, those of its kernel and bias.
static void kernel_gradient(const Pass *pass, const Plane *gradient, int outputs, const Plane *source, int inputs,
                            int y, vec *kernel, vec *bias) {
  const vec *rows[3], *row = plane_row(gradient, y, 0);
  int columns = gradient->size->columns, pitch = plane_pitch(gradient);
  for (int i = 0; i < 3; i++) rows[i] = row_or_zeros(&pass->stream, source, y + i - 1, 0) - 1;
  for (int o = 0; o < outputs; o++) {
    add_values(bias + o, row + o * pitch, columns);
    for (int i = 0; i < inputs; i++)
      add_filter_gradient(3, kernel + 9 * (o * inputs + i), &row, o * pitch, rows, i * plane_pitch(source), 1, columns);
  }
}

// Row y of the gradient of a convolution's source, (inputs, pitch), from that of its outputs.
static void convolution_source_gradient(Pass *pass, const Plane *gradient, int outputs, int inputs, int y,
                                        const float *mix_back, vec *to, int pitch) {
  const Size *size = gradient->size;
  for (int x = 0; x < size->columns; x += BLOCK) {
    gather_taps(pass, gradient, outputs, y, x, pass->scratch.inputs);
    products(BIASED, (Target){.values = to + x, .pitch = pitch, .inside = size->inside + x}, pass->scratch.inputs,
             9 * outputs, inputs, mix_back, (Start){.bias = pass->no_bias}, size->columns - x > 4 ? BLOCK : 4);
  }
}

static void convolution_forward(Pass *pass, int number, Team *team) {
  const Stage *stage = &pass->stream.network->stages[number];
  const Plane *source = &pass->kept[number].source, *to = plane_of(pass, stage->to);
  const Size *size = to->size;
  for (int y = -1; y < size->height && !is_stopped(team); y++) {
    if (y + 1 < size->height) {
      make_source(pass, stage, y + 1, plane_row(source, y + 1, 0), plane_pitch(source));
      close_row(source, y + 1, 1);
    }
    if (y < 0) continue;
    for (int x = 0; x < size->columns; x += BLOCK) {
      gather_taps(pass, source, stage->inputs, y, x, pass->scratch.inputs);
      Target target = {.values = plane_row(to, y, 0) + x, .pitch = plane_pitch(to), .inside = size->inside + x};
      products(RELU, target, pass->scratch.inputs, 9 * stage->inputs, stage->outputs, stage->weights,
               (Start){.bias = stage->bias}, size->columns - x > 4 ? BLOCK : 4);
    }
    close_row(to, y, 1);
    meet(team);
  }
}

static void convolution_backward(Pass *pass, int number, Team *team) {
  const Stage *stage = &pass->stream.network->stages[number];
  const Plane *source = &pass->kept[number].source, *to = plane_of(pass, stage->to);
  const Plane *gradient = &pass->gradients[stage->to];
  int height = to->size->height, pitch = plane_pitch(source);
  for (int y = 0; y < height; y++) {
    for (int c = 0; c < stage->outputs; c++) {
      vec *row = plane_row(gradient, y, c);
      const vec *value = plane_row(to, y, c);
      for (int x = 0; x < to->size->columns; x++) row[x] = keep(less(spread(0.0f), value[x]), row[x]);
    }
    close_row(gradient, y, 1);
  }
  make_source(pass, stage, 0, plane_row(source, 0, 0), pitch);
  close_row(source, 0, 1);
  for (int y = 0; y < height && !is_stopped(team); y++) {
    if (y + 1 < height) {
      make_source(pass, stage, y + 1, plane_row(source, y + 1, 0), pitch);
      close_row(source, y + 1, 1);
    }
    kernel_gradient(pass, gradient, stage->outputs, source, stage->inputs, y, sum_of(pass, stage->learned.matrix),
                    sum_of(pass, stage->learned.bias));
    if (number) {
      convolution_source_gradient(pass, gradient, stage->outputs, stage->inputs, y, pass->turned[number].mix_back,
                                  pass->row, pitch);
      plain_source_gradient(pass, stage, y, pass->row, pitch);
    }
    meet(team);
  }
}

// Row y of the loss and of its slopes; gives the sum over the row.
static double loss_row(Pass *pass, const Job *job, const Stage *head, const Plane *source, int y) {
  const Stream *stream = &pass->stream;
  const Size *size = source->size;
  int pitch = plane_pitch(source);
  vec sum = spread(0.0f);
  for (int o = 0; o < head->outputs; o++) {
    vec *slopes = plane_row(&pass->slopes, y, o);
    const vec *noisy = plane_row(&stream->planes[0], y, o);
    read_columns(stream, pass->clean, job->clean, y * job->row, o, 0, size->columns);
    for (int x = 0; x < size->columns; x += BLOCK) {
      const vec *rows[3];
      for (int i = 0; i < 3; i++) rows[i] = row_or_zeros(stream, source, y + i - 1, 0) + x - 1;
      convolve_to_one(pass->values, rows, pitch, head->inputs, head->filters + 9 * head->inputs * o, head->bias[o]);
      for (int i = 0; i < MIN(BLOCK, size->columns - x); i++) {
        vec slope, loss = pixel_loss(job->loss, stream->network->spec.output, pass->values[i], noisy[x + i],
                                     pass->clean[x + i], &slope);
        slopes[x + i] = keep(pass->counted[x + i], slope);
        sum += keep(pass->counted[x + i], loss);
      }
    }
  }
  float lanes[LANES];
  double total = 0.0;
  memcpy(lanes, &sum, sizeof lanes);
  for (int i = 0; i < LANES; i++) total += lanes[i];
  return total;
}

// The last stage: the loss, of which it gives the sum, and the gradients of the head and of what it read.
static double head_gradient(Pass *pass, const Job *job, int number, Team *team) {
  const Stage *stage = &pass->stream.network->stages[number];
  const Plane *source = &pass->kept[number].source;
  int height = source->size->height, pitch = plane_pitch(source);
  double loss = 0.0;
  for (int y = -1; y <= height && !is_stopped(team); y++) {
    if (y + 1 < height) {
      make_source(pass, stage, y + 1, plane_row(source, y + 1, 0), pitch);
      close_row(source, y + 1, 1);
    }
    if (y >= 0 && y < height) {
      if (y >= job->top && y < job->bottom) {
        loss += loss_row(pass, job, stage, source, y);
      } else {
        for (int c = 0; c < stage->outputs; c++)
          memset(plane_row(&pass->slopes, y, c), 0, sizeof(vec) * source->size->columns);
      }
      close_row(&pass->slopes, y, 1);
      kernel_gradient(pass, &pass->slopes, stage->outputs, source, stage->inputs, y,
                      sum_of(pass, stage->learned.matrix), sum_of(pass, stage->learned.bias));
    }
    if (y >= 1) { // row y - 1 has all its neighbours
      int direct = stage->source == AS_IS;
      vec *to = direct ? plane_row(&pass->gradients[stage->from], y - 1, 0) : pass->row;
      int to_pitch = direct ? plane_pitch(&pass->gradients[stage->from]) : pitch;
      convolution_source_gradient(pass, &pass->slopes, stage->outputs, stage->inputs, y - 1,
                                  pass->turned[number].mix_back, to, to_pitch);
      if (!direct) plain_source_gradient(pass, stage, y - 1, to, to_pitch);
    }
    meet(team);
  }
  return loss;
}

#endif
