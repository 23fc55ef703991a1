// The reading test: shows one image after another and sends each answer before the next is shown.

import {ask, byId, element} from "./page.js";

const SECTIONS = ["intro", "ask", "sure", "results"];
const SMALL = 256; // pixels: an image with no longer side is enlarged as squares
const MOST_TIMES = 3; // as large as it is, a line is shown
const MOST_SECONDS = 86400;

let study = null; // what GET /study said
let place = 0; // the image that is shown
let shownAt = 0;
let busy = false;
let pictures = new Map(); // place -> promise of addresses by view
let typed = new Map(); // place -> the line that was typed there, for who goes back to mend it

start().catch(tell);

async function start() {
  study = await ask("/study");
  if (study.ended) return showResults(await ask("/results"));
  place = study.done;
  introduce();
  show("intro");
  byId("start").focus();
}

function tell(error) {
  const gone = error instanceof TypeError; // what fetch throws where nobody answers
  byId("trouble").textContent = gone
    ? "The server does not answer. Is 'smidgen read' still running? Start it again and open the address that it says."
    : error ? error.message : "";
}

function show(section) {
  for (const name of SECTIONS) byId(name).hidden = name !== section;
  byId(section).focus();
}

const percent = share => `${(100 * share).toFixed(1)} %`;
const interval = found => `${percent(found.rate)} (${percent(found.low)} to ${percent(found.high)})`;
const compares = () => study.kind === "compare";
const types = () => study.kind === "type"; // whole lines
const oneKey = () => study.kind === "read" && study.answers.every(answer => answer.length === 1);
const titleOf = kind => kind === "compare" ? "Comparison" : "Reading test";
const nameOf = answer => study.names[Number(answer)] ?? answer;

// --- Before ----------------------------------------------------------------------------------------------------

function introduce() {
  const {likely, worst, each} = study.expect;
  byId("title").textContent = titleOf(study.kind);
  const more = study.done ? ` ${study.done} are answered already.` : "";
  byId("task").textContent = !compares()
    ? `You will see ${study.n} ${types() ? "lines of text" : "images"}, one after another, and type what you read in each.${more} ` +
      "About a third are noisy, a third were denoised, and a third are clean; they are shuffled, and nothing tells which is which."
    : `You will see ${study.n} clean images, each between two attempts to recover it, and say which of the two is closer ` +
      `to it.${more} The sides are shuffled.`;
  byId("promise").textContent = types()
    ? `Type each line as it is printed, with its capitals and points; quotation marks and dashes may be the plain ones of the ` +
      `keyboard. With ${each} pages in each third, if 95.0 % of the characters are read right, the 95 % interval will be about from ` +
      `${percent(likely.low)} to ${percent(likely.high)}; at worst, for one half, from ${percent(worst.low)} to ` +
      `${percent(worst.high)}; narrower where pages are alike.`
    : `With ${each} images ${!compares() ? "of each kind, if 95.0 % are read right" : "that you decide on, if 95.0 % of the choices agree"}, ` +
    `the 95 % interval will be from ${percent(likely.low)} to ${percent(likely.high)}; at worst, for one half, from ` +
    `${percent(worst.low)} to ${percent(worst.high)}.`;
  if (study.names.length && study.kind === "read") {
    const rows = study.answers.filter(answer => answer !== "?").map(answer => makeRow([answer, nameOf(answer)]));
    byId("legend").replaceChildren(element("table", {}, element("caption", {}, "What to type"), element("tbody", {}, ...rows)));
  }
}

byId("start").addEventListener("click", () => { show("ask"); prepareKeys(); turnTo(place).catch(tell); });

function prepareKeys() {
  const buttons = study.answers.map(answer => {
    const label = answer === "?" ? "? cannot tell"
      : compares() ? (answer === "left" ? "← left" : "right →")
      : nameOf(answer) === answer ? answer : `${answer} ${nameOf(answer)}`;
    return element("button", {type: "button", onclick: () => give(answer)}, label);
  });
  const field = byId("answer");
  byId("typed").hidden = oneKey() || compares();
  byId("keys").replaceChildren(...(byId("typed").hidden ? buttons : buttons.slice(-1)));
  if (types()) {
    byId("asked").textContent = "What the line says";
    byId("typed").classList.add("line");
    field.inputMode = "text";
    field.maxLength = study.longest;
  }
  byId("hint").textContent = types()
    ? "Type the line in the middle and press Enter; ? and Enter if you cannot tell, Backspace in the empty field for one back. " +
      "A click on the image enlarges it."
    : compares()
    ? "Keys: ← or → for the closer one, ? if you cannot tell, Backspace for one back. A click on an image lays one over another, at any zoom."
    : oneKey()
      ? `Keys: ${study.names.length ? "the number of what you see" : "the digit you read"}, ? if you cannot tell, Backspace for one back.`
      : "Type the number you read and press Enter; ? if you cannot tell, Backspace in the empty field for one back.";
}

// --- Each image ------------------------------------------------------------------------------------------------

function fetchPictures(number) {
  if (number >= study.n) return null;
  if (!pictures.has(number)) {
    pictures.set(number, Promise.all(study.views.map(async view => {
      const answer = await fetch(`/images/${number}/${view}`);
      if (!answer.ok) throw new Error(`the server said ${answer.status}`);
      return [view, URL.createObjectURL(await answer.blob())];
    })));
    pictures.get(number).catch(() => pictures.delete(number));
  }
  return pictures.get(number);
}

// Show an image; only once it is there does `place` tell that answers are for it.
async function turnTo(number) {
  if (number >= study.n) {
    place = number;
    return askToEnd("All images are answered.");
  }
  const found = await fetchPictures(number);
  const order = !compares() ? found : ["left", "clean", "right"].map(view => found.find(([name]) => name === view));
  const figures = order.map(([view, address]) => {
    const alt = !compares() ? `Image ${number + 1} of ${study.n}, to be read` : `Image ${number + 1}, ${view}`;
    const image = element("img", {src: address, alt});
    const button = element("button", {type: "button", className: "zoom", tabIndex: -1, onclick: () => enlarge(image)}, image);
    return element("figure", {className: view}, button, ...(!compares() ? [] : [element("figcaption", {}, view)]));
  });
  const images = figures.map(figure => figure.querySelector("img"));
  await Promise.all(images.map(image => image.decode()));
  for (const [place, image] of images.entries()) {
    image.classList.toggle("small", Math.max(image.naturalWidth, image.naturalHeight) <= SMALL);
    figures[place].style.setProperty("--aspect", image.naturalWidth / image.naturalHeight);
    if (types()) figures[place].style.setProperty("--widest", `${MOST_TIMES * image.naturalWidth}px`);
  }
  byId("views").classList.toggle("three", compares());
  byId("views").replaceChildren(...figures);
  place = number;
  byId("bar").max = study.n;
  byId("bar").value = place;
  byId("back").disabled = place === 0;
  byId("answer").value = typed.get(place) ?? "";
  if (!byId("typed").hidden) byId("answer").select();
  await new Promise(requestAnimationFrame);
  byId("place").textContent = `Image ${place + 1} of ${study.n}`;
  shownAt = performance.now();
  fetchPictures(place + 1);
  for (const [number, old] of pictures) {
    if (number < place - 1) {
      old.then(views => views.forEach(([, address]) => URL.revokeObjectURL(address)), () => {});
      pictures.delete(number);
    }
  }
}

function enlarge(image) {
  const all = [...byId("views").querySelectorAll("img")];
  const images = all.map(source => ({title: source.parentNode.parentNode.className, source}));
  openViewer(images, compares() ? 1 : 0, all.indexOf(image));
}

// One thing at a time: a key that comes while the next image is on its way was not meant for it.
async function once(work) {
  if (busy) return;
  busy = true;
  try {
    await work();
    tell(null);
  } catch (error) {
    tell(error);
  } finally {
    busy = false;
  }
}

const give = answer => once(async () => {
  if (byId("ask").hidden) return;
  if (!answer) throw new Error("Type what you read, or ? if you cannot tell.");
  const seconds = Math.min((performance.now() - shownAt) / 1000, MOST_SECONDS);
  const headers = {"content-type": "application/json"};
  await ask(`/answers/${place}`, {method: "PUT", headers, body: JSON.stringify({answer, seconds})});
  if (types()) typed.set(place, answer);
  await turnTo(place + 1);
});

const goBack = () => once(async () => {
  if (!byId("ask").hidden && place > 0) await turnTo(place - 1);
});

function askToEnd(what) {
  byId("left").textContent = what;
  show("sure");
}

const goOn = () => once(async () => {
  byId("place").textContent = "";
  show("ask");
  await turnTo(Math.min(place, study.n - 1)); // its clock starts anew
});

document.addEventListener("keydown", event => {
  if (document.querySelector("dialog")) return;
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
  if (!byId("sure").hidden && event.key === "Backspace") { event.preventDefault(); goOn(); }
  if (!byId("sure").hidden && event.key === "Enter" && event.target === byId("sure")) finish().catch(tell);
  if (byId("ask").hidden) return;
  const typing = event.target === byId("answer") && byId("answer").value !== "";
  if (event.key === "Backspace" && !typing) { event.preventDefault(); goBack(); }
  else if (types()) return; // a line may hold any character
  else if (event.key === "?") { event.preventDefault(); give("?"); }
  else if (compares() && ["ArrowLeft", "ArrowRight"].includes(event.key)) give(event.key === "ArrowLeft" ? "left" : "right");
  else if (oneKey() && study.answers.includes(event.key)) give(event.key);
});
byId("typed").addEventListener("submit", event => { event.preventDefault(); give(byId("answer").value.trim()); });
byId("back").addEventListener("click", goBack);
byId("stop").addEventListener("click", () => askToEnd(`${study.n - place} of ${study.n} images are not answered yet.`));
byId("on").addEventListener("click", goOn);
byId("really").addEventListener("click", () => finish().catch(tell));

async function finish() {
  showResults(await ask("/end", {method: "POST"}));
}

// --- Results ---------------------------------------------------------------------------------------------------

function showResults(found) {
  const parts = [element("h2", {}, "Results")];
  const {about} = found;
  parts.push(element("p", {}, `${found.answered} of ${found.asked} images answered, ${found.cannot_tell} times "cannot tell", ` +
    `half of the answers within ${found.median_seconds.toFixed(1)} s. Pairs ${about.pairs}, ${about.split} part, ` +
    `model ${about.model}${about.other ? `, compared with ${about.other}` : ""}.`));
  const ways = {read: readingResults, type: typingResults, compare: comparingResults};
  parts.push(...ways[found.kind](found));
  parts.push(element("p", {}, element("a", {href: "/answers.csv"}, "All answers as CSV")));
  byId("results").replaceChildren(...parts);
  show("results");
  byId("title").textContent = `${titleOf(found.kind)}: ended`;
}

function readingResults(found) {
  const rows = [], labels = new Set();
  for (const name of found.order) {
    const one = found.conditions[name];
    if (!one.read) continue;
    Object.keys(one.by_label).forEach(label => labels.add(label));
    rows.push([name, String(one.read.n), interval(one.read), drawInterval(one.read), String(one.cannot_tell),
      `${one.median_seconds.toFixed(1)} s`, one.machine ? percent(one.machine.rate) : "–", one.kappa === null ? "–" : one.kappa.toFixed(2)]);
  }
  const parts = [makeTable("Read right",
    ["shown", "images", "read right (95 % interval)", "", "cannot tell", "median time", "machine reads", "agreement (kappa)"], rows)];
  if (found.kappa !== null) {
    parts.push(element("p", {}, `Agreement of the person with the machine reader over all images: Cohen's kappa ${found.kappa.toFixed(2)}.`));
  }
  parts.push(element("h2", {}, "By what was to be read"));
  parts.push(makeTable("By what was to be read", ["", ...found.order], [...labels].sort((a, b) => a - b).map(label => [nameOf(label), ...found.order.map(name => {
    const one = found.conditions[name].by_label[label];
    return one ? `${Math.round(one.rate * one.n)} of ${one.n}` : "–";
  })])));
  return [...parts, ...showMisread(found)];
}

// What was not read right, each with the image.
function showMisread(found) {
  if (!found.misread.length) return [];
  const items = found.misread.map(number => {
    const one = found.details[number], image = {src: `/images/${number}/image`, alt: `${one.condition} ${nameOf(one.label)}`};
    const told = [`${one.condition}: ${nameOf(one.label)}`, `typed: ${one.answer === found.cannot ? "cannot tell" : one.answer}`];
    if (one.machine !== null) told.push(`machine: ${one.machine === "" ? "nothing" : one.machine}`);
    return element("li", {}, element("img", image), ...told.map(line => element("div", {}, line)));
  });
  return [element("h2", {}, "Not read right"), element("ul", {className: "gallery"}, ...items)];
}

function typingResults(found) {
  const rows = [];
  const wrong = one => ({rate: one.cer, low: one.low, high: one.high});
  for (const name of found.order) {
    const {misread, machine, ...one} = found.conditions[name];
    if (!misread) continue;
    const several = misread.n > 1; // one page alone has no interval
    rows.push([name, String(one.lines), String(misread.n), several ? interval(wrong(misread)) : percent(misread.cer),
      several ? drawInterval(wrong(misread)) : "–", percent(misread.wer), String(one.cannot_tell),
      `${one.median_seconds.toFixed(1)} s`, machine ? percent(machine.cer) : "–"]);
  }
  return [
    makeTable("Read wrong", ["shown", "lines", "pages", "characters wrong (95\u00a0% interval)", "", "words wrong", "cannot tell",
      "median time", "Tesseract: characters wrong"], rows),
    element("p", {}, 'The intervals are by the bootstrap over pages. "Cannot tell" counts as wholly wrong.'),
    ...showMisread(found),
  ];
}

function comparingResults(found) {
  if (!found.preferred) return [element("p", {}, "No image was decided on.")];
  return [makeTable("Found closer", ["", "decided", "found closer (95 % interval)", ""],
    [[found.about.model, String(found.preferred.n), interval(found.preferred), drawInterval(found.preferred)]])];
}

const makeRow = cells => element("tr", {}, ...cells.map(cell => element("td", {}, cell)));

function makeTable(title, header, rows) {
  const head = header.map(name => name ? element("th", {scope: "col"}, name) : element("td"));
  const body = rows.map(cells => {
    const row = makeRow(cells);
    [...row.children].forEach((cell, place) => { if (place && header[place]) cell.dataset.name = header[place]; });
    return row;
  });
  return element("table", {className: "lines", ariaLabel: title},
    element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...body));
}

// The rate as a mark on its interval, from 0 to 100 %.
function drawInterval(found) {
  const draw = (name, values, ...content) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(values)) made.setAttribute(key, value);
    made.append(...content);
    return made;
  };
  return draw("svg", {class: "interval", viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true"},
    draw("rect", {class: "track", x: 0, y: 4.5, width: 100, height: 1}),
    draw("rect", {class: "range", x: 100 * found.low, y: 3, width: 100 * (found.high - found.low), height: 4}),
    draw("rect", {class: "rate", x: 100 * found.rate - 0.6, y: 1, width: 1.2, height: 8}));
}
