/** The evidence of one answer: verdict, scores, notes, and the passages with the quoted words marked. */

import { element, isolated, percent, singleLine, splitAtSpans } from "./text.js";
import { origin, passageNumbers } from "./turn.js";

export const SIGNS = { supported: "✓", contradicted: "✗", "not enough evidence": "?" };

/** A verdict as a badge; its colour is never the only difference. */
export function badge(verdict) {
  const sign = element("span", { "aria-hidden": "true" }, SIGNS[verdict] ?? "?");
  return element(`span.badge.${verdict.split(" ")[0]}`, {}, sign, ` ${verdict}`);
}

/**
 * Fill a panel.
 *
 * @param {HTMLElement} body emptied first.
 * @param {?import("./turn.js").Turn} turn null shows what the panel is for.
 */
export function showEvidence(body, turn) {
  body.scrollTop = 0;
  if (turn === null) {
    body.replaceChildren(element("p.muted", {}, "The passages behind an answer are shown here, with the quoted words marked."));
    return;
  }
  const sections = [questionSection, labelsSection, verdictSection, withheldSection, removedSection, notesSection, passagesSection];
  body.replaceChildren(...sections.flatMap((section) => section(turn)).filter(Boolean));
}

/**
 * Open the passage of a citation and move the focus to it.
 *
 * @param {HTMLElement} body a panel that `showEvidence` has filled.
 * @param {number} index of the citation.
 */
export function goToCitation(body, index) {
  goTo(body.querySelector(`[data-citations~="${index}"]`));
}

/** Open the passage that decided the verdict on a sentence, or else the first that it cites. */
export function goToSentence(body, turn, index) {
  const sentence = turn.sentences[index];
  const mark = body.querySelector(`[data-sentences~="${index}"]`);
  const number = passageNumbers(turn).get(sentence.verification?.passage_id) ?? sentence.citations[0];
  if (mark) goTo(mark);
  else if (number === undefined) body.focus();
  else goToPassage(body, turn, number);
}

/** Open a passage by its number. */
export function goToPassage(body, turn, number) {
  const id = turn.passages[number - 1]?.id;
  goTo([...body.querySelectorAll("details")].find((one) => one.dataset.passage === id)?.querySelector("summary"));
}

function goTo(mark) {
  const passage = mark?.closest("details");
  if (!passage) return;
  passage.open = true;
  passage.querySelector("summary").focus({ preventScroll: true });
  mark.scrollIntoView({ block: "center" });
}

function questionSection(turn) {
  const asked = singleLine(turn.question) === singleLine(turn.message) ? turn.message : turn.question;
  const name = asked === turn.message ? "Question" : "Question, made self-contained";
  return [element("h3", {}, name), isolated("p.asked", asked)];
}

function verdictSection(turn) {
  if (!turn.verdict) return null;
  const judged = turn.verification ?? {};
  const decided = judged.passage_id
    ? element("button.link-button", {
        type: "button",
        on: { click: (event) => goTo(decidingElement(event.target, judged.passage_id)) },
      }, "Go to the deciding passage")
    : null;
  return element("section.block", { "aria-label": "Verdict" },
    element("h3", {}, "Verdict"),
    element("p", {}, badge(turn.verdict)),
    shares(judged.scores ?? {}),
    judged.statement ? element("p.muted", {}, "Statement judged: ", isolated("q", judged.statement)) : null,
    decided && element("p", {}, decided));
}

function decidingElement(inside, id) {
  const panel = inside.closest(".evidence-body");
  const passage = [...panel.querySelectorAll("details")].find((one) => one.dataset.passage === id);
  return passage?.querySelector(".deciding") ?? passage?.querySelector("summary");
}

function labelsSection(turn) {
  if (!Object.keys(turn.labelScores).length) return null;
  return element("section.block", { "aria-label": "Answer" }, element("h3", {}, "Answer"), shares(turn.labelScores));
}

/** Probabilities in a line, the highest first. */
function shares(scores) {
  const [first, ...others] = Object.entries(scores).sort(([, one], [, other]) => other - one);
  if (!first) return null;
  const written = ([name, share]) => `${name} ${percent(share)}`;
  return element("p.shares", {}, element("strong", {}, written(first)), ...others.map((one) => ` · ${written(one)}`));
}

function withheldSection(turn) {
  if (!turn.withheld) return null;
  return element("section.block", { "aria-label": "Withheld answer" }, element("h3", {}, "Withheld answer"),
    element("p.muted", {}, "This answer was found and withheld, since the passages do not support it."),
    isolated("p.asked", turn.withheld.text));
}

function removedSection(turn) {
  if (!turn.removed.length) return null;
  return element("section.block", { "aria-label": "Removed sentences" }, element("h3", {}, "Removed sentences"),
    element("p.muted", {}, "The passages do not support these sentences."),
    element("ul.notes", {}, ...turn.removed.map((one) =>
      element("li", {}, isolated("span", one.text), " ", one.verdict ? badge(one.verdict) : null))));
}

function notesSection(turn) {
  if (!turn.notes.length) return null;
  return element("section.block", { "aria-label": "Notes" }, element("h3", {}, "Notes"),
    element("ul.notes", {}, ...turn.notes.map((note) => isolated("li", note))));
}

function passagesSection(turn) {
  if (!turn.passages.length) return null;
  const quotes = new Map(turn.passages.map((passage) => [passage.id, []]));
  turn.citations.forEach((citation, index) => quotes.get(citation.passage_id)?.push(index));
  const quoted = [...quotes.values()].filter((indices) => indices.length).length;
  const verdicts = new Set(turn.sentences.filter((one) => one.verification?.sentence).map((one) => one.verdict));
  const legend = [quoted && element("mark.quoted", {}, "quoted"),
    turn.verification?.sentence && element("mark.deciding", {}, "decided the verdict"),
    verdicts.has("supported") && element("mark.for", {}, "supports a sentence"),
    verdicts.has("contradicted") && element("mark.against", {}, "contradicts a sentence")];
  return [
    element("h3", {}, `Passages: ${turn.passages.length} read, ${quoted} quoted`),
    legend.some(Boolean) ? element("p.legend", {}, ...legend) : null,
    ...turn.passages.map((passage, place) => card(turn, passage, place + 1, quotes.get(passage.id))),
  ];
}

function card(turn, passage, number, indices) {
  const judged = turn.verification;
  const deciding = judged?.sentence && judged.passage_id === passage.id ? judged.sentence : null;
  const spans = indices.map((index) => ({ ...turn.citations[index], kind: String(index) }));
  if (deciding) spans.push({ ...deciding, kind: "deciding" });
  const cited = turn.sentences.some((one) => one.citations.includes(number));
  turn.sentences.forEach((one, index) => {
    const evidence = one.verification?.sentence;
    const kind = `${one.verdict === "supported" ? "for" : "against"} ${index}`;
    if (evidence?.passage_id === passage.id) spans.push({ ...evidence, kind });
  });
  const from = origin(passage);
  const name = singleLine(passage.metadata?.title || passage.metadata?.source || passage.id);
  const rest = [from === name ? "" : from.startsWith(`${name}, `) ? from.slice(name.length + 2) : from,
    passage.id === name ? "" : passage.id].filter(Boolean);
  const summary = element("summary", {},
    element("span.passage-head", {},
      element("span.number", {}, element("span.sr-only", {}, "Passage "), String(number)),
      isolated("span.name", name),
      passage.score === null || passage.score === undefined ? null
        : element("span.score", { title: "Score of the retriever; higher is better" },
          element("span.sr-only", {}, "score "), passage.score.toFixed(3))),
    ...rest.map((one) => isolated("span.origin", one)));
  const text = element("p.passage-text", { dir: "auto" }, ...splitAtSpans(passage.text, spans).map(markElement));
  return element("details.passage", { open: spans.length > 0 || cited, "data-passage": passage.id },
    summary, text);
}

function markElement({ text, kinds }) {
  if (!kinds.length) return text;
  const quotes = kinds.filter((kind) => /^\d/.test(kind));
  const sentences = kinds.filter((kind) => kind.includes(" ")).map((kind) => kind.split(" "));
  const names = quotes.map((index) => `Quote ${Number(index) + 1}`);
  if (kinds.includes("deciding")) names.push("Sentence that decided the verdict");
  const does = { for: "Supports", against: "Contradicts" };
  names.push(...sentences.map(([side, index]) => `${does[side]} sentence ${Number(index) + 1}`));
  const mark = element("mark", { title: names.join("; ") }, text);
  if (quotes.length) mark.classList.add("quoted");
  if (kinds.includes("deciding")) mark.classList.add("deciding");
  mark.classList.add(...new Set(sentences.map(([side]) => side)));
  mark.dataset.citations = quotes.join(" ");
  mark.dataset.sentences = sentences.map(([, index]) => index).join(" ");
  return mark;
}
