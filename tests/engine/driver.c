// Runs the engine over random networks, sizes and threads, under the sanitizers it is compiled with:
//   cc -fsanitize=address,undefined -DLANES=8 -DPRODUCTS_A_THREAD=1 -I src/smidgen/engine tests/engine/driver.c
//   ./a.out SEED RUNS
// With PRODUCTS_A_THREAD=1 even the smallest image has the threads asked for.
// Every run is made in one go by one thread, by several threads with other numbers of rows at a time, and as a
// stream; then the gradients by one thread and by several, everything kept and everything made again, and in tiles. It
// ends with an error where two of them differ in one bit, or tiles by more than rounding.
#define KEPT_BYTES kept_bytes
#define TILE_SIDE 24
#define TILED_PIXELS tiled_pixels
static int kept_bytes, tiled_pixels;
#include "library.c"

#include <stdio.h>

static uint64_t state;

static int draw(int low, int high) { // low to high, both included
  state = state * 6364136223846793005u + 1442695040888963407u;
  return low + (int)((state >> 33) % (uint64_t)(high - low + 1));
}

static float draw_number(void) { return (float)draw(-1000000, 1000000) * 1e-6f; }

static void draw_spec(int32_t *spec) {
  memset(spec, 0, sizeof(int32_t) * SPEC_NUMBERS);
  spec[0] = draw(0, 3) == 0 ? PLAIN : PYRAMID, spec[1] = draw(0, 1), spec[2] = draw(1, 4);
  if (spec[0] == PYRAMID) {
    spec[3] = draw(1, 20), spec[4] = draw(1, 24), spec[5] = draw(1, 5), spec[6] = draw(1, 3);
    spec[7] = 2 * draw(0, draw(0, 3) ? 3 : 7) + 1, spec[8] = draw(0, 1);
  } else {
    spec[3] = draw(1, 4);
    for (int i = 0; i < spec[3]; i++) spec[4 + i] = draw(1, 12);
  }
}

static void compare(const char *what, const float *a, const float *b, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (!memcmp(&a[i], &b[i], sizeof a[i])) continue;
    printf("%s: number %zu is %.9g in one run, %.9g in the other\n", what, i, (double)a[i], (double)b[i]);
    exit(1);
  }
}

static void *must(void *memory) {
  if (memory) return memory;
  printf("no memory\n");
  exit(1);
}

static void stream(const Model *model, const float *noisy, float *denoised, int height, size_t row, int threads) {
  int given = 0, made = 0;
  Session *session = must(JOIN(LEVEL, open_stream)(model, height, (int)(row / model->network.spec.channels), threads,
                                                   draw(0, 40)));
  for (int step; given < height; given += step) {
    step = MIN(JOIN(LEVEL, stream_step)(session), height - given);
    // In memory of their own, so that a row too many is seen.
    float *rows = must(malloc(sizeof(float) * row * step));
    float *ready = must(malloc(sizeof(float) * row * (given + step - made) + 1));
    memcpy(rows, noisy + row * given, sizeof(float) * row * step);
    int count = JOIN(LEVEL, push)(session, rows, ready, NULL);
    memcpy(denoised + row * made, ready, sizeof(float) * row * count);
    made += count;
    free(rows), free(ready);
  }
  JOIN(LEVEL, close_stream)(session);
}

static double *gradients(Model *model, const Example *examples, int count, int threads, int keep, int tiles) {
  double *result = must(malloc(sizeof(double) * (1 + model->num_learned)));
  kept_bytes = keep ? 1 << 30 : 0, tiled_pixels = tiles ? 100 : 1 << 30;
  int loss = model->network.spec.output == RESIDUAL ? MSE : (int)(model->num_learned % 2);
  if (!JOIN(LEVEL, gradients)(model, examples, count, threads, loss, result, NULL)) return result;
  printf("no gradients\n");
  exit(1);
}

static void compare_gradients(Model *model, const Picture *pictures, int count) {
  Example examples[7];
  size_t bytes = sizeof(double) * (1 + model->num_learned);
  for (int i = 0; i < count; i++) // a row less of the last ones: other sizes
    examples[i] = (Example){pictures[i].noisy, pictures[(i + 1) % count].noisy,
                            MAX(1, pictures[i].height - (i > 3)), pictures[i].width};
  double *one = gradients(model, examples, count, 1, 1, 0), *many = gradients(model, examples, count, draw(2, 8), 1, 0);
  double *again = gradients(model, examples, count, draw(1, 8), 0, 0);
  double *tiles = gradients(model, examples, count, 2, 0, 1);
  if (memcmp(one, many, bytes)) printf("gradients by several threads differ\n"), exit(1);
  if (LANES == 1 && memcmp(one, again, bytes)) printf("gradients made again differ\n"), exit(1);
  double most = 0.0, apart = 0.0;
  for (size_t i = 0; i <= model->num_learned; i++) {
    most = fmax(most, fabs(one[i]));
    apart = fmax(apart, fmax(fabs(tiles[i] - one[i]), fabs(again[i] - one[i])));
  }
  if (!(apart <= 1e-4 * most)) printf("gradients in tiles differ by %.3g of %.3g\n", apart, most), exit(1);
  free(one), free(many), free(again), free(tiles);
}

static void run(void) {
  int32_t spec[SPEC_NUMBERS];
  draw_spec(spec);
  int count = draw(1, 6), height = draw(1, draw(0, 3) ? 40 : 150), width = draw(1, draw(0, 3) ? 60 : 400);
  Network network;
  Numbers numbers = {0};
  read_spec(&network.spec, spec);
  build_network(&network, &numbers); // counts
  size_t learned = numbers.num_learned;
  size_t row = (size_t)width * spec[2], size = row * height;
  float *weights = must(malloc(sizeof(float) * learned));
  for (size_t i = 0; i < learned; i++) weights[i] = 0.3f * draw_number();
  Model *model = must(JOIN(LEVEL, open)(spec, weights));
  free(weights);
  Picture pictures[6], again[6];
  for (int i = 0; i < count; i++) {
    float *noisy = must(malloc(sizeof(float) * size));
    for (size_t j = 0; j < size; j++) noisy[j] = 0.5f + 0.5f * draw_number();
    pictures[i] = (Picture){noisy, must(malloc(sizeof(float) * size)), height, width};
    again[i] = (Picture){noisy, must(malloc(sizeof(float) * size)), height, width};
  }
  JOIN(LEVEL, denoise)(model, pictures, count, 1, 0, NULL);
  JOIN(LEVEL, denoise)(model, again, count, draw(2, 8), draw(1, 70), NULL);
  for (int i = 0; i < count; i++) compare("threads", pictures[i].denoised, again[i].denoised, size);
  JOIN(LEVEL, denoise)(model, again, 1, draw(1, 8), draw(1, 70), NULL);
  compare("alone", pictures[0].denoised, again[0].denoised, size);
  stream(model, pictures[0].noisy, again[0].denoised, height, row, draw(1, 4));
  compare("stream", pictures[0].denoised, again[0].denoised, size);
  compare_gradients(model, pictures, count);
  for (int i = 0; i < count; i++) free((void *)pictures[i].noisy), free(pictures[i].denoised), free(again[i].denoised);
  JOIN(LEVEL, close)(model);
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  int runs = atoi(argv[2]);
  for (int i = 0; i < runs; i++) {
    state = (uint64_t)atol(argv[1]) * 1000003u + (uint64_t)i;
    run();
  }
  printf("%d runs\n", runs);
  return 0;
}
