/**
 * Drafts and unanswered questions by conversation, in sessionStorage: errors and reloads do not lose them; they end with
 * the tab, or at logout.
 *
 * The key of a conversation is its id, or "new" before its first answer.
 */

const DRAFT = "medground.draft.";
const UNANSWERED = "medground.unanswered.";
const OWNER = "medground.user";

/** Set the user; drafts of another user of this tab are removed. */
export function setDraftOwner(user) {
  if (read(OWNER) !== user) removeDrafts();
  write(OWNER, user);
}

/** The text in the question box. */
export function draft(conversation) {
  return read(DRAFT + conversation) ?? "";
}

export function storeDraft(conversation, text) {
  write(DRAFT + conversation, text);
}

/** @returns {string[]} the questions that were sent and have no answer, oldest first. */
export function unanswered(conversation) {
  try {
    const questions = JSON.parse(read(UNANSWERED + conversation) ?? "[]");
    return Array.isArray(questions) ? questions.filter((one) => typeof one === "string") : [];
  } catch {
    return [];
  }
}

export function storeUnanswered(conversation, questions) {
  write(UNANSWERED + conversation, questions.length ? JSON.stringify(questions) : "");
}

export function removeDrafts(conversation = null) {
  try {
    for (const key of Object.keys(sessionStorage)) {
      const isDraft = key.startsWith(DRAFT) || key.startsWith(UNANSWERED);
      if (isDraft && (conversation === null || key.endsWith(`.${conversation}`))) sessionStorage.removeItem(key);
    }
  } catch {
    // The browser blocks storage, so there is nothing to remove.
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
    // The browser blocks storage, or it is full: drafts last until the page is closed.
  }
}
