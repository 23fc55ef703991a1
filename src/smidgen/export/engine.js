// Runs the engine's WebAssembly (engine/page.c) on images, in the page's worker and where an export is checked. Images are
// Float32Array, rows of pixels of channels, in [0, 1]. `packed` is {spec, channels, numbers: base64 of little-endian float32}.
"use strict";

// `module` is a WebAssembly.Module. Gives what `denoise` takes.
function openModel(module, packed) {
  const run = new WebAssembly.Instance(module).exports;
  new Int32Array(run.memory.buffer, run.place_spec(), packed.spec.length).set(packed.spec);
  const numbers = decodeBase64(packed.numbers), place = run.place_learned();
  if (!place) throw new Error("the model cannot be loaded");
  new Uint8Array(run.memory.buffer, place, numbers.length).set(numbers);
  run.load();
  return {run, channels: packed.channels};
}

// `tell` is called with the share of rows that have gone in.
function denoise({run, channels}, noisy, height, width, tell = () => {}) {
  const step = run.start(height, width), row = width * channels;
  if (!step) throw new Error(`there is not enough memory for ${width} × ${height} pixels`);
  const denoised = new Float32Array(noisy.length);
  for (let given = 0, made = 0; given < height;) {
    const rows = noisy.subarray(given * row, Math.min(height, given + step) * row);
    new Float32Array(run.memory.buffer, run.place_noisy(), rows.length).set(rows);
    const ready = run.push();
    denoised.set(new Float32Array(run.memory.buffer, run.place_denoised(), ready * row), made * row);
    given += step;
    made += ready;
    tell(Math.min(1, given / height));
  }
  return denoised;
}

function decodeBase64(text) {
  const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const bytes = new Uint8Array(Math.floor((text.replace(/=+$/, "").length * 3) / 4));
  for (let i = 0, place = 0; i < text.length; i += 4) {
    let word = 0;
    for (let j = 0; j < 4; j++) word = (word << 6) | Math.max(0, digits.indexOf(text[i + j]));
    for (let j = 2; j >= 0 && place < bytes.length; j--) bytes[place++] = (word >> (8 * j)) & 255;
  }
  return bytes;
}
