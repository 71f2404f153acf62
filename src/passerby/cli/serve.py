"""`passerby serve`: a gallery over HTTP, and the tokens of its callers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from passerby.cli.common import AcceptDrift, Device
from passerby.cli.gallery_options import Folder
from passerby.errors import GalleryError

PORT = 8765


def serve(
    where: Folder,
    host: Annotated[str, typer.Option(help="Address to listen on; another than loopback needs a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = PORT,
    allowed_hosts: Annotated[
        list[str] | None,
        typer.Option("--allowed-host", help="Host name of the service, such as that of a proxy. Repeatable."),
    ] = None,
    trusted_proxies: Annotated[
        list[str] | None,
        typer.Option(
            "--trusted-proxy",
            metavar="ADDRESS",
            help="Address of a proxy whose X-Forwarded-For has the client's address, for limits. Repeatable.",
        ),
    ] = None,
    new_token: Annotated[
        str | None, typer.Option(metavar="ROLE", help="Print a new token and end: read, operate or admin.")
    ] = None,
    token_name: Annotated[str | None, typer.Option(help="Name of the new token, for the audit log.")] = None,
    revoke_token: Annotated[str | None, typer.Option(metavar="NAME", help="Remove a token and end.")] = None,
    tokens: Annotated[bool, typer.Option("--tokens", help="List names and roles of the tokens and end.")] = False,
    model: Annotated[
        str | None, typer.Option(help="Folder of the gallery's model, if it was moved; or default.")
    ] = None,
    flip: Annotated[
        bool | None,
        typer.Option("--flip/--no-flip", help="Require a gallery with or without the mirrored image."),
    ] = None,
    accept_drift: AcceptDrift = False,
    device: Device = "auto",
    webhook: Annotated[str | None, typer.Option(metavar="URL", help="Post events to this address.")] = None,
    mqtt: Annotated[
        str | None,
        typer.Option(
            metavar="mqtt://HOST:PORT/TOPIC",
            help="Publish events to this topic; the account is in PASSERBY_MQTT_USER and PASSERBY_MQTT_PASSWORD.",
        ),
    ] = None,
) -> None:
    """Serve a gallery over HTTP until Ctrl-C: pages at /, the description of the interface at /docs.

    [bold]passerby serve people[/]

    [bold]passerby serve people --new-token operate --token-name door[/]
    """
    from passerby.serving.server import serve as run

    if token_name is not None and new_token is None:
        raise GalleryError("--token-name names a new token; give --new-token ROLE with it: read, operate or admin")
    actions = {"--new-token": new_token is not None, "--revoke-token": revoke_token is not None, "--tokens": tokens}
    given = [name for name, is_given in actions.items() if is_given]
    if len(given) > 1:
        raise GalleryError(f"{' and '.join(given)}: give one of them, and repeat the command")
    if given:
        _change_tokens(where, role=new_token, name=token_name, revoke=revoke_token)
        return
    run(
        where,
        host=host,
        port=port,
        allowed_hosts=tuple(allowed_hosts or ()),
        trusted_proxies=tuple(trusted_proxies or ()),
        model=model,
        flip=flip,
        accept_drift=accept_drift,
        device=device,
        webhook=webhook,
        mqtt=mqtt,
        started=lambda address: typer.echo(f"{where}: {address}   interface: {address}/docs   Ctrl-C stops"),
    )


def _change_tokens(where: str, *, role: str | None, name: str | None, revoke: str | None) -> None:
    """Make, remove or list tokens."""
    from passerby.gallery.stores.sqlite_database import FILE, no_gallery_error
    from passerby.serving.tokens import TokenFile

    if not (Path(where) / FILE).is_file():
        raise no_gallery_error(where)
    file = TokenFile(Path(where))
    if role is not None:
        typer.echo(file.add(role, name=name))
        typer.echo("This token is shown once. Send it in the header `Authorization: Bearer TOKEN`.", err=True)
    elif revoke is not None:
        file.revoke(revoke)
        typer.echo(f"{revoke}: revoked")
    else:
        for token in file.read():
            typer.echo(f"{token.role:8} {token.name}")
