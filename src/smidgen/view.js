// The viewer of all pages: one image over another with a slider between them, at any zoom, saved as it is.
"use strict";

const ZOOMS = [0.125, 0.25, 0.5, 1, 2, 3, 4, 6, 8, 12, 16];

// `images` are {title, source}, of one size; a source is an image or a canvas. `left` and `right` are shown first.
function openViewer(images, left, right) {
  const make = (name, properties, ...content) => {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...content);
    return made;
  };
  const widthOf = source => source.naturalWidth || source.width, heightOf = source => source.naturalHeight || source.height;
  const width = widthOf(images[0].source), height = heightOf(images[0].source);
  const layers = [0, 1].map(() => make("canvas", {width, height}));
  const rule = make("i"), over = make("div", {}, ...layers, rule), said = make("output");
  const stage = make("div", {className: "stage", tabIndex: 0, role: "region", ariaLabel: "The images, to be scrolled"}, over);
  const split = make("input", {type: "range", max: 1000, value: 500, ariaLabel: "How far the left image goes"});
  const choices = [left, right].map((chosen, side) => {
    const options = images.map(({title}, number) => new Option(title, number, false, number === chosen));
    return make("select", {ariaLabel: side ? "Right image" : "Left image", onchange: draw}, ...options);
  });
  const button = (text, ariaLabel, onclick) => make("button", {type: "button", ariaLabel, onclick}, text);
  const bar = make("div", {className: "row"}, ...choices, button("−", "Smaller", () => step(-1)), said, button("+", "Larger", () => step(1)),
    button("Fit", "Fit into the window", () => zoomTo(fit())), button("Save", "Save the right image", save), button("Close", "Close", () => dialog.close()));
  const dialog = make("dialog", {className: "viewer", ariaLabel: "Images, enlarged", onclose: () => dialog.remove()}, bar, split, stage);
  let zoom = 1;

  function draw() {
    choices.forEach((choice, side) => layers[side].getContext("2d").drawImage(images[choice.value].source, 0, 0, width, height));
  }
  function cut() {
    rule.style.left = `${split.value / 10}%`;
    layers[1].style.clipPath = `inset(0 0 0 ${rule.style.left})`;
  }
  function zoomTo(wanted) {
    zoom = wanted;
    over.style.width = `${width * zoom}px`;
    over.style.height = `${height * zoom}px`;
    layers.forEach(layer => layer.classList.toggle("small", zoom >= 1));
    said.textContent = `${Math.round(100 * zoom)} %`;
  }
  function step(by) {
    const others = ZOOMS.filter(one => by > 0 ? one > zoom : one < zoom), centre = [stage.scrollLeft + stage.clientWidth / 2, stage.scrollTop + stage.clientHeight / 2];
    if (!others.length) return;
    const before = zoom;
    zoomTo(by > 0 ? others[0] : others.at(-1));
    stage.scrollTo(centre[0] * zoom / before - stage.clientWidth / 2, centre[1] * zoom / before - stage.clientHeight / 2);
  }
  const fit = () => Math.min(16, stage.clientWidth / width, stage.clientHeight / height);
  function save() { saveImage(layers[1], `${images[choices[1].value].title.toLowerCase()}.png`); }

  split.addEventListener("input", cut);
  stage.addEventListener("pointermove", event => {
    if (event.pointerType !== "mouse" || !event.buttons) return;
    const box = over.getBoundingClientRect();
    split.value = 1000 * (event.clientX - box.left) / box.width;
    cut();
  });
  dialog.addEventListener("keydown", event => {
    if (event.key === "+") step(1);
    if (event.key === "-") step(-1);
  });
  document.body.append(dialog);
  dialog.showModal();
  draw();
  cut();
  const whole = fit();
  zoomTo(whole < 1 ? whole : Math.max(...ZOOMS.filter(one => one <= whole)));
  stage.focus();
}

function saveImage(canvas, name) {
  canvas.toBlob(content => {
    const link = Object.assign(document.createElement("a"), {download: name, href: URL.createObjectURL(content)});
    link.click();
    URL.revokeObjectURL(link.href);
  });
}
