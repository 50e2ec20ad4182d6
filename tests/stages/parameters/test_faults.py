"""What is said of a config with a fault."""

import pytest

from pipeline.config import load
from pipeline.errors import ConfigError
from stages.learning.source_names import VISION_SETS
from stages.parameters import (
    Parameters,
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "{source: 'skleran:digits'}",
            (
                "data.source: must start with one of sklearn, torchvision, folder, npz, python, then a colon; "
                "got 'skleran:digits'; did you mean 'sklearn:digits'?"
            ),
        ),
        (
            "{source: digits}",
            "npz, python, then a colon; got 'digits'; did you mean 'sklearn:digits'?",
        ),
        ("{source: cifar-10}", "got 'cifar-10'; did you mean 'torchvision:CIFAR10'?"),
        ("{source: mine.npz}", "got 'mine.npz'; did you mean 'npz:mine.npz'?"),
        (
            "{source: 'npz:x'}\nstudent: {model: {name: resnet18}}",
            "must begin with the library that has it; got 'resnet18'; did you mean 'torchvision:resnet18'?",
        ),
        ("{source: 'npz:x'}\nseeds: 3", "seeds: must be a list of seeds; got 3; did you mean [0, 1, 2] or [3]?"),
        ("{source: 'npz:x'}\nseeds: 42", "seeds: must be a list of seeds; got 42; did you mean [42]?"),
        ("{source: 'npz:x'}\nseeds: true", "seeds: must be a list, such as [a, b]; got true"),
        (
            "{source: 'npz:x'}\nspecialists: {method: K-Means}",
            (
                "specialists.method: must be confusion, covariance, random or manual; got 'K-Means'; "
                "did you mean covariance, which is K-means on the covariance of the generalist's predictions?"
            ),
        ),
        ("{source: 'npz:x'}\nspecialists: {method: 3}", "'random' or 'manual'; got 3"),
        (
            "{source: 'npz:x'}\nspecialists: {method: manual, subsets: [cat, 5]}",
            "specialists.subsets: must be a list of lists of classes; got [cat, 5]; did you mean [[cat, 5]]?",
        ),
        (
            "{source: 'npz:x'}\nspecialists: {from: [a.pt]}",
            "specialists.from[0]: must be a section of keys and values; got 'a.pt'; did you mean {weights: a.pt}?",
        ),
        (
            "{source: 'npz:x'}\nspecialists: {from: a.pt}",
            "specialists.from: must be a list, such as [a, b]; got 'a.pt'; did you mean [{subset: ..., weights: ...}]?",
        ),
        (
            "{source: 'torchvision:EMNIST:letter'}",
            (
                f"data.source: must name one of {', '.join(VISION_SETS)} after 'torchvision:'; "
                "got 'EMNIST:letter'; did you mean 'EMNIST:letters'?"
            ),
        ),
        (
            "{source: 'npz:x', size: 32}",
            "data.size: must be given only with a source of folder; got 32 with npz:x",
        ),
        (
            "{source: 'folder:x', download: true}",
            "data.download: must be given only with a source of torchvision; got True with folder:x",
        ),
        (
            "{source: 'npz:x'}\nstudent: {model: {name: resnet20, width: 4}}",
            "student.model.width: must be given only with a model of cnn or mlp; got 4 with resnet20",
        ),
        (
            "{source: 'npz:x'}\nstudent: {model: {name: cnn, dropout: 0.5}}",
            "student.model.dropout: must be given only with a model of mlp; got 0.5 with cnn",
        ),
        (
            "{source: 'npz:x'}\nstudent: {model: {name: mlp, width: 4, hidden: [4]}}",
            "student.model.hidden: must be left out where width is given; got both",
        ),
        (
            "{source: 'npz:x'}\nstudent: {model: {name: mlp, hidden: []}}",
            "student.model.hidden: must list at least one layer; got []",
        ),
        (
            "{source: 'npz:x'}\nstudent: {workers: 3, batch_size: 5}",
            ("student.workers: must be at most 2, so that each has two examples of student.batch_size, 5; got 3"),
        ),
        (
            "{source: 'npz:x'}\nstudent: {workers: 0}",
            "student.workers: must be at least 1; got 0",
        ),
        ("{source: 'npz:'}", "data.source: must name something after 'npz:'; got 'npz:'"),
        (
            "{source: 'python:my.data'}",
            "data.source: must be python:MODULE:FACTORY, such as python:my.data:load; got 'python:my.data'",
        ),
        (
            "{source: 'python:my..data:f'}",
            ("data.source: must be python:MODULE:FACTORY, such as python:my.data:load; got 'python:my..data:f'"),
        ),
        ("{source: 'npz:x', holdout: 0}", "data.holdout: must be greater than 0, or data.folds be given; got 0"),
        (
            "{source: 'npz:x', folds: 5, holdout: 0.15}",
            "data.holdout: must be 0 or left out with data.folds; got 0.15",
        ),
        ("{source: 'npz:x', folds: 1}", "data.folds: must be at least 2; got 1"),
        ("{source: 'npz:x', holdout: 0.6}", "data.holdout: must be at most 0.5; got 0.6"),
        ("{source: 'npz:x', augment: {shift: 128}}", "data.augment.shift: must be at most 127; got 128"),
        (
            "{source: 'npz:x'}\ncontrols: [hard, hard]",
            "controls: must name each entry once; got 'hard' more than once",
        ),
        (
            "{source: 'npz:x'}\ncontrols: [hrad]",
            "controls[0]: must be 'hard' or 'generalist'; got 'hrad'; did you mean 'hard'?",
        ),
        (
            "{source: 'npz:x'}\ncontrols: hard",
            "controls: must be a list, such as [a, b]; got 'hard'; did you mean [hard]?",
        ),
        ("{source: 'npz:x'}\nstudent: {epochs: 100000000}", "student.epochs: must be at most 100000; got 100000000"),
        (
            "{source: 'npz:x'}\nstudent: {model: {width: 10000000}}",
            "student.model.width: must be at most 65536; got 10000000",
        ),
        (
            "{source: 'npz:x'}\nstudent: {model: {width: 4096}}",
            "student.model.width: must be at most 2048 with a model of cnn; got 4096",
        ),
        (
            "{source: 'npz:x'}\nstudent: {learning_rate: 1.0e+6}",
            "student.learning_rate: must be at most 1000; got 1000000.0",
        ),
        (
            "{source: 'npz:x'}\nsweep: {temperature: [4, 1.0e-9]}",
            "sweep.temperature[1]: must be at least 0.01; got 1e-09",
        ),
        (
            "{source: 'npz:x', memory_budget: 4000000000}",
            "data.memory_budget: must be at most 65536; got 4000000000",
        ),
        ("{source: 'npz:x'}\nspecialists: {size: 1}", "specialists.size: must be at least 2; got 1"),
        ("{source: 'npz:x'}\nepochs: 3", "did you mean generalist.epochs or specialists.epochs or student.epochs?"),
        ("{source: 'npz:x'}\nstudent: {model: {name: cnn, epochs: 3}}", "got 'epochs'; did you mean student.epochs?"),
        ("{source: 'npz:x'}\nstudent: {augment: none}", "did you mean data.augment or data.transfer.augment?"),
        ("{source: 'npz:x'}\nspecialists: none", ", threads, warmup, weight_decay"),
        ("{source: 'npz:x'}\nstudent: {model: {name: [cnn]}}", "student.model.name: must be text; got ['cnn']"),
        ("{source: 'npz:x'}\nseeds: -3", "seeds: must be a list of seeds; got -3"),
        ("{source: 'npz:x'}\nspecialists: {fraction: 1}", "specialists.fraction: must be less than 1; got 1"),
        ("{source: 'npz:x'}\nstudent: {batch_size: 1}", "student.batch_size: must be at least 2; got 1"),
        (
            "{source: 'npz:x'}\nspecialists: {method: manual}",
            "specialists.subsets: must be given with method manual, and with no other; got nothing",
        ),
        (
            "{source: 'npz:x'}\nspecialists: {subsets: [[1, 2]]}",
            (
                "specialists.subsets: must be given with method manual, and with no other; "
                "got a list with method confusion; did you mean method: manual?"
            ),
        ),
        (
            "{source: 'npz:x'}\nspecialists: {method: manual, subsets: [[1, true]]}",
            "specialists.subsets[0][1]: must be a class id, an integer, or a class name, text; got True",
        ),
        (
            "{source: 'npz:x'}\nspecialists: {method: manual, subsets: [[1, 2], [3]]}",
            "specialists.subsets[1]: must list at least two classes; got [3]",
        ),
        (
            "{source: 'npz:x'}\nspecialists: {method: manual, subsets: []}",
            "specialists.subsets: must list at least one subset; got []",
        ),
        (
            "{source: 'npz:x'}\nspecialists: {method: manual, subsets: [[1, 2]], count: 3}",
            (
                "specialists.subsets: must be as many as specialists.count says, 3; got 1; "
                "set specialists.count to 1 or leave it out"
            ),
        ),
        (
            "{source: 'npz:x'}\nspecialists: {method: manual, subsets: [[1, 2], [3, 4, 5]], size: 2}",
            (
                "specialists.subsets: must be of specialists.size classes each, 2; got one of 3; "
                "set specialists.size to null or leave it out"
            ),
        ),
        (
            "{source: 'npz:x'}\nspecialists: {method: manul}",
            (
                "specialists.method: must be 'confusion', 'covariance', 'random' or 'manual'; got 'manul'; "
                "did you mean 'manual'?"
            ),
        ),
        (
            "{source: 'npz:x'}\ncombine: {divergence: reversed}",
            "combine.divergence: must be 'forward' or 'reverse'; got 'reversed'; did you mean 'reverse'?",
        ),
    ],
)
def test_parameters_name_the_fault(tmp_path, text, message):
    path = tmp_path / "run.yaml"
    path.write_text(f"data: {text}")
    with pytest.raises(ConfigError) as caught:
        load(path, Parameters)
    (told,) = str(caught.value).splitlines()
    assert told.endswith(message)
