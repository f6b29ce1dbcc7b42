// What Snakemake's page lacks: names of its icons for screen readers, and on a phone, where the menu covers the page, room.
"use strict";
(() => {
  const narrow = matchMedia("(max-width: 40rem)");
  const names = { eye: "Show", "information-circle": "Details", download: "Download" };
  const name = (element, words) => {
    if (element && !element.textContent.trim() && !element.ariaLabel) element.ariaLabel = words;
  };
  const improve = () => {
    document.querySelectorAll("a[iconname]").forEach((icon) => {
      const row = icon.closest("tr, li");
      name(icon, `${names[icon.getAttribute("iconname")] ?? "Open"}: ${row ? row.textContent.trim() : ""}`);
    });
    name(document.querySelector(".fixed > a[type=button]"), "Open the menu");
    name(document.querySelector("nav h1 a[type=button]"), "Close the menu");
    document.querySelectorAll("nav ol a").forEach((step) => name(step, "First page"));
    document.querySelectorAll("nav a[type=button]").forEach((icon) => name(icon, "Details"));
    document.querySelectorAll("nav h1 img").forEach((logo) => { logo.alt = ""; });
    document.querySelectorAll("nav input").forEach((field) => { field.ariaLabel = "Search"; });
    document.querySelectorAll("summary").forEach((summary) => name(summary, "Save the chart"));
    document.querySelectorAll("iframe").forEach((frame) => { frame.title = "Result"; });
    document.querySelectorAll("#app img:not([alt])").forEach((picture) => {
      picture.alt = "Figure; its numbers are in the CSV file of the same name";
    });
    document.querySelectorAll("#app .h-screen.overflow-auto, nav .prose").forEach((box) => { box.tabIndex = 0; });
    document.querySelectorAll("#app ul").forEach((list) => {
      if ([...list.children].every((item) => item.tagName === "LI")) return;
      [list, ...list.children].forEach((element) => element.tagName !== "TABLE" && element.setAttribute("role", "presentation"));
    });
  };
  const hide = () => narrow.matches && app.setState({ hideNavbar: true });
  // Browsers open no address of more than 2 MB, which a page of clips can be; one of a blob is short.
  const pages = {};
  const short = (address) => {
    if (!address?.startsWith("data:text/html;") || !address.includes(";base64,")) return address;
    pages[address] ??= URL.createObjectURL(new Blob(
      [Uint8Array.from(atob(address.slice(address.indexOf(",") + 1)), (letter) => letter.charCodeAt(0))],
      { type: "text/html;charset=utf-8" },
    ));
    return pages[address];
  };
  const begin = () => {
    if (typeof app === "undefined" || !app.setView) return setTimeout(begin, 20);
    const show = app.setView.bind(app);
    app.setView = (view) => {
      if (!view.contentPath) return show(view);
      show({ ...view, contentPath: short(view.contentPath) });
      hide();
    };
    new MutationObserver(improve).observe(document.getElementById("app"), { childList: true, subtree: true });
    improve();
    hide();
  };
  begin();
})();
