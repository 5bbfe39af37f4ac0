// The map of questions and abstracts.

(function map() {
  const plane = byId("plane");
  if (!plane) return;
  const WIDTH = 800, HEIGHT = 600, PAD = 16; // units of the SVG image
  const REACH = 18; // greatest distance from the pointer to the point that it chooses
  const tabs = [...document.querySelectorAll("[role=tab]")];
  const intro = [...byId("map-pair").childNodes];
  let shown, points, join, chosen = -1;

  const colourClass = (label) => (label === null ? "none" : `s${shown.kinds.indexOf(label) % 6}`);

  function show(number) {
    shown = data.maps[number];
    shown.kinds ??= [...new Set(shown.labels)].sort((a, b) => order(a) - order(b));
    const at = (pair, side) => [
      PAD + shown.positions[4 * pair + 2 * side] * (WIDTH - 2 * PAD),
      HEIGHT - PAD - shown.positions[4 * pair + 2 * side + 1] * (HEIGHT - 2 * PAD),
    ];
    points = shown.records.map((_, pair) => [at(pair, 0), at(pair, 1)]); // of question and abstract
    const radius = points.length > 400 ? 2.4 : 3.6;
    const marks = points.map(([q, a], pair) => {
      const colour = colourClass(shown.labels[pair]), half = radius * 1.35;
      return [
        draw("rect", { class: `a ${colour}`, x: a[0] - half, y: a[1] - half, width: 2 * half, height: 2 * half }),
        draw("circle", { class: `q ${colour}`, cx: q[0], cy: q[1], r: radius }),
      ];
    });
    join = draw("g", {});
    plane.replaceChildren(draw("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, "aria-hidden": "true" }, marks.flat(), join));
    byId("map-caption").textContent = shown.caption;
    byId("map-legend").replaceChildren(
      ...shown.kinds.map((label) => make("li", {},
        legendIcon(draw("circle", { class: `q ${colourClass(label)}`, cx: 6, cy: 6, r: 4.2 })),
        `${label ?? "no label"} (${shown.labels.filter((each) => each === label).length})`)),
      make("li", {}, legendIcon(draw("circle", { class: "q none", cx: 6, cy: 6, r: 4 })), "question"),
      make("li", {}, legendIcon(draw("rect", { class: "a none", x: 2, y: 2, width: 8, height: 8 })), "abstract"));
    tabs.forEach((tab, index) => {
      tab.setAttribute("aria-selected", String(index === number));
      tab.tabIndex = index === number ? 0 : -1;
    });
    if (tabs.length) byId("map-panel").setAttribute("aria-labelledby", `tab-${number}`);
    choose(-1);
  }

  const order = (label) => (label === null ? 99 : ["yes", "no", "maybe"].indexOf(label) + 1 || 50);
  const legendIcon = (mark) => draw("svg", { viewBox: "0 0 12 12", width: 12, height: 12, "aria-hidden": "true" }, mark);

  /** Shows pair number `pair`, or none for -1. */
  function choose(pair) {
    if (pair === chosen && pair >= 0) return;
    chosen = pair;
    if (pair < 0) {
      join.replaceChildren();
      byId("map-pair").replaceChildren(...intro);
      return;
    }
    const [q, a] = points[pair], colour = colourClass(shown.labels[pair]);
    join.replaceChildren(
      draw("line", { class: "join", x1: q[0], y1: q[1], x2: a[0], y2: a[1] }),
      draw("rect", { class: `chosen ${colour}`, x: a[0] - 5.5, y: a[1] - 5.5, width: 11, height: 11 }),
      draw("circle", { class: `chosen ${colour}`, cx: q[0], cy: q[1], r: 6 }));
    const [id, question] = data.records[shown.records[pair]];
    const text = data.passages[shown.passages[pair]][1];
    const openRecord = recordOpener(id, question);
    byId("map-pair").replaceChildren(
      make("h3", {}, question),
      make("p", { class: "muted" }, `${id}${shown.labels[pair] === null ? "" : `, answer: ${shown.labels[pair]}`}`),
      make("p", { class: "text" }, text ?? "The abstract's text is not here."),
      ...(openRecord ? [make("button", { type: "button", class: "control", onclick: openRecord }, "Open this record")] : []));
  }

  /** A function that opens the record in the list below; null if no task has the record. */
  function recordOpener(id, question) {
    const record = data.records.findIndex(([key, text]) => key === id && text === question);
    return browser.has(record) ? () => browser.open(record) : null;
  }

  /** The pair with a point nearest to the pointer; -1 if none is within reach. */
  function nearest(event) {
    const box = plane.getBoundingClientRect();
    const scale = WIDTH / box.width;
    const x = (event.clientX - box.left) * scale, y = (event.clientY - box.top) * scale;
    const reach = REACH * Math.max(1, scale);
    let best = -1, distance = reach * reach;
    points.forEach((ends, pair) => ends.forEach(([px, py]) => {
      const far = (px - x) ** 2 + (py - y) ** 2;
      if (far < distance) [best, distance] = [pair, far];
    }));
    return best;
  }

  for (const kind of ["pointermove", "pointerdown"]) {
    plane.addEventListener(kind, (event) => {
      const pair = nearest(event);
      if (pair >= 0) choose(pair);
    });
  }
  plane.addEventListener("focus", () => { if (chosen < 0 && plane.matches(":focus-visible")) choose(0); });
  plane.addEventListener("keydown", (event) => {
    const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
    if (event.key === "Escape") choose(-1);
    if (!(event.key in steps)) return;
    event.preventDefault();
    choose((chosen + steps[event.key] + points.length) % points.length);
  });
  tabs.forEach((tab, index) => {
    tab.addEventListener("click", () => show(index));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = (index + step + tabs.length) % tabs.length;
      show(next);
      tabs[next].focus();
    });
  });
  show(0);
})();
