"""`passerby review`: questions to a person about who is who, answers, and the identities that follow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from passerby.cli.common import Json, cell, print_json
from passerby.cli.gallery_options import Folder
from passerby.errors import GalleryError
from passerby.reviewing.defaults import ERROR_RATE, PAIR_PRIOR
from passerby.text import format_time, plural

if TYPE_CHECKING:
    from passerby.gallery.review import Review
    from passerby.reviewing.answers import Verdict

_MAX_ROWS = 30


def review(
    where: Folder,
    count: Annotated[int | None, typer.Option("--next", min=1, help="Print this many questions.")] = None,
    survey: Annotated[
        int | None,
        typer.Option(
            min=2, help="Draw this many sightings to estimate the number of people, and print the open questions."
        ),
    ] = None,
    people: Annotated[
        bool, typer.Option("--people", help="Print the estimated number of people, by the survey.")
    ] = False,
    answer: Annotated[
        tuple[str, str, str] | None,
        typer.Option(
            metavar="FIRST SECOND ANSWER", help="Store an answer about two sightings: same, different or unknown."
        ),
    ] = None,
    identities: Annotated[bool, typer.Option("--identities", help="Print the identities.")] = False,
    answers: Annotated[bool, typer.Option("--answers", help="Print the answers and their contradictions.")] = False,
    history: Annotated[bool, typer.Option("--history", help="Print all actions.")] = False,
    merge: Annotated[
        tuple[str, str] | None, typer.Option(metavar="IDENTITY IDENTITY", help="Merge two identities.")
    ] = None,
    split: Annotated[
        list[str] | None,
        typer.Option(metavar="SIGHTING", help="Split this sighting from the rest of its identity. Repeatable."),
    ] = None,
    rename: Annotated[
        tuple[str, str] | None, typer.Option(metavar="IDENTITY NAME", help="Name an identity; '' removes its name.")
    ] = None,
    remove: Annotated[
        list[str] | None,
        typer.Option(metavar="SIGHTING", help="Remove this sighting; --undo restores it. Repeatable."),
    ] = None,
    undo: Annotated[int | None, typer.Option(help="Undo this action of the history; 0 is the user's latest.")] = None,
    assign: Annotated[
        bool, typer.Option("--assign", help="Assign new sightings to identities; the others are unchanged.")
    ] = False,
    export_to: Annotated[
        Path | None, typer.Option("--export", help="Write the answers to a CSV or Parquet file.")
    ] = None,
    import_from: Annotated[Path | None, typer.Option("--import", help="Add the answers of an exported file.")] = None,
    prior: Annotated[
        float, typer.Option(help="Prior probability that a pair of sightings shows one person, 0 to 1.")
    ] = PAIR_PRIOR,
    error_rate: Annotated[float, typer.Option(help="Assumed fraction of wrong answers, below 0.5.")] = ERROR_RATE,
    as_json: Json = False,
) -> None:
    """Print the questions whose answers change identities most, and store answers in the gallery.

    [bold]passerby review people --next 20 --json[/]

    [bold]passerby review people --answer FIRST SECOND same[/]
    """
    from passerby.gallery.gallery import Gallery

    actions: dict[str, Any] = {
        "--next": count,
        "--survey": survey,
        "--people": people or None,
        "--answer": answer,
        "--identities": identities or None,
        "--answers": answers or None,
        "--history": history or None,
        "--merge": merge,
        "--split": split or None,
        "--rename": rename,
        "--remove": remove or None,
        "--undo": undo,
        "--assign": assign or None,
        "--export": export_to,
        "--import": import_from,
    }
    chosen = [name for name, value in actions.items() if value is not None]
    if len(chosen) != 1:
        got = " and ".join(chosen) or "none"
        raise GalleryError(f"review: got {got}, expected one of {', '.join(actions)}")
    with Gallery(where) as gallery:
        session = gallery.review(prior=prior, error_rate=error_rate)
        _run(session, chosen[0], actions[chosen[0]], as_json=as_json)


def _run(review: Review, action: str, value: Any, *, as_json: bool) -> None:
    """Call the method of an option and print its result."""
    if action == "--people":
        estimate = review.population()
        interval = f"{estimate.low:.0f} to {estimate.high:.0f} ({estimate.level:.0%} interval)"
        text = f"{plural(round(estimate.people), 'person')}, {interval}"
        _say(estimate.to_dict(), text, as_json=as_json)
        return
    if action in ("--next", "--survey", "--identities", "--answers", "--history"):
        _print(review, action, value, as_json=as_json)
        return
    if action == "--answer":
        first, second, verdict = value
        number = review.answer(first, second, cast("Verdict", verdict))
    elif action == "--merge":
        number = review.merge(value)
    elif action == "--split":
        number = review.split(value)
    elif action == "--rename":
        number = review.rename(value[0], value[1] or None)
    elif action == "--remove":
        number = review.remove(value)
    elif action == "--undo":
        number = review.undo(value or None)
    else:
        total = {
            "--assign": lambda: len(review.assign()),
            "--export": lambda: review.export_answers(value),
            "--import": lambda: review.import_answers(value),
        }[action]()
        text = f"{plural(total, 'sighting')} assigned" if action == "--assign" else plural(total, "answer")
        _say({"count": total}, text, as_json=as_json)
        return
    _say({"action": number}, f"action {number}{' undone' if action == '--undo' else ''}", as_json=as_json)


def _say(tree: dict[str, Any], text: str, *, as_json: bool) -> None:
    if as_json:
        print_json(tree)
    else:
        typer.echo(text)


def _print(review: Review, action: str, value: Any, *, as_json: bool) -> None:
    """Print questions, identities, answers or actions."""
    if action in ("--next", "--survey"):
        questions = review.questions(value) if action == "--next" else review.survey(value)
        columns: tuple[str, ...] = ("first and second", "sightings", "reason", "probability", "value")
        rows: list[tuple[str, ...]] = [
            (
                f"{q.first}\n{q.second}",
                f"{len(q.first_group)}\n{len(q.second_group)}",
                q.reason,
                f"{q.probability:.2f}",
                "" if q.value is None else f"{q.value:.2f}",
            )
            for q in questions
        ]
        tree: Any = [question.to_dict() for question in questions]
    elif action == "--identities":
        found = review.identities()
        columns = ("identity", "name", "sightings", "cameras", "first and last")
        rows = []
        for identity in found:
            times = [m.sighting.time for m in identity.members if m.sighting.time is not None]
            cameras = ", ".join(sorted({member.sighting.camera for member in identity.members}))
            ends = f"{format_time(min(times))}\n{format_time(max(times))}" if times else ""
            rows.append((identity.id, identity.label or "", f"{len(identity.members):,}", cameras, ends))
        tree = [identity.to_dict() for identity in found]
    elif action == "--answers":
        table = review.answers()
        columns = ("first and second", "answer", "user", "time", "reason")
        rows = [(f"{a.first}\n{a.second}", a.answer, a.user, format_time(a.time), a.reason) for a in table.answers]
        tree = table.to_dict()
        if not as_json:
            for item in table.contradictions:
                pairs = ", ".join(" and ".join(pair) for pair in item.against)
                typer.echo(f"contradiction: {' and '.join(item.unused)} against {pairs}", err=True)
    else:
        actions = review.history()
        columns = ("action", "time", "user", "kind", "answers", "undone")
        rows = [
            (
                str(a.number),
                format_time(a.time),
                a.user,
                a.kind if a.undoes is None else f"undo of {a.undoes}",
                f"{a.answers:,}",
                format_time(a.undone),
            )
            for a in actions
        ]
        tree = [entry.to_dict() for entry in actions]
    if as_json:
        print_json(tree)
    else:
        _print_table(columns, rows)


def _print_table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Print rows; the ids in the first column are whole and in one line each."""
    table = Table(box=box.HORIZONTALS)
    for name in columns:
        table.add_column(name, no_wrap=name == columns[0], overflow="fold")
    for row in rows[:_MAX_ROWS]:
        table.add_row(*(Text("\n").join(map(cell, value.split("\n"))) for value in row))
    Console(highlight=False).print(table)
    if len(rows) > _MAX_ROWS:
        typer.echo(f"and {len(rows) - _MAX_ROWS:,} more; --json prints all")
