// Puts each new board in place of the old one, and says so when the line to wardd is lost.
const board = document.getElementById("board");
const line = document.getElementById("line");
const source = new EventSource(board.dataset.source);
source.addEventListener("board", (event) => {
  board.innerHTML = event.data;
  line.textContent = "live, " + new Date().toLocaleTimeString();
  line.className = "";
});
source.onerror = () => {
  line.textContent = "line to wardd lost: what you see is old";
  line.className = "lost";
};
source.addEventListener("signed-out", () => {
  source.close();
  location.href = "/login";
});
