"""Pages that are made of documents elsewhere in the repository, with their links rewritten for the site."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Document -> page of the site.
DOCUMENTS = {
    "benchmarks/README.md": "performance.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}


def documents() -> dict[str, str]:
    """File name -> Markdown of every page."""
    return {page: linked((ROOT / document).read_text(), ROOT / document) for document, page in DOCUMENTS.items()}


def linked(text: str, document: Path) -> str:
    """The text with links below `docs/` as from the site's root, and those to other files of the repository as text."""

    def link(match: re.Match[str]) -> str:
        label, target = match[1], match[2]
        if re.match(r"#|\w+:", target):
            return match[0]
        path = (document.parent / target.partition("#")[0]).resolve()
        docs = ROOT / "docs"
        return f"[{label}]({target.replace('docs/', '', 1)})" if path.is_relative_to(docs) else label

    return re.sub(r"\[([^\]]*)\]\(([^)]+)\)", link, text)


if __name__ == "<run_path>":  # mkdocs-gen-files
    import mkdocs_gen_files

    for file_name, content in documents().items():
        with mkdocs_gen_files.open(file_name, "w") as file:
            file.write(content)
