// What the other scripts share: the data, elements made of text alone, and the theme.

const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const VECTOR = "http://www.w3.org/2000/svg";

/** An element with attributes and children; a child that is no element becomes text, never markup. */
function make(name, attributes = {}, ...children) {
  const made = attributes.xmlns ? document.createElementNS(attributes.xmlns, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (key !== "xmlns" && value !== false && value !== null) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null));
  return made;
}

const draw = (name, attributes, ...children) => make(name, { xmlns: VECTOR, ...attributes }, ...children);

/** A task's value for one of its samples; null where no sample of the task has such a value. */
const value = (task, name, row) => task.columns[name]?.[row] ?? null;

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
    try { localStorage.setItem("medground-theme", names[chosen]); } catch { /* a page without storage forgets it */ }
    show();
  });
  show();
})();
