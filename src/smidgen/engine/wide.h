// A network of given numbers on images of one size, with memory of the caller's: what a C file does with more lanes.
//
// export/c.py writes what this needs before it: the size, the spec and the numbers.
#ifndef SMIDGEN_WIDE_H
#define SMIDGEN_WIDE_H

#include "engine.c"

typedef struct {
  Network network;
  Numbers numbers;
  Stream stream;
  Scratch scratch;
  float *learned, *rows; // rows: the next of the noisy image, in [0, 1]
} Wide;

static void plan_wide(Wide *wide, const int32_t *spec, int height, int width, int lanes) {
  read_spec(&wide->network.spec, spec);
  build_network(&wide->network, &wide->numbers);
  int bands = choose_bands(&wide->network, width, 1, lanes);
  plan_stream(&wide->stream, &wide->network, height, width, 1, bands, step_rows(width, 0));
}

// What does not follow the lanes.
static void place_numbers(Wide *wide, Arena *arena) {
  size_t row = (size_t)wide->stream.width * wide->network.spec.channels;
  wide->learned = take_memory(arena, sizeof(float) * wide->numbers.num_learned);
  wide->numbers.packed = take_memory(arena, sizeof(float) * wide->numbers.num_packed);
  wide->rows = take_memory(arena, sizeof(float) * row * wide->stream.step);
}

static void place_vectors(Wide *wide, Arena *arena) {
  place_stream(&wide->stream, arena);
  place_scratch(&wide->scratch, &wide->network, arena);
}

#ifdef SMIDGEN_WORK_FLOATS
#include "numbers.h"

// Learned numbers in the order of the model file, which small.h's matrices have too.
typedef struct {
  int rows, count;
  Matrix matrix;
} Part;

static const Part parts[NUM_PARTS];

static void load_parts(float *to) {
  for (int i = 0; i < NUM_PARTS; i++) {
    for (int row = 0; row < parts[i].rows; row++, to += parts[i].count) {
      const float *from = load_row(&parts[i].matrix, NULL, row, parts[i].count, to);
      if (from != to) memcpy(to, from, sizeof(float) * parts[i].count);
    }
  }
}

void smidgen_denoise(const float *in, float *out, float *work) {
  Wide wide = {.numbers = {0}};
  Arena arena = {.start = (char *)ROUND_UP((uintptr_t)work, 64)};
  Team alone = {0};
  const size_t row = SMIDGEN_WIDTH * SMIDGEN_CHANNELS;
  memset(work, 0, sizeof(float) * SMIDGEN_WORK_FLOATS);
  plan_wide(&wide, spec, SMIDGEN_HEIGHT, SMIDGEN_WIDTH, LANES);
  place_numbers(&wide, &arena);
  load_parts(wide.learned);
  wide.numbers.learned = wide.learned;
  build_network(&wide.network, &wide.numbers);
  place_vectors(&wide, &arena);
  const int *given = &wide.stream.done[0], *made = &wide.stream.done[wide.network.num_stages];
  while (*made < SMIDGEN_HEIGHT) {
    const float *from = in + row * *given, *noisy = wide.rows;
    float *to = out + row * *made;
    for (size_t i = 0; i < row * MIN(wide.stream.step, SMIDGEN_HEIGHT - *given); i++) wide.rows[i] = NORMALISED(from[i]);
    size_t count = row * run_step(&wide.stream, &noisy, &to, &wide.scratch, &alone, 0);
    for (size_t i = 0; i < count; i++) to[i] = RESTORED(to[i]);
  }
}
#endif

#endif
