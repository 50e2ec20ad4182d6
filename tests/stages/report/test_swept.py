import itertools
import math

import pytest
from pydantic import TypeAdapter, ValidationError

from stages.parameters.fields import Rate, Share, Temperature
from stages.report import swept
from stages.report.swept import at_edges


def sweep(chosen, *, differ=1.0, **tried):
    points = [
        {"settings": dict(zip(tried, values, strict=True)), "accuracy": 0.9, "nll": differ * number}
        for number, values in enumerate(itertools.product(*tried.values()))
    ]
    return {"chosen": {"distilled": chosen}, "grid": {"distilled": points}}


SMALLEST, LARGEST = (
    "the smallest that was tried: a smaller one may be better",
    "the largest that was tried: a larger one may be better",
)


@pytest.mark.parametrize(
    ("chosen", "tried", "told"),
    [
        ({"alpha": 0.3}, {"alpha": [0.9, 0.3]}, [f"alpha 0.3 is {SMALLEST}"]),
        ({"alpha": 0.9}, {"alpha": [0.9, 0.3]}, [f"alpha 0.9 is {LARGEST}"]),
        ({"alpha": 0.6}, {"alpha": [0.3, 0.6, 0.9]}, []),
        ({"alpha": 0.6}, {"alpha": [0.6]}, []),
        ({"alpha": 1.0}, {"alpha": [0.5, 1.0]}, []),
        ({"alpha": 0.0}, {"alpha": [0.0, 1.0]}, []),
        ({"active_classes": 1}, {"active_classes": [1, 2]}, []),
        ({"active_classes": 5}, {"active_classes": [1, 5]}, []),
        ({"active_classes": 4}, {"active_classes": [1, 4]}, [f"active_classes 4 is {LARGEST}"]),
        ({"learning_rate": 0.001}, {"learning_rate": [0.001, 0.1]}, [f"learning_rate 0.001 is {SMALLEST}"]),
        ({"temperature": 2, "alpha": 0.3}, {"temperature": [2, 4], "alpha": [0.3, 0.6]},
         [f"temperature 2 is {SMALLEST}", f"alpha 0.3 is {SMALLEST}"]),
        ({"temperature": 2, "alpha": 0.0}, {"temperature": [2, 4], "alpha": [0.0, 0.6]}, []),
        ({}, {}, []),
    ],
)  # fmt: skip
def test_choice_at_the_edge_of_what_was_tried_is_told_where_there_is_room_beyond(chosen, tried, told):
    assert at_edges(sweep(chosen, **tried), "distilled", 5) == told


def test_choice_among_students_that_are_the_same_is_at_no_edge():
    assert at_edges(sweep({"temperature": 2}, temperature=[2, 4], differ=0.0), "distilled", 5) == []


@pytest.mark.parametrize(("name", "kind"), [("temperature", Temperature), ("alpha", Share), ("learning_rate", Rate)])
def test_ends_are_those_of_the_config(name, kind):
    least, largest = swept._ENDS[name]
    values = TypeAdapter(kind)
    assert values.validate_python(largest) == largest
    assert values.validate_python(math.nextafter(least, 2.0)) > least
    for beyond in (math.nextafter(least, -1.0), math.nextafter(largest, 2000.0)):
        with pytest.raises(ValidationError):
            values.validate_python(beyond)
