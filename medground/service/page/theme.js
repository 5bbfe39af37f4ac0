/** The theme: light, dark or the system's. The choice is stored in localStorage, which contains nothing else. */

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

/** Change the theme at each click on a button. */
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
      // The browser blocks storage; the theme lasts until the page is closed.
    }
  });
  show();
}
