// Puts each new board in place of the old one, and says so when the line to wardd is lost.
const board = document.getElementById("board");
const line = document.getElementById("line");
const source = new EventSource(board.dataset.source);
// While somebody presses a button nothing moves under the finger: the newest board waits until it is let go.
let isPressed = false;
let release = 0;
let newest = null;
const nameOf = (button) => button.dataset.bed || button.dataset.patient + " " + button.dataset.number;
const show = () => {
  if (newest === null || isPressed) {
    return;
  }
  const held = board.contains(document.activeElement) && document.activeElement.tagName === "BUTTON" ? nameOf(document.activeElement) : null;
  board.innerHTML = newest;
  newest = null;
  line.textContent = "live, " + new Date().toLocaleTimeString();
  line.className = "";
  // Who works by keyboard stays where they were.
  [...board.querySelectorAll("button")].find((button) => nameOf(button) === held)?.focus();
};
const letGo = (after) => {
  clearTimeout(release);
  release = setTimeout(() => { isPressed = false; show(); }, after);
};
addEventListener("pointerdown", () => {
  isPressed = true;
  // A menu may swallow the end of it: no board stands still for long.
  letGo(5000);
});
for (const end of ["pointerup", "pointercancel", "contextmenu", "blur"]) {
  addEventListener(end, () => letGo(300));
}
source.addEventListener("board", (event) => {
  newest = event.data;
  show();
});
// Whoever goes to a patient, or has cleaned a bed, says so here. What went wrong stays until the next try: the board is replaced each second.
const trouble = document.getElementById("trouble");
board.addEventListener("click", async (event) => {
  const button = event.target.closest("button.take, button.clean");
  if (!button) {
    return;
  }
  button.disabled = true;
  const part = encodeURIComponent(button.dataset.bed || button.dataset.patient);
  const path = button.dataset.bed ? "/api/v1/beds/" + part + "/clean" : "/api/v1/patients/" + part + "/chart/take-alert";
  let why = "";
  try {
    const body = JSON.stringify(button.dataset.bed ? {} : { number: Number(button.dataset.number) });
    const answer = await fetch(path, { method: "POST", headers: { "content-type": "application/json" }, body });
    if (!answer.ok) {
      why = (await answer.json()).detail;
    }
  } catch (error) {
    why = "wardd was not reached, and nobody else knows of it: " + error.message;
  }
  trouble.textContent = why;
  trouble.hidden = !why;
  button.disabled = !why;
});
// After a restart everybody signs in again, and a browser does not come back by itself from an answer that says so.
const recover = async () => {
  try {
    const answer = await fetch("/api/v1/session");
    if (answer.status === 401) {
      location.href = "/login";
    } else if (answer.ok) {
      location.reload();
      return;
    }
  } catch (error) {
    // wardd is not there yet.
  }
  setTimeout(recover, 2000);
};
source.onerror = () => {
  line.textContent = "line to wardd lost: what you see is old";
  line.className = "lost";
  if (source.readyState === EventSource.CLOSED) {
    recover();
  }
};
source.addEventListener("signed-out", () => {
  source.close();
  location.href = "/login";
});
