// Sorts and filters the table of clips. Without this script the table is whole and sorted.
"use strict";
const table = document.getElementById("clips");
if (table) {
  const body = table.tBodies[0];
  const rows = Array.from(body.rows);
  const heads = Array.from(table.tHead.rows[0].cells);
  const controls = document.getElementById("clip-filters");
  const [words, machine, label, outcome] = controls.querySelectorAll("input, select");
  const shown = controls.querySelector("output");
  const cell = (row, column) => row.cells[column].textContent;

  function filter() {
    const wanted = words.value.toLowerCase();
    let count = 0;
    for (const row of rows) {
      const fits = cell(row, 0).toLowerCase().includes(wanted) &&
        [[machine, 1], [label, 2], [outcome, 5]].every(
          ([select, column]) => !select.selectedIndex || cell(row, column) === select.value);
      row.hidden = !fits;
      count += fits ? 1 : 0;
    }
    shown.textContent = count + " of " + rows.length + " clips";
  }

  function sort(column) {
    const head = heads[column];
    const ascending = head.getAttribute("aria-sort") !== "ascending";
    const numeric = head.dataset.numeric !== undefined;
    const order = rows.slice().sort((a, b) => {
      const [x, y] = [cell(a, column), cell(b, column)];
      const difference = numeric ? x - y : x.localeCompare(y, undefined, { numeric: true });
      return ascending ? difference : -difference;
    });
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    body.append(...order);
  }

  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    button.addEventListener("click", () => sort(column));
    head.replaceChildren(button);
  });
  controls.hidden = false;
  controls.addEventListener("input", filter);
  filter();
}
