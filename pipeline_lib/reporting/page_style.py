"""The style of all pages: light and dark by the reader's setting; colors of text have a contrast of 4.5 or more."""

STYLE = """
:root { color-scheme: light dark; --page: #fff; --ink: #1c2530; --muted: #46515e; --faint: #5b6673; --line: #d7dde4;
        --rule: #1c2530; --worst: #a83200; --paper: #0b5e92; --card: #f3f6f9; --accent: #0b5e92;
        --fault: #b3261e; --constant: #8a4b00; --weak: #7a3a9c; --guess: #0b6e4f;
        --fault-back: #fbeceb; --constant-back: #fdf3e4; --weak-back: #f6eefa; --guess-back: #ebf6f1; }
@media (prefers-color-scheme: dark) {
  :root { --page: #12171d; --ink: #e4e9ee; --muted: #b4bec9; --faint: #97a3b0; --line: #2f3943; --rule: #8793a0;
          --worst: #ff9d76; --paper: #7cc4f0; --card: #1c242c; --accent: #7cc4f0;
          --fault: #ff8a80; --constant: #f0b060; --weak: #d6a6f2; --guess: #6fd3ae;
          --fault-back: #321a19; --constant-back: #2e2414; --weak-back: #291d31; --guess-back: #14281f; }
}
body { font: 15px/1.45 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; color: var(--ink);
       background: var(--page); margin: 1.2rem auto; padding: 0 1.2rem; max-width: 84rem; }
h1 { font-size: 1.3rem; margin: 0 0 .3rem; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; margin: 1.8rem 0 .4rem; overflow-wrap: anywhere; }
p { max-width: 60rem; margin: .3rem 0 1rem; color: var(--muted); overflow-wrap: anywhere; }
a { color: var(--accent); }
.scroll { overflow: auto; max-height: 82vh; width: fit-content; max-width: 100%;
           border-bottom: 2px solid var(--rule); border-top: 2px solid var(--rule); }
.scroll:focus-visible, summary:focus-visible, button:focus-visible { outline: 2px solid var(--accent); }
table { border-collapse: separate; border-spacing: 0; font-variant-numeric: tabular-nums; }
th, td { padding: .4rem .8rem; text-align: right; vertical-align: top; white-space: nowrap; background: var(--page);
         border-bottom: 1px solid var(--line); }
tbody tr:last-child > * { border-bottom: 0; }
thead th { position: sticky; top: 0; z-index: 2; font-weight: 600; white-space: normal; vertical-align: bottom;
           border-bottom: 1px solid var(--rule); overflow-wrap: break-word; max-width: 14rem; }
tr > :first-child { position: sticky; left: 0; z-index: 1; text-align: left; font-weight: 600; white-space: normal;
                    min-width: 6rem; max-width: 17rem; overflow-wrap: anywhere; border-right: 1px solid var(--line); }
thead tr > :first-child { z-index: 3; }
thead button { all: unset; cursor: pointer; }
thead button::after { content: " \\2195"; color: var(--faint); font-weight: 400; font-size: .85em; }
th[aria-sort=ascending] button::after { content: " \\2191"; color: var(--accent); }
th[aria-sort=descending] button::after { content: " \\2193"; color: var(--accent); }
td.fault { background: var(--fault-back); } td.weak { background: var(--weak-back); }
td.guess { background: var(--guess-back); }
.mark { font-weight: 700; text-decoration: none; cursor: help; }
.mark.fault { color: var(--fault); } .mark.constant { color: var(--constant); }
.mark.weak { color: var(--weak); } .mark.guess { color: var(--guess); }
small { display: block; font-size: .8rem; font-weight: 400; color: var(--faint); }
small.worst { color: var(--worst); }
small.pair { color: var(--ink); }
small.paper { color: var(--paper); }
.legend { list-style: none; padding: 0; margin: .8rem 0; max-width: 60rem; color: var(--muted); font-size: .9rem; }
.legend li { margin: .25rem 0; overflow-wrap: anywhere; }
summary { cursor: pointer; }
td > details > summary { list-style: none; border-radius: .2rem; }
td > details > summary::-webkit-details-marker { display: none; }
dl.about { display: grid; grid-template-columns: max-content minmax(6rem, auto); gap: .1rem .8rem; margin: .3rem 0 0;
           font-size: .82rem; font-weight: 400; text-align: left; white-space: normal; max-width: 24rem; }
dl.about dt { color: var(--faint); } dl.about dd { margin: 0; overflow-wrap: anywhere; }
#card { position: fixed; z-index: 9; pointer-events: none; background: var(--card); color: var(--ink);
        border: 1px solid var(--line); border-radius: .4rem; padding: .5rem .8rem; box-shadow: 0 3px 12px #0005;
        max-width: min(24rem, 92vw); }
@media (max-width: 40rem) {
  body { padding: 0 .6rem; margin: .7rem auto; }
  th, td { padding: .35rem .45rem; }
  tr > :first-child { min-width: 6rem; max-width: 6.8rem; font-size: .9rem; }
}
@media print { .scroll { max-height: none; overflow: visible; } tr > *, thead th { position: static; } }
"""
