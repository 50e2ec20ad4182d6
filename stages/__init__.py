"""The stages of a run, in order: the table of contents of the whole program."""

from dataclasses import replace

from pipeline.stage import Stage

_CHOSEN = (
    Stage(
        "data",
        "stages.data:load",
        tasks="stages.tasks:data",
        version=2,
        packages=("numpy", "pillow", "scikit-learn"),
    ),
    Stage(
        "transfer",
        "stages.transfer:choose",
        tasks="stages.tasks:transfer",
        decided_by=("data",),
        packages=("numpy",),
    ),
    Stage("views", "stages.views:draw", tasks="stages.tasks:views", packages=("numpy",)),
    Stage("models", "stages.network:check", tasks="stages.tasks:models", version=2, packages=("torch",)),
    Stage(
        "given",
        "stages.given:load",
        tasks="stages.tasks:given",
        version=2,
        decided_by=("data",),
        packages=("torch", "numpy"),
    ),
    Stage(
        "fold",
        "stages.folds:train",
        tasks="stages.tasks:fold",
        decided_by=("models",),
        packages=("torch", "numpy"),
        gpu=1.0,
        like="generalist",
    ),
    Stage(
        "generalist",
        "stages.generalist:train",
        tasks="stages.tasks:generalist",
        version=2,
        decided_by=("models", "given"),
        packages=("torch", "numpy"),
        gpu=1.0,
    ),
    Stage(
        "confusion",
        "stages.confusion:measure",
        tasks="stages.tasks:confusion",
        packages=("torch", "numpy"),
        gpu=1.0,
    ),
    Stage(
        "subsets",
        "stages.subsets:cluster",
        tasks="stages.tasks:subsets",
        decided_by=("data",),
        packages=("numpy", "scikit-learn"),
    ),
    Stage(
        "specialist",
        "stages.specialist:train",
        tasks="stages.tasks:specialist",
        version=2,
        decided_by=("data", "subsets"),
        packages=("torch", "numpy"),
        gpu=0.25,
    ),
    Stage(
        "calibration",
        "stages.calibration:fit",
        tasks="stages.tasks:calibration",
        decided_by=("subsets",),
        packages=("torch", "numpy"),
        gpu=0.25,
    ),
    Stage(
        "targets",
        "stages.targets:score",
        tasks="stages.tasks:targets",
        version=2,
        decided_by=("data", "transfer", "subsets"),
        packages=("torch", "numpy"),
        gpu=0.25,
    ),
    Stage("import", "stages.imported.placing:describe", tasks="stages.tasks:imports"),
    Stage(
        "imported",
        "stages.imported.placing:place",
        tasks="stages.tasks:imported",
        decided_by=("data", "transfer"),
        packages=("torch", "numpy"),
    ),
    Stage(
        "combined",
        "stages.combined:combine",
        tasks="stages.tasks:combined",
        version=4,
        decided_by=("data", "transfer", "subsets"),
        packages=("torch", "numpy"),
    ),
    Stage(
        "student",
        "stages.student:train",
        tasks="stages.tasks:student",
        version=3,
        decided_by=("data", "transfer"),
        packages=("torch", "numpy"),
        gpu=0.25,
    ),
    Stage("sweep", "stages.sweep:choose", tasks="stages.tasks:sweep", decided_by=("data",)),
)
"""Up to where everything has been chosen on the holdout."""

_REFITTED = ("data", "views", "generalist", "specialist", "targets", "combined", "student")
_DECIDE = ("data", "models", "subsets", "generalist", "specialist", "student", "sweep")
_REFIT = tuple(
    replace(
        stage,
        name=f"refit-{stage.name}",
        tasks=f"stages.tasks.refit:{stage.name}",
        decided_by=_DECIDE,
        like=stage.name,
    )
    for stage in _CHOSEN
    if stage.name in _REFITTED
)
"""The same once more of all examples, for a student of its own, if that is asked for: of the same versions."""

STAGES = (
    *_CHOSEN,
    *_REFIT,
    Stage(
        "evaluate",
        "stages.evaluate:evaluate",
        tasks="stages.tasks:evaluate",
        version=9,
        decided_by=("subsets", "sweep"),
        packages=("torch", "numpy"),
        gpu=1.0,
    ),
    Stage(
        "report",
        "stages.report:write",
        tasks="stages.tasks:report",
        decided_by=("data", "transfer", "subsets", "sweep"),
        kept=False,
    ),
)
