"""What tables, figures and the report are made of: one method for each of their rules, as in `jobs`."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline_lib.configuration import parameters
from pipeline_lib.configuration.captions import figure_caption
from pipeline_lib.configuration.claim_cells import printed_files
from pipeline_lib.configuration.describing import Describing
from pipeline_lib.configuration.figures import all_figures, figure_files, figure_inputs
from pipeline_lib.configuration.front_facts import first_of, front_facts
from pipeline_lib.configuration.layouts import Layouts
from pipeline_lib.configuration.parameters import plain
from pipeline_lib.configuration.studies import Plan
from pipeline_lib.provenance.descriptions import Description
from pipeline_lib.provenance.file_facts import content_facts
from pipeline_lib.provenance.fingerprints import digest


@dataclass(frozen=True)
class SummaryJobs:
    """The jobs that compute nothing. evaluation: the section of the configuration."""

    plan: Plan
    layouts: Layouts
    evaluation: Mapping[str, Any]
    described: Describing

    def table(self, study: str) -> Description:
        layout, paper = self.layouts.studies[study], printed_files(self.described.root / "resources/paper")
        return self.described(
            "table",
            f"table/{study}",
            None,
            {"layout": layout},
            [self.plan["studies"][study]["summaries"]],
            {"predictions": self.layouts.study_files(study), "paper": [str(path) for path in paper]},
            self.described.paths.table_files(study) | self.described.paths.difference_files(study),
            {path.name: content_facts(path) for path in paper},
        )

    def claims(self) -> Description:
        layouts = self.layouts.claimed
        settings = {"claims": self.layouts.claims, "layouts": layouts}
        methods = [self.plan["studies"][study]["summaries"] for study in layouts]
        files = {"numbers": sorted({path for study in layouts for path in self.layouts.study_files(study)})}
        outputs = self.described.paths.table_files("claims")
        return self.described("claims", "claims", None, settings, methods, files, outputs)

    def audit_table(self) -> Description:
        captions = (self.described.root / "workflow/report/audit.rst").read_text()
        settings = {"sets": self.layouts.audited_sets, "captions": captions}
        files = {"audits": self.layouts.audits(), "predictions": self.layouts.audited_predictions()}
        outputs = self.described.paths.table_files("audit")
        return self.described("audit_table", "audit", None, settings, [], files, outputs)

    def summary(self) -> Description:
        layouts, paths = self.layouts.studies, self.described.paths
        files = {
            "tables": [paths.table(study, "csv") for study in sorted(layouts)],  # as in the job's parameter
            "clips": self.layouts.clips_of_studies(),
            "audits": sorted({path for study in layouts for path in self.layouts.study_audits(study)}),
            "claims": [paths.table("claims", "csv")] if self.layouts.claimed else [],
        }
        settings = {"layouts": layouts, "entries": self.layouts.entries}
        return self.described("summary", "summary", None, settings, [], files, {"summary": paths.summary()})

    def figure(self, figure: str) -> Description:
        planned = self.plan["figures"][figure]
        files = parameters.relative_to(
            self.described.paths.results, figure_files(self.plan, self.described.paths, figure)
        )
        settings = {
            "entry": planned["entry"],
            "style": planned["style"],
            "files": files,
            "caption": figure_caption(self.plan, figure),
        }
        settings["order"] = digest(json.dumps([planned["entry"], files]))  # of rows and panels, which matters
        outputs = self.described.paths.figure_files(figure, planned["endings"])
        inputs = {"files": figure_inputs(self.plan, self.described.paths, figure)}
        return self.described("figure", f"figure/{figure}", None, settings, [planned["entry"]], inputs, outputs)

    def opening(self) -> Description:
        trained = self.layouts.trained
        stores, paths = self.layouts.decoded, self.described.paths
        settings = {"models": ["/".join(one) for one in trained], "stores": ["/".join(one) for one in stores]}
        settings |= {"evaluation": plain(self.evaluation)}
        files = {
            "histories": [paths.history(*one) for one in trained],
            "stores": [paths.clips(*split) for split in stores],
            "claims": [paths.table("claims", "csv")] if self.layouts.claimed else [],
        }
        return self.described("opening", "opening", None, settings, [], files, {"page": self.described.paths.opening()})

    def report(self) -> Description:
        captions = {path.name: path.read_text() for path in sorted((self.described.root / "workflow/report").glob("*"))}
        front = front_facts(self.plan, self.described.paths, self.layouts.studies)
        files = {
            "tables": self.layouts.tables(),
            "figures": all_figures(self.plan, self.described.paths),
            "summary": [self.described.paths.summary()],
            "opening": [self.described.paths.opening()],
            "marks": [path for study in first_of(self.plan) for path in self.layouts.study_marks(study)],
        }
        paths = self.described.paths
        outputs = {"page": paths.report(), "front": paths.front(), "readme": paths.readme()}
        settings = {"captions": captions, "front": front}
        return self.described("report", "report", None, settings, [], files, outputs)
