// One record, with all that the tasks tell of it.

function showRecord(place, number, row, otherNumber, rowOf) {
  if (row === null) {
    place.replaceChildren(make("p", { class: "empty" }, "No record is chosen."));
    return;
  }
  const task = data.tasks[number], record = task.columns.record[row];
  const [id, ...texts] = data.records[record];
  const parts = texts.length > 1
    ? [make("h3", {}, texts[1]), make("p", { class: "muted" }, id), make("h4", {}, "Premise"), make("p", { class: "text" }, texts[0])]
    : [make("h3", {}, texts[0]), make("p", { class: "muted" }, id)];
  place.replaceChildren(
    ...parts, ...answer(task, row), ...verdict(task, row), ...passages(task, row, id), ...remarks(task, row), ...everywhere(),
  );
  place.scrollTop = 0;

  function everywhere() {
    const numbers = data.tasks.map((_, each) => each).filter((each) => rowOf[each].has(record));
    if (numbers.length < 2) return [];
    const runs = new Set(numbers.map((each) => data.tasks[each].run));
    const line = (each) => {
      const other = data.tasks[each], there = rowOf[each].get(record), right = Boolean(value(other, "right", there));
      const name = `${other.heading}: ${other.title}`;
      return make("tr", { class: each === number ? "now" : "" },
        make("th", { scope: "row" }, each === number ? name : make("button", { type: "button", onclick: () => browser.open(record, each) }, name),
          each === otherNumber ? " (compared)" : "", runs.size > 1 ? make("span", { class: "code" }, other.run) : null),
        make("td", {}, said(other, there)),
        make("td", { class: right ? "right" : "wrong" }, right ? "\u2713 right" : "\u2717 wrong"));
    };
    return [make("h4", {}, "In all tasks"),
      make("div", { class: "scroll" }, make("table", {}, make("tbody", {}, numbers.map(line))))];
  }
}

function said(task, row) {
  if (task.kind === "ranking") {
    const rank = value(task, "rank", row);
    return rank === null ? "not found" : `found at ${rank}`;
  }
  const scores = value(task, "scores", row), label = value(task, "prediction", row) ?? "unparsed";
  const sure = scores ? ` ${Math.max(...scores).toFixed(2)}` : "";
  if (task.kind === "citations") {
    const judged = (value(task, "sentences", row) ?? []).filter(([, verdict]) => verdict);
    return judged.length ? `${judged.filter(([, verdict]) => verdict === "supported").length} of ${judged.length} sentences supported` : "no statement";
  }
  return task.section === "verified" ? `${label}${sure}, ${value(task, "verdict", row) ?? "no verdict"}` : `${label}${sure}`;
}

function answer(task, row) {
  if (task.kind === "ranking") {
    const rank = value(task, "rank", row);
    const found = rank === null ? "The question's own abstract is not among the passages found." : `The question's own abstract was found at place ${rank}.`;
    return [make("p", { class: `answer ${rank === 1 ? "right" : "wrong"}` }, found)];
  }
  if (task.kind === "citations") return written(task, row);
  const right = Boolean(value(task, "right", row)), label = value(task, "prediction", row);
  const expected = task.kind === "unsupportable" ? "must not be supported" : `right label: ${task.columns.target[row]}`;
  const line = make("p", { class: "answer" }, "Given: ", make("b", {}, label ?? "no label"), ` (${expected}) `,
    make("span", { class: right ? "right" : "wrong" }, right ? "\u2713 right" : "\u2717 wrong"));
  const output = value(task, "output", row);
  return [line, ...bars(value(task, "scores", row), task.labels, task.columns.target[row]),
    ...(output === null ? [] : [make("h4", {}, "Generated text"), make("p", { class: "text" }, output)])];
}

/** A written answer: each sentence with its verdict, and its evidence on hover and on focus. */
function written(task, row) {
  const signs = { supported: "\u2713", contradicted: "\u2717", "not enough evidence": "?" };
  const sentences = (value(task, "sentences", row) ?? []).map(([text, verdict, attributed, citations, evidence], place) => {
    const cited = citations.map((number) => `[${number}]`).join("");
    const words = [verdict ?? "not judged", attributed ? `attributed to ${cited}` : null].filter(Boolean).join(", ");
    return make("span", { class: `sentence ${(verdict ?? "none").split(" ")[0]}` }, text, " ",
      make("button", { type: "button", "aria-describedby": `why-${place}`, "aria-label": `Sentence ${place + 1}: ${words}` }, signs[verdict] ?? "\u2013"),
      make("span", { class: "why", role: "tooltip", id: `why-${place}` }, make("b", {}, words), evidence ? ` \u201c${evidence}\u201d` : null), " ");
  });
  const output = value(task, "output", row);
  return [make("h4", {}, "Written answer"), make("p", { class: "text written" }, ...(sentences.length ? sentences : [output ?? ""]))];
}

function bars(scores, labels, target = null) {
  if (!scores) return [];
  return [make("div", { class: "bars" }, labels.flatMap((label, place) => [
    make("span", {}, label),
    make("meter", { min: 0, max: 1, value: scores[place] ?? 0, "aria-label": `probability of ${label}` }),
    make("span", {}, scores[place] === null ? "" : scores[place].toFixed(3),
      label === target ? make("span", { class: "muted" }, " right label") : null),
  ]))];
}

function verdict(task, row) {
  if (task.section !== "verified") return [];
  const statement = value(task, "statement", row), sentence = value(task, "sentence", row), against = value(task, "against", row);
  return [
    make("h4", {}, "Verdict"),
    make("p", { class: "answer" }, make("b", {}, value(task, "verdict", row) ?? "none")),
    ...bars(value(task, "verdict_scores", row), data.verdicts),
    ...(statement ? [make("h4", {}, "What was judged"), make("p", { class: "text" }, statement)] : []),
    ...(sentence ? [make("h4", {}, `The sentence that decides${against === null ? "" : `, of ${data.passages[against][0]}`}`), make("blockquote", {}, sentence)] : []),
  ];
}

function passages(task, row, id) {
  const flat = value(task, "passages", row) ?? [];
  const found = [];
  for (let place = 0; place < flat.length; place += 2) found.push([flat[place], flat[place + 1]]);
  const against = value(task, "against", row), sentence = value(task, "sentence", row);
  const read = found.map(([number]) => number);
  const parts = found.map(([number, score], place) => passage(number, `${place + 1}.`, score, place === 0));
  if (against !== null && !read.includes(against)) parts.push(passage(against, "\u2022", null, true));
  return parts.length ? [make("h4", {}, task.kind === "ranking" ? "Passages found" : "Passages read"), ...parts] : [];

  function passage(number, before, score, open) {
    const [key, text] = data.passages[number];
    const badges = [key === id ? "own abstract" : null, number === against ? "decided the verdict" : null].filter(Boolean);
    return make("details", { class: "passage", open },
      make("summary", {}, `${before} `, make("span", { class: "code" }, key), score === null ? null : make("span", { class: "muted" }, `score ${score}`),
        badges.map((badge) => make("span", { class: "badge" }, badge))),
      make("p", { class: "text" }, text === null ? "The text is not here." : marked(text, number === against ? sentence : null)));
  }
}

/** The text, with a quote in it marked. */
function marked(text, quote) {
  const start = quote ? text.indexOf(quote) : -1;
  return start < 0 ? [text] : [text.slice(0, start), make("mark", {}, quote), text.slice(start + quote.length)];
}

function remarks(task, row) {
  const notes = value(task, "notes", row) ?? [];
  return notes.length ? [make("h4", {}, "Remarks"), ...notes.map((note) => make("p", { class: "text" }, note))] : [];
}
