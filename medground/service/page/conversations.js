/** The list of conversations, with its search. */

import * as api from "./api.js";
import { element, isolated, singleLine } from "./text.js";

const SEARCH_DELAY = 200; // milliseconds after the last key before a search

export class ConversationList {
  /**
   * @param {{list: HTMLElement, search: HTMLInputElement, note: HTMLElement}} elements
   * @param {{open: (id: string) => void, failed: (error: Error) => void}} callbacks
   */
  constructor(elements, callbacks) {
    Object.assign(this, elements);
    this.callbacks = callbacks;
    this.summaries = [];
    this.current = null;
    this.search.addEventListener("input", () => {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.refresh(), SEARCH_DELAY);
    });
    this.list.addEventListener("keydown", (event) => this.#move(event));
  }

  /** Read the list again. Of two reads under way the newer counts. */
  async refresh() {
    clearTimeout(this.timer);
    this.reading?.abort();
    const { signal } = (this.reading = new AbortController());
    const query = this.search.value.trim();
    try {
      const summaries = await api.conversations(query, signal);
      if (signal.aborted) return;
      this.summaries = summaries;
      this.#show(query);
    } catch (error) {
      if (!signal.aborted) this.callbacks.failed(error);
    }
  }

  /** Mark a conversation as the one that is shown; null marks none. */
  select(id) {
    this.current = id;
    for (const button of this.list.querySelectorAll("button")) {
      if (button.dataset.id === id) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    }
  }

  /** The title of a listed conversation. */
  title(id) {
    return this.summaries.find((one) => one.id === id)?.title;
  }

  clear() {
    this.reading?.abort();
    this.search.value = "";
    this.summaries = [];
    this.list.replaceChildren();
    this.note.textContent = "";
  }

  #show(query) {
    const focused = document.activeElement?.closest?.("#list button")?.dataset.id;
    this.list.replaceChildren(...this.summaries.map((one) => element("li", {}, element("button.conversation",
      { type: "button", "data-id": one.id, on: { click: () => this.callbacks.open(one.id) } },
      isolated("span.conversation-title", singleLine(one.title) || "Untitled"),
      element("span.conversation-date", {}, `${date(one.updated)} · ${one.turns === 1 ? "1 question" : `${one.turns} questions`}`)))));
    this.select(this.current);
    if (focused) [...this.list.querySelectorAll("button")].find((one) => one.dataset.id === focused)?.focus();
    const count = this.summaries.length;
    const found = count === 1 ? "1 conversation found." : `${count} conversations found.`;
    this.note.textContent = query ? (count ? found : "No conversation found.") : count ? "" : "No conversations yet.";
  }

  #move(event) {
    const buttons = [...this.list.querySelectorAll("button")];
    const at = buttons.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: buttons.length - 1 }[event.key];
    if (at < 0 || to === undefined || !buttons[to]) return;
    event.preventDefault();
    buttons[to].focus();
  }
}

function date(iso) {
  const time = new Date(iso);
  if (Number.isNaN(time.getTime())) return "";
  const now = new Date();
  if (time.toDateString() === now.toDateString()) return time.toLocaleTimeString([], { timeStyle: "short" });
  const year = time.getFullYear() === now.getFullYear() ? undefined : "numeric";
  return time.toLocaleDateString([], { day: "numeric", month: "short", year });
}
