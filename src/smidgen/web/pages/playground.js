// The playground: sends what is drawn to the server and shows what it made of it.

import {ask, byId, element, explain} from "./page.js";

const board = byId("board"), ink = board.getContext("2d", {willReadFrequently: true});
const PEN = 0.075; // of the pen, as a share of the shorter side

const MOST_RAW = 2 ** 20; // pixels: a larger picture, or one in colours, is sent as a PNG
const STILL = 250; // milliseconds that a large picture rests before it is sent, so that a slider can be moved

let offer = null; // what GET /playground said
let seed = 1;
let running = false, again = false; // one request at a time; the latest wish waits
let parts = []; // of the results: {title, canvas, note}

start().catch(tell);

async function start() {
  offer = await ask("/playground");
  byId("words").textContent = offer.words;
  for (const kind of offer.corruptions) byId("corruption").add(new Option(kind.title, kind.name));
  byId("corruption").value = offer.start;
  setStrength();
  offer.examples.forEach((address, number) => {
    const image = element("img", {src: address, alt: `Example ${number + 1}`});
    byId("examples").append(element("button", {type: "button", onclick: () => open(image)}, image));
  });
  const first = byId("examples").querySelector("img");
  if (first) { await first.decode(); open(first); } else clear();
}

function tell(error) {
  byId("status").textContent = error ? `${error.message}` : "";
  byId("status").classList.toggle("wrong", Boolean(error));
}

// --- The clean image -------------------------------------------------------------------------------------------

// The board has the pixels of the image, enlarged or shrunk by the style only: what is shown is what is sent.
function clear() {
  resize(offer.width, offer.height);
  ink.fillStyle = offer.dark_on_light ? "#fff" : "#000";
  ink.fillRect(0, 0, board.width, board.height);
  wish();
}

function open(picture) {
  resize(picture.naturalWidth || picture.width, picture.naturalHeight || picture.height);
  ink.drawImage(picture, 0, 0);
  wish();
}

function resize(width, height) {
  board.width = width;
  board.height = height;
  board.classList.toggle("small", Math.max(width, height) <= 256);
}

async function openFile(file) {
  if (!file) return;
  try {
    open(await createImageBitmap(file));
    tell(null);
  } catch {
    tell(new Error(`${file.name} is no picture that this browser can open`));
  }
}

let last = null;
board.addEventListener("pointerdown", event => { board.setPointerCapture(event.pointerId); last = at(event); stroke(event); });
board.addEventListener("pointermove", event => { if (last) stroke(event); });
for (const name of ["pointerup", "pointercancel"]) {
  board.addEventListener(name, event => {
    if (!last) return;
    last = null;
    performance.mark("pointer-up", {startTime: event.timeStamp}); // the stroke was sent as it was drawn
  });
}

function at(event) {
  const box = board.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width * board.width, (event.clientY - box.top) / box.height * board.height];
}

function stroke(event) {
  const now = at(event);
  ink.strokeStyle = offer.dark_on_light ? "#000" : "#fff";
  ink.lineWidth = PEN * Math.min(board.width, board.height);
  ink.lineCap = ink.lineJoin = "round";
  ink.beginPath();
  ink.moveTo(...last);
  ink.lineTo(now[0] + 0.01, now[1]);
  ink.stroke();
  last = now;
  wish();
}

// What is sent: grey pixels as they are, or a PNG.
async function pack() {
  const {width, height} = board;
  if (width * height <= MOST_RAW) {
    const {data} = ink.getImageData(0, 0, width, height), grey = new Uint8Array(width * height);
    let coloured = false;
    for (let i = 0, j = 0; i < grey.length; i++, j += 4) {
      grey[i] = data[j];
      coloured ||= data[j] !== data[j + 1] || data[j] !== data[j + 2];
    }
    if (!coloured) return {body: grey, width};
  }
  return {body: await new Promise(done => board.toBlob(done, "image/png")), width: 0};
}

// --- Corruption and results ------------------------------------------------------------------------------------

const chosen = () => offer.corruptions.find(kind => kind.name === byId("corruption").value);

function setStrength() {
  const kind = chosen();
  byId("how").hidden = !kind;
  if (kind) byId("strength").value = 1000 * kind.usual / kind.most;
}

function strength() {
  const kind = chosen();
  return kind ? kind.most * byId("strength").value / 1000 : 0;
}

function wish() {
  again = true;
  if (!running) run();
}

async function run() {
  running = true;
  byId("results").ariaBusy = "true";
  while (again) {
    again = false;
    try {
      byId("value").textContent = chosen() ? `${strength().toPrecision(2)} (${chosen().unit})` : "";
      byId("shared").textContent = `${byId("share").value} %`;
      if (board.width * board.height > MOST_RAW) {
        byId("status").textContent = `Denoising ${board.width} × ${board.height} pixels…`;
        await new Promise(done => setTimeout(done, STILL));
        again = false;
      }
      const {body, width} = await pack();
      const query = new URLSearchParams({corruption: byId("corruption").value, strength: strength(), seed, share: byId("share").value / 100, width});
      const answer = await fetch(`/try?${query}`, {method: "POST", body, headers: {"content-type": "application/octet-stream"}});
      if (!answer.ok) throw new Error(await explain(answer));
      const content = await answer.arrayBuffer();
      tell(null);
      showResults(content);
    } catch (error) {
      tell(error);
    }
  }
  running = false;
  byId("results").ariaBusy = "false";
}

// The answer: four bytes with the length of a JSON text, the text, and the pixels of the images that it tells of.
function showResults(content) {
  const length = new DataView(content).getUint32(0, true);
  const found = JSON.parse(new TextDecoder().decode(new Uint8Array(content, 4, length)));
  const images = [{title: "Noisy", note: reading(found.noisy.reading), ...found.noisy}];
  found.models.forEach((model, number) => {
    const name = found.models.length > 1 ? `Denoised: ${model.name}` : "Denoised";
    const fidelity = chosen() && model.psnr_db ? `${model.psnr_db.toFixed(1)} dB` : "";
    const parameters = `${offer.models[number].num_parameters.toLocaleString("en")} parameters`;
    images.push({title: name, note: model.error ?? [reading(model.reading), fidelity, parameters].filter(Boolean).join(", "), ...model});
  });
  if (parts.length !== images.length) {
    parts = images.map(() => {
      const canvas = element("canvas", {role: "img"}), caption = element("figcaption"), title = element("h2");
      const figure = element("figure", {}, title, element("button", {type: "button", className: "zoom", onclick: () => compare(canvas)}, canvas), caption);
      return {canvas, caption, title, figure};
    });
    byId("results").replaceChildren(...parts.map(part => part.figure));
  }
  let place = 4 + length;
  images.forEach((image, number) => {
    const part = parts[number];
    part.title.textContent = image.title;
    part.caption.textContent = image.note;
    part.canvas.hidden = Boolean(image.error);
    part.canvas.ariaLabel = image.title;
    if (image.error) return;
    const count = image.height * image.width * image.channels;
    paint(part.canvas, image, new Uint8Array(content, place, count));
    place += count;
  });
  parts[0].figure.hidden = !chosen(); // the picture itself
  byId("status").textContent = found.models.filter(model => model.reading).map(model => `${model.name} ${reading(model.reading)}`).join("; ");
  requestAnimationFrame(() => performance.mark("picture"));
}

function paint(canvas, {height, width, channels}, values) {
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, {width, height});
  canvas.classList.toggle("small", Math.max(width, height) <= 256);
  const image = new ImageData(width, height), {data} = image, step = channels === 3 ? 1 : 0;
  for (let i = 0, j = 0; j < data.length; i += channels, j += 4) {
    data[j] = values[i];
    data[j + 1] = values[i + step];
    data[j + 2] = values[i + 2 * step];
    data[j + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

// Where they agree black, where the right one is too bright orange, where too dark blue; doubled.
function difference(canvas) {
  const made = element("canvas", {width: board.width, height: board.height}), context = made.getContext("2d");
  const given = ink.getImageData(0, 0, board.width, board.height), {data} = given;
  const found = canvas.getContext("2d").getImageData(0, 0, board.width, board.height).data;
  for (let j = 0; j < data.length; j += 4) {
    const error = 2 * (found[j] + found[j + 1] + found[j + 2] - data[j] - data[j + 1] - data[j + 2]) / 3;
    const [red, green, blue] = error > 0 ? [1, 0.6, 0.15] : [-0.25, -0.6, -1];
    [data[j], data[j + 1], data[j + 2]] = [red * error, green * error, blue * error];
  }
  context.putImageData(given, 0, 0);
  return made;
}

function compare(canvas) {
  const shown = parts.filter(part => !part.figure.hidden && !part.canvas.hidden);
  const images = [{title: "Picture", source: board}, ...shown.map(part => ({title: part.title.textContent, source: part.canvas}))];
  images.push(...shown.filter(part => part !== parts[0]).map(part => (
    {title: part.title.textContent.replace("Denoised", "Difference, doubled"), source: difference(part.canvas)})));
  openViewer(images, chosen() ? 1 : 0, images.findIndex(image => image.source === canvas));
}

function reading(found) {
  return found ? `reads ${found.digit}, ${Math.round(100 * found.sureness)} % sure` : "";
}

byId("compare").addEventListener("click", () => { if (parts.length > 1) compare(parts[1].canvas); });
byId("save").addEventListener("click", () => { if (parts.length > 1) saveImage(parts[1].canvas, "denoised.png"); });
byId("clear").addEventListener("click", clear);
byId("file").addEventListener("change", event => { openFile(event.target.files[0]); event.target.value = ""; });
byId("corruption").addEventListener("change", () => { setStrength(); wish(); });
byId("strength").addEventListener("input", wish);
byId("share").addEventListener("input", wish);
byId("again").addEventListener("click", () => { seed += 1; wish(); });
document.addEventListener("dragover", event => { event.preventDefault(); document.body.classList.add("over"); });
document.addEventListener("dragleave", () => document.body.classList.remove("over"));
document.addEventListener("drop", event => {
  event.preventDefault();
  document.body.classList.remove("over");
  openFile(event.dataTransfer.files[0]);
});
