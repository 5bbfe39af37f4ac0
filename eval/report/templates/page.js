// Shared by the other scripts: the data, creation of elements, and the theme.

const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const SVG_NAMESPACE = "http://www.w3.org/2000/svg";

/** An element with attributes and children. Strings become text nodes, never markup; "on..." attributes are listeners. */
function make(name, attributes = {}, ...children) {
  const element = attributes.xmlns ? document.createElementNS(attributes.xmlns, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key !== "xmlns" && value !== false && value !== null) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null));
  return element;
}

/** An SVG element. */
const draw = (name, attributes, ...children) => make(name, { xmlns: SVG_NAMESPACE, ...attributes }, ...children);

/** The value of column `name` for sample `row` of a task; null if the sample or the task has none. */
const value = (task, name, row) => task.columns[name]?.[row] ?? null;

/** The probability of the predicted label; null without probabilities or label. */
const confidence = (task, row) => value(task, "scores", row)?.[task.labels.indexOf(value(task, "prediction", row))] ?? null;

(function theme() {
  const names = ["auto", "light", "dark"];
  const stored = (() => { try { return localStorage.getItem("medground-theme"); } catch { return null; } })();
  let chosen = Math.max(0, names.indexOf(stored));
  const show = () => {
    if (chosen) document.documentElement.dataset.theme = names[chosen];
    else delete document.documentElement.dataset.theme;
    byId("theme").textContent = `Theme: ${names[chosen]}`;
  };
  byId("theme").addEventListener("click", () => {
    chosen = (chosen + 1) % names.length;
    try { localStorage.setItem("medground-theme", names[chosen]); } catch { /* without storage the choice lasts until the page is closed */ }
    show();
  });
  show();
})();
