/** The page: who is logged in, which conversation is shown, and how the parts work together. */

import * as api from "./api.js";
import { Chat, NEW } from "./chat.js";
import { ConversationList } from "./conversations.js";
import { removeDrafts, setDraftOwner } from "./drafts.js";
import { goToCitation, goToPassage, goToSentence, showEvidence } from "./evidence.js";
import { loginForm } from "./login.js";
import { plain, singleLine } from "./text.js";
import { themeButton } from "./theme.js";

const $ = (id) => document.getElementById(id);
const ID = /^[0-9a-f]{32}$/;
const COMPONENT_NAMES = { llm: "Model", retriever: "Retriever", agent: "Agent" };

// --- Chat, list and login ----------------------------------------------------------------------------------------

const chat = new Chat(
  { scroll: $("scroll"), turns: $("turns"), empty: $("empty"), form: $("ask"), box: $("question"), send: $("send"),
    stop: $("stop"), status: $("status") },
  {
    evidence(turn, { citation, sentence, passage, show }) {
      showEvidence($("evidence-body"), turn);
      if (!show) return;
      openDrawer("evidence");
      const body = $("evidence-body");
      if (citation !== undefined) goToCitation(body, citation);
      else if (sentence !== undefined) goToSentence(body, turn, sentence);
      else if (passage !== undefined) goToPassage(body, turn, passage);
      else body.focus();
    },
    async answered(id, first) {
      if (first) {
        history.replaceState(null, "", `#${id}`);
        list.select(id);
        showTitle(id, chat.entries.find((entry) => entry.turn).message); // an unanswered question may come first
      }
      await list.refresh();
    },
    gone() {
      history.replaceState(null, "", location.pathname);
      showTitle(NEW);
      list.select(null);
      list.refresh();
    },
    loggedOut: showLogin,
  },
);

const list = new ConversationList(
  { list: $("list"), search: $("search"), note: $("list-note") },
  {
    open(id) {
      closeDrawer();
      if (location.hash === `#${id}`) show(id);
      else location.hash = id;
    },
    failed: showError,
  },
);

loginForm({ form: $("login-form"), token: $("token"), error: $("login-error"),
  button: $("login-form").querySelector("button") }, start);
themeButton($("theme"));

// --- Session -----------------------------------------------------------------------------------------------------

async function start() {
  let session;
  try {
    session = await api.session();
  } catch (error) {
    if (error.status === 401) {
      showLogin();
      return;
    }
    unreachable(error);
    return;
  }
  setDraftOwner(session.user);
  $("about").textContent = Object.entries(session.about ?? {})
    .map(([key, value]) => `${COMPONENT_NAMES[key] ?? key}: ${singleLine(value)}`).join(" · ");
  $("user").textContent = plain(session.user);
  $("user").hidden = $("log-out").hidden = !session.login;
  $("note").textContent = plain(session.note ?? "");
  $("note").hidden = !session.note;
  chat.note = session.note;
  $("login").hidden = true;
  $("app").hidden = false;
  $("show-conversations").hidden = false;
  await Promise.all([list.refresh(), show(conversationInUrl())]);
}

function showLogin() {
  closeDrawer();
  for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
  // No text of the user may stay on the page.
  chat.show(NEW, []);
  list.clear();
  showTitle(NEW);
  for (const id of ["note", "delete-name"]) $(id).textContent = "";
  $("new-title").value = "";
  $("app").hidden = true;
  $("show-conversations").hidden = true;
  $("user").hidden = $("log-out").hidden = true;
  $("about").textContent = "";
  $("login").hidden = false;
  $("token").focus();
}

$("log-out").addEventListener("click", async () => {
  try {
    await api.logOut();
  } catch (error) {
    if (error.status !== 401) {
      showError(error);
      return;
    }
  }
  removeDrafts();
  history.replaceState(null, "", location.pathname);
  showLogin();
});

/** Show that the service did not answer when the page started, and try again. */
function unreachable(error) {
  $("app").hidden = false;
  chat.show(NEW, []);
  chat.announce(`${error.message} Trying again in ${error.retryAfter ?? 5} seconds.`);
  setTimeout(start, 1000 * (error.retryAfter ?? 5));
}

/** Show an error in the status region, or the login form if the session has ended. */
function showError(error) {
  if (error.status === 401) showLogin();
  else chat.announce(error.message);
}

// --- The conversation that is shown: the page's fragment names it, so that reload, back and forward work -----------

function conversationInUrl() {
  const id = location.hash.slice(1);
  return ID.test(id) ? id : NEW;
}

let opening = null;

async function show(id) {
  opening?.abort();
  const { signal } = (opening = new AbortController());
  list.select(id === NEW ? null : id);
  if (id === NEW) {
    chat.show(NEW, []);
    showTitle(NEW);
    chat.focus();
    return;
  }
  try {
    const { turns, title } = await api.conversation(id, signal);
    if (signal.aborted) return;
    chat.show(id, turns);
    showTitle(id, title || list.title(id) || turns[0]?.message);
    chat.focus();
  } catch (error) {
    if (signal.aborted) return;
    history.replaceState(null, "", location.pathname);
    await show(NEW);
    showError(error);
  }
}

function showTitle(id, title = "") {
  const shown = id === NEW ? "New conversation" : singleLine(title) || "Untitled";
  $("title").textContent = shown;
  $("title").title = shown;
  $("tools").hidden = id === NEW;
  document.title = id === NEW ? "medground" : `${shown} – medground`;
}

document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the link would replace the fragment, which names the conversation
  chat.focus();
});

window.addEventListener("hashchange", () => {
  if (!$("app").hidden) show(conversationInUrl());
});

$("new").addEventListener("click", () => {
  closeDrawer();
  if (location.hash) history.pushState(null, "", location.pathname);
  show(NEW);
});

// --- Rename, delete, export --------------------------------------------------------------------------------------

/**
 * Have the button `name` open the dialog `name-dialog`. It is about the conversation that is shown when it opens;
 * `confirmed` takes its id and the value of the button that was pressed.
 */
function dialog(name, opened, confirmed) {
  const box = $(`${name}-dialog`);
  let id = NEW;
  $(name).addEventListener("click", () => {
    id = chat.id;
    opened();
    box.showModal();
  });
  box.querySelector("[data-cancel]").addEventListener("click", () => box.close());
  box.querySelector("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    box.close();
    try {
      await confirmed(id, event.submitter?.value);
    } catch (error) {
      showError(error);
    }
  });
}

dialog("rename", () => {
  $("new-title").value = $("title").textContent;
  $("new-title").select();
}, async (id) => {
  const title = $("new-title").value.trim();
  if (!title) return;
  await api.rename(id, title);
  if (chat.id === id) showTitle(id, title);
  await list.refresh();
  chat.announce("The conversation is renamed.");
});

dialog("delete", () => {
  $("delete-name").textContent = $("title").textContent;
}, async (id) => {
  let message = "The conversation is deleted.";
  try {
    await api.remove(id);
  } catch (error) {
    // 404: the conversation was deleted elsewhere. 409: it is deleted, but its text is not yet erased from the disk.
    if (error.status !== 404 && error.status !== 409) throw error;
    if (error.status === 409) ({ message } = error);
  }
  removeDrafts(id);
  if (chat.id === id) {
    history.replaceState(null, "", location.pathname);
    await show(NEW);
  }
  await list.refresh();
  chat.announce(message);
});

dialog("export", () => {}, async (id, format) => {
  const blob = await api.exported(id, format);
  const words = $("title").textContent.replace(/[^\p{L}\p{M}\p{N}]+/gu, "-").replace(/^-|-$/g, "");
  const name = Array.from(words).slice(0, 60).join("");
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = `${name || "conversation"}.${format === "markdown" ? "md" : "json"}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  chat.announce(`The conversation is saved as ${link.download}.`);
});

// --- Narrow windows: the lists lie over the conversation -----------------------------------------------------------

const NARROW = { conversations: matchMedia("(max-width: 860px)"), evidence: matchMedia("(max-width: 1180px)") };
let drawer = null;

function openDrawer(name) {
  const opener = document.activeElement;
  closeDrawer();
  drawer = { name, opener, over: NARROW[name].matches };
  if (!drawer.over) return;
  $(name).classList.add("open");
  $("shade").hidden = false;
  for (const other of [document.querySelector(".top"), $("chat"), $("conversations"), $("evidence")]) {
    other.inert = other.id !== name;
  }
  $("show-conversations").setAttribute("aria-expanded", String(name === "conversations"));
}

function closeDrawer({ back = false } = {}) {
  if (!drawer) return;
  const { name, opener } = drawer;
  drawer = null;
  $(name).classList.remove("open");
  $("shade").hidden = true;
  for (const other of [document.querySelector(".top"), $("chat"), $("conversations"), $("evidence")]) other.inert = false;
  $("show-conversations").setAttribute("aria-expanded", "false");
  if (back && opener?.isConnected) opener.focus();
}

$("show-conversations").addEventListener("click", () => {
  openDrawer("conversations");
  $("new").focus();
});
for (const button of document.querySelectorAll("[data-close]")) {
  button.addEventListener("click", () => closeDrawer({ back: true }));
}
$("shade").addEventListener("click", () => closeDrawer({ back: true }));
for (const narrow of Object.values(NARROW)) narrow.addEventListener("change", () => closeDrawer());

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || event.defaultPrevented || document.querySelector("dialog[open]")) return;
  const inside = drawer && (drawer.over || $(drawer.name).contains(document.activeElement));
  if (inside) closeDrawer({ back: true });
  else chat.abort();
});

start();
