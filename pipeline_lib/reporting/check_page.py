"""The page of a robustness check, as HTML and Markdown, from its record."""

import html
from pathlib import Path

import pandas as pd

from pipeline_lib.records.checks import GROWING, Check, Finding, Part
from pipeline_lib.reporting import formats
from pipeline_lib.reporting.checks import FAULTY, MASKED, MASKED_PLAINLY, UNDECIDED
from pipeline_lib.reporting.masking import NO_SIGN
from pipeline_lib.reporting.metrics import wilson
from pipeline_lib.reporting.publish import publish

EXPLAINED = {
    NO_SIGN: "Nothing below suggests that the accuracy under attack is larger than the model's robustness.",
    FAULTY: "A number of this evaluation is no measure of robustness, for the reasons below.",
    MASKED: "The model's gradients do not lead attacks to adversarial clips that exist: its accuracy under attack is "
    "not its robustness.",
    MASKED_PLAINLY: "Attacks that ignore it overestimate the robustness. The attacks here replace a missing gradient "
    "(BPDA) and average over random draws (EOT).",
    UNDECIDED: "Too few measurements fitted into the budget.",
}
COLUMNS = ("result", "accuracy", "95 % interval", "clips", "seconds")
STYLE = """
.verdict { border-left: .35rem solid var(--guess); background: var(--guess-back); padding: .7rem 1rem; margin: 1rem 0; }
.verdict.flagged { border-color: var(--fault); background: var(--fault-back); }
.verdict b { font-size: 1.15rem; } .verdict p { margin: .3rem 0 0; }
li { max-width: 60rem; margin: .25rem 0; } li small { display: inline; }
tr > :first-child { min-width: 14rem; font-weight: 400; }
tr > :nth-child(2) { text-align: left; padding-left: 0; }
.bar i { display: inline-block; height: .6rem; background: var(--accent); vertical-align: middle; }
dl { display: grid; grid-template-columns: max-content auto; gap: .15rem 1rem; }
dt { color: var(--faint); } dd { margin: 0; }
@media (max-width: 40rem) { tr > :first-child { min-width: 8rem; } }
"""


def write_check(check: Check, html_path: Path, markdown_path: Path) -> None:
    """Write both pages."""
    publish(markdown_path, markdown(check))
    publish(html_path, page(check))


def accuracy_text(part: Part) -> tuple[str, str]:
    """Return the accuracy and its interval, in percent."""
    low, high = wilson(part.percent, len(part.rows))
    return f"{part.percent:.1f}", f"[{low:.1f}, {high:.1f}]"


def results(check: Check) -> pd.DataFrame:
    """Return one row per result, `COLUMNS` as text: those inside the threat, their worst case, and larger bounds."""
    inside = [part for part in check.parts if part.kind != GROWING]
    growing = sorted((part for part in check.parts if part.kind == GROWING), key=lambda part: part.order)
    rows = [
        (part.title, *accuracy_text(part), str(len(part.rows)), f"{part.seconds:.0f}" if part.seconds else "")
        for part in (*inside, *([check.worst] if check.attacked else []), *growing)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS)).set_index(COLUMNS[0])


def headline(check: Check) -> str:
    """Return the worst case in a sentence."""
    accuracy, interval = accuracy_text(check.worst)
    clean = accuracy_text(check.parts[0])[0]
    if not check.attacked:
        return f"Robust accuracy: not measured (clean: {clean} %)."
    return f"Robust accuracy: {accuracy} % {interval} of {len(check.worst.rows)} clips (clean: {clean} %)."


def decision(check: Check) -> str:
    """Return which result decided the verdict."""
    if not check.flagged:
        return "Decided by all results together: no attack without gradients, by transfer or by noise is stronger."
    titles = {part.name: part.title for part in (*check.parts, check.worst)}
    by = check.findings[0].decided_by
    return f"Decided by: {titles.get(by, by)}."


def reasons(check: Check, notes: bool) -> list[Finding]:
    """Return the findings that are notes, or those that are not."""
    return [finding for finding in check.findings if (finding.severity == "note") == notes]


def markdown(check: Check) -> str:
    """Return the page as Markdown."""
    escape = formats.escape_markdown
    lines = [f"## Robustness check: {escape(check.verdict)}", "", f"{EXPLAINED[check.verdict]} {headline(check)}", ""]
    lines += [f"- **{escape(one.name)}**: {escape(one.sentence)}" for one in reasons(check, notes=False)]
    lines += [f"- {escape(decision(check))}", ""]
    lines += [formats.markdown("results", "Accuracy in percent, with its Wilson interval.", results(check))]
    lines += [f"- {escape(one.sentence)}" for one in reasons(check, notes=True)]
    if check.left_out:
        lines += ["", "### left out", "", *(f"- {escape(one.title)}: {escape(one.reason)}" for one in check.left_out)]
    lines += ["", "### about", "", *(f"- {escape(key)}: {escape(value)}" for key, value in check.about.items())]
    return "\n".join(lines) + "\n"


def page(check: Check) -> str:
    """Return the page as HTML: self-contained, light and dark."""
    text = html.escape
    flagged = " flagged" if check.flagged else ""
    parts = [f'<div class="verdict{flagged}"><b>{text(check.verdict)}</b><p>{text(headline(check))}</p></div>']
    parts += [f"<p>{text(EXPLAINED[check.verdict])} {text(decision(check))}</p>"]
    if why := reasons(check, notes=False):
        parts += ["<h2>why</h2>", _list(f"<b>{text(one.name)}</b>: {text(one.sentence)}" for one in why)]
    table = results(check)
    table.insert(0, "", [_bar(float(percent)) for percent in table["accuracy"]])
    parts += ["<h2>results</h2>", formats.html_table("Accuracy in percent, with its 95 % Wilson interval.", table)]
    if notes := reasons(check, notes=True):
        parts += ["<h2>notes</h2>", _list(text(one.sentence) for one in notes)]
    if check.left_out:
        parts += ["<h2>left out</h2>", _list(f"{text(one.title)}: {text(one.reason)}" for one in check.left_out)]
    facts = "".join(f"<dt>{text(key)}</dt><dd>{text(value)}</dd>" for key, value in check.about.items())
    parts += ["<h2>about</h2>", f"<dl>{facts}</dl>"]
    return formats.page("Robustness check", "\n".join(parts), STYLE)


def _bar(percent: float) -> str:
    return f'<span class="bar"><i style="width:{0.06 * percent:.2f}rem"></i></span>'


def _list(items: object) -> str:
    return "<ul>" + "".join(f"<li>{item}</li>" for item in items) + "</ul>"  # type: ignore[attr-defined]
