"""Builds one study's table, and that of the differences between its rows, from predictions and printed numbers."""

from pathlib import Path

from pipeline_lib.jobs.adapter import job

with job(snakemake):
    from pipeline_lib.provenance.origins import origins_of
    from pipeline_lib.reporting.cells import measure
    from pipeline_lib.reporting.difference_files import write_differences
    from pipeline_lib.reporting.differences import build_differences
    from pipeline_lib.reporting.facts import facts_of
    from pipeline_lib.reporting.pairs import with_pairs
    from pipeline_lib.reporting.table_files import write_table
    from pipeline_lib.reporting.tables import read_paper, table_of
    from pipeline_lib.reporting.worst_cases import with_worst_cases

    kinds = ("csv", "markdown", "latex", "html")
    layout = snakemake.params.layout
    numbers = measure(layout)
    printed = read_paper(Path(snakemake.input.paper[0]).parent)
    table = with_worst_cases(table_of(layout, printed, numbers), layout, numbers)
    facts = facts_of(layout, origins_of(snakemake.params.identity, snakemake.config["results"]))
    differences = build_differences(layout, table, numbers)
    table = with_pairs(table, differences)
    write_table(table, layout, facts, numbers, **{kind: Path(snakemake.output[kind]) for kind in kinds})
    write_differences(differences, layout, **{kind: Path(snakemake.output[f"differences_{kind}"]) for kind in kinds})
