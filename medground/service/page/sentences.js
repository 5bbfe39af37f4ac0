/** The text of an answer: its sentences by support, its marks as buttons, and the evidence of each on hover and focus. */

import { SIGNS } from "./evidence.js";
import { element, isolated, singleLine, splitAtSpans } from "./text.js";
import { passageNumbers, supportInWords } from "./turn.js";

const MARK = /\[(\d{1,3})\]/g;
let boxCount = 0; // evidence boxes, whose ids must differ

/**
 * The text of an answer.
 *
 * @param {string} tag of the element.
 * @param {import("./turn.js").Turn} turn
 * @param {(more: {sentence?: number, passage?: number}) => void} show opens the evidence.
 */
export function answerText(tag, turn, show) {
  const quotes = new Set(turn.citations.map((citation) => singleLine(citation.quote)));
  // The sentences of an extractive answer are quotes, which are listed below the text.
  const written = turn.sentences.map((one, index) => ({ ...one, kind: String(index) }))
    .filter((one) => one.verdict || one.attributed || (one.citations.length && !quotes.has(singleLine(one.text))));
  if (!written.length) return isolated(tag, turn.text);
  const text = element(tag, { dir: "auto" }, ...splitAtSpans(turn.text, written).map(({ text, kinds: [index] }) =>
    index === undefined ? text : sentenceElement(turn, Number(index), text, show)));
  text.addEventListener("keydown", (event) => {
    const inside = event.target.closest(".sentence");
    if (event.key !== "Escape" || !inside || inside.classList.contains("dismissed")) return;
    event.stopPropagation();
    inside.classList.add("dismissed");
  });
  return text;
}

function sentenceElement(turn, index, text, show) {
  const one = turn.sentences[index];
  const words = supportInWords(one);
  const node = element("span.sentence", {}, ...withMarkButtons(text, one, turn, show));
  if (!words) return node;
  if (one.verdict) node.classList.add(one.verdict.split(" ")[0]);
  const box = evidenceBox(turn, one, words);
  const sign = one.verdict ? SIGNS[one.verdict] : `[${one.citations.join("][")}]`;
  node.append(" ", element("button.sign", { type: "button", "aria-describedby": box.id,
    "aria-label": `Sentence ${index + 1}: ${words}. Show the evidence`, on: { click: () => show({ sentence: index }) } },
  sign), box);
  const allowBox = () => node.classList.remove("dismissed");
  node.addEventListener("mouseleave", allowBox);
  node.addEventListener("focusout", allowBox);
  return node;
}

/** The text with a button for each mark of a passage that the sentence cites. */
function withMarkButtons(text, one, turn, show) {
  const parts = [];
  let before = 0;
  for (const mark of text.matchAll(MARK)) {
    const number = Number(mark[1]);
    if (!one.citations.includes(number) || number > turn.passages.length) continue;
    parts.push(text.slice(before, mark.index), element("button.mark", { type: "button",
      "aria-label": `Show passage ${number}`, on: { click: () => show({ passage: number }) } }, String(number)));
    before = mark.index + mark[0].length;
  }
  return [...parts, text.slice(before)];
}

/** The box with the verdict and the span that decided it. The box is shown while its sentence is hovered or focused. */
function evidenceBox(turn, one, words) {
  const quote = one.verification?.sentence;
  const number = passageNumbers(turn).get(quote?.passage_id);
  boxCount += 1;
  return element("span.why", { id: `why-${boxCount}`, role: "tooltip" },
    element("span.why-verdict", {}, words.charAt(0).toUpperCase() + words.slice(1)),
    quote ? element("span.why-quote", {}, element("span.number", {}, element("span.sr-only", {}, "Passage "),
      String(number ?? "?")), isolated("q", singleLine(quote.quote))) : null);
}
