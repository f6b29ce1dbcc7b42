"""The pages of measured results: the files of `resources/measured`, which state machine, versions and command."""

from pathlib import Path

MEASURED = Path(__file__).parents[1] / "resources" / "measured"


def results() -> dict[str, str]:
    """File name -> Markdown of every measured result, and of a page that lists them."""
    made = {path.name: path.read_text() for path in sorted(MEASURED.glob("*.md"))}
    about = made.pop("README.md")
    listed = [f"- [{text.splitlines()[0].lstrip('# ')}]({name})" for name, text in made.items()]
    return made | {"index.md": "\n".join([about, *listed, ""])}


if __name__ == "<run_path>":  # mkdocs-gen-files
    import mkdocs_gen_files

    for file_name, content in results().items():
        with mkdocs_gen_files.open(f"results/{file_name}", "w") as file:
            file.write(content)
