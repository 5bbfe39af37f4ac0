/** The conversation: questions, streamed answers, and retries of failed questions. */

import * as api from "./api.js";
import { draft, removeDrafts, storeDraft, storeUnanswered, unanswered } from "./drafts.js";
import { badge } from "./evidence.js";
import { answerText } from "./sentences.js";
import { copy, element, isolated, plain, singleLine } from "./text.js";
import { asText, origin, passageNumbers, storedTurn, streamedTurn } from "./turn.js";

const MAX_TRIES = 5; // of a question that the service refuses with status 429 or 503
const RETRY_SECONDS = 5; // without the header Retry-After
const MAX_RETRY_SECONDS = 60;
const FOLLOW_DISTANCE = 80; // pixels from the end within which the page scrolls along
export const NEW = "new";

/** A question on the page, with its answer, or a message in place of the answer. */
class Entry {
  constructor(message) {
    this.message = message;
    this.turn = null;
    this.isUnanswered = true; // whether the question has no answer and was not stopped
    this.answer = element("article.answer", { "aria-label": "Answer" });
    this.node = element("li.turn", {}, isolated("h2.question", message), this.answer);
  }

  /** The answer so far. */
  write(text) {
    this.text ??= text === "" ? null : isolated("p.answer-text", "");
    if (this.text === null) {
      this.answer.replaceChildren(element("p.waiting", {}, "Searching and reading"));
      return;
    }
    if (!this.text.isConnected) this.answer.replaceChildren(this.text);
    this.text.textContent = plain(text);
  }

  /** Show a message in place of the answer; `kind` is "error" or "wait". */
  showMessage(kind, ...children) {
    this.text = undefined;
    this.answer.replaceChildren(element(`div.message.${kind}`, {}, ...children));
  }
}

export class Chat {
  /**
   * @param {Object} elements scroll, turns, empty, form, box, send, stop, status.
   * @param {Object} callbacks
   * @param {(turn: ?import("./turn.js").Turn, more: {citation?: number, sentence?: number, passage?: number,
   *   show?: boolean}) => void} callbacks.evidence shows the evidence of an answer or of one of its sentences, or a
   *   passage by its number; `show` is true if the user asked for it.
   * @param {(id: string, first: boolean) => void} callbacks.answered a turn was added to a conversation;
   *   `first` is true if the turn begins the conversation.
   * @param {() => void} callbacks.gone the conversation does not exist any more; what is asked next begins a new one.
   * @param {() => void} callbacks.loggedOut the session has ended.
   */
  constructor(elements, callbacks) {
    Object.assign(this, elements);
    this.callbacks = callbacks;
    this.id = NEW;
    this.note = null;
    this.entries = [];
    this.running = null;
    this.following = true;
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.box.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        this.#submit();
      }
    });
    this.box.addEventListener("input", () => {
      storeDraft(this.id, this.box.value);
      this.#resizeBox();
    });
    this.stop.addEventListener("click", () => this.abort());
    this.scroll.addEventListener("scroll", () => {
      const { scrollHeight, scrollTop, clientHeight } = this.scroll;
      this.following = scrollHeight - scrollTop - clientHeight < FOLLOW_DISTANCE;
    });
  }

  /** Show a text in the status region, which screen readers announce. */
  announce(text) {
    this.status.textContent = text;
  }

  /** Show a conversation; an answer under way is stopped, and its question stays unanswered. */
  show(id, storedTurns) {
    this.running?.abort("left");
    this.running = null;
    this.#busy(false);
    this.id = id;
    this.announce("");
    this.entries = storedTurns.map((stored) => {
      const entry = new Entry(stored.message);
      this.#finish(entry, storedTurn(stored));
      return entry;
    });
    // The answer to the last question may have been stored while the page was away.
    const last = this.entries.at(-1)?.message;
    const questions = unanswered(id).filter((message) => message !== last);
    storeUnanswered(id, questions);
    for (const message of questions) {
      const entry = new Entry(message);
      this.#fail(entry, "This question has no answer, since the page was left before it came.");
      this.entries.push(entry);
    }
    this.turns.replaceChildren(...this.entries.map((entry) => entry.node));
    this.empty.hidden = this.entries.length > 0;
    this.box.value = draft(id);
    this.#resizeBox();
    this.select(this.entries.findLast((entry) => entry.turn) ?? null);
    this.#toEnd();
  }

  /** Stop the answer under way. */
  abort() {
    this.running?.abort("stopped");
  }

  /** Choose the answer whose evidence is shown. */
  select(entry, more = {}) {
    for (const one of this.entries) one.node.classList.toggle("selected", one === entry);
    this.callbacks.evidence(entry?.turn ?? null, more);
  }

  /** Put the focus into the question box. */
  focus() {
    this.box.focus();
  }

  #submit() {
    const message = this.box.value;
    if (this.running || !message.trim()) return;
    this.box.value = "";
    storeDraft(this.id, "");
    this.#resizeBox();
    this.#ask(message);
  }

  async #ask(message) {
    const entry = new Entry(message);
    const controller = new AbortController();
    const { signal } = controller;
    this.entries.push(entry);
    this.turns.append(entry.node);
    this.empty.hidden = true;
    this.running = controller;
    this.#busy(true);
    this.#storeUnanswered();
    this.#toEnd();
    const id = this.id;
    let result = null;
    try {
      result = await this.#answer(entry, id, signal);
    } catch (error) {
      // If another conversation is shown now, the question stays unanswered in its own conversation.
      if (signal.reason === "stopped") this.#stopped(entry);
      else if (!signal.aborted) this.#error(entry, error);
    } finally {
      if (this.running === controller) {
        this.running = null;
        this.#busy(false);
      }
    }
    if (result === null) return;
    if (signal.aborted) {
      storeUnanswered(id, unanswered(id).filter((one) => one !== message));
      this.callbacks.answered(this.id, false);
      return;
    }
    this.#finish(entry, streamedTurn(message, result, this.note));
    this.#storeUnanswered();
    if (id === NEW) this.#begun(result.conversation);
    this.select(entry);
    this.#follow();
    this.announce(summary(entry.turn));
    this.callbacks.answered(this.id, id === NEW);
  }

  /** The field `medground` of the answer. If the service is busy, the question waits and is asked again. */
  async #answer(entry, id, signal) {
    for (let tries = 1; ; tries += 1) {
      let text = "";
      let frame = null;
      entry.write("");
      this.announce("Searching and reading.");
      const onText = (piece) => {
        if (text === "") this.announce("Answering.");
        text += piece;
        frame ??= requestAnimationFrame(() => {
          frame = null;
          if (signal.aborted) return;
          entry.write(text);
          this.#follow();
        });
      };
      try {
        return await api.ask(id, entry.message, onText, signal);
      } catch (error) {
        const noRoom = error instanceof api.ApiError && (error.status === 429 || error.status === 503);
        if (!noRoom || tries === MAX_TRIES) throw error;
        await this.#wait(entry, error, signal);
      } finally {
        cancelAnimationFrame(frame);
      }
    }
  }

  #wait(entry, error, signal) {
    const seconds = Math.min(MAX_RETRY_SECONDS, Math.max(1, error.retryAfter ?? RETRY_SECONDS));
    const left = element("span", {}, String(seconds));
    this.announce(`${error.message} The question is asked again in ${seconds} seconds.`);
    return new Promise((resolve, reject) => {
      const end = Date.now() + 1000 * seconds;
      const finish = (settle) => {
        clearInterval(timer);
        signal.removeEventListener("abort", stopped);
        settle();
      };
      const stopped = () => finish(() => reject(new DOMException("Stopped", "AbortError")));
      const timer = setInterval(() => {
        const seconds = Math.ceil((end - Date.now()) / 1000);
        if (seconds <= 0) finish(resolve);
        else left.textContent = String(seconds);
      }, 250);
      signal.addEventListener("abort", stopped);
      const now = element("button.quiet-button", { type: "button", on: { click: () => finish(resolve) } }, "Ask now");
      entry.showMessage("wait", element("p", {}, `${error.message} Asking again in `, left, " s."), now);
      this.#follow();
    });
  }

  #stopped(entry) {
    const message = "Stopped. This question is not kept.";
    this.#fail(entry, message, "wait");
    entry.isUnanswered = false;
    this.#storeUnanswered();
    this.announce(message);
  }

  #error(entry, error) {
    if (error instanceof api.ApiError && error.status === 401) {
      this.#fail(entry, "The session has ended. Log in, and ask again.");
      this.#storeUnanswered();
      this.callbacks.loggedOut();
      return;
    }
    let message = error.message;
    if (error instanceof api.ApiError && error.status === 404 && this.id !== NEW) {
      message = "This conversation was deleted elsewhere. Asking again begins a new one.";
      const gone = this.id;
      this.id = NEW;
      storeUnanswered(gone, []);
      removeDrafts(gone);
      this.callbacks.gone();
    }
    this.#fail(entry, message);
    this.#storeUnanswered();
    this.announce(message);
    this.#follow();
  }

  #fail(entry, message, kind = "error") {
    const again = element("button.quiet-button", { type: "button", on: { click: () => this.#again(entry) } }, "Ask again");
    const edit = element("button.quiet-button", { type: "button", on: { click: () => this.#edit(entry) } }, "Edit");
    entry.showMessage(kind, element("p", {}, message), element("div.answer-actions", {}, again, edit));
  }

  async #again(entry) {
    if (this.running) return;
    // The turn may have been stored before the connection broke; then it is shown, not asked for a second time.
    const id = this.id;
    if (id !== NEW) {
      try {
        const { turns } = await api.conversation(id);
        if (this.id !== id || this.running) return;
        const known = this.entries.filter((one) => one.turn).length;
        if (turns.length > known && turns.at(-1).message === entry.message) {
          this.#remove(entry);
          this.show(id, turns);
          this.callbacks.answered(id, false);
          return;
        }
      } catch {
        // Asking the question will show what is wrong.
      }
    }
    if (this.id !== id || this.running) return;
    this.#remove(entry);
    this.focus();
    this.#ask(entry.message);
  }

  #edit(entry) {
    this.#remove(entry);
    this.box.value = [entry.message, this.box.value].filter(Boolean).join("\n");
    storeDraft(this.id, this.box.value);
    this.#resizeBox();
    this.empty.hidden = this.entries.length > 0;
    this.focus();
  }

  #remove(entry) {
    this.entries = this.entries.filter((one) => one !== entry);
    entry.node.remove();
    this.#storeUnanswered();
  }

  /** Store the questions that have no answer yet. */
  #storeUnanswered() {
    storeUnanswered(this.id, this.entries.filter((entry) => entry.isUnanswered).map((entry) => entry.message));
  }

  /** Give the new conversation its id, and move the text that is already typed to it. */
  #begun(id) {
    const typed = this.box.value;
    removeDrafts(NEW);
    this.id = id;
    storeDraft(id, typed);
    this.#storeUnanswered();
  }

  #finish(entry, turn) {
    entry.turn = turn;
    entry.isUnanswered = false;
    const show = (more) => this.select(entry, { show: true, ...more });
    const count = turn.passages.length;
    const evidence = element("button.quiet-button", { type: "button", on: { click: () => show({}) } },
      count ? `Evidence (${count})` : "Evidence");
    const copied = element("button.quiet-button", { type: "button", on: { click: async () => {
      this.announce((await copy(asText(turn))) ? "The answer is copied." : "The browser does not let this page copy.");
    } } }, "Copy");
    const origins = new Map(turn.passages.map((passage) => [passage.id, origin(passage) || passage.id]));
    const number = passageNumbers(turn);
    const quotes = turn.citations.map((citation, index) => element("li", {},
      element("button.number", { type: "button",
        "aria-label": `Show quote ${index + 1} in passage ${number.get(citation.passage_id) ?? citation.passage_id}`,
        on: { click: () => show({ citation: index }) } }, String(number.get(citation.passage_id) ?? "?")),
      element("div", {}, isolated("q", singleLine(citation.quote)),
        isolated("span.origin", origins.get(citation.passage_id) ?? citation.passage_id))));
    const short = turn.text.length <= 12;
    entry.answer.replaceChildren(...[
      singleLine(turn.question) === singleLine(turn.message) ? null
        : element("p.muted", {}, "Searched for: ", isolated("span", turn.question)),
      element("div.answer-line", {}, answerText(short ? "p.answer-text.short" : "p.answer-text", turn, show),
        turn.verdict ? badge(turn.verdict) : null),
      quotes.length ? element("ol.quotes", { "aria-label": "Quotes" }, ...quotes) : null,
      element("div.answer-actions", {}, evidence, copied, clock(turn.time)),
    ].filter(Boolean));
  }

  /** Scroll along, unless the reader has scrolled away. */
  #follow() {
    if (this.following) this.#toEnd();
  }

  #toEnd() {
    this.scroll.scrollTop = this.scroll.scrollHeight;
    this.following = true;
  }

  #busy(busy) {
    const lost = !busy && document.activeElement === this.stop;
    this.send.hidden = busy;
    this.stop.hidden = !busy;
    this.turns.setAttribute("aria-busy", String(busy));
    if (lost) this.focus();
  }

  /** As many lines as the text has, up to a third of the window. */
  #resizeBox() {
    this.box.style.height = "auto";
    this.box.style.height = `${Math.min(this.box.scrollHeight + 2, window.innerHeight / 3)}px`;
  }
}

function clock(iso) {
  const time = new Date(iso ?? "");
  if (Number.isNaN(time.getTime())) return null;
  return element("time.muted", { dateTime: iso, title: time.toLocaleString() }, time.toLocaleTimeString([], { timeStyle: "short" }));
}

/** The status line after a new answer, which screen readers announce. */
function summary(turn) {
  const quotes = turn.citations.length;
  const answered = quotes === 1 ? "Answered with 1 quote." : quotes ? `Answered with ${quotes} quotes.` : "Answered.";
  const judged = turn.sentences.filter((one) => one.verdict);
  const supported = judged.filter((one) => one.verdict === "supported").length;
  const support = judged.length ? ` ${supported} of ${judged.length} sentences supported.` : "";
  return turn.verdict ? `${answered}${support} Verdict: ${turn.verdict}.` : `${answered}${support}`;
}
