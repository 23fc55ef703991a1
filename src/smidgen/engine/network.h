// A network as stages: from its description and its learned numbers.
//
// Each stage makes the rows of one plane. It reads rows from other planes through its source (as they are,
// pooled, brought to twice the size, or through the stem), keeps the last few in a ring, and applies its
// operation to them:
//
//   pyramid   stem -> CELL down 0 -> pool -> CELL down 1 -> ... -> CELL up 0 -> (next pass) -> HEAD
//   plain     CONVOLUTION -> max pool -> CONVOLUTION -> ... -> nearest -> HEAD
//
// One visit of a cell is one trip through memory: source, norm, depthwise, up to 2 * hidden with the
// gate, back down and the sum with what came in, all for a few columns of one row that stay in the cache.
#ifndef SMIDGEN_NETWORK_H
#define SMIDGEN_NETWORK_H

#include "layers.h"

enum { MOST_SCALES = 17, MOST_STAGES = 130, MOST_SIDE = 15, SPEC_NUMBERS = 24 };

typedef enum { PYRAMID, PLAIN } NetworkKind;
typedef enum { SIGMOID, RESIDUAL } Output;
typedef enum { AS_IS, STEM, MEAN_POOL, BILINEAR, MAX_POOL, NEAREST } Source;
typedef enum { CELL, CONVOLUTION, HEAD } Operation;

typedef struct {
  NetworkKind kind;
  Output output;
  int channels;                                // of the images
  int width, hidden, scales, passes, kernel;   // of a pyramid
  int tied;                                    // whether its passes share biases and gains
  int depth, widths[MOST_SCALES - 1];          // of a plain network
} Spec;

typedef struct {
  Source source;
  Operation operation;
  int scale;
  int inputs, outputs;           // channels of the source's rows and of the plane
  int side;                      // of the filter around a pixel
  int from, coarse, to;          // planes: 0 is the noisy image; -1 is none, or the result
  const float *filters;          // CELL: (inputs, side, side); HEAD: (outputs, inputs, 3, 3)
  const float *weights, *bias;   // CELL: mix, packed; CONVOLUTION: packed
  const float *back;             // CELL: with the gain in it, packed
  struct {                       // where the numbers stand among the learned ones
    const float *matrix, *bias;  // CELL: mix; CONVOLUTION, HEAD: kernel
    const float *back, *gain;    // CELL
  } learned;
} Stage;

typedef struct {
  Spec spec;
  int num_stages;
  Stage stages[MOST_STAGES];
  const float *stem, *stem_bias; // packed
} Network;

INLINE int stage_radius(const Stage *stage) { return stage->side / 2; }

static int scales_of(const Spec *spec) { return spec->kind == PYRAMID ? spec->scales : spec->depth + 1; }

// ---- from numbers ------------------------------------------------------------------------------------------

// 0 if `numbers` (kind, output, channels, then width, hidden, scales, passes, kernel, tied or depth, widths) is no spec.
static int read_spec(Spec *spec, const int32_t *numbers) {
  memset(spec, 0, sizeof *spec);
  if (numbers[0] < PYRAMID || numbers[0] > PLAIN || numbers[1] < SIGMOID || numbers[1] > RESIDUAL) return 0;
  spec->kind = (NetworkKind)numbers[0], spec->output = (Output)numbers[1], spec->channels = numbers[2];
  if (spec->channels < 1 || spec->channels > 4) return 0;
  if (spec->kind == PYRAMID) {
    spec->width = numbers[3], spec->hidden = numbers[4], spec->scales = numbers[5], spec->passes = numbers[6];
    spec->kernel = numbers[7], spec->tied = numbers[8];
    return spec->width >= 1 && spec->width <= 1024 && spec->hidden >= 1 && spec->hidden <= 1024 && spec->scales >= 1 &&
           spec->scales <= 8 && spec->passes >= 1 && spec->passes <= (MOST_STAGES - 2) / (2 * spec->scales - 1) &&
           spec->kernel % 2 == 1 && spec->kernel >= 1 && spec->kernel <= MOST_SIDE && (spec->tied | 1) == 1;
  }
  spec->depth = numbers[3];
  if (spec->depth < 1 || spec->depth >= MOST_SCALES) return 0;
  for (int i = 0; i < spec->depth; i++) {
    spec->widths[i] = numbers[4 + i];
    if (spec->widths[i] < 1 || spec->widths[i] > 1024) return 0;
  }
  return 1;
}

// Learned numbers as the model file orders them, and where packed ones go; `packed` is null to count only.
typedef struct {
  const float *learned;
  float *packed;
  size_t num_learned, num_packed;
} Numbers;

static const float *take_learned(Numbers *numbers, size_t count) {
  const float *start = numbers->learned ? numbers->learned + numbers->num_learned : NULL;
  numbers->num_learned += count;
  return start;
}

// Which row of a matrix is output o of its packed groups. A gated matrix has rows a0 a1 ... b0 b1 ...; a group
// of it holds some of the first half, then the same ones of the second.
static int packed_row(int group_start, int group, int o, int rows, int gated) {
  if (!gated) return group_start + o;
  return group_start / 2 + o % (group / 2) + (o < group / 2 ? 0 : rows / 2);
}

// Order a matrix (rows, inputs) for `products`; each row times its gain if there is one.
static const float *pack_products(Numbers *numbers, const float *matrix, int rows, int inputs, int gated,
                                  const float *gain) {
  float *start = numbers->packed ? numbers->packed + numbers->num_packed : NULL;
  numbers->num_packed += (size_t)rows * inputs;
  if (!start) return NULL;
  float *to = start;
  for (int first = 0, group; first < rows; first += group) {
    group = product_group_size(rows - first);
    for (int i = 0; i < inputs; i++) {
      for (int o = 0; o < group; o++) {
        int row = packed_row(first, group, o, rows, gated);
        *to++ = matrix[(size_t)row * inputs + i] * (gain ? gain[row] : 1.0f);
      }
    }
  }
  return start;
}

// ---- the stages --------------------------------------------------------------------------------------------

static Stage *add_stage(Network *network, Source source, Operation operation, int scale, int inputs, int outputs,
                        int side) {
  Stage *stage = &network->stages[network->num_stages++];
  *stage = (Stage){.source = source, .operation = operation, .scale = scale, .inputs = inputs, .outputs = outputs,
                   .side = side, .from = -1, .coarse = -1, .to = network->num_stages};
  return stage;
}

static void add_head(Network *network, Numbers *numbers, Source source, int inputs, int from) {
  int channels = network->spec.channels;
  Stage *head = add_stage(network, source, HEAD, 0, inputs, channels, 3);
  head->filters = take_learned(numbers, (size_t)9 * inputs * channels);
  head->bias = take_learned(numbers, channels);
  head->learned.matrix = head->filters, head->learned.bias = head->bias;
  *(source == NEAREST ? &head->coarse : &head->from) = from;
  head->to = -1;
}

static void build_pyramid(Network *network, Numbers *numbers) {
  const Spec *spec = &network->spec;
  int width = spec->width, hidden = spec->hidden, scales = spec->scales, side = spec->kernel;
  const float *stem = take_learned(numbers, (size_t)9 * spec->channels * width);
  network->stem_bias = take_learned(numbers, width);
  network->stem = pack_products(numbers, stem, width, 9 * spec->channels, 0, NULL);
  const float *around[2] = {0}, *matrix[2] = {0}, *mix[2] = {0}, *back[2] = {0};
  int met[2] = {0, 0};
  int last = 0; // the plane that the stage before made
  for (int pass = 0; pass < spec->passes; pass++) {
    int planes[8]; // of this pass's way down
    for (int visit = 0; visit < 2 * scales - 1; visit++) {
      int rising = visit >= scales, scale = rising ? 2 * scales - 2 - visit : visit;
      if (!met[rising]) {
        around[rising] = take_learned(numbers, (size_t)side * side * width);
        matrix[rising] = take_learned(numbers, (size_t)2 * hidden * width);
        mix[rising] = pack_products(numbers, matrix[rising], 2 * hidden, width, 1, NULL);
        back[rising] = take_learned(numbers, (size_t)hidden * width);
        met[rising] = 1;
      }
      Source source = rising ? BILINEAR : scale ? MEAN_POOL : pass ? AS_IS : STEM;
      Stage *stage = add_stage(network, source, CELL, scale, width, width, side);
      stage->filters = around[rising], stage->weights = mix[rising];
      if (pass && spec->tied) {
        const Stage *first = &network->stages[visit];
        stage->learned = first->learned, stage->bias = first->bias, stage->back = first->back;
      } else {
        const float *bias = take_learned(numbers, (size_t)2 * hidden), *gain = take_learned(numbers, width);
        stage->learned.matrix = matrix[rising], stage->learned.bias = bias;
        stage->learned.back = back[rising], stage->learned.gain = gain;
        stage->bias = pack_products(numbers, bias, 2 * hidden, 1, 1, NULL);
        stage->back = pack_products(numbers, back[rising], width, hidden, 0, gain);
      }
      stage->from = rising ? planes[scale] : last;
      stage->coarse = rising ? last : -1;
      last = stage->to;
      if (!rising) planes[scale] = last;
    }
  }
  add_head(network, numbers, AS_IS, width, last);
}

static void build_plain(Network *network, Numbers *numbers) {
  const Spec *spec = &network->spec;
  int inputs = spec->channels, depth = spec->depth, last = 0;
  for (int i = 0; i < 2 * depth; i++) {
    int rising = i >= depth, outputs = spec->widths[rising ? 2 * depth - 1 - i : i];
    Source source = i == 0 ? AS_IS : i <= depth ? MAX_POOL : NEAREST;
    Stage *stage = add_stage(network, source, CONVOLUTION, rising ? 2 * depth - i : i, inputs, outputs, 3);
    const float *kernel = take_learned(numbers, (size_t)9 * inputs * outputs);
    stage->weights = pack_products(numbers, kernel, outputs, 9 * inputs, 0, NULL);
    stage->bias = take_learned(numbers, outputs);
    stage->learned.matrix = kernel, stage->learned.bias = stage->bias;
    *(source == NEAREST ? &stage->coarse : &stage->from) = last;
    last = stage->to, inputs = outputs;
  }
  add_head(network, numbers, NEAREST, inputs, last);
}

// Both counts if `numbers->packed` is null, else the stages.
static void build_network(Network *network, Numbers *numbers) {
  network->num_stages = 0;
  numbers->num_learned = numbers->num_packed = 0;
  if (network->spec.kind == PYRAMID) build_pyramid(network, numbers);
  else build_plain(network, numbers);
}

#endif
