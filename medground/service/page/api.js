/**
 * The service's API as the page uses it. Every request goes to the page's own origin; the session is a cookie that
 * scripts cannot read.
 */

/** An error response of the service. */
export class ApiError extends Error {
  /**
   * @param {number} status 0 for an error within a stream.
   * @param {string} message
   * @param {number|null} retryAfter seconds, from the header `Retry-After`.
   */
  constructor(status, message, retryAfter = null) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

/** The service cannot be reached, or the connection ended before the answer did. */
export class ConnectionLost extends Error {}

async function send(method, path, { body, signal } = {}) {
  const options = { method, signal, credentials: "same-origin", cache: "no-store", redirect: "error" };
  if (body !== undefined) {
    options.headers = { "Content-Type": "application/json" };
    options.body = JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ConnectionLost("The service cannot be reached. Is it still running?");
  }
  if (response.ok) return response;
  const seconds = Number.parseInt(response.headers.get("Retry-After") ?? "", 10);
  const reply = await response.json().catch(() => null);
  const message = reply?.error?.message ?? `The service answered with status ${response.status}.`;
  throw new ApiError(response.status, message, Number.isFinite(seconds) ? Math.max(0, seconds) : null);
}

async function json(method, path, options) {
  const response = await send(method, path, options);
  try {
    return await response.json();
  } catch (error) {
    if (options?.signal?.aborted) throw error;
    throw new ConnectionLost("The connection ended before the answer was complete.");
  }
}

const conversationPath = (id) => `/v1/conversations/${encodeURIComponent(id)}`;

/** @returns {Promise<{user: string, login: boolean, note: string|null, about: Object<string, string>}>} */
export const session = () => json("GET", "/v1/session");
export const logIn = (token) => send("POST", "/v1/session", { body: { token } });
export const logOut = () => send("DELETE", "/v1/session");

/** @returns {Promise<{id: string, title: string, created: string, updated: string, turns: number}[]>} newest first. */
export async function conversations(query = "", signal = undefined) {
  const path = query ? `/v1/conversations?query=${encodeURIComponent(query)}` : "/v1/conversations";
  return (await json("GET", path, { signal })).data;
}

/** @returns {Promise<{id: string, title: (string|undefined), turns: Object[]}>} turns oldest first. */
export const conversation = (id, signal = undefined) => json("GET", conversationPath(id), { signal });
export const rename = (id, title) => send("PATCH", conversationPath(id), { body: { title } });
export const remove = (id) => send("DELETE", conversationPath(id));

/** @param {"markdown"|"json"} format */
export async function exported(id, format) {
  const response = await send("GET", `${conversationPath(id)}/export?format=${format}`);
  return response.blob();
}

/**
 * Ask a question and stream the answer.
 *
 * @param {string} conversation an id, or "new".
 * @param {string} message
 * @param {(text: string) => void} onText called with each piece of the answer.
 * @param {AbortSignal} signal stops the answer.
 * @returns {Promise<Object>} the field `medground` of the last piece.
 * @throws {ApiError|ConnectionLost|DOMException}
 */
export async function ask(conversation, message, onText, signal) {
  const response = await send("POST", "/v1/chat/completions", {
    body: {
      model: "medground",
      stream: true,
      messages: [{ role: "user", content: message }],
      medground: { conversation },
    },
    signal,
  });
  let last = null;
  for await (const data of events(response.body, signal)) {
    if (data === "[DONE]") {
      if (last) return last;
      break;
    }
    const piece = JSON.parse(data);
    if (piece.error) throw new ApiError(0, piece.error.message);
    if (piece.medground) last = piece.medground;
    const text = piece.choices?.[0]?.delta?.content;
    if (text) onText(text);
  }
  throw new ConnectionLost("The connection was lost before the answer was complete.");
}

/** The data of each server-sent event of a body. */
async function* events(body, signal) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let waiting = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      waiting += decoder.decode(value, { stream: true });
      const whole = waiting.split("\n\n");
      waiting = whole.pop();
      for (const event of whole) {
        const data = event.split("\n").filter((one) => one.startsWith("data:")).map((one) => one.slice(5).trimStart());
        if (data.length) yield data.join("\n");
      }
    }
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ConnectionLost("The connection was lost before the answer was complete.");
  } finally {
    reader.cancel().catch(() => {});
  }
}
