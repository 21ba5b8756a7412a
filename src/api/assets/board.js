// Puts each new board in place of the old one, and says so when the line to wardd is lost.
const board = document.getElementById("board");
const line = document.getElementById("line");
const source = new EventSource(board.dataset.source);
source.addEventListener("board", (event) => {
  board.innerHTML = event.data;
  line.textContent = "live, " + new Date().toLocaleTimeString();
  line.className = "";
});
// Whoever goes to a patient says so here. What went wrong stays until the next try: the board is replaced each second.
const trouble = document.getElementById("trouble");
board.addEventListener("click", async (event) => {
  const button = event.target.closest("button.take");
  if (!button) {
    return;
  }
  button.disabled = true;
  const path = "/api/v1/patients/" + encodeURIComponent(button.dataset.patient) + "/chart/take-alert";
  let why = "";
  try {
    const body = JSON.stringify({ number: Number(button.dataset.number) });
    const answer = await fetch(path, { method: "POST", headers: { "content-type": "application/json" }, body });
    if (!answer.ok) {
      why = (await answer.json()).detail;
    }
  } catch (error) {
    why = "wardd was not reached, and nobody knows that you go: " + error.message;
  }
  trouble.textContent = why;
  trouble.hidden = !why;
  button.disabled = !why;
});
source.onerror = () => {
  line.textContent = "line to wardd lost: what you see is old";
  line.className = "lost";
};
source.addEventListener("signed-out", () => {
  source.close();
  location.href = "/login";
});
