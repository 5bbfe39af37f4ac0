// The details of one record.

/** Fills `container` with sample `row` of task `number`; `rowOf` maps records to rows, by task. */
function showRecord(container, number, row, otherNumber, rowOf) {
  if (row === null) {
    container.replaceChildren(make("p", { class: "empty" }, "No record is chosen."));
    return;
  }
  const task = data.tasks[number], record = task.columns.record[row];
  const [id, ...texts] = data.records[record];
  const heading = texts.length > 1
    ? [make("h3", {}, texts[1]), make("p", { class: "muted" }, id), make("h4", {}, "Premise"), make("p", { class: "text" }, texts[0])]
    : [make("h3", {}, texts[0]), make("p", { class: "muted" }, id)];
  container.replaceChildren(
    ...heading, ...answer(task, row), ...verdict(task, row), ...passages(task, row, id), ...remarks(task, row), ...allTasks(),
  );
  container.scrollTop = 0;

  /** A table of the record's answers in all tasks; nothing if only this task has the record. */
  function allTasks() {
    const numbers = data.tasks.map((_, index) => index).filter((index) => rowOf[index].has(record));
    if (numbers.length < 2) return [];
    const runs = new Set(numbers.map((index) => data.tasks[index].run));
    const line = (index) => {
      const other = data.tasks[index], otherRow = rowOf[index].get(record), right = Boolean(value(other, "right", otherRow));
      const name = `${other.heading}: ${other.title}`;
      return make("tr", { class: index === number ? "now" : "" },
        make("th", { scope: "row" }, index === number ? name : make("button", { type: "button", onclick: () => browser.open(record, index) }, name),
          index === otherNumber ? " (compared)" : "", runs.size > 1 ? make("span", { class: "code" }, other.run) : null),
        make("td", {}, answerSummary(other, otherRow)),
        make("td", { class: right ? "right" : "wrong" }, right ? "\u2713 right" : "\u2717 wrong"));
    };
    return [make("h4", {}, "In all tasks"),
      make("div", { class: "scroll" }, make("table", {}, make("tbody", {}, numbers.map(line))))];
  }
}

/** A task's answer in a few words. */
function answerSummary(task, row) {
  if (task.kind === "ranking") {
    const rank = value(task, "rank", row);
    return rank === null ? "not found" : `found at ${rank}`;
  }
  if (task.kind === "citations") {
    const judged = (value(task, "sentences", row) ?? []).filter(([, verdict]) => verdict);
    return judged.length ? `${judged.filter(([, verdict]) => verdict === "supported").length} of ${judged.length} sentences supported` : "no statement";
  }
  const probability = confidence(task, row)?.toFixed(2);
  const label = [value(task, "prediction", row) ?? "unparsed", probability].filter(Boolean).join(" ");
  return task.section === "verified" ? `${label}, ${value(task, "verdict", row) ?? "no verdict"}` : label;
}

/** The elements that show a task's answer, with its label, probabilities and generated text. */
function answer(task, row) {
  if (task.kind === "ranking") {
    const rank = value(task, "rank", row);
    const sentence = rank === null ? "The question's own abstract is not among the passages found." : `The question's own abstract was found at place ${rank}.`;
    return [make("p", { class: `answer ${rank === 1 ? "right" : "wrong"}` }, sentence)];
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
  const sentences = (value(task, "sentences", row) ?? []).map(([text, verdict, attributed, citations, evidence], index) => {
    const cited = citations.map((number) => `[${number}]`).join("");
    const words = [verdict ?? "not judged", attributed ? `attributed to ${cited}` : null].filter(Boolean).join(", ");
    return make("span", { class: `sentence ${(verdict ?? "none").split(" ")[0]}` }, text, " ",
      make("button", { type: "button", "aria-describedby": `why-${index}`, "aria-label": `Sentence ${index + 1}: ${words}` }, signs[verdict] ?? "\u2013"),
      make("span", { class: "why", role: "tooltip", id: `why-${index}` }, make("b", {}, words), evidence ? ` \u201c${evidence}\u201d` : null), " ");
  });
  const output = value(task, "output", row);
  return [make("h4", {}, "Written answer"), make("p", { class: "text written" }, ...(sentences.length ? sentences : [output ?? ""]))];
}

/** A bar for each label's probability. */
function bars(scores, labels, target = null) {
  if (!scores) return [];
  return [make("div", { class: "bars" }, labels.flatMap((label, index) => [
    make("span", {}, label),
    make("meter", { min: 0, max: 1, value: scores[index] ?? 0, "aria-label": `probability of ${label}` }),
    make("span", {}, scores[index] === null ? "" : scores[index].toFixed(3),
      label === target ? make("span", { class: "muted" }, " right label") : null),
  ]))];
}

/** The elements that show the verdict on a verified answer. */
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

/** The elements that show the passages that the task read or found; `id` is the record's. */
function passages(task, row, id) {
  const indicesAndScores = value(task, "passages", row) ?? [];
  const hits = [];
  for (let i = 0; i < indicesAndScores.length; i += 2) hits.push([indicesAndScores[i], indicesAndScores[i + 1]]);
  const against = value(task, "against", row), sentence = value(task, "sentence", row);
  const elements = hits.map(([number, score], index) => passage(number, `${index + 1}.`, score, index === 0));
  if (against !== null && !hits.some(([number]) => number === against)) elements.push(passage(against, "\u2022", null, true));
  return elements.length ? [make("h4", {}, task.kind === "ranking" ? "Passages found" : "Passages read"), ...elements] : [];

  function passage(number, bullet, score, open) {
    const [key, text] = data.passages[number];
    const badges = [key === id ? "own abstract" : null, number === against ? "decided the verdict" : null].filter(Boolean);
    return make("details", { class: "passage", open },
      make("summary", {}, `${bullet} `, make("span", { class: "code" }, key), score === null ? null : make("span", { class: "muted" }, `score ${score}`),
        badges.map((badge) => make("span", { class: "badge" }, badge))),
      make("p", { class: "text" }, text === null ? "The text is not here." : marked(text, number === against ? sentence : null)));
  }
}

/** The text, with the first occurrence of the quote marked. */
function marked(text, quote) {
  const start = quote ? text.indexOf(quote) : -1;
  return start < 0 ? [text] : [text.slice(0, start), make("mark", {}, quote), text.slice(start + quote.length)];
}

function remarks(task, row) {
  const notes = value(task, "notes", row) ?? [];
  return notes.length ? [make("h4", {}, "Remarks"), ...notes.map((note) => make("p", { class: "text" }, note))] : [];
}
