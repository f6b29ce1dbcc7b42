"""Writes the report's opening page: seeds, precision and determinism of the runs, and the outcome of decoding."""

from pathlib import Path

from pipeline_lib.jobs.adapter import job

with job(snakemake):
    from pipeline_lib.reporting.opening import opening_page
    from pipeline_lib.reporting.publish import publish

    histories = list(zip(snakemake.params.models, snakemake.input.histories, strict=True))
    stores = list(zip(snakemake.params.stores, snakemake.input.stores, strict=True))
    claims = list(snakemake.input.get("claims", []))
    publish(Path(snakemake.output[0]), opening_page(histories, snakemake.params.evaluation, stores, claims))
