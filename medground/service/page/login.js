/** The login form: sends the token once and stores it nowhere; the session is a cookie. */

import * as api from "./api.js";

/** @param {() => void} done called after a login. */
export function loginForm({ form, token, error, button }, done) {
  let waiting = null;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    error.textContent = "";
    button.disabled = true;
    try {
      await api.logIn(token.value.trim());
      token.value = "";
      done();
    } catch (failure) {
      error.textContent = loginError(failure);
      if (failure.status === 429 || failure.status === 503) {
        clearTimeout(waiting);
        waiting = setTimeout(() => {
          error.textContent = "You can try again now.";
          button.disabled = false;
        }, 1000 * (failure.retryAfter ?? 5));
        return;
      }
      token.focus(); // a button that is disabled loses the focus
      token.select();
    }
    button.disabled = false;
  });
}

function loginError(failure) {
  if (failure.status === 401) return "This token is not valid. Check it for missing characters.";
  if (failure.status === 429) return `Too many attempts. Try again in ${failure.retryAfter ?? 5} seconds.`;
  return failure.message;
}
