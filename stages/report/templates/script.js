"use strict";
// What is under the pointer, in words. Everything shown goes in as text, never as HTML.
const tip = document.getElementById("tip");
const matrix = document.querySelector(".matrix");
const counts = matrix && JSON.parse(document.getElementById("confusion").textContent);

function cellWords(event) {
  const box = matrix.getBoundingClientRect(), scale = matrix.viewBox.baseVal.width / box.width;
  const cell = Number(matrix.dataset.cell), margin = Number(matrix.dataset.margin);
  const column = Math.floor(((event.clientX - box.left) * scale - margin) / cell);
  const row = Math.floor(((event.clientY - box.top) * scale - margin) / cell);
  const n = counts.names.length;
  if (row < 0 || column < 0 || row >= n || column >= n) return "";
  const count = counts.rows[row][column] || 0;
  return `${counts.names[row]} taken for ${counts.names[column]}: ${count} of ${counts.totals[row]}`;
}

function show(event) {
  const target = event.target instanceof Element ? event.target : document.body;
  const marked = target.closest("[data-tip]");
  const words = marked ? marked.dataset.tip : matrix && matrix.contains(target) ? cellWords(event) : "";
  tip.hidden = !words;
  if (!words) return;
  tip.textContent = words;
  const width = tip.offsetWidth, height = tip.offsetHeight;
  tip.style.left = `${Math.max(4, Math.min(event.clientX + 12, innerWidth - width - 4))}px`;
  tip.style.top = `${event.clientY + height + 24 > innerHeight ? event.clientY - height - 12 : event.clientY + 16}px`;
}

document.addEventListener("pointermove", show);
document.addEventListener("pointerdown", show);

let zoom = 1;
for (const button of document.querySelectorAll(".zoom button")) {
  button.addEventListener("click", () => {
    zoom = Math.min(8, Math.max(1, zoom * Number(button.dataset.by)));
    matrix.classList.toggle("zoomed", zoom > 1); // on paper it stays as it was: the style's zoom is of screens
    matrix.style.setProperty("--zoom", zoom);
  });
}
// A printed page has nothing to unfold.
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((one) => { one.open = true; }));
