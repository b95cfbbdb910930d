import pickle

from otel_emqx_monitor.config.errors import ConfigError, Location, Problem, Problems, path_text


def test_the_message_has_every_problem_on_a_line_of_its_own() -> None:
    error = ConfigError(
        "/etc/agent.yaml",
        [Problem("emqx.attempts", "must be at least 1, is 0"), Problem("", "is empty")],
    )
    assert str(error) == (
        "cannot use the configuration /etc/agent.yaml:\n"
        "  emqx.attempts: must be at least 1, is 0\n"
        "  is empty"
    )


def test_a_hostile_file_name_cannot_write_to_the_terminal() -> None:
    assert str(ConfigError("a\x1b[2J", [])) == "cannot use the configuration a\\x1b[2J:"


def test_an_error_survives_pickling() -> None:
    error = ConfigError("a.yaml", [Problem("port", "is required")])
    assert str(pickle.loads(pickle.dumps(error))) == str(error)  # noqa: S301 - our own bytes


def test_places_are_written_as_people_write_them() -> None:
    cases: dict[Location, str] = {
        (): "",
        ("emqx",): "emqx",
        ("monitored_clients", 3, "client_id"): "monitored_clients[3].client_id",
        ("emqx", "a key"): "emqx.'a key'",
        ("a.b", 0): "'a.b'[0]",
        ("x\x1b\n",): "'x\\x1b\\x0a'",
    }
    assert {where: path_text(where) for where in cases} == cases


def test_the_first_problem_at_a_place_is_kept_and_covers_what_is_inside() -> None:
    problems = Problems()
    assert not problems
    problems.add(("emqx", "ssl"), "first")
    problems.add(("emqx", "ssl"), "second")
    assert problems
    assert problems.listed() == (Problem("emqx.ssl", "first"),)
    assert problems.cover(("emqx", "ssl"))
    assert problems.cover(("emqx", "ssl", "inner"))
    assert not problems.cover(("emqx",))


def test_problems_are_listed_by_section_and_position() -> None:
    problems = Problems()
    for where in [
        ("other",),
        ("clients", 10, "alias"),
        ("emqx", "b"),
        ("clients", 9),
        ("emqx", "a"),
        ("clients",),
    ]:
        problems.add(where, "x")
    assert [problem.path for problem in problems.listed(("emqx", "clients"))] == [
        "emqx.b",
        "emqx.a",
        "clients",
        "clients[9]",
        "clients[10].alias",
        "other",
    ]
