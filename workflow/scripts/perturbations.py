"""Shows one clip under every attack: a figure of frames and a page of clips, playable if they are videos."""

from pathlib import Path

from pipeline_lib.jobs.adapter import job

FRAMES_PER_SECOND = 5

with job(snakemake):
    from pipeline_lib.reporting.examples import attack_examples
    from pipeline_lib.reporting.figures import perturbation_figure
    from pipeline_lib.reporting.gallery import gallery_page

    examples = attack_examples(
        Path(snakemake.input.clips),
        snakemake.params.attacks,
        [Path(path) for path in snakemake.input.adversarial],
        [Path(path) for path in snakemake.input.predictions],
    )
    perturbation_figure(examples, Path(snakemake.output.png).with_suffix(""))
    gallery_page(examples, Path(snakemake.output.page), FRAMES_PER_SECOND)
