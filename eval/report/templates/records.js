// The list of records: filters, and the rows in view.

const browser = (function records() {
  const ITEM = 76; // pixels: the height of .item
  const list = byId("list"), spacer = make("div", { role: "presentation" });
  const state = { task: 0, other: -1, show: "all", target: "", given: "", order: "data", words: "" };
  let rows = [], chosen = -1;
  const lower = data.records.map((texts) => texts.join(" ").toLowerCase());
  const rowOf = data.tasks.map((task) => new Map(task.columns.record.map((record, row) => [record, row])));

  const isRanking = (task) => task.kind === "ranking";
  const given = (task, row) => (task.section === "verified" ? value(task, "verdict", row) ?? "none" : value(task, "prediction", row) ?? "unparsed");
  const sureness = (task, row) => {
    const scores = value(task, "scores", row);
    if (scores) return Math.max(...scores);
    return isRanking(task) ? value(task, "passages", row)?.[1] ?? 0 : 0;
  };
  /** Whether two tasks answer the same records differently: by label, by verdict, or by the first passage. */
  const isComparable = (a, b) => a !== b && isRanking(data.tasks[a]) === isRanking(data.tasks[b])
    && data.tasks[a].columns.record.some((record) => rowOf[b].has(record));
  const both = (a, b) => a.section === "verified" && b.section === "verified";
  function hasChanged(number, otherNumber, row) {
    const task = data.tasks[number], other = data.tasks[otherNumber];
    const there = other && rowOf[otherNumber].get(task.columns.record[row]);
    if (there === undefined) return false;
    const differ = (name) => value(task, name, row) !== value(other, name, there);
    return differ("prediction") || (both(task, other) && differ("verdict"));
  }

  function matches(task, row) {
    const record = task.columns.record[row];
    if (state.show === "right" && !value(task, "right", row)) return false;
    if (state.show === "wrong" && value(task, "right", row)) return false;
    if (state.show === "changed" && !hasChanged(state.task, state.other, row)) return false;
    if (state.target && task.columns.target[row] !== state.target) return false;
    if (state.given && given(task, row) !== state.given) return false;
    return state.words.split(/\s+/).every((word) => lower[record].includes(word));
  }

  function filter(keep = null) {
    const task = data.tasks[state.task];
    rows = task.columns.record.map((_, row) => row).filter((row) => matches(task, row));
    if (state.order !== "data") {
      const sign = state.order === "sure" ? -1 : 1;
      rows.sort((a, b) => sign * (sureness(task, a) - sureness(task, b)) || a - b);
    }
    const wrong = rows.filter((row) => !value(task, "right", row)).length;
    byId("count").textContent = `${rows.length.toLocaleString("en")} of ${task.columns.record.length.toLocaleString("en")} records`
      + (rows.length ? `, ${wrong.toLocaleString("en")} of them wrong` : "");
    spacer.style.height = `${rows.length * ITEM}px`;
    list.scrollTop = 0;
    const place = keep === null ? 0 : rows.findIndex((row) => task.columns.record[row] === keep);
    choose(rows.length ? Math.max(0, place) : -1);
  }

  function item(place) {
    const task = data.tasks[state.task], row = rows[place];
    const texts = data.records[task.columns.record[row]];
    const right = Boolean(value(task, "right", row));
    const made = make("div", {
      class: "item", role: "option", id: `record-${place}`, "aria-selected": String(place === chosen),
      "aria-posinset": place + 1, "aria-setsize": rows.length, onclick: () => choose(place, true),
    },
    make("div", { class: "asked" }, texts[texts.length - 1]),
    make("div", { class: "said" },
      make("span", { class: right ? "right" : "wrong" }, right ? "\u2713 right" : "\u2717 wrong"),
      ` \u00b7 ${summary(task, row)} \u00b7 ${texts[0]}`));
    made.style.top = `${place * ITEM}px`;
    return made;
  }

  function summary(task, row) {
    if (isRanking(task)) {
      const rank = value(task, "rank", row);
      return rank === null ? "not found" : `found at ${rank}`;
    }
    if (task.section === "verified") return `${value(task, "prediction", row) ?? "unparsed"}, ${given(task, row)}`;
    if (task.kind === "citations") return said(task, row);
    const target = task.columns.target[row], answer = given(task, row);
    return answer === target ? answer : `${answer}, not ${target}`;
  }

  function render() {
    const first = Math.max(0, Math.floor(list.scrollTop / ITEM) - 5);
    const last = Math.min(rows.length, Math.ceil((list.scrollTop + list.clientHeight) / ITEM) + 5);
    const items = [];
    for (let place = first; place < last; place++) items.push(item(place));
    spacer.replaceChildren(...items);
    list.replaceChildren(rows.length ? spacer : make("p", { class: "empty" }, "No record fits these filters."));
    if (chosen >= first && chosen < last) list.setAttribute("aria-activedescendant", `record-${chosen}`);
    else list.removeAttribute("aria-activedescendant");
  }

  function choose(place, byHand = false) {
    chosen = place;
    if (place >= 0) {
      const top = place * ITEM;
      if (top < list.scrollTop) list.scrollTop = top;
      if (top + ITEM > list.scrollTop + list.clientHeight) list.scrollTop = top + ITEM - list.clientHeight;
    }
    render();
    showRecord(byId("detail"), place < 0 ? null : state.task, place < 0 ? null : rows[place], state.other, rowOf);
    const stacked = byId("detail").getBoundingClientRect().top >= list.getBoundingClientRect().bottom;
    if (byHand && stacked) byId("detail").scrollIntoView({ block: "start" });
  }

  const option = (text, chosenValue, selected = false) => make("option", { value: chosenValue, selected }, text);
  const name = (task) => `${task.heading}: ${task.title} (${task.name})`;

  function fillTasks(select, numbers, before = []) {
    const groups = new Map();
    for (const number of numbers) {
      const run = data.tasks[number].run;
      if (!groups.has(run)) groups.set(run, make("optgroup", { label: run }));
      groups.get(run).append(option(name(data.tasks[number]), number));
    }
    select.replaceChildren(...before, ...groups.values());
  }

  function useTask(number) {
    const task = data.tasks[number];
    state.task = number;
    byId("task").value = String(number);
    const others = data.tasks.map((_, other) => other).filter((other) => isComparable(number, other));
    fillTasks(byId("other"), others, [option(others.length ? "nothing" : "no other task", -1)]);
    if (!others.includes(state.other)) state.other = others.find((other) => task.columns.record.some((_, row) => hasChanged(number, other, row))) ?? others[0] ?? -1;
    byId("other").value = String(state.other);
    fillLabels("target", isRanking(task) || task.section === "verified" ? [] : task.columns.target);
    fillLabels("given", isRanking(task) ? [] : task.columns.record.map((_, row) => given(task, row)));
    byId("given-name").textContent = task.section === "verified" ? "Verdict" : "Given label";
    allowChanged();
  }

  function fillLabels(which, values) {
    const labels = [...new Set(values)];
    byId(`${which}-label`).hidden = labels.length === 0;
    byId(which).replaceChildren(option("any", ""), ...labels.map((label) => option(label, label)));
    state[which] = "";
  }

  function allowChanged() {
    const radio = document.querySelector("input[name=show][value=changed]");
    radio.disabled = state.other < 0;
    if (radio.disabled && state.show === "changed") useShow("all");
  }

  function useShow(show) {
    state.show = show;
    document.querySelector(`input[name=show][value=${show}]`).checked = true;
  }

  const current = () => (chosen >= 0 ? data.tasks[state.task].columns.record[rows[chosen]] : null);

  function listen() {
    byId("task").addEventListener("change", (event) => { const keep = current(); useTask(Number(event.target.value)); filter(keep); });
    byId("other").addEventListener("change", (event) => { state.other = Number(event.target.value); allowChanged(); filter(current()); });
    for (const radio of document.querySelectorAll("input[name=show]")) {
      radio.addEventListener("change", () => { state.show = radio.value; filter(current()); });
    }
    for (const which of ["target", "given", "order"]) {
      byId(which).addEventListener("change", (event) => { state[which] = event.target.value; filter(current()); });
    }
    byId("search").addEventListener("input", (event) => { state.words = event.target.value.trim().toLowerCase(); filter(current()); });
    list.addEventListener("scroll", render, { passive: true });
    new ResizeObserver(render).observe(list);
    list.addEventListener("keydown", (event) => {
      const page = Math.max(1, Math.floor(list.clientHeight / ITEM) - 1);
      const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -rows.length, End: rows.length };
      if (!(event.key in steps) || !rows.length) return;
      event.preventDefault();
      choose(Math.min(rows.length - 1, Math.max(0, chosen + steps[event.key])));
    });
    for (const cell of document.querySelectorAll(".confusion button")) {
      cell.addEventListener("click", () => showCell(Number(cell.dataset.task), cell.dataset.row, cell.dataset.column));
    }
  }

  function reset() {
    for (const which of ["target", "given"]) { state[which] = ""; byId(which).value = ""; }
    state.words = byId("search").value = "";
    useShow("all");
  }

  /** The records behind a cell of a confusion matrix. */
  function showCell(number, row, column) {
    reset();
    useTask(number);
    if (data.tasks[number].section === "verified") useShow(row);
    else byId("target").value = state.target = row;
    byId("given").value = state.given = column; // no choice is shown where no record has it
    filter();
    byId("records").scrollIntoView();
    list.focus({ preventScroll: true });
  }

  /** Shows a record in a task that has it, the present one if possible. */
  function open(record, number = null) {
    const wanted = number ?? (rowOf[state.task].has(record) ? state.task : rowOf.findIndex((there) => there.has(record)));
    reset();
    useTask(wanted);
    filter(record);
    byId("records").scrollIntoView();
  }

  fillTasks(byId("task"), data.tasks.map((_, number) => number));
  listen();
  useTask(data.tasks.findIndex((task) => task.section === "qa") >= 0 ? data.tasks.findIndex((task) => task.section === "qa") : 0);
  filter();
  return { open, has: (record) => rowOf.some((there) => there.has(record)) };
})();
