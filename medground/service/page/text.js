/**
 * Text that comes from users, documents and models: elements that hold it as text, and cuts by Python's offsets.
 *
 * Nothing on the page is made from markup. `element` sets text through text nodes, which the browser never parses.
 */

const CONTROLS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\ufff9-\ufffb\u{e0000}-\u{e007f}]/gu;

/**
 * The text with control characters replaced by visible signs. Line feeds and tabs stay. Characters that would turn the
 * direction of what follows (U+202A to U+202E) become U+FFFD, and so do Unicode's tags (U+E0000 to U+E007F), which
 * nobody sees and models read. The marks of a language's own direction stay.
 */
export function plain(text) {
  return String(text)
    .replace(/\r\n?/g, "\n")
    .replace(CONTROLS, (character) => {
      const code = character.charCodeAt(0);
      if (code < 0x20) return String.fromCharCode(0x2400 + code);
      if (code === 0x7f) return "\u2421";
      return code === 0x2028 || code === 0x2029 ? "\n" : "\ufffd";
    });
}

/** The text on one line. */
export function singleLine(text) {
  return plain(text).replace(/\s+/g, " ").trim();
}

/**
 * An element.
 *
 * @param {string} tag with classes: `"p.muted"`.
 * @param {Object} properties set on the element; `on` maps events to handlers; keys with a dash, and `role`, are attributes.
 * @param {...(Node|string|null|undefined|false)} children strings become text nodes, cleaned by `plain`; empty ones are
 *   left out.
 */
export function element(tag, properties = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const node = document.createElement(name);
  if (classes.length) node.className = classes.join(" ");
  for (const [key, value] of Object.entries(properties)) {
    if (key === "on") {
      for (const [event, handler] of Object.entries(value)) node.addEventListener(event, handler);
    } else if (key.includes("-") || key === "role") {
      node.setAttribute(key, value);
    } else {
      node[key] = value;
    }
  }
  node.append(...children.filter(Boolean).map((child) =>
    typeof child === "string" ? document.createTextNode(plain(child)) : child));
  return node;
}

/** An element for text whose direction is its own: the direction of what stands around it does not change. */
export function isolated(tag, text) {
  return element(tag, { dir: "auto" }, text);
}

/**
 * Cut a text at spans that the service gives. The service counts code points, JavaScript counts UTF-16 units.
 *
 * @param {string} text
 * @param {{start: number, end: number, kind: string}[]} spans may overlap; each piece of
 *   the text has the kinds of all spans over it.
 * @returns {{text: string, kinds: string[]}[]} the whole text in order.
 */
export function splitAtSpans(text, spans) {
  const points = Array.from(text);
  const inside = spans
    .map(({ start, end, kind }) => ({ start: Math.max(0, start), end: Math.min(points.length, end), kind }))
    .filter(({ start, end }) => start < end);
  const edges = [...new Set([0, points.length, ...inside.flatMap(({ start, end }) => [start, end])])];
  edges.sort((a, b) => a - b);
  return edges.slice(1).map((end, index) => {
    const start = edges[index];
    const over = inside.filter((span) => span.start <= start && end <= span.end);
    return { text: points.slice(start, end).join(""), kinds: [...new Set(over.map((span) => span.kind))] };
  });
}

/** A share as percent; only the shares 0 and 1 are shown as 0% and 100%. */
export function percent(share) {
  const rounded = Math.round(100 * share);
  if (rounded === 0 && share > 0) return "<1%";
  if (rounded === 100 && share < 1) return ">99%";
  return `${rounded}%`;
}

/** Put a text on the clipboard; returns false if the browser refuses. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Without TLS a browser gives the clipboard to pages of this machine only; the old way works elsewhere too.
    const before = document.activeElement;
    const area = element("textarea.sr-only", { value: text });
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    before?.focus();
    return done;
  }
}
