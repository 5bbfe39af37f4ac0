/**
 * One question with its answer, in one shape for stored and for streamed ones.
 *
 * @typedef {Object} Turn
 * @property {string} message what the user asked.
 * @property {string} question the message made self-contained, which was searched for.
 * @property {string} text the answer.
 * @property {Object<string, number>} labelScores
 * @property {Object[]} sentences text, start, end, citations (numbers of passages), attributed, verdict, verification.
 * @property {Object[]} removed sentences that were taken out of the text.
 * @property {{passage_id: string, quote: string, start: number, end: number, score: number}[]} citations
 * @property {{id: string, text: string, score: ?number, metadata: Object}[]} passages
 * @property {?string} verdict "supported", "contradicted" or "not enough evidence".
 * @property {?Object} verification statement, scores, passage_id, sentence.
 * @property {?Object} withheld
 * @property {string[]} notes
 * @property {?string} time
 */

import { plain, singleLine } from "./text.js";

const NO_ANSWER = { label_scores: {}, sentences: [], removed: [], citations: [], passages: [],
  verdict: null, verification: null, withheld: null };

function makeTurn(message, answer, more) {
  const { label_scores: labelScores, ...fields } = { ...NO_ANSWER, ...answer };
  return { ...fields, labelScores, message, ...more };
}

/** @param {Object} stored a turn of `GET /v1/conversations/ID`. */
export function storedTurn(stored) {
  const notes = [...stored.notes, ...(stored.answer?.notes ?? [])];
  return makeTurn(stored.message, stored.answer, { question: stored.question, text: stored.text, notes, time: stored.time });
}

/** @param {Object} given the field `medground` of a stream's last chunk. */
export function streamedTurn(message, given, note) {
  const notes = given.notes.filter((one) => one !== note); // the page shows the service's note on top
  return makeTurn(message, given, { notes, time: new Date().toISOString() });
}

/** The number of each passage by its id: its place among the answer's passages, from 1. */
export function passageNumbers(turn) {
  const numberById = new Map();
  turn.passages.forEach(({ id }, place) => numberById.has(id) || numberById.set(id, place + 1));
  return numberById;
}

/** The verdict on a sentence in words, with where its citations come from. */
export function supportInWords(sentence) {
  const cited = sentence.attributed ? `attributed to ${sentence.citations.map((number) => `[${number}]`).join("")}` : "";
  return [sentence.verdict, cited].filter(Boolean).join(", ");
}

/** Where a passage stands, as the command line writes it: title, file, page, section. */
export function origin(passage) {
  const parts = [];
  for (const name of ["title", "source", "page", "section"]) {
    const value = passage.metadata?.[name];
    if (value === undefined || value === null || value === "") continue;
    const text = plain(value).replace(/\s+/g, " ").trim();
    if (text) parts.push(name === "page" || name === "section" ? `${name} ${text}` : text);
  }
  return parts.join(", ");
}

/** The answer with its quotes, verdict and notes as plain text, for the clipboard. */
export function asText(turn) {
  const origins = new Map(turn.passages.map((passage) => [passage.id, origin(passage)]));
  const number = passageNumbers(turn);
  const lines = turn.citations.map((citation) => {
    const from = origins.get(citation.passage_id);
    const quote = citation.quote.replace(/\s+/g, " ").trim();
    return `[${number.get(citation.passage_id) ?? "?"}] ${citation.passage_id}${from ? ` (${from})` : ""}: “${quote}”`;
  });
  const support = turn.sentences.map((one, place) => [place + 1, supportInWords(one)]).filter(([, words]) => words);
  if (support.length) lines.push(`Sentences: ${support.map((one) => one.join(" ")).join("; ")}.`);
  if (turn.verdict) lines.push(`Verdict: ${turn.verdict}.`);
  lines.push(...turn.notes.map((note) => `Note: ${singleLine(note)}`));
  return plain([turn.text, lines.join("\n")].filter(Boolean).join("\n\n"));
}
