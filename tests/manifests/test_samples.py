"""The iris data that every database starts with: Fisher's values, split as it says."""

import re
from statistics import fmean

import pytest

from shared.manifests.mariadb import init_scripts

type Flower = tuple[float, float, float, float, int]


@pytest.fixture(scope="module")
def tables() -> dict[str, list[Flower]]:
    script = init_scripts()["data"]["10-samples.sql"]
    found = {}
    for name, values in re.findall(r"INSERT INTO iris\.(\w+) VALUES\n([^;]+);", script):
        rows = [row.split(", ") for row in re.findall(r"\(([^)]+)\)", values)]
        found[name] = [(float(a), float(b), float(c), float(d), int(e)) for a, b, c, d, e in rows]
    return found


def test_there_are_120_flowers_to_train_on_and_30_to_test_with(tables):
    assert {name: len(rows) for name, rows in tables.items()} == {"train": 120, "test": 30}


@pytest.mark.parametrize("name", ["train", "test"])
def test_each_table_has_as_many_of_every_class_and_none_in_a_row(tables, name):
    classes = [row[4] for row in tables[name]]
    assert classes == [0, 1, 2] * (len(classes) // 3)


@pytest.mark.parametrize(
    ("kind", "means"),
    # Fisher 1936, table I: the means he gives for setosa, versicolor and virginica.
    [(0, [5.006, 3.428, 1.462, 0.246]), (1, [5.936, 2.770, 4.260, 1.326]), (2, [6.588, 2.974, 5.552, 2.026])],
)
def test_the_means_are_fisher_s(tables, kind, means):
    flowers = [row for rows in tables.values() for row in rows if row[4] == kind]
    assert [fmean(row[column] for row in flowers) for column in range(4)] == pytest.approx(means)
