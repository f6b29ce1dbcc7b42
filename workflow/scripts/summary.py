"""Collects the numbers of all tables in one file."""

from pathlib import Path

from pipeline_lib.jobs.adapter import job

with job(snakemake):
    from pipeline_lib.reporting.summary import build_summary, write_summary

    layouts = snakemake.params.layouts
    tables = dict(zip(layouts, snakemake.input.tables, strict=True))
    claims = next(iter(snakemake.input.get("claims", [])), None)
    write_summary(build_summary(layouts, tables, snakemake.params.entries, claims), Path(snakemake.output[0]))
