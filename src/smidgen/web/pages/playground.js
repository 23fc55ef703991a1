// The playground: sends what is drawn to the server and shows what it made of it.

import {ask, byId, element} from "./page.js";

const board = byId("board"), ink = board.getContext("2d", {willReadFrequently: true});
const SIDE = 28, PEN = 2.1; // of the drawn image, and of the pen, in its pixels

let offer = null; // what GET /playground said
let seed = 1;
let running = false, again = false; // one request at a time; the latest wish waits

start().catch(tell);

async function start() {
  offer = await ask("/playground");
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

// The board has the pixels of the image, enlarged by the style only: what is shown is what is sent.
function clear() {
  board.width = board.height = SIDE;
  ink.fillStyle = "#000";
  ink.fillRect(0, 0, SIDE, SIDE);
  wish();
}

function open(picture) {
  const width = picture.naturalWidth || picture.width, height = picture.naturalHeight || picture.height;
  const shrink = Math.min(1, offer.most_side / Math.max(width, height));
  board.width = Math.max(1, Math.round(width * shrink));
  board.height = Math.max(1, Math.round(height * shrink));
  ink.imageSmoothingQuality = "high";
  ink.drawImage(picture, 0, 0, board.width, board.height);
  wish();
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
    performance.mark("pointer-up", {startTime: event.timeStamp});
    wish();
  });
}

function at(event) {
  const box = board.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width * board.width, (event.clientY - box.top) / box.height * board.height];
}

function stroke(event) {
  const now = at(event);
  ink.strokeStyle = "#fff";
  ink.lineWidth = PEN * Math.max(1, board.width / SIDE);
  ink.lineCap = ink.lineJoin = "round";
  ink.beginPath();
  ink.moveTo(...last);
  ink.lineTo(now[0] + 0.01, now[1]);
  ink.stroke();
  last = now;
  wish();
}

const pack = () => new Promise(done => board.toBlob(done, "image/png"));

// --- Corruption and results ------------------------------------------------------------------------------------

const chosen = () => offer.corruptions.find(kind => kind.name === byId("corruption").value);

function setStrength() {
  const kind = chosen();
  byId("strength").disabled = !kind;
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
  while (again) {
    again = false;
    try {
      byId("value").textContent = chosen() ? `${strength().toPrecision(2)} (${chosen().unit})` : "";
      byId("shared").textContent = `${byId("share").value} %`;
      const query = new URLSearchParams({corruption: byId("corruption").value, strength: strength(), seed, share: byId("share").value / 100});
      const found = await ask(`/try?${query}`, {method: "POST", body: await pack(), headers: {"content-type": "image/png"}});
      tell(null);
      await showResults(found);
    } catch (error) {
      tell(error);
    }
  }
  running = false;
}

async function showResults(found) {
  const columns = [[makeFigure("Noisy", found.noisy, [reading(found.reading)])]];
  for (const [number, model] of found.models.entries()) {
    if (model.error) {
      columns.push([element("p", {className: "wrong"}, `${model.name}: ${model.error}`)]);
      continue;
    }
    const parameters = `${offer.models[number].num_parameters.toLocaleString("en")} parameters`;
    const fidelity = model.psnr_db === null ? "" : `${model.psnr_db.toFixed(1)} dB`;
    columns.push([
      makeFigure(`Denoised: ${model.name}`, model.denoised, [reading(model.reading), fidelity, parameters]),
      makeFigure("Difference, doubled", model.difference, ["orange: too bright, blue: too dark"]),
    ]);
  }
  await Promise.all(columns.flat().map(part => part.querySelector("img")?.decode()));
  byId("results").replaceChildren(...columns.map(figures => element("div", {}, ...figures)));
  byId("status").textContent = found.models.filter(model => model.reading).map(model => `${model.name} ${reading(model.reading)}`).join("; ");
  requestAnimationFrame(() => performance.mark("picture"));
}

function makeFigure(title, address, notes) {
  const lines = notes.filter(Boolean).flatMap(note => [element("br"), note]);
  const caption = element("figcaption", {}, element("strong", {}, title), ...lines);
  return element("figure", {}, element("img", {src: address, alt: title}), caption);
}

function reading(found) {
  return found ? `reads ${found.digit}, ${Math.round(100 * found.sureness)} % sure` : "";
}

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
