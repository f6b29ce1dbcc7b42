// Wide tables scroll in their own boxes: these are reached by keyboard, too, and all boxes have names for screen readers.
"use strict";
addEventListener("load", () => {
  for (const box of document.querySelectorAll(".md-typeset__scrollwrap")) {
    box.tabIndex = 0;
    box.setAttribute("role", "group");
    box.setAttribute("aria-label", "table");
  }
  document.querySelector(".md-search")?.setAttribute("aria-label", "Search");
});
