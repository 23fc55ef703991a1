// The engine as WebAssembly, in an exported page: one thread, one image at a time, memory that grows as it is asked for.
//
// The page writes the spec, calls `place_learned`, writes the learned numbers there and calls `load`. Then for each image
// `start`, and `push` until the last rows are made.
#include "engine.c"

#define EXPORT(name) __attribute__((export_name(#name))) name

enum { PAGE = 1 << 16 }; // of WebAssembly's memory

extern char __heap_base;

static int32_t spec[SPEC_NUMBERS];
static Network network;
static Numbers numbers;
static Stream stream;
static Scratch scratch;
static float *noisy, *denoised; // rows: those given, those made
static char *free_memory;       // behind the network's numbers

// An arena there, with `size` bytes; its start is null where there are not so many.
static Arena reserve(char *start, size_t size) {
  size_t at = (uintptr_t)start, pages = (at + size + PAGE - 1) / PAGE, now = __builtin_wasm_memory_size(0);
  if (at + size < at || (pages > now && __builtin_wasm_memory_grow(0, pages - now) == (size_t)-1)) return (Arena){0};
  return (Arena){.start = start};
}

int32_t *EXPORT(place_spec)(void) { return spec; }

// Where the learned numbers go, in the order of the model file; null if `spec` is none.
float *EXPORT(place_learned)(void) {
  if (!read_spec(&network.spec, spec)) return NULL;
  numbers = (Numbers){0};
  build_network(&network, &numbers);
  char *start = (char *)ROUND_UP((uintptr_t)&__heap_base, 64);
  Arena arena = reserve(start, sizeof(float) * (numbers.num_learned + numbers.num_packed) + 128);
  if (!arena.start) return NULL;
  numbers.learned = take_memory(&arena, sizeof(float) * numbers.num_learned);
  numbers.packed = take_memory(&arena, sizeof(float) * numbers.num_packed);
  free_memory = arena.start + arena.used;
  return (float *)numbers.learned;
}

void EXPORT(load)(void) { build_network(&network, &numbers); }

static void place_image(Arena *arena) {
  size_t row = (size_t)stream.width * network.spec.channels;
  noisy = take_memory(arena, sizeof(float) * row * stream.step);
  denoised = take_memory(arena, sizeof(float) * row * stream.height); // at the end many rows come at once
  place_stream(&stream, arena);
  place_scratch(&scratch, &network, arena);
}

// Rows to give at a time; 0 if there is not enough memory.
int EXPORT(start)(int height, int width) {
  plan_stream(&stream, &network, height, width, 1, choose_bands(&network, width, 1, LANES), step_rows(width, 0));
  Arena counting = {0};
  place_image(&counting);
  Arena arena = reserve(free_memory, counting.used);
  if (!arena.start) return 0;
  memset(arena.start, 0, counting.used);
  place_image(&arena);
  return stream.step;
}

float *EXPORT(place_noisy)(void) { return noisy; }
float *EXPORT(place_denoised)(void) { return denoised; }

// Take the rows that stand at `place_noisy`; gives how many were made, which stand at `place_denoised`.
int EXPORT(push)(void) {
  Team alone = {0};
  const float *from = noisy;
  return run_step(&stream, &from, &denoised, &scratch, &alone, 0);
}
