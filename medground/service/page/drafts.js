/**
 * What was typed and is not answered yet, by conversation. It lasts as long as the browser's tab, so that neither an
 * error nor a reload loses it. Logging out removes it.
 *
 * A conversation is named by its id, one that has not begun by "new".
 */

const DRAFT = "medground.draft.";
const UNANSWERED = "medground.unanswered.";
const OWNER = "medground.user";

/** Name the user; what another user of this tab left is removed. */
export function draftsOf(user) {
  if (read(OWNER) !== user) forgetDrafts();
  write(OWNER, user);
}

/** The text in the question box. */
export function draft(conversation) {
  return read(DRAFT + conversation) ?? "";
}

export function keepDraft(conversation, text) {
  write(DRAFT + conversation, text);
}

/** @returns {string[]} the questions that were sent and have no answer, oldest first. */
export function unanswered(conversation) {
  try {
    const kept = JSON.parse(read(UNANSWERED + conversation) ?? "[]");
    return Array.isArray(kept) ? kept.filter((one) => typeof one === "string") : [];
  } catch {
    return [];
  }
}

export function keepUnanswered(conversation, questions) {
  write(UNANSWERED + conversation, questions.length ? JSON.stringify(questions) : "");
}

export function forgetDrafts(conversation = null) {
  try {
    for (const key of Object.keys(sessionStorage)) {
      const own = key.startsWith(DRAFT) || key.startsWith(UNANSWERED);
      if (own && (conversation === null || key.endsWith(`.${conversation}`))) sessionStorage.removeItem(key);
    }
  } catch {
    // A browser that keeps nothing has nothing to remove.
  }
}

function read(key) {
  try {
    return sessionStorage.getItem(key);
  } catch {
    return null;
  }
}

function write(key, text) {
  try {
    if (text) sessionStorage.setItem(key, text);
    else sessionStorage.removeItem(key);
  } catch {
    // The browser keeps nothing, or its store is full: what is typed lasts until the page is left.
  }
}
