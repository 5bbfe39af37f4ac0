/**
 * One question with its answer, in one shape for stored and for streamed ones.
 *
 * @typedef {Object} Turn
 * @property {string} message what the user asked.
 * @property {string} question the message made self-contained, which was searched for.
 * @property {string} text the answer.
 * @property {?string} label
 * @property {Object<string, number>} labelScores
 * @property {{passage_id: string, quote: string, start: number, end: number, score: number}[]} citations
 * @property {{id: string, text: string, score: ?number, metadata: Object}[]} passages
 * @property {?string} verdict "supported", "contradicted" or "not enough evidence".
 * @property {?Object} verification statement, scores, passage_id, sentence.
 * @property {?Object} withheld
 * @property {string[]} notes
 * @property {?string} time
 */

import { plain } from "./text.js";

function shaped(message, given, more) {
  return {
    message,
    question: given.question ?? message,
    label: given.label ?? null,
    labelScores: given.label_scores ?? {},
    citations: given.citations ?? [],
    passages: given.passages ?? [],
    verdict: given.verdict ?? null,
    verification: given.verification ?? null,
    withheld: given.withheld ?? null,
    ...more,
  };
}

/** @param {Object} stored a turn of `GET /v1/conversations/ID`. */
export function storedTurn(stored) {
  return shaped(stored.message, stored.answer ?? {}, {
    question: stored.question,
    text: stored.text,
    notes: [...(stored.notes ?? []), ...(stored.answer?.notes ?? [])],
    time: stored.time ?? null,
  });
}

/** @param {Object} given the field `medground` of a stream's last piece. */
export function streamedTurn(message, given, note) {
  const notes = (given.notes ?? []).filter((one) => one !== note); // the page shows the service's note on top
  return shaped(message, given, { text: given.text, notes, time: new Date().toISOString() });
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

/** The answer with its quotes and verdict as plain text, for the clipboard. */
export function asText(turn) {
  const origins = new Map(turn.passages.map((passage) => [passage.id, origin(passage)]));
  const lines = turn.citations.map((citation, index) => {
    const from = origins.get(citation.passage_id);
    const quote = citation.quote.replace(/\s+/g, " ").trim();
    return `[${index + 1}] ${citation.passage_id}${from ? ` (${from})` : ""}: “${quote}”`;
  });
  if (turn.verdict) lines.push(`Verdict: ${turn.verdict}.`);
  return plain([turn.text, lines.join("\n")].filter(Boolean).join("\n\n"));
}
