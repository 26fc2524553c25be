"""Routes: a path finds its function as it would in Azure."""

import pytest

from selfhost.errors import CannotStart
from selfhost.routes import Routes
from selfhost.triggers import HttpTrigger


def routes(*templates: str, prefix: str = "") -> Routes:
    """Functions f0, f1 … for `METHOD,METHOD template`; no method means any."""
    triggers = []
    for index, template in enumerate(templates):
        methods, _, route = template.rpartition(" ")
        triggers.append(HttpTrigger(f"f{index}", "req", route, tuple(methods.split(",")) if methods else ()))
    return Routes(triggers, prefix)


@pytest.mark.parametrize(
    ("template", "path", "params"),
    [
        ("api/create_db", "/api/create_db", {}),
        ("api/create_db", "/API/Create_DB", {}),
        ("Api/Create_db", "/api/create_db", {}),
        ("api/create_db", "/api/create_db/", {}),
        ("api/create_db", "/api/create%5Fdb", {}),
        ("", "/", {}),
        ("items/{id}", "/items/seven", {"id": "seven"}),
        ("items/{id}", "/items/a%20b%C3%A9", {"id": "a bé"}),
        ("items/{id}", "/items/group%2Fproject", {"id": "group%2Fproject"}),
        ("items/{id}", "/items/group%2fproject", {"id": "group%2Fproject"}),
        ("items/{id:int}", "/items/-7", {"id": "-7"}),
        ("items/{id?}", "/items", {}),
        ("items/{id?}", "/items/7", {"id": "7"}),
        ("items/{id:int?}", "/items", {}),
        ("{user}/items/{id}", "/alice/items/7", {"user": "alice", "id": "7"}),
        ("files/{*path}", "/files/a/b/c", {"path": "a/b/c"}),
        ("files/{*path}", "/files", {}),
        ("{**path}", "/a/b", {"path": "a/b"}),
    ],
)
def test_a_path_that_fits_gives_its_parameters(template: str, path: str, params: dict[str, str]) -> None:
    assert routes(f"GET {template}").find("GET", path) == ("f0", params, [])


@pytest.mark.parametrize(
    ("template", "path"),
    [
        ("api/create_db", "/api"),
        ("api/create_db", "/api/create_db/more"),
        ("api/create_db", "/api//create_db"),
        ("items/{id}", "/items/"),
        ("items/{id}", "/items/a/b"),
        ("items/{id:int}", "/items/seven"),
        ("items/{id:int}", "/items/7.5"),
        ("items/{id:int}", "/items/\u0667"),
        ("items/{id:int?}", "/items/x"),
        ("files/{*path}", "/file"),
        ("files/{*path}", "/files/../secret"),
        ("items/{id}", "/items/%2e%2E"),
        ("", "/x"),
    ],
)
def test_a_path_that_does_not_fit_is_unknown(template: str, path: str) -> None:
    assert routes(f"GET {template}").find("GET", path) == ("", {}, [])


def test_the_most_specific_route_wins_in_whatever_order() -> None:
    templates = ["GET items/{*rest}", "GET items/{id}", "GET items/{id:int}", "GET items/new"]
    for order in (templates, templates[::-1]):
        found = routes(*order)
        winners = [found.find("GET", path)[0] for path in ("/items/new", "/items/7", "/items/seven", "/items/a/b")]
        assert [order[int(name[1:])] for name in winners] == templates[::-1]


def test_each_method_of_a_path_has_its_own_function() -> None:
    found = routes("GET items/{id}", "PATCH,DELETE items/{name}", "PUT items/{*rest}")
    assert found.find("GET", "/items/7") == ("f0", {"id": "7"}, [])
    assert found.find("DELETE", "/items/7") == ("f1", {"name": "7"}, [])
    assert found.find("PUT", "/items/7") == ("f2", {"rest": "7"}, [])
    assert found.find("POST", "/items/7") == ("", {}, ["DELETE", "GET", "HEAD", "PATCH", "PUT"])


def test_no_methods_means_any() -> None:
    assert routes("items").find("BREW", "/items") == ("f0", {}, [])


def test_head_is_served_by_get_unless_a_function_wants_it() -> None:
    assert routes("GET items").find("HEAD", "/items")[0] == "f0"
    assert routes("GET items/{id}", "HEAD items/{name}").find("HEAD", "/items/7")[0] == "f1"


@pytest.mark.parametrize("prefix", ["api", "/api/"])
def test_the_prefix_of_host_json_comes_first(prefix: str) -> None:
    found = routes("GET /items", prefix=prefix)
    assert found.find("GET", "/api/items")[0] == "f0"
    assert found.find("GET", "/items") == ("", {}, [])


@pytest.mark.parametrize(
    "template",
    ["items/{id:guid}", "items/{id}.json", "{a}-{b}", "items/{id=7}", "{*rest}/more", "{id?}/more", "items/{id", "{}"],
)
def test_a_template_not_understood_stops_the_start(template: str) -> None:
    with pytest.raises(CannotStart, match="function f0: "):
        routes(f"GET {template}")


@pytest.mark.parametrize("other", ["GET items/{name}", "items/{id}", "POST,GET ITEMS/{id}"])
def test_two_functions_on_one_route_stop_the_start(other: str) -> None:
    with pytest.raises(CannotStart, match=r"functions f[01] and f[01] have the same route"):
        routes("GET items/{id}", other)
