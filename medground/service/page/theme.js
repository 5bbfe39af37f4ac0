/** Light, dark, or as the system has it. The choice is kept in the browser; it is the only thing that is kept for good. */

const KEY = "medground.theme";
const THEMES = ["system", "light", "dark"];

function chosen() {
  try {
    const theme = localStorage.getItem(KEY);
    return THEMES.includes(theme) ? theme : "system";
  } catch {
    return "system";
  }
}

function apply(theme) {
  document.documentElement.dataset.theme = theme;
}

apply(chosen());

/** Have a button change the theme. */
export function themeButton(button) {
  const show = () => {
    button.textContent = `Theme: ${document.documentElement.dataset.theme}`;
  };
  button.addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(document.documentElement.dataset.theme) + 1) % THEMES.length];
    apply(next);
    show();
    try {
      localStorage.setItem(KEY, next);
    } catch {
      // The browser keeps nothing; the theme holds until the page is left.
    }
  });
  show();
}
