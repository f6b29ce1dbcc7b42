"""Decides the claims about the studies' tables from predictions."""

from pathlib import Path

from pipeline_lib.jobs.adapter import job

with job(snakemake):
    from pipeline_lib.reporting.claim_files import units_note, write_claims
    from pipeline_lib.reporting.claims import build_claims

    table = build_claims(snakemake.params.claims, snakemake.params.layouts)
    outputs = {kind: Path(snakemake.output[kind]) for kind in ("csv", "markdown", "latex", "html")}
    write_claims(table, note=units_note(snakemake.params.layouts.values()), **outputs)
