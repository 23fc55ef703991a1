// Loads a library of the engine and runs one level of it, where there is no Python:
//   run_library LIBRARY LEVEL TASK RESULT
// TASK holds int32: the loss, how many numbers are learned, height, width, channels, and the spec; then float32: the
// learned numbers, a noisy and a clean image. RESULT gets the denoised image, float32, then the loss and its gradients,
// float64.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#if defined(_WIN32)
#include <windows.h>
static void *load(const char *path) { return (void *)LoadLibraryA(path); }
static void *find(void *library, const char *name) { return (void *)GetProcAddress(library, name); }
#else
#include <dlfcn.h>
static void *load(const char *path) { return dlopen(path, RTLD_NOW); }
static void *find(void *library, const char *name) { return dlsym(library, name); }
#endif

enum { THREADS = 3, SPEC_NUMBERS = 24 };

typedef struct {
  const float *noisy;
  float *denoised;
  int32_t height, width;
} Picture;

typedef struct {
  const float *noisy, *clean;
  int32_t height, width;
} Example;

static void *must(void *there, const char *what) {
  if (there) return there;
  fprintf(stderr, "there is no %s\n", what);
  exit(1);
}

static void *function(void *library, const char *level, const char *name) {
  char whole[64];
  snprintf(whole, sizeof whole, "smidgen_%s_%s", level, name);
  return must(find(library, whole), whole);
}

static void *take(FILE *file, size_t size, size_t count) {
  void *numbers = must(malloc(size * count + 1), "memory");
  if (fread(numbers, size, count, file) != count) must(NULL, "more in the task");
  return numbers;
}

int main(int count, char **words) {
  if (count != 5) return 2;
  void *library = must(load(words[1]), words[1]);
  const char *level = words[2];
  void *(*open)(const int32_t *, const float *) = function(library, level, "open");
  int (*denoise)(void *, const Picture *, int, int, int, const int *) = function(library, level, "denoise");
  int (*gradients)(void *, const Example *, int, int, int, double *, const int *) =
      function(library, level, "gradients");
  void (*close)(void *) = function(library, level, "close");
  const char *(*levels)(void) = must(find(library, "smidgen_levels"), "smidgen_levels");
  printf("%s", levels());

  FILE *task = must(fopen(words[3], "rb"), words[3]);
  int32_t *sizes = take(task, sizeof *sizes, 5), *spec = take(task, sizeof *spec, SPEC_NUMBERS);
  size_t learned = sizes[1], values = (size_t)sizes[2] * sizes[3] * sizes[4];
  float *numbers = take(task, sizeof *numbers, learned);
  float *noisy = take(task, sizeof *noisy, values), *clean = take(task, sizeof *clean, values);
  float *denoised = must(malloc(sizeof *denoised * values), "memory");
  double *result = must(malloc(sizeof *result * (1 + learned)), "memory");

  void *model = must(open(spec, numbers), "memory");
  Picture picture = {noisy, denoised, sizes[2], sizes[3]};
  Example example = {noisy, clean, sizes[2], sizes[3]};
  int failed = denoise(model, &picture, 1, THREADS, 0, NULL) ||
               gradients(model, &example, 1, THREADS, sizes[0], result, NULL);
  close(model);
  FILE *file = must(fopen(words[4], "wb"), words[4]);
  if (failed || fwrite(denoised, sizeof *denoised, values, file) != values ||
      fwrite(result, sizeof *result, 1 + learned, file) != 1 + learned || fclose(file))
    must(NULL, "result");
  return 0;
}
