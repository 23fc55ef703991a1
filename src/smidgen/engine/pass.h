// Memory of a pass forwards and backwards over a group of images of one size, and what it needs of a network.
//
//   planes     what each stage makes, every row of it; for it a plane of gradients. A pyramid has one of these for each
//              scale: a cell turns the gradient of what it gave into that of what it took, in place
//   norm       of a cell: its normalised source, with 1 / rms
//   seen       of a cell, before the mix; in strips of about STRIP pixels
//   sums       the gradients of the learned numbers so far, a vec each
//
// Norm and seen of every visit are kept where the pass is small. Else they are made again from the planes on the way
// back, strip by strip: the same bits, some more work, and half the memory. What follows the mix is always made again:
// that takes less time than to write and read it.
#ifndef SMIDGEN_PASS_H
#define SMIDGEN_PASS_H

#include "losses.h"
#include "stream.h"

enum {
  STRIP = 32,       // pixels
  LEAST_MARGIN = 4, // what is made four columns at a time runs up to three behind the last one
};

// The weights of a stage as the way back reads them; packed.
typedef struct {
  const float *filters;   // CELL: turned by half a circle
  const float *mix_back;  // CELL: (inputs, 2 hidden); CONVOLUTION, HEAD: (inputs, outputs, 3, 3), turned
  const float *gate_back; // CELL: (hidden, outputs), with the gain
} Turned;

// How the pixels of a size are divided: strips of `rows` x `columns`, which lie one row after the other in `pitch`.
typedef struct {
  int rows, columns, pitch;
  int across, down; // strips in an image
} Strips;

typedef struct {
  Plane source;         // what the filters look at: of a cell it is normalised
  Plane factors;        // of a cell, what its source was multiplied with for that
  Plane seen_gradient;  // of a cell
  vec *strips;          // where kept: what each strip saw, (inputs, pitch)
} Kept;

// What is computed, and where in the images.
typedef struct {
  Loss loss;
  const float *noisy[MOST_IMAGES], *clean[MOST_IMAGES]; // (height, width, channels), from the first pixel on
  size_t row;                                           // numbers from a row to the next
  int top, left, bottom, right;                         // the pixels whose loss counts
} Job;

typedef struct {
  Stream stream;                 // sizes and planes, all of whose rows are held
  const float *learned;          // the network's numbers
  size_t num_learned;
  const Turned *turned;
  int keep;
  Strips strips[MOST_SCALES];
  Kept kept[MOST_STAGES];        // of each stage
  Plane gradients[MOST_STAGES];  // of each plane
  Plane slopes;                  // of the loss
  bits *counted;                 // the columns whose loss counts
  vec *clean, *values;           // a row of a channel; BLOCK of its columns, of what the network makes
  vec *row;                      // a row of gradients, of any stage's source
  vec *seen, *above, *gated, *halves_gradient, *seen_strip; // of a strip: (channels, pitch)
  vec *block, *gated_gradient;   // (inputs, BLOCK), (hidden, BLOCK)
  vec *sums, *back_sums;         // in the order of the learned numbers; (outputs, hidden) of a visit
  const float *no_bias;          // zeros
  Scratch scratch;               // only `pitch` and `inputs`
  size_t zeroed;                 // bytes of its memory
} Pass;

// ---- weights -------------------------------------------------------------------------------------------------------

// Order matrix[i][o] for `products`, each row times its gain if there is one.
static const float *pack_transposed(Numbers *numbers, const float *matrix, int rows, int outputs, const float *gain,
                                    float *room) {
  for (int o = 0; room && o < outputs; o++)
    for (int i = 0; i < rows; i++)
      room[(size_t)o * rows + i] = matrix[(size_t)i * outputs + o] * (gain ? gain[i] : 1.0f);
  return pack_products(numbers, room, outputs, rows, 0, NULL);
}

// Order kernel[o][i][tap] as a matrix from the taps of the outputs to the inputs.
static const float *pack_kernel_back(Numbers *numbers, const float *kernel, int outputs, int inputs, float *room) {
  for (int i = 0; room && i < inputs; i++)
    for (int o = 0; o < outputs; o++)
      for (int tap = 0; tap < 9; tap++)
        room[((size_t)i * outputs + o) * 9 + tap] = kernel[((size_t)o * inputs + i) * 9 + 8 - tap];
  return pack_products(numbers, room, inputs, 9 * outputs, 0, NULL);
}

static const float *turn_filters(Numbers *numbers, const float *filters, int channels, int side) {
  size_t taps = (size_t)side * side;
  float *to = numbers->packed ? numbers->packed + numbers->num_packed : NULL;
  numbers->num_packed += taps * channels;
  for (size_t i = 0; to && i < taps * channels; i++) to[i] = filters[i / taps * taps + (taps - 1 - i % taps)];
  return to;
}

// All weights of a network; counts only if `numbers->packed` is null. `room` holds the largest matrix.
static void turn_network(const Network *network, Numbers *numbers, Turned *turned, float *room) {
  int hidden = network->spec.hidden;
  for (int i = 0; i < network->num_stages; i++) {
    const Stage *stage = &network->stages[i];
    if (stage->operation != CELL) {
      turned[i].mix_back = pack_kernel_back(numbers, stage->learned.matrix, stage->outputs, stage->inputs, room);
      continue;
    }
    int same = 0, visited = 0; // the first visit of the same cell, and the first with the same gain
    while (network->stages[same].learned.matrix != stage->learned.matrix) same++;
    while (network->stages[visited].learned.gain != stage->learned.gain) visited++;
    turned[i] = turned[visited < i ? visited : same];
    if (visited < i) continue;
    if (same == i) {
      turned[i].filters = turn_filters(numbers, stage->filters, stage->inputs, stage->side);
      turned[i].mix_back = pack_transposed(numbers, stage->learned.matrix, 2 * hidden, stage->inputs, NULL, room);
    }
    turned[i].gate_back =
        pack_transposed(numbers, stage->learned.back, stage->outputs, hidden, stage->learned.gain, room);
  }
}

// ---- memory --------------------------------------------------------------------------------------------------------

static Strips divide(const Size *size) {
  Strips strips = {.across = (size->columns + STRIP - 1) / STRIP, .rows = 1};
  if (strips.across == 1) strips.rows = MIN(size->height, STRIP / size->columns);
  strips.columns = (size->columns + strips.across - 1) / strips.across;
  if (strips.across > 1) strips.columns = ROUND_UP(strips.columns, 4);
  strips.down = (size->height + strips.rows - 1) / strips.rows;
  // What is made four columns at a time may run over the end of a row, not of a channel.
  strips.pitch = ROUND_UP((strips.rows - 1) * strips.columns + ROUND_UP(strips.columns, 4), 4);
  return strips;
}

static size_t strip_vecs(const Pass *pass, const Stage *stage) {
  return (size_t)pass->strips[stage->scale].pitch * stage->inputs;
}

static Plane plan_plane(const Pass *pass, int scale, int channels, int rows) {
  const Size *size = &pass->stream.sizes[scale];
  return (Plane){.size = size, .channels = channels, .rows = MIN(rows, size->height),
                 .margin = pass->stream.margin - SLACK};
}

// `learned` are the network's `num_learned` numbers.
static void plan_pass(Pass *pass, const Network *network, const float *learned, size_t num_learned, int height,
                      int width, int images, int bands, int keep) {
  Stream *stream = &pass->stream;
  *pass = (Pass){.keep = keep, .learned = learned, .num_learned = num_learned};
  *stream = (Stream){.network = network, .height = height, .width = width, .images = images, .bands = bands,
                     .num_scales = scales_of(&network->spec)};
  plan_sizes(stream);
  int margin = LEAST_MARGIN;
  for (int i = 0; i < network->num_stages; i++) margin = MAX(margin, stage_radius(&network->stages[i]));
  stream->margin = margin + SLACK;
  for (int i = 0; i < network->num_stages; i++)
    stream->planes[i].margin = margin, stream->planes[i].rows = stream->planes[i].size->height;
  for (int s = 0; s < stream->num_scales; s++) pass->strips[s] = divide(&stream->sizes[s]);
}

static void place_plane(Plane *plane, Arena *arena) {
  vec *memory = take_memory(arena, sizeof(vec) * (SLACK + plane_vecs(plane)));
  if (arena->start) plane->memory = memory + SLACK;
}

static vec *take_vecs(Arena *arena, size_t count) { return take_memory(arena, sizeof(vec) * (count + SLACK)); }

// Where nothing is kept, cells at one scale share their rows, one after the other: those of the first of them.
static void place_kept(Pass *pass, int number, Arena *arena) {
  const Stage *stages = pass->stream.network->stages, *stage = &stages[number];
  int is_cell = stage->operation == CELL, whole = pass->keep && is_cell, first = is_cell ? 0 : number;
  while (stages[first].scale != stage->scale) first++;
  int ring = pass->strips[stage->scale].rows + stage->side - 1;
  Kept *kept = &pass->kept[number];
  *kept = pass->kept[first];
  if (first == number || whole) {
    kept->source = plan_plane(pass, stage->scale, stage->inputs, whole ? pass->stream.height : ring);
    kept->factors = plan_plane(pass, stage->scale, 1, whole ? pass->stream.height : ring);
    place_plane(&kept->source, arena);
    place_plane(&kept->factors, arena);
  }
  if (first == number) {
    kept->seen_gradient = plan_plane(pass, stage->scale, stage->inputs, ring);
    place_plane(&kept->seen_gradient, arena);
  }
}

static void place_gradients(Pass *pass, Arena *arena) {
  const Network *network = pass->stream.network;
  for (int i = 1; i < network->num_stages; i++) {
    const Stage *stage = &network->stages[i - 1];
    int first = i; // of the planes that share the gradient
    if (network->spec.kind == PYRAMID)
      for (first = 1; network->stages[first - 1].scale != stage->scale;) first++;
    if (first < i) {
      pass->gradients[i] = pass->gradients[first];
    } else {
      pass->gradients[i] = plan_plane(pass, stage->scale, stage->outputs, pass->stream.height);
      place_plane(&pass->gradients[i], arena);
    }
  }
}

static void place_strips(Pass *pass, Arena *arena) {
  for (int i = 0; pass->keep && i < pass->stream.network->num_stages; i++) {
    const Stage *stage = &pass->stream.network->stages[i];
    const Strips *strips = &pass->strips[stage->scale];
    if (stage->operation == CELL)
      pass->kept[i].strips = take_vecs(arena, strip_vecs(pass, stage) * strips->across * strips->down);
  }
}

// Lay out the memory of a pass; with a counting arena only how much it needs. Memory must be zeros, the first `zeroed`
// bytes of it.
static void place_pass(Pass *pass, Arena *arena) {
  Stream *stream = &pass->stream;
  const Network *network = stream->network;
  int hidden = network->spec.hidden, channels = network->spec.channels;
  size_t row = 0, most = 0, inputs = 0, pitch = 0;
  place_stream(stream, arena);
  for (int i = 0; i < network->num_stages; i++) {
    const Stage *stage = &network->stages[i];
    size_t fits = (size_t)MAX(stage->inputs, stage->outputs), columns = stream->sizes[stage->scale].columns;
    row = MAX(row, fits * (columns + 2 * stream->margin)), inputs = MAX(inputs, fits);
    pitch = MAX(pitch, (size_t)pass->strips[stage->scale].pitch);
    place_kept(pass, i, arena);
  }
  place_gradients(pass, arena);
  most = MAX(MAX(inputs, (size_t)channels) * 9, 2 * (size_t)hidden);
  vec *zeros = take_vecs(arena, row + SLACK);
  if (arena->start) stream->zeros = zeros + SLACK;
  pass->slopes = plan_plane(pass, 0, channels, 3);
  place_plane(&pass->slopes, arena);
  bits *counted = take_memory(arena, sizeof(bits) * (stream->sizes[0].columns + 2 * stream->margin));
  if (arena->start) pass->counted = counted + stream->margin;
  pass->clean = take_vecs(arena, stream->sizes[0].columns), pass->values = take_vecs(arena, BLOCK);
  pass->row = take_vecs(arena, row + SLACK);
  pass->above = take_vecs(arena, inputs * pitch), pass->seen_strip = take_vecs(arena, inputs * pitch);
  pass->seen = take_vecs(arena, inputs * pitch);
  pass->gated = take_vecs(arena, hidden * pitch), pass->gated_gradient = take_vecs(arena, hidden * BLOCK);
  pass->halves_gradient = take_vecs(arena, 2 * hidden * pitch);
  pass->block = take_vecs(arena, inputs * BLOCK);
  pass->sums = take_vecs(arena, pass->num_learned);
  pass->back_sums = take_vecs(arena, (size_t)network->spec.width * hidden);
  pass->no_bias = take_memory(arena, sizeof(float) * most);
  pass->scratch.inputs = take_memory(arena, sizeof(vec *) * most);
  pass->zeroed = arena->used;
  place_strips(pass, arena);
}

#endif
