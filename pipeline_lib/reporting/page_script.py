"""The script of pages with tables: columns sort on a click, and a cell's details appear beside the pointer or focus.

It needs no network and no library. Without scripts the details still open on a click.
"""

SCRIPT = """
"use strict";
for (const table of document.querySelectorAll("table")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0], first = [...body.rows];
  const key = (row, at) => row.cells[at].dataset.value ?? row.cells[at].textContent.trim();
  heads.forEach((head, at) => {
    if (!head.textContent.trim()) return; // a column of bars, sorted with its numbers
    const button = document.createElement("button");
    button.type = "button";
    button.title = "sort by this column";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const filled = first.filter((row) => !["", "\\u2013"].includes(key(row, at)));
      const numbers = filled.every((row) => !Number.isNaN(parseFloat(key(row, at))));
      const turns = numbers ? ["descending", "ascending"] : ["ascending", "descending"];
      const order = [...turns, null][turns.indexOf(head.getAttribute("aria-sort")) + 1];
      const compare = numbers
        ? (a, b) => parseFloat(key(a, at)) - parseFloat(key(b, at))
        : (a, b) => key(a, at).localeCompare(key(b, at), undefined, { numeric: true });
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      if (order) head.setAttribute("aria-sort", order);
      const sorted = [...filled].sort((a, b) => (order === "descending" ? compare(b, a) : compare(a, b)));
      body.append(...(order ? [...sorted, ...first.filter((row) => !filled.includes(row))] : first));
    });
  });
}
const card = document.createElement("div");
card.id = "card";
card.hidden = true;
card.setAttribute("role", "tooltip");
document.body.append(card);
const hide = () => { card.hidden = true; };
const show = (event) => {
  const cell = event.target.closest("td"), details = cell && cell.querySelector(":scope > details");
  if (!details || details.open) return hide();
  card.replaceChildren(details.querySelector("dl").cloneNode(true));
  card.hidden = false;
  const place = cell.getBoundingClientRect(), size = card.getBoundingClientRect();
  const below = place.bottom + size.height + 4 < innerHeight;
  card.style.left = `${Math.max(4, Math.min(place.left, innerWidth - size.width - 4))}px`;
  card.style.top = `${below ? place.bottom + 2 : Math.max(4, place.top - size.height - 2)}px`;
};
document.addEventListener("mouseover", show);
document.addEventListener("focusin", show);
document.addEventListener("focusout", hide);
document.addEventListener("click", hide);
document.addEventListener("scroll", hide, true);
document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
"""
