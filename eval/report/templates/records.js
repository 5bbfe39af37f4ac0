// The list of records: its filters, and its items, of which only those in view are elements.

const browser = (function records() {
  const ITEM_HEIGHT = 76; // pixels, as the CSS class item has it
  const MARGIN = 5; // items rendered above and below the view
  const list = byId("list"), spacer = make("div", { role: "presentation" });
  const state = { task: 0, other: -1, show: "all", target: "", given: "", order: "data", words: "" };
  let rows = [], chosen = -1; // rows of the chosen task that pass the filters, and the index of the chosen one among them
  const searchTexts = data.records.map((texts) => texts.join(" ").toLowerCase());
  const rowOf = data.tasks.map((task) => new Map(task.columns.record.map((record, row) => [record, row])));

  const isRanking = (task) => task.kind === "ranking";
  const given = (task, row) => (task.section === "verified" ? value(task, "verdict", row) ?? "none" : value(task, "prediction", row) ?? "unparsed");
  const sureness = (task, row) => (isRanking(task) ? value(task, "passages", row)?.[1] : confidence(task, row)) ?? 0;
  /** Whether two tasks are of one kind and share a record. */
  const isComparable = (a, b) => a !== b && isRanking(data.tasks[a]) === isRanking(data.tasks[b])
    && data.tasks[a].columns.record.some((record) => rowOf[b].has(record));
  const haveVerdicts = (a, b) => a.section === "verified" && b.section === "verified";
  /** Whether two tasks answer a record differently: by label, by verdict, or by the first passage. */
  function hasChanged(number, otherNumber, row) {
    const task = data.tasks[number], other = data.tasks[otherNumber];
    const otherRow = other && rowOf[otherNumber].get(task.columns.record[row]);
    if (otherRow === undefined) return false;
    const differ = (name) => value(task, name, row) !== value(other, name, otherRow);
    return differ("prediction") || (haveVerdicts(task, other) && differ("verdict"));
  }

  function matches(task, row) {
    const record = task.columns.record[row];
    if (state.show === "right" && !value(task, "right", row)) return false;
    if (state.show === "wrong" && value(task, "right", row)) return false;
    if (state.show === "changed" && !hasChanged(state.task, state.other, row)) return false;
    if (state.target && task.columns.target[row] !== state.target) return false;
    if (state.given && given(task, row) !== state.given) return false;
    return state.words.split(/\s+/).every((word) => searchTexts[record].includes(word));
  }

  /** Applies the filters; chooses record `keep` if it passes them, else the first. */
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
    spacer.style.height = `${rows.length * ITEM_HEIGHT}px`;
    list.scrollTop = 0;
    const index = keep === null ? 0 : rows.findIndex((row) => task.columns.record[row] === keep);
    choose(rows.length ? Math.max(0, index) : -1);
  }

  function item(index) {
    const task = data.tasks[state.task], row = rows[index];
    const texts = data.records[task.columns.record[row]];
    const right = Boolean(value(task, "right", row));
    const element = make("div", {
      class: "item", role: "option", id: `record-${index}`, "aria-selected": String(index === chosen),
      "aria-posinset": index + 1, "aria-setsize": rows.length, onclick: () => choose(index, true),
    },
    make("div", { class: "asked" }, texts[texts.length - 1]),
    make("div", { class: "said" },
      make("span", { class: right ? "right" : "wrong" }, right ? "\u2713 right" : "\u2717 wrong"),
      ` \u00b7 ${summary(task, row)} \u00b7 ${texts[0]}`));
    element.style.top = `${index * ITEM_HEIGHT}px`;
    return element;
  }

  function summary(task, row) {
    if (isRanking(task) || task.kind === "citations") return answerSummary(task, row);
    if (task.section === "verified") return `${value(task, "prediction", row) ?? "unparsed"}, ${given(task, row)}`;
    const target = task.columns.target[row], answer = given(task, row);
    return answer === target ? answer : `${answer}, not ${target}`;
  }

  function render() {
    const first = Math.max(0, Math.floor(list.scrollTop / ITEM_HEIGHT) - MARGIN);
    const last = Math.min(rows.length, Math.ceil((list.scrollTop + list.clientHeight) / ITEM_HEIGHT) + MARGIN);
    const items = [];
    for (let index = first; index < last; index++) items.push(item(index));
    spacer.replaceChildren(...items);
    list.replaceChildren(rows.length ? spacer : make("p", { class: "empty" }, "No record fits these filters."));
    if (chosen >= first && chosen < last) list.setAttribute("aria-activedescendant", `record-${chosen}`);
    else list.removeAttribute("aria-activedescendant");
  }

  function choose(index, byClick = false) {
    chosen = index;
    if (index >= 0) {
      const top = index * ITEM_HEIGHT;
      if (top < list.scrollTop) list.scrollTop = top;
      if (top + ITEM_HEIGHT > list.scrollTop + list.clientHeight) list.scrollTop = top + ITEM_HEIGHT - list.clientHeight;
    }
    render();
    showRecord(byId("detail"), index < 0 ? null : state.task, index < 0 ? null : rows[index], state.other, rowOf);
    const stacked = byId("detail").getBoundingClientRect().top >= list.getBoundingClientRect().bottom;
    if (byClick && stacked) byId("detail").scrollIntoView({ block: "start" });
  }

  const option = (text, chosenValue, selected = false) => make("option", { value: chosenValue, selected }, text);
  const name = (task) => `${task.heading}: ${task.title} (${task.name})`;

  function fillTasks(select, numbers, firstOptions = []) {
    const groups = new Map();
    for (const number of numbers) {
      const run = data.tasks[number].run;
      if (!groups.has(run)) groups.set(run, make("optgroup", { label: run }));
      groups.get(run).append(option(name(data.tasks[number]), number));
    }
    select.replaceChildren(...firstOptions, ...groups.values());
  }

  function useTask(number) {
    const task = data.tasks[number];
    state.task = number;
    byId("task").value = String(number);
    const others = data.tasks.map((_, other) => other).filter((other) => isComparable(number, other));
    fillTasks(byId("other"), others, [option(others.length ? "nothing" : "no other task", -1)]);
    if (!others.includes(state.other)) state.other = others.find((other) => task.columns.record.some((_, row) => hasChanged(number, other, row))) ?? others[0] ?? -1;
    byId("other").value = String(state.other);
    const hasLabels = task.labels.length > 0;
    fillLabels("target", hasLabels && task.section !== "verified" ? task.columns.target : []);
    fillLabels("given", hasLabels ? task.columns.record.map((_, row) => given(task, row)) : []);
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

  const chosenRecord = () => (chosen >= 0 ? data.tasks[state.task].columns.record[rows[chosen]] : null);

  function listen() {
    byId("task").addEventListener("change", (event) => { const record = chosenRecord(); useTask(Number(event.target.value)); filter(record); });
    byId("other").addEventListener("change", (event) => { state.other = Number(event.target.value); allowChanged(); filter(chosenRecord()); });
    for (const radio of document.querySelectorAll("input[name=show]")) {
      radio.addEventListener("change", () => { state.show = radio.value; filter(chosenRecord()); });
    }
    for (const which of ["target", "given", "order"]) {
      byId(which).addEventListener("change", (event) => { state[which] = event.target.value; filter(chosenRecord()); });
    }
    byId("search").addEventListener("input", (event) => { state.words = event.target.value.trim().toLowerCase(); filter(chosenRecord()); });
    list.addEventListener("scroll", render, { passive: true });
    new ResizeObserver(render).observe(list);
    list.addEventListener("keydown", (event) => {
      const page = Math.max(1, Math.floor(list.clientHeight / ITEM_HEIGHT) - 1);
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

  /** Lists the records of a cell of a confusion matrix. */
  function showCell(number, row, column) {
    reset();
    useTask(number);
    if (data.tasks[number].section === "verified") useShow(row);
    else byId("target").value = state.target = row;
    byId("given").value = state.given = column; // a label that no record has is not among the options, so none is shown as selected
    filter();
    byId("records").scrollIntoView();
    list.focus({ preventScroll: true });
  }

  /** Shows a record in task `number`; by default in the chosen task if that has it, else in the first that has it. */
  function open(record, number = null) {
    const task = number ?? (rowOf[state.task].has(record) ? state.task : rowOf.findIndex((rows) => rows.has(record)));
    reset();
    useTask(task);
    filter(record);
    byId("records").scrollIntoView();
  }

  fillTasks(byId("task"), data.tasks.map((_, number) => number));
  listen();
  useTask(Math.max(0, data.tasks.findIndex((task) => task.section === "qa")));
  filter();
  return { open, has: (record) => rowOf.some((rows) => rows.has(record)) };
})();
