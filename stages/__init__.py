"""The stages of a run, in order: the table of contents of the whole program."""

from pipeline.stage import Stage

STAGES = (
    Stage("data", "stages.data:load", tasks="stages.tasks:data", packages=("numpy", "scikit-learn")),
    Stage("views", "stages.views:draw", tasks="stages.tasks:views", packages=("numpy",)),
    Stage(
        "generalist",
        "stages.generalist:train",
        tasks="stages.tasks:generalist",
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
    Stage("subsets", "stages.subsets:cluster", tasks="stages.tasks:subsets", packages=("numpy", "scikit-learn")),
    Stage(
        "specialist",
        "stages.specialist:train",
        tasks="stages.tasks:specialist",
        decided_by=("subsets",),
        packages=("torch", "numpy"),
        gpu=0.25,
    ),
    Stage(
        "targets",
        "stages.targets:score",
        tasks="stages.tasks:targets",
        decided_by=("data", "subsets"),
        packages=("torch", "numpy"),
        gpu=0.25,
    ),
    Stage(
        "combined",
        "stages.combined:combine",
        tasks="stages.tasks:combined",
        decided_by=("data", "subsets"),
        packages=("torch", "numpy"),
    ),
    Stage(
        "student",
        "stages.student:train",
        tasks="stages.tasks:student",
        decided_by=("data",),
        packages=("torch", "numpy"),
        gpu=0.25,
    ),
    Stage(
        "evaluate",
        "stages.evaluate:evaluate",
        tasks="stages.tasks:evaluate",
        decided_by=("subsets",),
        packages=("torch", "numpy"),
        gpu=1.0,
    ),
    Stage(
        "report",
        "stages.report:write",
        tasks="stages.tasks:report",
        decided_by=("data", "subsets"),
        kept=False,
    ),
)
